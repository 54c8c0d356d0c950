"""The real proxy with a recipe that names a model it lacks, and with providers that answer under another model's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from frugal_plugins.sandbox import Sandbox
from tests.contract.litellm.conftest import user
from tests.contract.litellm.proxies import RunningProxy, in_front_of

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}
OTHER_NAMES = {
    "gpt-4o-mini": {"provider": "openai", "input": "0.15", "output": "0.60", "snapshot": "o3-2025-04-16"},
    "claude-haiku-4-5": {"provider": "anthropic", "input": "1", "output": "5", "max_output_tokens": 64000, "snapshot": "house-blend-7"},
}
"""What the provider bills as before, but calls a much dearer model, or one nobody has heard of."""


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """Its recipe's cheap tier is nothing the proxy has."""
    folder = tmp_path_factory.mktemp("strange")
    recipe = folder / "strange.yaml"
    tiers = {"simple": {"models": ["openai/gpt-4.1-nano"]}, "standard": {"models": ["openai/gpt-4o"]}}
    tasks = {"yes_no": {"tier": "simple", "output_tokens": 5}}
    sections = {"cache": {}, "route": {}, "cap": {}, "ledger": {"path": str(folder / "ledger.sqlite")}}
    recipe.write_text(json.dumps({"recipe": "strange", "tiers": tiers, "tasks": tasks, **sections}))
    with (
        Sandbox(prices=OTHER_NAMES) as sandbox,
        in_front_of(sandbox, folder, str(recipe), callbacks=["frugal_plugins.litellm.proxy"]) as up,
    ):
        yield up


@pytest.fixture(autouse=True)
def _nothing_left(strange: RunningProxy) -> Iterator[None]:
    strange.new_rows(0)
    strange.sandbox.reset()
    yield
    strange.sandbox.reset()


def test_a_tier_the_proxy_lacks_leaves_the_request_with_its_model(strange: RunningProxy) -> None:
    answer, ours = strange.ask("May a kettle be returned?", extra_body=YES_NO)
    assert answer.model == "gpt-4o"
    (sent,) = strange.sandbox.requests()
    assert sent.body["model"] == "gpt-4o"
    assert "not gpt-4.1-nano: this key or proxy does not reach it" in ours["x-frugal-why"]
    assert ours["x-frugal-saved-usd"] == "0"
    (row,) = strange.books_agree(1)
    assert (row["outcome"], row["model_answered"]) == ("answered", "openai/gpt-4o")
    assert row["baseline_picousd"] == row["actual_picousd"] > 0


def test_the_provider_does_answer_under_another_name(strange: RunningProxy) -> None:
    asked = {"model": "gpt-4o-mini", "messages": user("Hello")}
    answer = httpx.post(f"{strange.sandbox.openai_base_url}/chat/completions", json=asked, headers={"authorization": "Bearer any"})
    assert answer.json()["model"] == "o3-2025-04-16"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("name", "model"), [("mini", "openai/gpt-4o-mini"), ("haiku", "anthropic/claude-haiku-4-5")])
def test_an_answer_under_another_models_name_is_booked_as_billed(strange: RunningProxy, name: str, model: str, stream: bool) -> None:
    asked: dict[str, Any] = {"text": f"Tell {name} of the harbour, {stream}.", "model": name, "max_tokens": 200, "stream": stream}
    first, miss = strange.ask(**asked)
    again, hit = strange.ask(**asked)
    assert text_of(first) == text_of(again) != ""
    assert (miss["x-frugal-cache"], hit["x-frugal-cache"]) == ("miss", "hit")
    assert len(strange.sandbox.requests()) == 1
    paid, kept = strange.books_agree(2)
    assert (paid["outcome"], paid["model_answered"], kept["outcome"]) == ("answered", model, "hit")
    assert paid["actual_picousd"] == paid["baseline_picousd"] == kept["baseline_picousd"] > 0
    assert kept["actual_picousd"] == 0


def text_of(answer: Any) -> str:
    """What an answer says, streamed or not."""
    if isinstance(answer, list):
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    text: str = answer.choices[0].message.content
    return text
