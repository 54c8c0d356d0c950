"""The cost model says what a provider bills for input it has read before."""

from __future__ import annotations

import datetime as dt

import pytest

from frugal_plugins.prefix.cost import CachePlan, Rewrite, SimulatedCache, marks_needed, plan_for, plan_in_force
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Request

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
TENTH = CachePlan(read=0.1)
CLAUDE = CachePlan(read=0.1, write=1.25, write_1h=2.0, step_tokens=1, explicit=True, breakpoints=4)


@pytest.mark.parametrize(
    ("model", "read", "write", "minimum", "explicit"),
    [
        ("gpt-4o", 0.5, 1.0, 1024, False),
        ("openai/gpt-5", 0.1, 1.0, 1024, False),
        ("anthropic/claude-sonnet-4-5", 0.1, 1.25, 1024, True),
        ("claude-haiku-4-5", 0.1, 1.25, 4096, True),
    ],
)
def test_a_models_plan_comes_from_its_prices(model: str, read: float, write: float, minimum: int, explicit: bool) -> None:
    plan = plan_for(model, PriceBook(), at=AT)
    assert plan is not None
    assert (round(plan.read, 3), round(plan.write, 3), plan.minimum_tokens, plan.explicit) == (read, write, minimum, explicit)


def test_a_model_without_a_price_has_no_plan_and_one_without_a_cache_saves_nothing() -> None:
    assert plan_for("nobody/knows", PriceBook(), at=AT) is None
    plain = plan_for("gpt-3.5-turbo", PriceBook(), at=AT)
    assert plain is not None
    assert not plain.caches


def test_claude_is_marked_by_the_caller_wherever_it_is_hosted() -> None:
    assert marks_needed("bedrock/anthropic.claude-sonnet-4-5")
    assert not marks_needed("gpt-4o")


def test_a_prefix_below_the_minimum_is_billed_in_full_and_above_it_in_steps() -> None:
    assert TENTH.units(1000, 1000) == 1000
    assert TENTH.cached(1300) == 1280
    assert TENTH.units(1300, 1500) == pytest.approx(128 + 220)


def test_a_mark_pays_from_22_percent_for_five_minutes_and_53_for_an_hour() -> None:
    assert CLAUDE.pays(0.21) < 0 < CLAUDE.pays(0.23)
    assert CLAUDE.pays(0.52, hour=True) < 0 < CLAUDE.pays(0.54, hour=True)


def test_keeping_a_prefix_warm_pays_for_short_pauses_only() -> None:
    assert CLAUDE.keep_alive_pays(5000, 900.0, 0.9)
    assert not CLAUDE.keep_alive_pays(5000, 8000.0, 0.9)
    assert not CLAUDE.keep_alive_pays(500, 900.0, 0.9)


def test_dropping_a_warm_prompt_below_the_minimum_costs_more() -> None:
    assert Rewrite(warm_tokens=1500, stay_tokens=1500, static_tokens=300, after_tokens=900).saves(TENTH) < 0


def test_a_prompt_that_will_soon_be_cached_is_not_shrunk_either() -> None:
    assert Rewrite(warm_tokens=0, stay_tokens=900, static_tokens=100, after_tokens=500).saves(TENTH) < 0


def test_a_cold_rewrite_is_free() -> None:
    assert Rewrite(warm_tokens=0, stay_tokens=6000, static_tokens=500, after_tokens=1500).cost(TENTH) < 0
    assert Rewrite(warm_tokens=5900, stay_tokens=6000, static_tokens=500, after_tokens=1500).cost(TENTH) > 0


def test_the_simulated_cache_reads_an_exact_prefix_until_it_is_cold() -> None:
    cache = SimulatedCache(TENTH)
    first = [("system", 2000), ("a", 100)]
    assert cache.call(first, 0.0).read_tokens == 0
    assert cache.call([*first, ("b", 50)], 10.0).read_tokens == 2048
    assert cache.call([("clock", 5), *first], 20.0).read_tokens == 0
    assert cache.call([*first, ("b", 50)], 2000.0).read_tokens == 0


def test_an_unmarked_claude_prompt_has_a_plan_without_a_cache() -> None:
    request = Request("claude-sonnet-4-5", ({"role": "user", "content": "hi"},))
    marked = request.with_(
        messages=({"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},)
    )
    for body, marks_come, caches in ((request, True, True), (request, False, False), (marked, False, True)):
        plan = plan_in_force(body, PriceBook(), marks_come=marks_come, at=AT)
        assert plan is not None
        assert plan.caches is caches
