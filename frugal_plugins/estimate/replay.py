"""The seven techniques, one after the other, over cells: what is left to pay after each, in floats. The page's script does the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from frugal_plugins.estimate.cells import EVERY_TURNS, SUMMARY_TOKENS, Cell
from frugal_plugins.estimate.plan import Plan
from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.models import always_thinks
from frugal_plugins.prices import MILLION, Rates
from frugal_plugins.request import Lane

FLOW: Final = ("cache", "shorten", "history", "route", "cap", "prompt_cache", "batch")
"""The order in which a request meets them; a later one only acts on what the earlier ones leave."""

PerToken = tuple[float, float, float, float, float]
"""Dollars for a token of input, cached read, five-minute write, one-hour write, output."""


@dataclass(frozen=True, slots=True)
class Strength:
    """How far each technique reaches, as shares from 0 to 1.

    Attributes:
        cache: of the very same, the canonically same, and the similar repeats, how many are answered from memory.
        history: of the earlier turns a summary could replace; above 1 where the tool results that stay are written shorter too.
        shorten: of plain prompt text.
        route: of the work whose kind is declared, found by rules, or guessed from its shape.
        longer: how long the cheaper model's answers are beside today's.
        reread: of what is read from the cache today, how much the cheaper model has to read anew. A request only moves where it pays.
        cap: of the words after a verdict; of runaway output; of the answers the larger budget cuts and that are asked again; how often the
            first tight answer of each kind is asked again (each process learns anew).
        prompt_cache: of the cold prefixes, where the provider caches by itself and where the caller must mark them.
        batch: of the work marked as able to wait, and of the work that looks like it.
    """

    cache: tuple[float, float, float] = (0.0, 0.0, 0.0)
    history: float = 0.0
    shorten: float = 0.0
    route: tuple[float, float, float] = (0.0, 0.0, 0.0)
    longer: float = 1.0
    reread: float = 0.0
    cap: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    prompt_cache: tuple[float, float] = (0.0, 0.0)
    batch: tuple[float, float] = (0.0, 0.0)

    def only(self, names: Collection[str]) -> Strength:
        """The same with every other technique off."""
        off = Strength()
        kept = {name: getattr(self if name in names else off, name) for name in FLOW}
        routed = "route" in names
        return Strength(**kept, longer=self.longer if routed else 1.0, reread=self.reread if routed else 0.0)


LOW: Final = Strength((0.9, 0.5, 0.0), 0.3, 0.0, (0.9, 0.7, 0.0), 1.15, 1.0, (0.5, 0.5, 1.0, 2.0), (0.0, 0.6), (0.8, 0.0))
LIKELY: Final = Strength((1.0, 0.95, 0.0), 0.6, 0.03, (1.0, 0.95, 0.3), 1.0, 0.25, (0.9, 0.9, 1.0, 0.5), (0.1, 0.85), (1.0, 0.5))
HIGH: Final = Strength((1.0, 1.0, 0.8), 1.2, 0.10, (1.0, 1.0, 0.7), 0.9, 0.0, (1.0, 1.0, 0.0, 0.0), (0.5, 1.0), (1.0, 1.0))
OFF: Final = Strength()

_SOURCES: Final = {"declared": 0, "rules": 1, "shape": 2}


@dataclass(slots=True)
class Pile:
    """Cells that behave alike, added up, with their prices: today's model and the target's, in real time and in a batch."""

    here: PerToken
    there: PerToken
    here_batch: PerToken
    there_batch: PerToken
    summary_in: float
    summary_out: float
    repeat: int
    source: int
    explicit: int
    can_wait: int
    unthinking: int
    block: int = 0
    fresh: float = 0.0
    read: float = 0.0
    write: float = 0.0
    write_1h: float = 0.0
    out: float = 0.0
    reasoning: float = 0.0
    warm_tokens: float = 0.0
    cold_tokens: float = 0.0
    cut_tokens: float = 0.0
    cut_read_tokens: float = 0.0
    cuts: float = 0.0
    verdict_tokens: float = 0.0
    runaway_tokens: float = 0.0
    again_tokens: float = 0.0
    again_input_tokens: float = 0.0
    prose_tokens: float = 0.0
    first_tokens: float = 0.0
    first_input_tokens: float = 0.0

    def usd(self, s: Strength) -> float:
        """What is left to pay."""
        fresh, read, write = self.fresh, self.read, self.write
        cut = s.history * self.cut_tokens
        fresh -= cut - s.history * self.cut_read_tokens
        read -= s.history * self.cut_read_tokens
        summaries = s.history * (
            self.cut_tokens / EVERY_TURNS * self.summary_in + self.cuts * SUMMARY_TOKENS / EVERY_TURNS * self.summary_out
        )
        fresh = max(0.0, fresh - s.shorten * min(self.prose_tokens, max(0.0, fresh)))
        again_in = s.cap[2] * self.again_input_tokens + s.cap[3] * self.first_input_tokens
        again_out = s.cap[2] * self.again_tokens + s.cap[3] * self.first_tokens
        out = max(0.0, self.out - s.cap[0] * self.verdict_tokens - s.cap[1] * self.runaway_tokens)
        warm = min(fresh, s.prompt_cache[self.explicit] * self.warm_tokens)
        cold = min(fresh - warm, s.prompt_cache[self.explicit] * self.cold_tokens)
        tokens = (fresh - warm - cold + again_in, read + warm, write + cold, self.write_1h)
        moved = s.route[self.source] if self.source < 3 else 0.0
        waits = s.batch[2 - self.can_wait] if self.can_wait else 0.0
        said = max(0.0, out - self.unthinking * self.reasoning) * s.longer
        stays = _bill((*tokens, out + again_out), self.here, self.here_batch, waits)
        anew = s.reread * tokens[1]
        there = (tokens[0] + anew, tokens[1] - anew, *tokens[2:], said + again_out)
        goes = min(stays, _bill(there, self.there, self.there_batch, waits)) if moved else 0.0
        kept = 1.0 - (s.cache[self.repeat - 1] if self.repeat else 0.0)
        return kept * ((1.0 - moved) * stays + moved * goes + summaries)


_SUMMED: Final = tuple(one.name for one in fields(Pile))[12:]


def _bill(tokens: PerToken, now: PerToken, later: PerToken, waits: float) -> float:
    return sum(count * ((1.0 - waits) * a + waits * b) for count, a, b in zip(tokens, now, later, strict=True))


@dataclass(slots=True)
class _Prices:
    """Per-token prices, looked up once."""

    table: PriceTable
    plan: Plan
    seen: dict[tuple[str, str], PerToken | None] = field(default_factory=dict)

    def listed(self, model: str, lane: Lane) -> PerToken | None:
        """A model's price now, in a lane."""
        key = (model, lane)
        if key not in self.seen:
            at = dt.datetime.fromtimestamp(self.table.now_seconds, tz=dt.UTC)
            rates = self.plan.prices.rates(model, at=at, lane=lane)
            self.seen[key] = None if rates is None else per_token(rates)
        return self.seen[key]


def per_token(rates: Rates) -> PerToken:
    """Dollars per token as floats."""
    listed = (rates.input_usd, rates.cache_read_usd, rates.cache_write_5m_usd, rates.cache_write_1h_usd, rates.output_usd)
    one, two, three, four, five = (float(usd / MILLION) for usd in listed)
    return one, two, three, four, five


def piles(cells: Iterable[Cell], table: PriceTable, plan: Plan, *, blocks: bool) -> list[Pile]:
    """Add cells up into as few piles as their arithmetic needs."""
    prices = _Prices(table, plan)
    cheap = prices.listed(plan.cheapest, "standard") or (0.0, 0.0, 0.0, 0.0, 0.0)
    made: dict[tuple[object, ...], Pile] = {}
    for cell in cells:
        here = per_token(table.rates[cell.rates])
        there = prices.listed(cell.target, "standard") if cell.target and cell.lane == "standard" else None
        waits = cell.can_wait if cell.lane == "standard" else 0
        source = _SOURCES.get(cell.source, 3) if there is not None else 3
        pile = Pile(
            here=here,
            there=there or here,
            here_batch=(prices.listed(cell.model, "batch") if waits else None) or here,
            there_batch=(prices.listed(cell.target, "batch") if waits and there else None) or there or here,
            summary_in=cheap[0],
            summary_out=cheap[4],
            repeat=cell.repeat,
            source=source,
            explicit=int("claude" in cell.model),
            can_wait=waits,
            unthinking=int(source < 3 and not always_thinks(cell.target)),
            block=cell.block if blocks else 0,
        )
        key = tuple(getattr(pile, name) for name in Pile.__dataclass_fields__ if name not in _SUMMED)
        pile = made.setdefault(key, pile)
        for name in _SUMMED:
            setattr(pile, name, getattr(pile, name) + getattr(cell, name))
    return list(made.values())


def total(found: Sequence[Pile], strength: Strength) -> float:
    """What all piles come to."""
    return sum(pile.usd(strength) for pile in found)


def alone(found: Sequence[Pile], strength: Strength) -> dict[str, float]:
    """What each technique saves by itself."""
    before = total(found, OFF)
    return {name: before - total(found, strength.only((name,))) for name in FLOW}


def together(found: Sequence[Pile], strength: Strength, names: Collection[str] = FLOW) -> dict[str, float]:
    """What each adds when those before it in the flow are on already; the parts sum to the whole, nothing is counted twice."""
    left, saved = total(found, OFF), {}
    on: list[str] = []
    for name in FLOW:
        if name in names:
            on.append(name)
            now = total(found, strength.only(on))
            saved[name] = left - now
            left = now
    return saved


def by_block(found: Sequence[Pile], strength: Strength) -> dict[str, list[tuple[float, float]]]:
    """For each technique, (spent, saved) in each stretch of the observed time."""
    grouped: dict[int, list[Pile]] = {}
    for pile in found:
        grouped.setdefault(pile.block, []).append(pile)
    made: dict[str, list[tuple[float, float]]] = {name: [] for name in FLOW}
    for part in grouped.values():
        spent = total(part, OFF)
        for name, saved in together(part, strength).items():
            made[name].append((spent, saved))
    return made
