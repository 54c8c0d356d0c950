"""Dollars: what was paid, what it would have cost, and parts that sum to the whole."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.flow import Attempt, Call, Context, Decision
from frugal_plugins.ledger.settle import Entry, Settled, settle, settled_once
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply
from frugal_plugins.usage import Usage
from tests.support import ask_for

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
MILLION = 1_000_000


def attempt(model: str = "openai/gpt-4o-mini", usage: Usage | None = None, *, finish: str = "stop", **more: Any) -> Attempt:
    reply = Reply({"role": "assistant", "content": "x"}, model, usage or Usage(MILLION, output_tokens=MILLION), finish)
    return Attempt(Call(ask_for(model=model), **more), reply)


def settled(*attempts: Attempt, baseline: str = "gpt-4o", reply: Reply | None = None, usual: float | None = None, **ctx: Any) -> Settled:
    decisions = [Decision("route", "simple", "test"), Decision("cap", "set", "test")]
    context = Context(attempts=list(attempts), decisions=ctx.pop("decisions", decisions), **ctx)
    last = reply or (attempts[-1].reply if attempts else None)
    return settle(Entry(ask_for(), context, last, None, baseline, PriceBook(), NOW, lambda _task: usual))


def test_a_cheaper_model_saves_the_difference_of_the_list_prices() -> None:
    result = settled(attempt())
    assert (result.actual_usd, result.baseline_usd) == (Decimal("0.75"), Decimal("12.5"))
    assert result.saved_usd == {"route": Decimal("11.75")}
    assert result.basis == "estimated"


def test_a_hit_saves_the_whole_call_at_the_callers_own_model() -> None:
    hit = Reply({"role": "assistant", "content": "x"}, "gpt-4o-mini", saved=Usage(MILLION, output_tokens=0))
    result = settled(reply=hit, decisions=[Decision("cache", "hit", "test")])
    assert result.outcome == "hit"
    assert (result.actual_usd, result.saved_usd) == (0, {"cache": Decimal("2.5")})


def test_a_repeated_call_is_booked_against_the_technique_that_repeated_it() -> None:
    cut = attempt(usage=Usage(MILLION, output_tokens=0), finish="length")
    cut.replaced_by = "cap"
    result = settled(cut, attempt())
    assert result.actual_usd == Decimal("0.90")
    assert result.saved_usd["cap"] == Decimal("-0.15")


def test_helper_calls_are_booked_against_their_technique() -> None:
    helper = attempt(usage=Usage(MILLION), purpose="summarise", technique="history")
    result = settled(helper, attempt())
    assert result.saved_usd["history"] == Decimal("-0.15")


def test_a_technique_that_made_it_dearer_shows_a_negative_saving() -> None:
    result = settled(attempt("openai/gpt-4o"), baseline="gpt-4o-mini")
    assert result.saved_usd == {"route": Decimal("-11.75")}


def test_output_that_was_cut_counts_only_where_the_usual_length_is_known() -> None:
    five = attempt(usage=Usage(0, output_tokens=5), finish="length")
    assert "cap" not in settled(five).saved_usd
    assert settled(five, usual=105.0).saved_usd["cap"] == Decimal("0.00006")


def test_a_measured_baseline_replaces_the_estimate() -> None:
    result = settled(attempt(), baseline_usage=Usage(2 * MILLION, output_tokens=MILLION))
    assert (result.baseline_usd, result.basis) == (Decimal("15.0"), "measured")


def test_control_bypassed_and_failed_requests_save_nothing() -> None:
    for group in ("control", "bypassed"):
        result = settled(attempt(), group=group)
        assert result.actual_usd == result.baseline_usd == Decimal("0.75")
        assert result.saved_usd == {}
    down = Attempt(Call(ask_for()), None, "APIConnectionError")
    failed = settle(Entry(ask_for(), Context(attempts=[down]), None, "APIConnectionError", "gpt-4o", PriceBook(), NOW))
    assert (failed.outcome, failed.actual_usd, failed.saved_usd) == ("error", 0, {})


def test_what_a_broken_stream_had_sent_is_still_paid() -> None:
    broken = attempt()
    broken.error = "APIConnectionError"
    result = settle(Entry(ask_for(), Context(attempts=[broken]), None, "APIConnectionError", "gpt-4o", PriceBook(), NOW))
    assert (result.outcome, result.actual_usd) == ("error", Decimal("0.75"))


def test_an_unpriced_model_leaves_the_dollars_open() -> None:
    result = settled(attempt("nobody/knows"))
    assert (result.actual_usd, result.baseline_usd, result.basis, result.saved_usd) == (None, None, "unpriced", {})
    assert settled(attempt(), baseline="nobody/knows").actual_usd == Decimal("0.75")


def test_a_proxys_alias_is_priced_by_what_it_stands_for() -> None:
    behind = attempt("cheap-alias")
    behind.reply = behind.reply.with_(billed_as="openai/gpt-4o-mini") if behind.reply else None
    assert settled(behind).actual_usd == Decimal("0.75")


models = st.sampled_from(
    ["openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-5", "openai/o3-mini"]
)
usages = st.builds(
    lambda plain, read, write, out: Usage(plain + read + write, read, write, 0, out),
    st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 10**4), st.integers(0, 10**4),
)  # fmt: skip


@given(
    calls=st.lists(
        st.tuples(models, usages, st.sampled_from(["stop", "length"]), st.sampled_from([None, "cap", "route"]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    baseline=models,
    known=st.none() | usages,
    usual=st.none() | st.floats(0, 5000),
)
def test_the_parts_always_sum_to_the_whole(calls: list[Any], baseline: str, known: Usage | None, usual: float | None) -> None:
    attempts = []
    for model, usage, finish, replaced_by, helper in calls[:-1]:
        extra = attempt(model, usage, finish=finish, **({"purpose": "judge", "technique": "route"} if helper else {}))
        extra.replaced_by = replaced_by
        attempts.append(extra)
    model, usage, finish, *_ = calls[-1]
    result = settled(*attempts, attempt(model, usage, finish=finish), baseline=baseline, usual=usual, baseline_usage=known)
    assert result.baseline_usd is not None
    assert result.actual_usd is not None
    assert sum(result.saved_usd.values()) == result.baseline_usd - result.actual_usd


def test_what_a_request_came_to_is_worked_out_again_once_more_has_happened() -> None:
    entry = Entry(ask_for(), Context(attempts=[attempt()]), attempt().reply, None, "gpt-4o", PriceBook(), NOW)
    first = settled_once(entry)
    assert settled_once(entry) is first
    entry.ctx.attempts.append(attempt(purpose="judge", technique="judge"))
    assert settled_once(entry).judge_usd > 0
