"""A cheap model that must read again what the dear one has in its cache is only asked where that costs less."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.prefix.rereading import Rereading, prompt_of
from frugal_plugins.request import Request
from frugal_plugins.usage import Usage, read_instead
from tests.caching import CLAUDE, GPT, HAIKU, MINI, OPENAI, PRICES, SONNET, Caching, route, talk
from tests.support import send


def test_a_turn_stays_where_its_long_prompt_is_warm() -> None:
    provider = Caching()
    talk(route(), provider, [("other", 0), ("yes_no", 20)], model=SONNET, words=16_000)
    assert provider.asked == [SONNET, SONNET]


def test_the_same_turn_moves_when_the_cache_has_gone_cold_or_there_is_none() -> None:
    provider = Caching()
    talk(route(), provider, [("other", 0), ("yes_no", 900)], model=SONNET, words=16_000)
    assert provider.asked == [SONNET, HAIKU]
    provider = Caching(marked=False)
    talk(route(), provider, [("other", 0), ("yes_no", 20)], model=SONNET, words=16_000)
    assert provider.asked == [SONNET, HAIKU]


def test_a_short_prompt_moves_at_once() -> None:
    provider = Caching()
    talk(route(), provider, [("other", 0), ("yes_no", 20)], model=SONNET, words=100)
    assert provider.asked == [SONNET, HAIKU]


def test_where_the_difference_in_price_pays_for_reading_again_it_moves() -> None:
    provider = Caching()  # gpt-4o reads its cache at half price: eight times what the small model asks for plain input
    talk(route(OPENAI), provider, [("other", 0), ("yes_no", 20)], model=GPT, words=16_000)
    assert provider.asked == [GPT, MINI]


def test_a_long_run_of_simple_turns_moves_in_the_end() -> None:
    provider = Caching()
    talk(route(), provider, [("other", 0), *[("yes_no", 20)] * 25], model=SONNET, words=16_000)
    first = provider.asked.index(HAIKU)
    assert 5 < first < 20
    assert set(provider.asked[first:]) == {HAIKU}


def test_a_front_that_others_share_is_warm_too() -> None:
    provider, by = Caching(), route()
    for number in range(2):
        rules = {"role": "system", "content": "rule " * 16_000}
        request = Request(SONNET, (rules, {"role": "user", "content": f"customer {number}"}))
        send(request, provider, by, declared_task="other" if number == 0 else "yes_no", clock=lambda: provider.now)
    assert provider.asked == [SONNET, SONNET]


TURNS = st.lists(st.tuples(st.sampled_from(["yes_no", "other"]), st.sampled_from([5.0, 60.0, 200.0, 400.0])), min_size=1, max_size=14)


def test_over_many_conversations_it_costs_no_more_than_left_alone() -> None:
    """Mixed pauses, prompts of every length: at most the percent it takes to learn how this traffic comes."""
    for words in (50, 2_000, 6_000, 16_000):
        by, provider, alone = route(), Caching(), Caching()
        for number in range(30):
            chance = random.Random(number)
            turns = [(chance.choice(["yes_no", "other"]), chance.choice([5.0, 60.0, 200.0, 400.0])) for _ in range(8)]
            talk(by, provider, turns, model=SONNET, words=words)
            talk(None, alone, turns, model=SONNET, words=words)
            provider.now, alone.now = provider.now + 1_000, alone.now + 1_000
        assert provider.spent <= alone.spent * Decimal("1.01"), words


@given(TURNS, st.sampled_from([SONNET, GPT]), st.sampled_from([50, 2_000, 16_000]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_conversations_cost_at_most_little_more_than_left_alone(
    turns: list[tuple[str, float]], model: str, words: int, marked: bool
) -> None:
    """A move is made for what it saves at once, or once as much has been missed: one reading by each model bounds what it may lose."""
    routed = talk(route(CLAUDE if model == SONNET else OPENAI), Caching(marked=marked), turns, model=model, words=words)
    alone = Caching(marked=marked)
    untouched = talk(None, alone, turns, model=model, words=words)
    whole = Usage(words * 5 // 4 + 500, cache_write_5m_tokens=words * 5 // 4 + 500)
    again = [PRICES.cost(name, whole) or Decimal(0) for name in (model, HAIKU if model == SONNET else MINI)]
    assert routed <= untouched + sum(again)


def test_the_ledger_counts_what_the_other_model_would_have_read_from_its_cache() -> None:
    provider, by = Caching(), route()
    turns = [("other", 0), *[("yes_no", 20)] * 25]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "rule " * 16_000}]
    baseline = Decimal(0)
    for number, (task, pause_seconds) in enumerate(turns):
        provider.now += pause_seconds
        messages = [*messages, {"role": "user", "content": f"question {number} {task}"}]
        request = Request(SONNET, tuple(messages))
        reply, ctx = send(request, provider, by, declared_task=task, clock=lambda: provider.now)
        at = dt.datetime.fromtimestamp(provider.now, dt.UTC)
        settled = settle(Entry(request, ctx, reply, None, SONNET, PRICES, at))
        assert settled.baseline_usd is not None
        baseline += settled.baseline_usd
        messages = [*messages, dict(reply.message)]
    alone = talk(None, Caching(), turns, model=SONNET, words=16_000)
    assert abs(baseline / alone - 1) < Decimal("0.03")


def test_a_cache_that_was_never_read_is_not_counted_on() -> None:
    seen = Rereading(PRICES)
    request = Request(GPT, ({"role": "system", "content": "rule " * 16_000}, {"role": "user", "content": "q"}))
    prompt = prompt_of(request, "c", "other")
    warm = []
    for number in range(8):
        seen.note(prompt, GPT, Usage(20_000, output_tokens=5), 60.0 * number)  # a host that never says it read anything
        warm.append(seen.warm_tokens(prompt, GPT, 60.0 * number + 1))
    assert warm[0] > 15_000
    assert warm[-1] < 4_000


def test_conversations_without_a_front_have_nothing_in_common() -> None:
    one, other = (prompt_of(Request(GPT, ({"role": "user", "content": "q " * 4_000},)), name, "other") for name in ("a", "b"))
    seen = Rereading(PRICES)
    seen.note(one, GPT, Usage(2_000, output_tokens=5), 0.0)
    assert seen.warm_tokens(one, GPT, 1.0) > 1_000
    assert seen.warm_tokens(other, GPT, 1.0) == 0
    assert {key for key, _ in one.parts}.isdisjoint(key for key, _ in other.parts)


def test_reading_instead_of_writing() -> None:
    usage = Usage(1000, cache_write_5m_tokens=600, output_tokens=5)
    assert read_instead(usage, 0) == usage
    assert read_instead(usage, 300) == usage.with_(cache_read_tokens=300)
    assert read_instead(usage, 700) == usage.with_(cache_read_tokens=700, cache_write_5m_tokens=300)
    assert read_instead(usage, 5000) == usage.with_(cache_read_tokens=1000, cache_write_5m_tokens=0)
