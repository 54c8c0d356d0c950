"""Where money goes that need not: each leak with the requests it touches and what they pay for it today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from frugal_plugins.estimate.cells import Cell
from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.estimate.replay import PerToken, per_token


@dataclass(frozen=True, slots=True)
class Leak:
    """One kind of waste. `usd` is what is paid for it today, not what can be saved of it."""

    name: str
    requests: int
    usd: float
    words: str


def leaks(cells: Iterable[Cell], table: PriceTable, uncapped: int, prefix_tokens: int) -> list[Leak]:
    """The leaks these logs show, dearest first; one that touches no request is not listed."""
    priced = [(cell, per_token(table.rates[cell.rates])) for cell in cells]
    found = [
        _leak("exact repeats", "the very same request, answered before", (p for p in priced if p[0].repeat == 1)),
        _leak("near repeats", "the same question in other case, politeness or order", (p for p in priced if p[0].repeat in (2, 3))),
        _leak("simple work on dear models", "a cheaper tier is enough for its kind of work", (p for p in priced if p[0].target)),
        _leak("work that could wait", "nobody waits for it, and a batch costs half", (p for p in priced if p[0].can_wait)),
        *_parts(priced),
    ]
    if uncapped:
        found.append(_uncapped(priced, uncapped))
    if prefix_tokens:
        found.append(_prefixes(priced, prefix_tokens))
    return sorted((leak for leak in found if leak.requests and leak.usd > 0), key=lambda leak: -leak.usd)


def _bill(cell: Cell, price: PerToken) -> float:
    counts = (cell.fresh, cell.read, cell.write, cell.write_1h, cell.out)
    return sum(count * each for count, each in zip(counts, price, strict=True))


def _leak(name: str, words: str, found: Iterable[tuple[Cell, PerToken]]) -> Leak:
    requests, usd = 0, 0.0
    for cell, price in found:
        requests += cell.requests
        usd += _bill(cell, price)
    return Leak(name, requests, usd, words)


def _parts(priced: list[tuple[Cell, PerToken]]) -> Iterator[Leak]:
    """Leaks that are a part of a request's tokens."""
    parts = {
        "cold prefixes": ("read at the full price although a cache could have held it", "warm_tokens", 0, "warms"),
        "growing histories": ("earlier turns a summary could replace, tool results in long notation", "cut_tokens", 0, "growns"),
        "words after a verdict": ("a yes or no that goes on talking", "verdict_tokens", 4, "verdicts"),
        "runaway outputs": ("output far beyond what its kind of work needs", "runaway_tokens", 4, "runaways"),
    }
    for name, (words, tokens, price, rows) in parts.items():
        touched = [(cell, each) for cell, each in priced if getattr(cell, tokens) > 0]
        usd = sum(getattr(cell, tokens) * each[price] for cell, each in touched)
        yield Leak(name, sum(getattr(cell, rows) for cell, _ in touched), usd, words)


def _uncapped(priced: list[tuple[Cell, PerToken]], uncapped: int) -> Leak:
    usd = sum(cell.out * price[4] for cell, price in priced)
    known = sum(cell.requests for cell, _ in priced) or 1
    return Leak("uncapped outputs", uncapped, usd * min(1.0, uncapped / known), "no limit on the answer; a runaway one is paid in full")


def _prefixes(priced: list[tuple[Cell, PerToken]], prefix_tokens: int) -> Leak:
    fresh = sum(cell.fresh for cell, _ in priced) or 1.0
    usd = sum(cell.fresh * price[0] for cell, price in priced)
    requests = sum(cell.requests for cell, _ in priced)
    return Leak(
        "verbose prompts and schemas", requests, usd * min(1.0, prefix_tokens / fresh), "system prompts, tools and schemas, sent each time"
    )
