"""One batch from intent to harvest. What is on disk says what may have happened; nothing is handed in twice on a guess."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.forming import halve, new_tag
from frugal_plugins.batch.fronts import marked
from frugal_plugins.batch.harvest import give_back, harvest
from frugal_plugins.batch.http import NoAnswer, Refusal
from frugal_plugins.batch.lanes import Handed, Lane, Shown
from frugal_plugins.batch.rows import to_json

Batch = Mapping[str, Any]

OPEN: Final = ("intended", "uploaded", "submitting", "submitted", "ended")
_TOKEN_LIMIT: Final = "token_limit_exceeded"  # noqa: S105 - a provider's error code
_THERE_BEFORE: Final = (
    "SELECT count(*) FROM batches WHERE provider = ? AND model = ? AND id != ? AND state IN ('submitted', 'ended', 'harvested') "
    "AND submitted_at <= ? AND coalesce(ended_at, 1000000000000) > ?"
)
"""Batches that were taken in and not over when another one was handed in."""
_LONGEST_LOOK_SECONDS: Final = 900.0
"""A batch that has taken long is looked at less often."""
_QUEUED_AT_MOST: Final = 10
"""How often a single row is refused for want of room before it counts as too long for this account."""
_LONGEST_WAIT_SECONDS: Final = 3600.0
_TAKE: Final = 1000


def open_batches(desk: Desk) -> list[Batch]:
    """Every batch of the job that is not over."""
    marks = ",".join("?" * len(OPEN))
    return desk.store.all(f"SELECT * FROM batches WHERE job = ? AND state IN ({marks}) ORDER BY id", desk.job, *OPEN)


def advance_batch(desk: Desk, batch: Batch) -> None:
    """Do what this batch needs next. A provider that cannot be reached just now is asked again later."""
    now = desk.clock()
    if now < batch["not_before"]:
        return
    step: Callable[[Desk, Lane, Batch], None] = _STEPS[batch["state"]]
    try:
        step(desk, desk.lane(batch["provider"], batch["endpoint"]), batch)
    except Refusal as error:
        if not error.again:
            _refused(desk, batch, str(error))
            return
        _later(desk, batch, max(error.wait_seconds, _pause(desk, batch)), str(error))
    except NoAnswer as error:
        _later(desk, batch, _pause(desk, batch), str(error))


def _upload(desk: Desk, lane: Lane, batch: Batch) -> None:
    """intended: put the rows where the provider can read them. Free, and safe to do again."""
    file_id = lane.upload(batch["tag"], _lines(desk, lane, batch))
    _set(desk, batch, "uploaded", file_id=file_id or None)
    desk.persisted("uploaded")
    _submit(desk, lane, desk.store.one("SELECT * FROM batches WHERE id = ?", batch["id"]) or batch)


def _submit(desk: Desk, lane: Lane, batch: Batch) -> None:
    """uploaded: say on disk that money may be spent from here on, then hand the batch in."""
    if desk.stopping():
        return
    _set(desk, batch, "submitting", intent_at=desk.clock(), absent_since=None)
    desk.persisted("submitting")
    try:
        provider_id = lane.create(batch["tag"], batch["file_id"], _lines(desk, lane, batch))
    except Refusal as error:
        if error.again:
            _set(desk, batch, "uploaded")
        raise
    desk.persisted("created")
    _adopt(desk, batch, provider_id)


def _look_up(desk: Desk, lane: Lane, batch: Batch) -> None:
    """submitting: it was handed in and nobody heard the answer. Look for it; only when it stays absent is it handed in again."""
    known = frozenset(row["provider_id"] for row in desk.store.all("SELECT provider_id FROM batches WHERE provider_id IS NOT NULL"))
    found = lane.find(Handed(batch["tag"], batch["rows"], batch["intent_at"], known))
    desk.persisted("looked up")
    if found is not None:
        _adopt(desk, batch, found)
        return
    now = desk.clock()
    if batch["absent_since"] is None:
        _set(desk, batch, "submitting", absent_since=now, not_before=now + desk.settings.absent_seconds)
    elif now >= batch["absent_since"] + desk.settings.absent_seconds:
        _set(desk, batch, "uploaded", absent_since=None)
        desk.persisted("absent")


def _adopt(desk: Desk, batch: Batch, provider_id: str) -> None:
    now = desk.clock()
    _set(desk, batch, "submitted", provider_id=provider_id, submitted_at=now, not_before=now + desk.settings.poll_seconds, why=None)
    desk.persisted("submitted")


def _poll(desk: Desk, lane: Lane, batch: Batch) -> None:
    """submitted: see how far it is; harvest it when it has ended."""
    shown = lane.show(batch["provider_id"])
    now = desk.clock()
    words = json.dumps({"status": shown.status, "done": shown.done, "failed": shown.failed})
    if shown.stage == "refused":
        _invalid(desk, lane, batch, shown)
        return
    if shown.stage != "ended":
        wait = max(desk.settings.poll_seconds, min((now - batch["submitted_at"]) / 20, _LONGEST_LOOK_SECONDS))
        wait = min(desk.settings.poll_seconds, 30.0) if shown.stage == "stopping" else wait
        _set(desk, batch, "submitted", shown=words, status=shown.status, not_before=now + wait, tries=0)
        return
    first_seen = batch["ended_at"] or now
    if not shown.whole and now < first_seen + desk.settings.late_output_seconds:
        _set(desk, batch, "submitted", shown=words, status=shown.status, ended_at=first_seen, not_before=now + desk.settings.poll_seconds)
        return
    _set(desk, batch, "ended", shown=words, status=shown.status, ended_at=first_seen)
    desk.persisted("ended")
    _harvest(desk, lane, batch, shown)


def _harvest_again(desk: Desk, lane: Lane, batch: Batch) -> None:
    """ended: a harvest that was broken off."""
    _harvest(desk, lane, batch, lane.show(batch["provider_id"]))


def _harvest(desk: Desk, lane: Lane, batch: Batch, shown: Shown) -> None:
    try:
        harvest(desk, lane, batch, shown)
    except Refusal as error:
        if error.again:
            raise
        with desk.store.writing() as db:  # the results are gone for good: expired, or removed by somebody
            for call in desk.store.all("SELECT row, n, attempts FROM calls WHERE batch = ? AND state = 'batched'", batch["id"]):
                give_back(desk, db, (call["row"], call["n"]), call["attempts"], str(error), again=True)
            db.execute("UPDATE batches SET state = 'harvested', why = ? WHERE id = ?", (str(error), batch["id"]))
    clean(desk, lane, batch)


def clean(desk: Desk, lane: Lane, batch: Batch) -> None:
    """Take the prompts away from the provider; the answers are in the store by now. A failure is no reason to stop."""
    if batch["file_id"]:
        try:
            lane.clean(batch["file_id"])
        except (Refusal, NoAnswer):
            return
        with desk.store.writing() as db:
            db.execute("UPDATE batches SET file_id = NULL WHERE id = ?", (batch["id"],))
        desk.persisted("cleaned")


def _invalid(desk: Desk, lane: Lane, batch: Batch, shown: Shown) -> None:
    """The input was not accepted, so nothing was paid: too much at once is halved, bad rows are taken out."""
    if any(code == _TOKEN_LIMIT for _, code, _ in shown.problems):
        others = desk.store.count(
            _THERE_BEFORE, batch["provider"], batch["model"], batch["id"], batch["submitted_at"], batch["submitted_at"]
        )
        if others or batch["rows"] > 1 or batch["tries"] < _QUEUED_AT_MOST:
            when = desk.clock() + _pause(desk, batch)
            clean(desk, lane, batch)
            if others or batch["rows"] == 1:
                _queue(desk, batch, when)
            else:
                halve(desk, batch, when)
            return
    calls = desk.store.all("SELECT row, n, attempts FROM calls WHERE batch = ? AND state = 'batched' ORDER BY place", batch["id"])
    named = {line: message or code for line, code, message in shown.problems if line is not None and 0 < line <= len(calls)}
    general = next(
        (f"{code}: {message}" for line, code, message in shown.problems if line is None), "the provider did not accept the batch"
    )
    with desk.store.writing() as db:
        for number, call in enumerate(calls, start=1):
            place = (call["row"], call["n"])
            if named:
                words = named.get(number, "another row of its batch was not accepted")
                give_back(desk, db, place, call["attempts"] - (number not in named), words, again=number not in named)
            else:
                give_back(desk, db, place, call["attempts"], general, again=False)
        db.execute(
            "UPDATE batches SET state = 'refused', status = 'failed', why = ? WHERE id = ?",
            (general if not named else "bad rows", batch["id"]),
        )
    desk.persisted("refused")
    clean(desk, lane, batch)


def _queue(desk: Desk, batch: Batch, when: float) -> None:
    """Others have taken the room: the same rows once more, later, and under a new name, since the refused batch keeps the old one."""
    _set(desk, batch, "intended", tag=new_tag(), provider_id=None, file_id=None, not_before=when, tries=batch["tries"] + 1)
    desk.persisted("queued")


def _refused(desk: Desk, batch: Batch, words: str) -> None:
    """The provider said no to the whole batch (a wrong key, a model it does not batch): its rows are over, nothing was paid.

    A batch that was accepted before is not given up: its answers may be paid for.
    """
    if batch["state"] in ("submitted", "ended"):
        _later(desk, batch, _pause(desk, batch), words)
        return
    with desk.store.writing() as db:
        for call in desk.store.all("SELECT row, n, attempts FROM calls WHERE batch = ? AND state = 'batched'", batch["id"]):
            give_back(desk, db, (call["row"], call["n"]), call["attempts"], words, again=False)
        db.execute("UPDATE batches SET state = 'refused', why = ? WHERE id = ?", (words, batch["id"]))
    desk.persisted("refused")


def release(desk: Desk, batch: Batch, words: str) -> None:
    """Give back the calls of a batch that will not be waited for."""
    with desk.store.writing() as db:
        for call in desk.store.all("SELECT row, n, attempts FROM calls WHERE batch = ? AND state = 'batched'", batch["id"]):
            give_back(desk, db, (call["row"], call["n"]), min(call["attempts"], desk.settings.max_attempts - 1), words, again=True)
        db.execute("UPDATE batches SET state = 'refused', why = ? WHERE id = ?", (words, batch["id"]))
    desk.persisted("released")


def _lines(desk: Desk, lane: Lane, batch: Batch) -> Iterator[bytes]:
    """The rows of a batch in order, read from the store as they are needed, with the marks that were decided on."""
    after = -1
    while True:
        calls = desk.store.all(
            "SELECT row, n, place, body, mark, front, marked_tokens FROM calls WHERE batch = ? AND state = 'batched' AND place > ? "
            "ORDER BY place LIMIT ?",
            batch["id"], after, _TAKE,
        )  # fmt: skip
        for call in calls:
            body = call["body"]
            if call["marked_tokens"]:
                body = to_json(marked(json.loads(body), "whole" if call["mark"] == call["front"] else "head", "1h"))
            yield lane.line(f"{batch['tag']}-{call['row']}-{call['n']}", body)
        if len(calls) < _TAKE:
            return
        after = calls[-1]["place"]


def _set(desk: Desk, batch: Batch, state: str, **values: Any) -> None:
    changes = "".join(f", {name} = ?" for name in values)
    with desk.store.writing() as db:
        db.execute(f"UPDATE batches SET state = ?{changes} WHERE id = ?", (state, *values.values(), batch["id"]))


def _pause(desk: Desk, batch: Batch) -> float:
    """Longer each time, up to an hour; in the deadline's neighbourhood nobody sleeps past it."""
    pause: float = min(desk.settings.poll_seconds * 2 ** min(batch["tries"], 8), _LONGEST_WAIT_SECONDS)
    left = desk.switch_at() - desk.clock()
    return max(1.0, min(pause, left)) if left > 0 else min(pause, 30.0)


def _later(desk: Desk, batch: Batch, seconds: float, words: str) -> None:
    """Look at a batch again later. `submitting` stays `submitting`: nobody knows yet."""
    with desk.store.writing() as db:
        db.execute(
            "UPDATE batches SET not_before = ?, tries = tries + 1, why = ? WHERE id = ?", (desk.clock() + seconds, words[:300], batch["id"])
        )


_STEPS: Final[Mapping[str, Callable[[Desk, Lane, Batch], None]]] = {
    "intended": _upload,
    "uploaded": _submit,
    "submitting": _look_up,
    "submitted": _poll,
    "ended": _harvest_again,
}
