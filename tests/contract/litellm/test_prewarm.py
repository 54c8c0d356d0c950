"""`recipe.prewarm`: a front is written once before many requests need it, kept while they are awaited, and left alone where that loses."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest

from frugal_plugins import FrugalError, Reply, Usage
from frugal_plugins.prefix.warmth import Warmth
from frugal_plugins.recipe.prewarming import WarmFront
from tests.contract.litellm.conftest import MakeRecipe

CLAUDE = "anthropic/claude-sonnet-4-5"
FRONT = "".join(f"Rule {number}: answer questions of kind {number} kindly and briefly.\n" for number in range(130))
MESSAGES = [{"role": "system", "content": FRONT}, {"role": "user", "content": "Where is it?"}]


def claude(make_recipe: MakeRecipe, **sections: Any) -> Any:
    return make_recipe(tiers={"only": {"models": [CLAUDE]}}, tasks={}, cache="off", route="off", cap="off", prompt_cache={}, **sections)


@pytest.mark.usefixtures("both_keys")
def test_requests_after_it_read_what_it_wrote(make_recipe: MakeRecipe) -> None:
    recipe = claude(make_recipe)
    front = recipe.prewarm(MESSAGES, model=CLAUDE, concurrent=20)
    assert front.warmth.pays
    assert front.calls == 1
    assert front.usage.cache_write_5m_tokens > 1000
    later = [recipe.complete(messages=MESSAGES, model=CLAUDE).usage for _ in range(3)]
    assert all(usage.cache_read_tokens > 1000 and not usage.cache_write_5m_tokens for usage in later[1:])


@pytest.mark.usefixtures("both_keys")
@pytest.mark.parametrize("how", [{"concurrent": 1}, {"concurrent": 20, "likely": 0.01}, {"warm": True, "keep_seconds": 7200}])
def test_where_it_does_not_pay_nothing_is_sent_and_it_says_why(make_recipe: MakeRecipe, how: dict[str, Any]) -> None:
    with claude(make_recipe).prewarm(MESSAGES, model=CLAUDE, **how) as front:
        assert not front.warmth.pays
        assert front.warmth.why
    assert front.calls == 0


@pytest.mark.usefixtures("both_keys")
def test_a_request_that_would_be_answered_from_the_cache_warms_nothing(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(tiers={"only": {"models": [CLAUDE]}}, tasks={}, route="off", cap="off", prompt_cache={})
    recipe.complete(messages=MESSAGES, model=CLAUDE, temperature=0)
    front = recipe.prewarm(MESSAGES, model=CLAUDE, concurrent=20, temperature=0)
    assert front.calls == 0
    assert "stored answer" in front.warmth.why


PAYS = Warmth(CLAUDE, 2000, 3, 270.0, Decimal(1), Decimal(2), True, "pays")
TOUCHED = Reply({"role": "assistant", "content": "."}, CLAUDE, Usage(input_tokens=2000, cache_read_tokens=2000))


def test_a_front_is_touched_in_time_until_it_is_needed() -> None:
    paused: list[float] = []
    front = WarmFront(PAYS, lambda: TOUCHED, warm=False, pause=lambda seconds: bool(paused.append(seconds)))
    front.wait(60)
    assert paused == [270.0] * 3
    assert front.calls == 4
    assert front.usage.cache_read_tokens == 8000


def test_stopping_ends_the_touching_at_once() -> None:
    with WarmFront(PAYS, lambda: TOUCHED, warm=True) as front:
        pass
    front.wait(60)
    assert front.calls == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "frugal-keep-warm" and thread.is_alive()]


def test_a_provider_that_fails_ends_the_keeping_and_is_remembered() -> None:
    def ask() -> Reply:
        raise FrugalError("the provider is down")

    front = WarmFront(PAYS, ask, warm=True, pause=lambda _: False)
    front.wait(60)
    assert "down" in str(front.failure)
    assert front.calls == 0
