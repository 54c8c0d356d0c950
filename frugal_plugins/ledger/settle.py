"""From one finished request to dollars: what it cost, what it would have cost, and which technique saved what.

The parts sum to the whole. We walk from the baseline to what was paid, one technique at a time, and each gets the step it
made: the cache the whole call; the route the change of model; the cap the output that was not generated, minus the calls
it had repeated. What a technique made worse shows as a negative saving.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Literal

from frugal_plugins.flow import Attempt, Context
from frugal_plugins.ledger.shadow import would_save
from frugal_plugins.prices import PriceBook, Rates, provider_of
from frugal_plugins.request import Lane, Reply, Request
from frugal_plugins.usage import Usage, read_instead

Basis = Literal["measured", "estimated", "unpriced", "untouched"]
Outcome = Literal["answered", "hit", "closed", "error"]

ZERO: Final = Decimal(0)
SAMPLE_JUDGE: Final = "judge"
"""Under which name the calls that judge a sample of answers are booked: a cost of proving, not of saving."""
_LANES: Final[Mapping[Lane, str]] = {"standard": "other", "batch": "batch", "flex": "flex", "priority": "other"}
"""Under which name the difference between a lane's price and the list price is booked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A request that is over, as the doors hand it in. Holds references only; the arithmetic is done off the caller's path.

    Attributes:
        usual_output: how long answers of a task are when nobody limits them, from the control group; None where unknown.
    """

    request: Request
    ctx: Context
    reply: Reply | None
    error: str | None
    baseline_model: str
    prices: PriceBook
    at: dt.datetime
    usual_output: Callable[[str], float | None] = field(default=lambda _task: None)


@dataclass(frozen=True, slots=True)
class Paid:
    """One call and its price; `usd` is None when the model is unpriced."""

    attempt: Attempt
    model: str
    usage: Usage
    usd: Decimal | None
    rates: Rates | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What one request came to.

    Attributes:
        would_usd: what techniques in shadow would have saved, each alone; never part of `saved_usd`.
    """

    outcome: Outcome
    paid: tuple[Paid, ...]
    actual_usd: Decimal | None
    baseline_usd: Decimal | None
    basis: Basis
    saved_usd: Mapping[str, Decimal]
    would_usd: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def travelled(self) -> tuple[Paid, ...]:
        """The calls without those that judged the answer afterwards, which are no part of the request."""
        return tuple(paid for paid in self.paid if paid.attempt.call.technique != SAMPLE_JUDGE)

    @property
    def judge_usd(self) -> Decimal:
        """The part of the actual price that went to judging the answer afterwards, on a sample."""
        return _judging(self.paid)

    @property
    def priced(self) -> bool:
        """Whether both sides have a price."""
        return self.actual_usd is not None and self.baseline_usd is not None


def settle(entry: Entry) -> Settled:
    """Price a request and split its saving; beside it, what techniques in shadow would have saved."""
    settled = _settle(entry)
    return replace(settled, would_usd=_rehearsed(entry, settled)) if entry.ctx.rehearsed else settled


def settled_once(entry: Entry) -> Settled:
    """`settle`, worked out once while nothing more happens to the request: a proxy's headers and the ledger both ask."""
    ctx = entry.ctx
    so_far = (len(ctx.attempts), len(ctx.decisions), id(entry.reply))
    if ctx.settled is None or ctx.settled[0] != so_far:
        ctx.settled = (so_far, settle(entry))
    found: Settled = ctx.settled[1]
    return found


def _rehearsed(entry: Entry, settled: Settled) -> Mapping[str, Decimal]:
    last = next((p for p in reversed(settled.paid) if p.attempt.call.purpose == "answer" and p.attempt.reply is not None), None)
    if last is None or last.usd is None or settled.outcome == "error":
        return {}
    return would_save(entry.ctx, last.model, last.usage, last.usd, lambda model, usage: _price(entry, model, usage))


def _settle(entry: Entry) -> Settled:
    paid = tuple(_pay(attempt, entry) for attempt in entry.ctx.attempts if attempt.reply is not None or attempt.error)
    actual = _total(paid)
    outcome = _outcome(entry, paid)
    if entry.ctx.group != "treated" or outcome == "error":
        return _settle_untouched(entry, paid, actual, outcome)
    if outcome == "hit":
        return _settle_hit(entry, paid, actual)
    return _settle_answer(entry, paid, actual, outcome)


def _settle_untouched(entry: Entry, paid: tuple[Paid, ...], actual: Decimal | None, outcome: Outcome) -> Settled:
    """Nobody touched it, so it cost what it costs; where that was measured beside it, the difference is chance (a colder cache)."""
    known = entry.ctx.baseline_usage
    helpers: dict[str, Decimal] = {}
    for call in (p.attempt.call for p in paid if p.attempt.call.purpose != "answer"):
        usd = sum((p.usd or ZERO for p in paid if p.attempt.call is call), ZERO)
        helpers[call.technique or "other"] = helpers.get(call.technique or "other", ZERO) - usd
    whole = None if actual is None else actual + sum(helpers.values(), ZERO)
    baseline = _price(entry, entry.baseline_model, known) if known and outcome != "error" else whole
    if baseline is None or actual is None or whole is None:
        return Settled(outcome, paid, actual, None, "unpriced", {})
    saved = {**helpers, "other": baseline - whole + helpers.get("other", ZERO)}
    return Settled(outcome, paid, actual, baseline, "untouched", {name: usd for name, usd in saved.items() if usd})


def _settle_hit(entry: Entry, paid: tuple[Paid, ...], actual: Decimal | None) -> Settled:
    saved = entry.ctx.baseline_usage or (entry.reply.saved if entry.reply else None)
    baseline = None if saved is None else _price(entry, entry.baseline_model, saved)
    if baseline is None or actual is None:
        return Settled("hit", paid, actual, None, "unpriced", {})
    basis: Basis = "measured" if entry.ctx.baseline_usage else "estimated"
    by = next((d.technique for d in entry.ctx.decisions if d.action == "hit" and d.mode == "on"), "cache")
    judging = _judging(paid)
    parts = {by: baseline - actual + judging, SAMPLE_JUDGE: -judging}
    return Settled("hit", paid, actual, baseline, basis, {name: usd for name, usd in parts.items() if usd or name == by})


def _judging(paid: tuple[Paid, ...]) -> Decimal:
    return sum((one.usd or ZERO for one in paid if one.attempt.call.technique == SAMPLE_JUDGE), ZERO)


def _settle_answer(entry: Entry, paid: tuple[Paid, ...], actual: Decimal | None, outcome: Outcome) -> Settled:
    last = next((p for p in reversed(paid) if p.attempt.call.purpose == "answer" and p.attempt.reply is not None), None)
    if last is None or actual is None or last.usd is None:
        return Settled(outcome, paid, actual, None, "unpriced", {})
    uncut = _uncut(entry, last)
    rewritten = _before_rewriting(entry, uncut)
    whole = rewritten[-1][1] if rewritten else uncut
    known = entry.ctx.baseline_usage
    ours = rewritten and rewritten[0][0] == "prompt_cache"  # without our marks it would have had nothing in its cache
    untouched = _as_if_at(entry.baseline_model, last.model, whole, would_read=0 if ours else entry.ctx.would_read_tokens)
    baseline = _price(entry, entry.baseline_model, known or untouched)
    steps = [("", uncut), *rewritten]
    prices = [_price(entry, last.model, usage) for _, usage in steps]
    listed = _price(entry, last.model, last.usage)
    known_prices = [price for price in prices if price is not None]
    if baseline is None or listed is None or len(known_prices) != len(prices):
        return Settled(outcome, paid, actual, None, "unpriced", {})
    saved = {"route": baseline - known_prices[-1], "cap": known_prices[0] - listed, _LANES[_lane(last.attempt)]: listed - last.usd}
    for (technique, _), before, after in zip(rewritten, known_prices[1:], known_prices, strict=False):
        saved[technique] = before - after
    for extra in paid:
        if extra is not last and extra.usd:
            blamed = extra.attempt.replaced_by or extra.attempt.call.technique or "route"
            saved[blamed] = saved.get(blamed, ZERO) - extra.usd
    touched = {decision.technique for decision in entry.ctx.decisions if decision.mode == "on"}
    if "route" not in touched and saved["route"]:
        saved["other"] = saved.get("other", ZERO) + saved.pop("route")
    return Settled(outcome, paid, actual, baseline, "measured" if known else "estimated", {k: v for k, v in saved.items() if v})


def _uncut(entry: Entry, last: Paid) -> Usage:
    """What the answer would have been without our limit: longer, where it was cut and we know how long such answers are."""
    cut = any(d.technique == "cap" and d.action == "set" and d.mode == "on" for d in entry.ctx.decisions)
    reply = last.attempt.reply
    if not cut or reply is None or reply.finish != "length":
        return last.usage
    known = entry.ctx.baseline_usage
    usual = float(known.output_tokens) if known else entry.usual_output(entry.ctx.task(entry.request).name)
    return last.usage if usual is None else last.usage.with_(output_tokens=max(last.usage.output_tokens, round(usual)))


def _before_rewriting(entry: Entry, usage: Usage) -> list[tuple[str, Usage]]:
    """What would have been read without each technique that rewrites the prompt, from the innermost outwards.

    Without our breakpoints nothing would have been cached where the provider wants them. Text that was taken out is counted
    as if the provider had read it from its cache, the cheapest it can have been, so that no saving is claimed that a warm
    cache would have made too.
    """
    found: list[tuple[str, Usage]] = []
    decisions = [decision for decision in entry.ctx.decisions if decision.mode == "on"]
    if any(d.technique == "prompt_cache" and d.action == "marked" for d in decisions):
        usage = usage.with_(cache_read_tokens=0, cache_write_5m_tokens=0, cache_write_1h_tokens=0)
        found.append(("prompt_cache", usage))
    for technique in ("shorten", "history"):
        taken = sum(
            (d.tokens_before or 0) - (d.tokens_after or 0) for d in decisions if d.technique == technique and d.tokens_after is not None
        )
        if taken:
            more = max(taken, -usage.uncached_input_tokens)
            cached = more if more > 0 and usage.cache_read_tokens else 0
            usage = usage.with_(input_tokens=usage.input_tokens + more, cache_read_tokens=usage.cache_read_tokens + cached)
            found.append((technique, usage))
    return found


def _as_if_at(model: str, answered_by: str, usage: Usage, *, would_read: int = 0) -> Usage:
    """The same tokens at another model. Cached reads are assumed there too; paid cache writes only at the same provider.

    What the other model had in its own cache it would have read from there.
    """
    usage = read_instead(usage, would_read)
    if provider_of(model) == provider_of(answered_by):
        return usage
    return usage.with_(cache_write_5m_tokens=0, cache_write_1h_tokens=0)


def _pay(attempt: Attempt, entry: Entry) -> Paid:
    usage = attempt.reply.usage if attempt.reply is not None else Usage()
    model = billed_model(attempt, entry.prices)
    if usage == Usage():
        return Paid(attempt, model, usage, ZERO, None)
    rates = entry.prices.rates(model, at=entry.at, lane=_lane(attempt), input_tokens=usage.input_tokens)
    return Paid(attempt, model, usage, None if rates is None else rates.cost(usage), rates)


def billed_model(attempt: Attempt, prices: PriceBook) -> str:
    """The name to price a call by: what the host says was billed, else what was asked for, else what the provider answered with."""
    reply, asked = attempt.reply, attempt.call.request.model
    names = [name for name in ((reply.billed_as if reply else None), asked, (reply.model if reply else None)) if name]
    return next((name for name in names if prices.rates(name) is not None), names[0])


def _price(entry: Entry, model: str, usage: Usage, lane: Lane = "standard") -> Decimal | None:
    return entry.prices.cost(model, usage, at=entry.at, lane=lane)


def _lane(attempt: Attempt) -> Lane:
    return attempt.reply.lane if attempt.reply is not None else "standard"


def _total(paid: tuple[Paid, ...]) -> Decimal | None:
    costs = [p.usd for p in paid]
    return None if any(cost is None for cost in costs) else sum((cost for cost in costs if cost is not None), ZERO)


def _outcome(entry: Entry, paid: tuple[Paid, ...]) -> Outcome:
    if entry.reply is None:
        partial = any(p.attempt.reply is not None for p in paid)
        return "closed" if partial and entry.error == "GeneratorExit" else "error"
    if entry.reply.saved is not None:
        return "hit"
    return "closed" if entry.reply.finish == "closed" else "answered"
