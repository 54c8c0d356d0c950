"""A sandbox, a recipe and a job store on one virtual clock: what the batch tests and the benchmark set up."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins import Recipe, Request
from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus, NewRow, RowResult
from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault
from frugal_plugins.told import Told

MODELS = {"openai": "openai/gpt-4o-mini", "anthropic": "anthropic/claude-haiku-4-5"}
PROVIDERS = tuple(MODELS)
START = 1_795_000_000.0


def recipe_of(model: str, folder: Path, **more: Any) -> dict[str, Any]:
    """One tier, no cache unless a test asks for one, and a ledger."""
    said = {"recipe": "night", "tiers": {"only": {"models": [model]}}, "route": {}, "ledger": {"path": str(folder / "ledger.sqlite")}}
    return said | more


def rows_of(count: int, **how: Any) -> list[NewRow]:
    """Different questions, each with its own id."""
    return list(each_row(count, **how))


def each_row(count: int, *, text: str = "Name one use of item {n}.", task: str | None = None, **params: Any) -> Iterator[NewRow]:
    """The same, one at a time."""
    body = {"max_tokens": 20} | params
    for n in range(count):
        yield NewRow(Request("night", ({"role": "user", "content": text.format(n=n)},), body), f"q{n}", Told(task=task))


def keys_for(openai_url: str, anthropic_url: str) -> dict[str, str]:
    """What a user with keys has set."""
    return {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "OPENAI_BASE_URL": openai_url, "ANTHROPIC_API_BASE": anthropic_url}


@dataclass
class Scene:
    """One job at one provider, from rows to results and books."""

    provider: str
    sandbox: Sandbox
    clock: VirtualClock
    folder: Path
    more: Mapping[str, Any] = field(default_factory=dict)
    settings: BatchSettings = field(default_factory=BatchSettings)
    steps: list[str] = field(default_factory=list)
    persisted: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        os.environ.update(keys_for(self.sandbox.openai_base_url, self.sandbox.anthropic_base_url))

    def jobs(self) -> BatchJobs:
        """A fresh executor on the same store, as after a restart."""
        recipe = Recipe.load(recipe_of(MODELS[self.provider], self.folder, **self.more), clock=self.clock.now)
        step = self.persisted or self.steps.append
        return BatchJobs(recipe, self.folder / "jobs.sqlite", self.settings, sleep=self.clock.advance, persisted=step)

    def run(self, rows: list[NewRow], job: str = "one") -> tuple[JobStatus, list[RowResult]]:
        """Add a job, run it to its end and read its results."""
        jobs = self.jobs()
        jobs.add(rows, job)
        status = jobs.run(job)
        found = list(jobs.results(job))
        self.close(jobs)
        return status, found

    def close(self, jobs: BatchJobs) -> None:
        jobs.recipe.close()
        jobs.close()

    def fault(self, kind: Any, **how: Any) -> None:
        self.sandbox.faults.add(Fault(kind, **how))

    def ledger_usd(self) -> Decimal:
        return ledger_usd(self.folder / "ledger.sqlite")

    def paid_rows(self) -> Counter[str]:
        """How often each answer id was billed: the invoice has one line for each."""
        return Counter(line.id for line in self.sandbox.invoice().lines)

    def books_agree(self) -> bool:
        """Whether ledger and invoice say the same to the last digit."""
        return self.ledger_usd() == self.sandbox.invoice().total_usd


def ledger_usd(path: Path) -> Decimal:
    """What the ledger says all calls cost."""
    db = sqlite3.connect(path)
    try:
        pico, unpriced = db.execute("SELECT coalesce(sum(picousd), 0), sum(picousd IS NULL) FROM calls").fetchone()
    finally:
        db.close()
    assert not unpriced
    return Decimal(pico) / 10**12
