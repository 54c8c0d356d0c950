"""Stopping: batches are cancelled and harvested, what was answered is kept and booked, nothing further is asked.

A request to stop a job is written into the store. Whoever works on the job does the stopping, in steps that can be broken off and
taken up again like all others; where nobody does, the one who asks for it does it himself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.direct import give_up
from frugal_plugins.batch.http import NoAnswer, Refusal
from frugal_plugins.batch.judging import drop_judging
from frugal_plugins.batch.store import JobStore, JobTaken
from frugal_plugins.batch.submitting import advance_batch, open_batches, release
from frugal_plugins.batch.waves import advance_rows

CANCELLED: Final = "the job was cancelled before there was an answer; add the row to a new job to ask it"
"""The error of a row, or of a call, that a cancelled job did not come to."""

_LOOK_SECONDS: Final = 2.0
_TOO_LATE: Final = "cancelled too late: every row was over already"


def stop_batches(desk: Desk) -> None:
    """Cancel what was handed in; give back what was not. A batch nobody can find is waited for as long as there is time."""
    for batch in open_batches(desk):
        if batch["state"] in ("intended", "uploaded"):
            release(desk, batch, "stopped before it was handed in")
        elif batch["state"] == "submitting" and desk.clock() >= desk.switch_at() + desk.settings.cancel_seconds:
            release(desk, batch, "handed in without an answer, and not found before the deadline; it may be paid without a result")
        elif batch["state"] == "submitted" and batch["status"] not in ("cancelling", "canceling"):
            try:
                desk.lane(batch["provider"], batch["endpoint"]).cancel(batch["provider_id"])
            except (Refusal, NoAnswer):
                continue
            with desk.store.writing() as db:
                status = "canceling" if batch["provider"] == "anthropic" else "cancelling"
                db.execute("UPDATE batches SET status = ?, not_before = 0 WHERE id = ?", (status, batch["id"]))
            desk.persisted("cancelled")


def next_look(desk: Desk) -> float:
    """Seconds until something is due: a batch's next look, or the moment the batches are stopped; at least one."""
    now = desk.clock()
    due = [batch["not_before"] for batch in open_batches(desk)]
    if not desk.late():
        due.append(desk.switch_at())
    return max(1.0, min((moment for moment in due), default=now + desk.settings.poll_seconds) - now)


def stop_job(desk: Desk) -> float | None:
    """One round of stopping a job. Returns the seconds until it is worth looking again, or None when the job is over."""
    stop_batches(desk)
    for batch in open_batches(desk):
        advance_batch(desk, batch)
    if open_batches(desk):
        return next_look(desk)
    drop_judging(desk, "the job was cancelled")
    advance_rows(desk, refused=CANCELLED)
    while give_up(desk, CANCELLED):
        advance_rows(desk, refused=CANCELLED)  # a row whose second call is not asked may still end with the first one's answer
    _close(desk)
    return None


def _close(desk: Desk) -> None:
    """Say what has become of the rows. A job of which the request to stop has changed nothing is done, not cancelled."""
    count = desk.store.count
    done, failed = (count("SELECT count(*) FROM rows WHERE job = ? AND state = ?", desk.job, state) for state in ("done", "failed"))
    stopped = count("SELECT count(*) FROM rows WHERE job = ? AND error = ?", desk.job, CANCELLED)
    stopped += count("SELECT count(*) FROM calls WHERE job = ? AND state = 'failed' AND error = ?", desk.job, CANCELLED)
    words = f"cancelled on request: {done:,} of {done + failed:,} rows are answered and kept, {failed:,} have an error instead"
    state, why = ("cancelled", words) if stopped else ("done", _TOO_LATE)
    with desk.store.writing() as db:
        db.execute("UPDATE jobs SET state = ?, why = ? WHERE id = ? AND state = 'cancelling'", (state, why, desk.job))
    desk.persisted("stopped")


def wait_for_worker(store: JobStore, job: str, sleep: Callable[[float], None], told: Callable[[], None] = lambda: None) -> bool:
    """Wait while somebody works on a job that is to stop; `told` is called once if so. False: nobody does, and it is not over."""
    waited = False
    while store.count("SELECT count(*) FROM jobs WHERE id = ? AND state = 'cancelling'", job):
        try:
            with store.alone(job):
                return False
        except JobTaken:
            if not waited:
                told()
            waited = True
            sleep(_LOOK_SECONDS)
    return True
