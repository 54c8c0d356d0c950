"""Today's spend against the sandbox's own price sheet: 1,000 mixes of models, caches, lanes and long context, to the last digit."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

from frugal_plugins.estimate.intake import database, load_rows
from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.estimate.row import Row, counted
from frugal_plugins.estimate.spend import prepare, today
from frugal_plugins.prices import PriceBook
from frugal_plugins.sandbox import PriceSheet
from frugal_plugins.sandbox.price_sheet import Lane, ModelCard
from frugal_plugins.usage import Usage
from tests.estimate.conftest import NOW_SECONDS, Write, chat, estimated

AT = datetime(2026, 10, 15, tzinfo=UTC)
LANES: tuple[Lane, ...] = ("standard", "batch", "flex")
LONG_TOKENS = 250_000
MIXES = 1_000

DIFFERENT = {
    ("gpt-4.1", "batch"), ("gpt-4.1-mini", "batch"), ("gpt-4.1-nano", "batch"), ("o3", "batch"), ("o4-mini", "batch"),
    ("o4-mini", "flex"), ("claude-sonnet-4", "standard"), ("gemini-1.5-flash", "standard"),
}  # fmt: skip
"""Where the two price lists disagree: cached input in a batch or in flex (the sheet gives no discount, or the list rounds it), the
long-context price of Sonnet 4, and Gemini's explicit caching, which the sandbox does not sell."""


def probes(card: ModelCard, lane: Lane) -> list[Usage]:
    """One usage of each kind of token, short and long."""
    kinds = [Usage(1000), Usage(1000, output_tokens=1000), Usage(1000, cache_read_tokens=1000)]
    if card.provider == "anthropic":
        kinds += [Usage(1000, cache_write_5m_tokens=1000), Usage(1000, cache_write_1h_tokens=1000)]
    return kinds + ([Usage(LONG_TOKENS, output_tokens=10)] if lane == "standard" else [])


def sold() -> tuple[list[tuple[ModelCard, Lane]], set[tuple[str, str]]]:
    """What both lists price alike, and where they differ."""
    book, alike, different = PriceBook(), [], set()
    for card in PriceSheet.load().cards():
        for lane in LANES if card.kind == "chat" else ():
            if book.rates(card.id, at=AT, lane=lane) is None or (lane == "flex" and not card.flex):
                continue
            if all(book.cost(card.id, usage, at=AT, lane=lane) == card.usd(usage, lane) for usage in probes(card, lane)):
                alike.append((card, lane))
            else:
                different.add((card.id, lane))
    return alike, different


def some_usage(dice: random.Random, card: ModelCard, lane: Lane) -> Usage:
    read_all = (
        LONG_TOKENS + dice.randrange(100_000)
        if card.long_rates and lane == "standard" and dice.random() < 0.3
        else dice.randrange(1, 60_000)
    )
    read, write, hour = (dice.randrange(read_all // 4 + 1) if dice.random() < 0.5 else 0 for _ in range(3))
    if card.provider != "anthropic":
        write = hour = 0
    return Usage(read_all, read, write, hour, dice.randrange(4_000))


def test_the_two_price_lists_differ_only_where_it_is_written_down() -> None:
    alike, different = sold()
    assert different == DIFFERENT
    assert {card.id for card, _ in alike} >= {"gpt-4o", "gpt-5", "claude-sonnet-4-5", "claude-haiku-4-5", "o3-mini"}
    assert {lane for _, lane in alike} == set(LANES)


def test_a_thousand_random_mixes_equal_the_sandbox_bill() -> None:
    alike, _ = sold()
    dice, rows, bills = random.Random(8), [], {}
    for mix in range(MIXES):
        name = f"mix{mix:04d}"
        bills[name] = Decimal(0)
        for card, lane in dice.choices(alike, k=dice.randrange(1, 12)):
            usage = some_usage(dice, card, lane)
            rows.append(counted(Row(AT.timestamp() + dice.randrange(86_400), card.id, lane, task=name), usage))
            bills[name] += card.usd(usage, lane)
    with database() as (db, folder):
        load_rows(rows, db, folder)
        table = PriceTable(PriceBook(), NOW_SECONDS)
        prepare(db, table)
        found = today(db, table)
    assert {name: usd for name, (_, usd) in found.by_task.items()} == bills
    assert found.usd == sum(bills.values()) == sum(usd for _, usd in found.by_model.values())


def test_prices_are_of_the_day_of_the_call(lines: Write) -> None:
    """o3 cost 10 and 40 dollars until 10 June 2025, 2 and 8 after it."""
    found = estimated(lines([chat(model="o3", at="2025-05-01T00:00:00Z"), chat(model="o3", at="2025-08-01T00:00:00Z")]))
    book = PriceBook()
    usage = Usage(1000, output_tokens=100)
    days = [datetime(2025, 5, 1, 12, tzinfo=UTC), datetime(2025, 8, 1, 12, tzinfo=UTC)]
    costs = [book.cost("o3", usage, at=day) for day in days]
    assert costs[0] != costs[1]
    assert found.spend.usd == sum(cost for cost in costs if cost is not None)


def test_the_month_is_the_pace_of_the_observed_span(lines: Write) -> None:
    day = 86_400
    found = estimated(lines([chat(f"q{n}", at=1_793_500_000 + n * day) for n in range(11)]))
    assert found.spend.span_days == 10
    assert found.spend.month_usd is not None
    assert abs(found.spend.month_usd - found.spend.usd * Decimal("3.04375")) < Decimal("1e-12")
    mixed = estimated(lines([chat(f"q{n}", at=1_793_500_000 + n * day) for n in range(11)] + [chat("x", at=None)] * 11, "mixed.jsonl"))
    assert mixed.spend.usd == 2 * found.spend.usd
    assert abs(mixed.spend.month_usd - found.spend.month_usd) < Decimal("1e-12")  # what has no time has no pace
    alone = estimated(lines([chat(at=None)], "untimed.jsonl"))
    assert alone.spend.month_usd is None
