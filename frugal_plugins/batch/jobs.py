"""Jobs from the outside: add rows, run, look, cancel, read the results."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from typing import Final

from frugal_plugins.batch.bodies import Wording
from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.direct import give_up, go_direct, resume_direct, send_direct
from frugal_plugins.batch.forming import form_batches
from frugal_plugins.batch.judging import drop_judging
from frugal_plugins.batch.planning import Plan, plan_rows
from frugal_plugins.batch.postgres_store import open_store
from frugal_plugins.batch.reading import JobStatus, RowResult, committed_usd, results_of, status_of
from frugal_plugins.batch.rows import NewRow
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.stopping import next_look, stop_batches, stop_job, wait_for_worker
from frugal_plugins.batch.store import JobStore, JobTaken
from frugal_plugins.batch.submitting import advance_batch, open_batches
from frugal_plugins.batch.waves import advance_rows
from frugal_plugins.errors import InputError
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.recipe.recipe import Recipe

_LATE: Final = "the deadline passed before there was an answer; allow a deadline_lane, more hours or more dollars"
_LOOK_SECONDS: Final = 5.0
_LOOKS_A_PAUSE: Final = 20


class BatchJobs:
    """The jobs of one store, run through one recipe.

    Args:
        recipe: its cache, router and caps apply to every row; its ledger books every row once.
        path: the store's file, a postgresql:// URL for several workers, or a store that is open.
        settings: for jobs added here; a job keeps the settings it was added with.
        clock: unix seconds; the recipe's own where none is given.
        sleep: waits; a virtual clock's `advance` in tests.
        wording: how calls are put into a provider's words.
        persisted: called after each step that is on disk.
        heard: called with each row that is over, as the ledger books it.

    Raises:
        FrugalError: the file is not a job store, is newer than this program, or another process runs its jobs.
    """

    def __init__(
        self,
        recipe: Recipe,
        path: str | os.PathLike[str] | JobStore,
        settings: BatchSettings | None = None,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        wording: Wording | None = None,
        persisted: Callable[[str], None] = lambda _step: None,
        heard: Callable[[Entry], None] | None = None,
    ) -> None:
        self.recipe = recipe
        self.store = open_store(path)
        self.settings = settings or BatchSettings.of(recipe)
        self.clock = clock or recipe.clock
        self.sleep = sleep
        self.wording = wording or Wording()
        self.persisted = persisted
        self.heard = heard

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def plan(self, rows: Iterable[NewRow]) -> Plan:
        """What the rows would become and cost at most, without writing or sending anything."""
        return plan_rows(self.recipe, rows, self.settings, self.wording, self.clock())

    def add(self, rows: Iterable[NewRow], job: str | None = None, *, source: str = "") -> str:
        """Write a job down, whole; `source` is where its recipe can be read again. Nothing is sent.

        Raises InputError for two rows of one name, or none at all.
        """
        job = job or f"job-{secrets.token_hex(4)}"
        if self.store.one("SELECT id FROM jobs WHERE id = ?", job) is not None:
            raise InputError(f"there is a job '{job}' in {self.store.path} already; run it, forget it, or give another name")
        self.store.add_job(job, self.recipe.name, self.clock(), self.settings, rows, source)
        self.persisted("added")
        return job

    def step(self, job: str) -> float | None:
        """Do all that can be done now. Returns the seconds until it is worth looking again, or None when the job is over."""
        with self._at(job) as desk:
            return None if desk is None else _step(desk)

    def run(self, job: str, watch: Callable[[JobStatus], None] | None = None) -> JobStatus:
        """Work on a job until it is over; `watch` is told how far it is before each wait. After a crash or Ctrl-C, run it again."""
        with self._at(job) as desk:
            if desk is not None:
                _look_now(desk)
            while desk is not None and (wait := _step(desk)) is not None:
                if watch is not None:
                    watch(self.status(job))
                self._rest(desk, wait)
        return self.status(job)

    def submit(self, job: str) -> JobStatus:
        """Plan the job's rows and hand its batches in, and wait for nothing."""
        with self._at(job) as desk:
            if desk is not None and not desk.stopping():
                advance_rows(desk, desk.stopping)
                desk_held = _form(desk)
                _advance_batches(desk, only=("intended", "uploaded"))
                _close_if_over(desk, held_back=desk_held)
        return self.status(job)

    def cancel(self, job: str, told: Callable[[], None] = lambda: None) -> JobStatus:
        """Stop a job: its batches are cancelled and harvested, nothing further is asked. Waits until that is done.

        Where another process works on the job it does the stopping, and `told` is called once; where that process has died, this
        one does it. A job that is over stays as it is.
        """
        self.store.ask_to_stop(job)
        while not wait_for_worker(self.store, job, self.sleep, told):
            with suppress(JobTaken):
                self.run(job)
        return self.status(job)

    def reconcile(self, job: str) -> JobStatus:
        """Look up every batch that was handed in without an answer, now."""
        with self._at(job) as desk:
            if desk is not None:
                with self.store.writing() as db:
                    db.execute("UPDATE batches SET not_before = 0 WHERE job = ? AND state = 'submitting'", (job,))
                for batch in open_batches(desk):
                    if batch["state"] == "submitting":
                        advance_batch(desk, batch)
        return self.status(job)

    def resume(self, job: str, max_usd: Decimal | None) -> None:
        """Let a job that was held at its dollar limit go on under another."""
        settings = BatchSettings.from_json(self.store.job(job)["settings"])
        text = replace(settings, max_usd=max_usd).as_json()
        with self.store.writing() as db:
            db.execute("UPDATE jobs SET settings = ?, state = 'open', why = NULL WHERE id = ? AND state IN ('held', 'open')", (text, job))

    def committed_usd(self, job: str) -> Decimal:
        """What a job has cost, and what its calls under way could still cost at worst."""
        return committed_usd(self.store, job)

    def status(self, job: str) -> JobStatus:
        """How far a job is."""
        return status_of(self.store, job, self.clock())

    def results(self, job: str, after: int = -1) -> Iterator[RowResult]:
        """Every row behind `after`, in the order it was given, with its answer, its error, or neither while it is under way."""
        return results_of(self.store, job, after)

    def work(self, watch: Callable[[JobStatus], None] | None = None) -> list[JobStatus]:
        """Run every open job of this recipe that nobody else works on, one after the other. Start as many workers as you like."""
        done: list[JobStatus] = []
        while (job := self.store.open_job(self.recipe.name)) is not None:
            with suppress(JobTaken):  # somebody was faster
                done.append(self.run(job, watch))
        return done

    def _rest(self, desk: Desk, seconds: float) -> None:
        """Wait, unless somebody asks for the job to be stopped meanwhile."""
        if desk.stopping():
            self.sleep(seconds)
            return
        part = max(_LOOK_SECONDS, seconds / _LOOKS_A_PAUSE)
        while seconds > 0 and not desk.stopping():
            self.sleep(min(part, seconds))
            seconds -= part

    @contextmanager
    def _at(self, job: str) -> Iterator[Desk | None]:
        """The desk of a job that is open, with the store to ourselves; None when it is over."""
        row = self.store.job(job)
        if row["recipe"] != self.recipe.name:
            raise InputError(f"job '{job}' was made with the recipe '{row['recipe']}', not '{self.recipe.name}'; name that one")
        with self.store.alone(job):
            settings = BatchSettings.from_json(row["settings"])
            desk = Desk(self.store, self.recipe, job, settings, row["created"], self.wording, self.clock, self.persisted, self.heard)
            try:
                resume_direct(desk)
                yield desk if row["state"] in ("open", "cancelling") else None
            finally:
                desk.close()


def _step(desk: Desk) -> float | None:
    """One round: rows, batches, direct calls; then how long to wait."""
    if desk.stopping():
        return stop_job(desk)
    advance_rows(desk, desk.stopping)
    late = desk.late()
    if late:
        stop_batches(desk)
    _advance_batches(desk)
    advance_rows(desk, desk.stopping)
    held_back = False
    if late:
        drop_judging(desk, "the deadline came first")
        go_direct(desk)
    else:
        held_back = _form(desk)
        _advance_batches(desk, only=("intended", "uploaded"))
    while not desk.stopping() and send_direct(desk):
        advance_rows(desk)
        if late:
            go_direct(desk)
    if desk.clock() >= desk.deadline():
        give_up(desk, _LATE)
    advance_rows(desk, desk.stopping)
    if desk.stopping():
        return stop_job(desk)
    return None if _close_if_over(desk, held_back=held_back) else next_look(desk)


def _form(desk: Desk) -> bool:
    """Form batches; whether some calls were held back by the dollar limit. Judges give way to answers there."""
    held_back = form_batches(desk)
    if held_back and drop_judging(desk, "the dollar limit came first"):
        advance_rows(desk, desk.stopping)
    return held_back


def _look_now(desk: Desk) -> None:
    """Whoever comes back to a job wants to see at once what has come of it, not after the next pause."""
    with desk.store.writing() as db:
        db.execute("UPDATE batches SET not_before = 0 WHERE job = ? AND state = 'submitted' AND tries = 0", (desk.job,))


def _advance_batches(desk: Desk, only: tuple[str, ...] = ()) -> None:
    for batch in open_batches(desk):
        new = batch["state"] in ("intended", "uploaded")
        if (not only or batch["state"] in only) and not (new and desk.stopping()):
            advance_batch(desk, batch)


def _close_if_over(desk: Desk, *, held_back: bool) -> bool:
    """Whether the job is over: all rows are, or what is left does not fit the dollar limit."""
    left = desk.store.count("SELECT count(*) FROM rows WHERE job = ? AND state IN ('new', 'waiting', 'ready', 'judging')", desk.job)
    state, why = ("done", None)
    if left:
        planned = desk.store.count("SELECT count(*) FROM calls WHERE job = ? AND state = 'planned'", desk.job)
        stuck = (held_back or (planned and desk.late())) and not open_batches(desk) and desk.settings.max_usd is not None
        if not stuck:
            return False
        state, why = "held", f"{planned:,} calls could cross max_usd of {desk.settings.max_usd:f}; allow more and run the job again"
    with desk.store.writing() as db:
        closed = db.execute("UPDATE jobs SET state = ?, why = ? WHERE id = ? AND state = 'open'", (state, why, desk.job)).rowcount
    desk.persisted("closed")
    return bool(closed)
