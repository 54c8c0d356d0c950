"""`frugal_plugins.litellm.batch_completion`: LiteLLM's bodies in, its responses out, through the providers' batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest

from frugal_plugins import Recipe
from frugal_plugins.batch.once import RowFailed
from frugal_plugins.errors import InputError
from frugal_plugins.litellm import abatch_completion, batch_completion
from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_795_000_000)


@pytest.fixture
def how(sandbox: Sandbox, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    keys = {"OPENAI_BASE_URL": sandbox.openai_base_url, "ANTHROPIC_API_BASE": sandbox.anthropic_base_url}
    for name, value in {**keys, "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}.items():
        monkeypatch.setenv(name, value)
    return {"store": tmp_path / "jobs.sqlite", "sleep": clock.advance}


@pytest.fixture
def recipe(clock: VirtualClock, tmp_path: Path) -> Iterator[Recipe]:
    said = {"recipe": "night", "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}, "ledger": {"path": str(tmp_path / "l.sqlite")}}
    one = Recipe.load(said, clock=clock.now)
    yield one
    one.close()


def asked(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": f"What is item {n} for?"}], "max_tokens": 100, **more} for n in range(count)]


def test_responses_come_in_order_at_half_the_price_with_cost_and_our_note(recipe: Recipe, sandbox: Sandbox, how: dict[str, Any]) -> None:
    requests = [*asked(5), *asked(3, model="anthropic/claude-haiku-4-5", metadata={"frugal": {"task": "faq"}})]
    found = batch_completion(recipe, requests, **how)
    assert all(isinstance(one, litellm.ModelResponse) for one in found)
    lines = sandbox.invoice().lines
    assert {line.lane for line in lines} == {"batch"}
    costs = sum(one._hidden_params["response_cost"] for one in found)  # type: ignore[union-attr]
    assert costs == pytest.approx(float(sandbox.invoice().total_usd))
    assert found[0].choices[0].message.content  # type: ignore[union-attr]
    assert found[6]._hidden_params["frugal"]["model"] == "anthropic/claude-haiku-4-5"  # type: ignore[union-attr]
    assert sum(one.usage.total_tokens for one in found) == sum(x.usage.input_tokens + x.usage.output_tokens for x in lines)  # type: ignore[union-attr]


async def test_awaited_with_a_failed_row_in_its_place(recipe: Recipe, sandbox: Sandbox, how: dict[str, Any]) -> None:
    sandbox.faults.add(Fault("batch_line_refused", probability=0.5))
    found = await abatch_completion(recipe, asked(10), **how)
    assert {type(one) for one in found} == {litellm.ModelResponse, RowFailed}
    assert [one.n for one in found if isinstance(one, RowFailed)] == [n for n, one in enumerate(found) if isinstance(one, RowFailed)]


def test_broken_off_and_called_again_nothing_is_paid_twice(recipe: Recipe, sandbox: Sandbox, how: dict[str, Any]) -> None:
    def killed(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch_completion(recipe, asked(4), **{**how, "sleep": killed})
    assert len(batch_completion(recipe, asked(4), **how)) == 4
    assert len(sandbox.invoice().lines) == 4


@pytest.mark.parametrize(
    ("request_", "words"),
    [({"messages": []}, "request 1 has no messages"), ({"messages": [{"role": "user", "content": "x"}], "api_key": "k"}, "api_key")],
)
def test_what_cannot_be_asked_is_named_before_anything_is_sent(
    recipe: Recipe, sandbox: Sandbox, how: dict[str, Any], request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        batch_completion(recipe, [*asked(1), request_], **how)
    assert not sandbox.requests()
