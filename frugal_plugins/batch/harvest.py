"""Taking the answers in: each line once, the first one counts; what is missing is asked again, within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from frugal_plugins.batch.bodies import PLAIN, Wording
from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.lanes import Lane, Result, Shown
from frugal_plugins.batch.rows import reply_text, to_json, usage_json
from frugal_plugins.errors import InputError
from frugal_plugins.ledger.rows import pico
from frugal_plugins.request import Reply
from frugal_plugins.usage import Usage, from_openai

_CHUNK: Final = 500
_LOST: Final = "INSERT INTO lost (job, row, n, batch, usage, picousd, estimated) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


@dataclass(slots=True)
class Taken:
    """What one harvest found.

    Attributes:
        strange: lines with an id that is not ours; they are ignored.
        unreadable: lines that are not whole.
    """

    answered: int = 0
    repeated: int = 0
    strange: int = 0
    unreadable: int = 0
    usage: Usage = field(default_factory=Usage)
    errors: dict[tuple[int, int], tuple[str, bool]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


def harvest(desk: Desk, lane: Lane, batch: Mapping[str, Any], shown: Shown) -> Taken:
    """Read a batch's results into the journal and settle every call of it. Can be broken off and begun again."""
    taken = Taken()
    waiting: list[Result] = []
    for result in lane.results(str(batch["provider_id"]), shown):
        if result is None:
            taken.unreadable += 1
            continue
        waiting.append(result)
        if len(waiting) >= _CHUNK:
            _take(desk, batch, waiting, taken)
            waiting = []
    _take(desk, batch, waiting, taken)
    _settle_rest(desk, batch, shown, taken)
    desk.persisted("harvested")
    return taken


def _take(desk: Desk, batch: Mapping[str, Any], results: Sequence[Result], taken: Taken) -> None:
    answers: list[tuple[Any, ...]] = []
    places: list[tuple[int, int]] = []
    rows = [place[0] for result in results if (place := _place(result.custom_id, batch["tag"])) is not None]
    open_calls = {
        place
        for place, call in desk.store.calls_of(desk.job, rows, "row, n, batch, state").items()
        if call["batch"] == batch["id"] and call["state"] == "batched"
    }
    judged = desk.judging_rows(rows)
    for result in results:
        place = _place(result.custom_id, batch["tag"])
        if place is None:
            taken.strange += 1
            continue
        if result.custom_id in taken.seen:
            taken.repeated += 1
            continue
        reply = _reply(PLAIN if place[0] in judged else desk.wording, batch, result, taken, place)
        if reply is None:
            continue
        taken.seen.add(result.custom_id)
        taken.usage = taken.usage + reply.usage
        taken.answered += 1
        if place not in open_calls:  # a harvest that was broken off had taken it already
            continue
        usd = desk.usd(batch["model"], reply.usage, "batch")
        answers.append((reply_text(reply), to_json(result.body), pico(usd), desk.job, *place, batch["id"]))
        places.append(place)
    with desk.store.writing() as db:
        if answers:
            db.executemany(_ANSWERED, answers)
            wake(desk, db, places)
    desk.persisted("taken")


_ANSWERED: Final = (
    "UPDATE calls SET state = 'answered', reply = ?, raw = ?, picousd = ?, body = NULL "
    "WHERE job = ? AND row = ? AND n = ? AND batch = ? AND state = 'batched'"
)
_READY: Final = "UPDATE rows SET state = 'ready' WHERE job = ? AND n = ? AND state IN ('waiting', 'judging')"
_FOLLOWERS: Final = (
    "UPDATE rows SET state = 'ready' WHERE job = ? AND state = 'waiting' AND n IN "
    "(SELECT row FROM calls WHERE job = ? AND leader_row = ? AND leader_n = ?)"
)


def wake(desk: Desk, db: Any, places: Sequence[tuple[int, int]]) -> None:
    """Calls are over: their rows, and the rows that share them, can go on."""
    db.executemany(_READY, [(desk.job, row) for row, _ in places])
    if desk.store.one("SELECT 1 AS x FROM calls WHERE job = ? AND leader_row IS NOT NULL LIMIT 1", desk.job) is not None:
        db.executemany(_FOLLOWERS, [(desk.job, desk.job, *place) for place in places])


def _reply(wording: Wording, batch: Mapping[str, Any], result: Result, taken: Taken, place: tuple[int, int]) -> Reply | None:
    """The answer of a line; an error is kept for when all lines have been seen."""
    if result.body is None:
        taken.errors[place] = (result.error or "no reason given", result.again)
        return None
    try:
        return wording.reply(place[0], batch["model"], result.body, "batch")
    except InputError as error:
        taken.errors[place] = (str(error), True)
        return None


def _place(custom_id: str, tag: str) -> tuple[int, int] | None:
    """The row and call number a custom id stands for."""
    head, _, rest = custom_id.partition("-")
    row, _, n = rest.partition("-")
    return (int(row), int(n)) if head == tag and row.isdigit() and n.isdigit() else None


def _settle_rest(desk: Desk, batch: Mapping[str, Any], shown: Shown, taken: Taken) -> None:
    """Calls without an answer: refused for good, or asked again while they may be."""
    left = desk.store.all("SELECT row, n, attempts FROM calls WHERE batch = ? AND state = 'batched' ORDER BY row, n", batch["id"])
    missing = [call for call in left if (call["row"], call["n"]) not in taken.errors]
    whole = shown.stage == "ended" and shown.status in ("completed", "ended")
    lost = _lost_usage(shown, taken, len(missing))
    with desk.store.writing() as db:
        for call, usage in zip(missing, lost, strict=False):
            usd = pico(desk.usd(batch["model"], usage, "batch"))
            values = (desk.job, call["row"], call["n"], batch["id"], to_json(usage_json(usage)), usd, int(shown.usage is None))
            db.execute(_LOST, values)
        for call in left:
            place = (call["row"], call["n"])
            words, again = taken.errors.get(
                place, ("its line was not among the results" if whole else f"the batch was {shown.status}", True)
            )
            give_back(desk, db, place, call["attempts"], words, again=again)
        db.execute(
            "UPDATE batches SET state = 'harvested', status = ?, ended_at = ? WHERE id = ?", (shown.status, desk.clock(), batch["id"])
        )


def give_back(desk: Desk, db: Any, place: tuple[int, int], attempts: int, words: str, *, again: bool) -> None:
    """A call that came back without an answer: planned once more, or over."""
    if again and attempts < desk.settings.max_attempts:
        db.execute(
            "UPDATE calls SET state = 'planned', batch = NULL, error = ? WHERE job = ? AND row = ? AND n = ?", (words, desk.job, *place)
        )
        return
    if again:
        words = f"{words}; asked {attempts} times, which is all max_attempts allows"
    db.execute("UPDATE calls SET state = 'failed', error = ?, body = NULL WHERE job = ? AND row = ? AND n = ?", (words, desk.job, *place))
    wake(desk, db, [place])


def _lost_usage(shown: Shown, taken: Taken, missing: int) -> list[Usage]:
    """What was paid for rows whose lines got lost: exact where the provider sums up its batch, else as much as the others' average."""
    if not missing:
        return []
    if shown.usage is not None:
        total = from_openai(shown.usage)
        rest = Usage(*(max(0, getattr(total, one.name) - getattr(taken.usage, one.name)) for one in fields(Usage)))
        return [rest] if rest != Usage() else []
    paid = min(missing, max(0, shown.done - taken.answered))
    if not paid or not taken.answered:
        return []
    mean = Usage(*(round(getattr(taken.usage, one.name) / taken.answered) for one in fields(Usage)))
    return [mean] * paid
