"""One call for a whole job: the same rows again after a crash go on with the job they had begun."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from frugal_plugins.batch.jobs import BatchJobs
from frugal_plugins.batch.reading import RowResult
from frugal_plugins.batch.rows import NewRow, pack_row
from frugal_plugins.errors import FrugalError

_NAME_CHARS: Final = 16


class RowFailed(FrugalError):
    """A row of a batch has no answer; `n` is its place among the inputs."""

    def __init__(self, n: int, message: str) -> None:
        super().__init__(f"row {n}: {message}")
        self.n = n


def begin_once(jobs: BatchJobs, rows: Sequence[NewRow]) -> str:
    """The job of exactly these rows: one that an earlier process began and did not hand over, else a new one. Nothing is sent.

    One that somebody cancelled stays as it is, and another is begun. Each new job has a name of its own, because the ledger books a
    row under its job's name and books no name twice.
    """
    digest = hashlib.sha256("\n".join([jobs.recipe.name, *map(pack_row, rows)]).encode("utf-8", "surrogatepass")).hexdigest()
    name = f"once-{digest[:_NAME_CHARS]}"
    known = jobs.store.one("SELECT id FROM jobs WHERE id LIKE ? AND state != 'cancelled' ORDER BY created DESC LIMIT 1", f"{name}-%")
    return jobs.add(rows, f"{name}-{secrets.token_hex(3)}") if known is None else str(known["id"])


def run_once(jobs: BatchJobs, rows: Sequence[NewRow]) -> tuple[str, list[RowResult]]:
    """Run these rows to their end. The caller removes the job (`done_with`) when it has taken the results."""
    job = begin_once(jobs, rows)
    jobs.run(job)
    return job, list(jobs.results(job))


def done_with(jobs: BatchJobs, job: str) -> None:
    """The results are handed over: the job, with its prompts, is removed, unless something of it is still to come."""
    if jobs.store.job(job)["state"] == "done":
        jobs.store.forget(job)


def error_of(row: RowResult, state: str, why: str | None) -> RowFailed:
    """Why a row has no answer."""
    waiting = f"the job is {state}: {why}" if state != "open" else "is still under way; poll the job until it is over"
    return RowFailed(row.n, row.error or waiting)
