"""`frugal prewarm`: what warming a prompt's front is worth, and nothing sent that nobody asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.prefix.warmth import warming, warmth
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Request
from frugal_plugins.sandbox import Sandbox
from tests.cli.conftest import Cli

FRONT = "".join(f"Rule {number}: answer questions of kind {number} kindly and briefly.\n" for number in range(130))
CLAUDE, GPT = "anthropic/claude-sonnet-4-5", "openai/gpt-5"
BOOK = PriceBook(
    {
        name: own_rates(name, {"input_usd": 3, "output_usd": 15, "cache_read_usd": "0.3", "cache_write_usd": write}, "test")
        for name, write in ((CLAUDE, "3.75"), (GPT, "3"))
    }
)


def asked(model: str = CLAUDE, system: str = FRONT, **params: Any) -> Request:
    return Request(model, ({"role": "system", "content": system}, {"role": "user", "content": "Where is it?"}), params)


@pytest.mark.parametrize(
    ("model", "how", "pays"),
    [
        (CLAUDE, {"concurrent": 1}, False),  # it writes the front for itself
        (CLAUDE, {"concurrent": 2}, True),
        (GPT, {"concurrent": 1}, False),
        (GPT, {"concurrent": 2}, True),
        (CLAUDE, {"concurrent": 20, "return_probability": 0.01}, False),
        (CLAUDE, {"concurrent": 1, "warm": True, "keep_seconds": 900}, True),
        (CLAUDE, {"concurrent": 1, "warm": True, "keep_seconds": 7200}, False),  # 26 touches cost more than one write
        (CLAUDE, {"concurrent": 1, "warm": True, "keep_seconds": 900, "return_probability": 0.2}, False),
    ],
)
def test_warming_pays_where_more_is_read_than_it_costs(model: str, how: dict[str, Any], pays: bool) -> None:
    found = warmth(asked(model), BOOK, **how)
    assert found.pays is pays
    assert found.cost_usd is not None
    assert found.saves_usd is not None
    assert (found.saves_usd > found.cost_usd) is pays


@pytest.mark.parametrize(("model", "system"), [(CLAUDE, "Be brief."), ("house/unpriced", FRONT), ("openai/gpt-4", FRONT)])
def test_short_fronts_unpriced_models_and_models_without_a_cache_never_pay(model: str, system: str) -> None:
    found = warmth(asked(model, system), PriceBook(), concurrent=100)
    assert not found.pays
    assert found.cost_usd is None


def test_what_is_sent_is_the_front_alone_marked_with_one_token_of_answer() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    request = asked(tools=[tool], temperature=0.3, stream=True)
    sent = warming(request, BOOK)
    assert sent.messages[0]["content"][0]["text"] == FRONT
    assert sent.messages[0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert sent.messages[1:] == ({"role": "user", "content": "."},)
    assert sent.params == {"tools": [tool], "max_tokens": 1}
    assert "cache_control" not in json.dumps(warming(asked(GPT), BOOK).messages)


@pytest.fixture
def request_file(folder: Path) -> str:
    text = (folder / "recipe.yaml").read_text().replace("openai/gpt-4o]", "anthropic/claude-sonnet-4-5]")
    (folder / "claude.yaml").write_text(text + "prompt_cache: {}\n")
    body = {"model": CLAUDE, "messages": list(asked().messages)}
    (folder / "request.json").write_text(json.dumps(body))
    return "request.json"


def test_without_a_provider_only_the_decision_is_printed(cli: Cli, request_file: str) -> None:
    said = cli.json("prewarm", request_file, "--recipe", "claude.yaml", "--concurrent", "20")
    assert said["pays"]
    assert said["saves_usd"] > said["cost_usd"] > 0
    assert said["sent"] == 0
    assert "nothing; add --provider" in cli("prewarm", request_file, "--recipe", "claude.yaml").stdout


def test_told_so_it_writes_the_front_once_and_what_does_not_pay_is_not_sent(cli: Cli, request_file: str) -> None:
    words = ("prewarm", request_file, "--recipe", "claude.yaml", "--provider", "sandbox")
    said = cli.json(*words, "--concurrent", "20")
    assert said["sent"] == 1
    assert said["cache_write_tokens"] == pytest.approx(said["front_tokens"], rel=0.3)
    assert cli.json(*words, "--concurrent", "1")["sent"] == 0
    assert cli.json(*words, "--concurrent", "1", "--anyway")["sent"] == 1


def test_requests_after_it_read_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    import litellm

    with Sandbox() as sandbox:
        how = {"api_base": sandbox.anthropic_base_url, "api_key": "k"}
        first = warming(asked(), BOOK)
        litellm.completion(model=CLAUDE, messages=[dict(m) for m in first.messages], **first.params, **how)
        later = [dict(first.messages[0]), {"role": "user", "content": "Where is it?"}]
        usage = [litellm.completion(model=CLAUDE, messages=later, **how).usage for _ in range(3)]
    assert all(one.cache_read_input_tokens > 1000 and one.cache_creation_input_tokens == 0 for one in usage)


def test_a_request_that_cannot_be_read_is_named(cli: Cli, folder: Path) -> None:
    (folder / "odd.json").write_text("{")
    assert "odd.json" in cli.json("prewarm", "odd.json", code=2)["error"]
