"""What a report shows: a ledger's figures, its requests with their decisions, and what was checked against the provider."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from frugal_plugins.ledger import Summary
from frugal_plugins.ledger.measured import Measured, measure
from frugal_plugins.ledger.reader import Booked, Period, Wanted
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.ledger.summary import summary_of
from frugal_plugins.ledger.tables import usd
from frugal_plugins.prices import bare_name
from frugal_plugins.report.words import plain_model

MOST_ROWS: Final = 2_000
"""How many requests a page lists; the figures always cover all of them."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request and why it went where it went. `text` is there only when the ledger was told to keep it."""

    id: str
    at_seconds: float
    task: str
    task_source: str
    model_before: str
    model_after: str
    outcome: str
    baseline_usd: Decimal | None
    actual_usd: Decimal | None
    decisions: tuple[str, ...]
    text: str | None = None

    @property
    def moved(self) -> bool:
        """Whether another model answered than would have without the recipe."""
        return bool(self.model_after) and plain_model(self.model_after) != plain_model(self.model_before)

    @property
    def path(self) -> str:
        """From which model to which, in words."""
        before = plain_model(self.model_before)
        if self.outcome == "hit":
            return f"{before} → stored answer"
        return f"{before} → {plain_model(self.model_after)}" if self.moved else before

    @property
    def saved_usd(self) -> Decimal | None:
        """None where a price is missing."""
        return None if self.baseline_usd is None or self.actual_usd is None else self.baseline_usd - self.actual_usd


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The ledger beside the provider's invoice, call by call.

    Attributes:
        only_ledger, only_invoice: ids of calls that one side has and the other has not.
        differing: ids of calls both sides have, at different prices.
    """

    ledger_usd: Decimal
    invoice_usd: Decimal
    ledger_calls: int
    invoice_lines: int
    only_ledger: tuple[str, ...] = ()
    only_invoice: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    @property
    def difference_usd(self) -> Decimal:
        """Ledger minus invoice."""
        return self.ledger_usd - self.invoice_usd

    @property
    def agrees(self) -> bool:
        """Whether every call is on both sides at the same price."""
        return not (self.difference_usd or self.only_ledger or self.only_invoice or self.differing)


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One line of a provider's invoice: its id, the model without provider prefix, what was counted and what it cost."""

    id: str
    model: str
    input_tokens: int
    output_tokens: int
    usd: Decimal

    @property
    def looks(self) -> tuple[str, int, int, Decimal]:
        """What makes two calls alike where they cannot be told apart by id."""
        return self.model, self.input_tokens, self.output_tokens, self.usd


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """An answer that was right without the recipe and is not with it."""

    id: str
    task: str
    model: str
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything one report needs.

    Attributes:
        models_before: what would have been spent, by model: requests and dollars.
        models_after: what was spent, by model: calls and dollars.
        rows: the latest requests, newest first, at most MOST_ROWS.
        measured: what the control group shows; None where it was not asked.
        reconciliation, wrong_answers, estimated_usd: only where a second run measured them (`frugal try`).
    """

    title: str
    summary: Summary
    models_before: Mapping[str, tuple[int, Decimal]]
    models_after: Mapping[str, tuple[int, Decimal]]
    rows: tuple[RequestRow, ...]
    source: str
    measured: Measured | None = None
    reconciliation: Reconciliation | None = None
    wrong_answers: tuple[WrongAnswer, ...] | None = None
    wrong_in_baseline: int | None = None
    estimated_usd: Decimal | None = None


def read_evidence(path: str | Path, *, title: str = "What the LLM calls cost", since_seconds: float | None = None) -> Evidence:
    """Read a ledger file or a PostgreSQL ledger. Raises LedgerError when there is none."""
    period = Period(since_seconds)
    with open_reader(path) as reader:
        summary = summary_of(reader, period)
        before = {model: (spend.priced, spend.baseline_usd) for model, spend in reader.split("asked_model", period).items() if spend.priced}
        rows = tuple(map(_row, reader.latest(MOST_ROWS, Wanted(since_seconds=since_seconds))))
        measured = measure(reader.db, period)
        return Evidence(title, summary, _plainly(before), _plainly(summary.by_model), rows, reader.place, measured)


def reconcile(path: str | Path, invoice: Sequence[BilledCall]) -> Reconciliation:
    """Compare every paid call of a ledger with the invoice's lines.

    Calls are matched by the provider's id. LiteLLM hides the id of some answers (Anthropic's); those are matched by model,
    tokens and price, each line once.
    """
    booked = _booked(path)
    billed = {line.id: line for line in invoice}
    differing = [call.id for call in booked if call.id in billed and billed[call.id].usd != call.usd]
    named = {call.id for call in booked} & billed.keys()
    waiting = Counter(line.looks for line in invoice if line.id not in named)
    only_ledger: list[str] = []
    for call in booked:
        if call.id in named:
            continue
        if waiting[call.looks]:
            waiting[call.looks] -= 1
        else:
            only_ledger.append(call.id)
    left = waiting.copy()
    only_invoice = [line.id for line in invoice if line.id not in named and _take(left, line)]
    return Reconciliation(
        ledger_usd=sum((call.usd for call in booked), Decimal(0)),
        invoice_usd=sum((line.usd for line in invoice), Decimal(0)),
        ledger_calls=len(booked),
        invoice_lines=len(invoice),
        only_ledger=tuple(only_ledger),
        only_invoice=tuple(only_invoice),
        differing=tuple(differing),
    )


def _take(left: Counter[tuple[str, int, int, Decimal]], line: BilledCall) -> bool:
    found = left[line.looks] > 0
    left[line.looks] -= found
    return found


def _booked(path: str | Path) -> list[BilledCall]:
    """What the ledger says was paid for."""
    with open_reader(path) as reader:
        rows = reader.db.rows(
            "SELECT coalesce(provider_id, request_id || '/' || n), model, input_tokens, output_tokens, picousd "
            "FROM calls WHERE picousd IS NOT NULL"
        )
    return [
        BilledCall(name, bare_name(model), read, written, usd(cost) or Decimal(0))
        for name, model, read, written, cost in rows
        if read or written or cost
    ]


def _plainly(found: Mapping[str, tuple[int, Decimal]]) -> dict[str, tuple[int, Decimal]]:
    """The same model under one name, whether the provider was written in front or not."""
    merged: dict[str, tuple[int, Decimal]] = {}
    for model, (count, cost) in found.items():
        before_count, before_cost = merged.get(plain_model(model), (0, Decimal(0)))
        merged[plain_model(model)] = (before_count + count, before_cost + cost)
    return merged


def _row(one: Booked) -> RequestRow:
    said = tuple(f"{reason.technique} {'would: ' if reason.shadow else ''}{reason.action}: {reason.why}" for reason in one.reasons)
    return RequestRow(
        one.id, one.at_seconds, one.task, one.task_source, one.asked_model, one.model, one.outcome, one.baseline_usd, one.actual_usd, said,
        _asked(one.text),
    )  # fmt: skip


def _asked(text: str | None) -> str | None:
    """The last thing that was asked, of a ledger that keeps text."""
    if text is None:
        return None
    asked = json.loads(text).get("asked") or [{}]
    return str(asked[-1].get("content") or "")
