"""From planned calls to batches: split by provider, model, endpoint, rows, bytes, texts and tokens, never beyond the dollar limit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.batch.desk import Desk, Purse
from frugal_plugins.batch.sharing import GROUP, Marks, group_fronts, marks_for

_ID_BYTES: Final = 180
"""What a custom id and the frame of a line add to a body."""
_TAKE: Final = 2000
_BATCH: Final = (
    "INSERT INTO batches (job, tag, provider, model, endpoint, state, rows, tokens, intent_at, not_before) "
    "VALUES (?, ?, ?, ?, ?, 'intended', ?, ?, ?, ?) RETURNING id"
)

Group = Mapping[str, Any]
Place = tuple[int, int]


@dataclass(slots=True)
class _Load:
    """A batch being filled: its calls with the tokens of their marked front and what the mark may cost, in picodollars."""

    calls: list[tuple[Place, int, int]] = field(default_factory=list)
    bytes: int = 0
    tokens: int = 0
    inputs: int = 0


def form_batches(desk: Desk) -> bool:
    """Write down which calls go into which batch, before anything is sent. Returns whether some were held back by the dollar limit."""
    held_back = False
    groups = desk.store.all(
        "SELECT DISTINCT provider, model, endpoint FROM calls WHERE job = ? AND state = 'planned' AND lane = 'batch' ORDER BY 1, 2, 3",
        desk.job,
    )
    purse = desk.purse() if groups else Purse(None)
    for group in groups:
        if desk.settings.share_fronts:
            group_fronts(desk, group)
        for load, fits in _loads(desk, group, purse, marks_for(desk, group)):
            if load.calls:
                _write(desk, group, load)
            held_back = held_back or not fits
    return held_back


def _loads(desk: Desk, group: Group, purse: Purse, marks: Marks) -> Iterator[tuple[_Load, bool]]:
    """Batches as full as they may be; the last one ends where the money does."""
    lane, settings = desk.lane(group["provider"], group["endpoint"]), desk.settings
    most_rows, most_bytes = min(settings.most_rows, lane.most_rows), min(settings.most_bytes, lane.most_bytes)
    load = _Load()
    for call in _planned(desk, group):
        mark = marks.of(call)
        if mark is None:  # the first of its kind is on its way; this one waits for the cache that it fills
            continue
        size = call["bytes"] + _ID_BYTES
        tokens_full = settings.most_enqueued_tokens is not None and load.tokens + call["tokens"] > settings.most_enqueued_tokens
        inputs_full = load.inputs + call["inputs"] > lane.most_inputs
        if load.calls and (len(load.calls) >= most_rows or load.bytes + size > most_bytes or tokens_full or inputs_full):
            yield load, True
            load = _Load()
        worst = None if call["worst_picousd"] is None else call["worst_picousd"] + mark.worst_pico
        if not purse.takes(worst):
            yield load, False
            return
        load.calls.append(((call["row"], call["n"]), mark.tokens, mark.worst_pico))
        load.bytes += size
        load.tokens += call["tokens"]
        load.inputs += call["inputs"]
    yield load, True


def _planned(desk: Desk, group: Group) -> Iterator[Mapping[str, Any]]:
    """The planned calls of a group in the order of their rows, and behind them those with a common front side by side."""
    yield from _pages(desk, group, "mark IS NULL", ())
    whose = (desk.job, group["provider"], group["model"], group["endpoint"])
    fronts = desk.store.all(f"SELECT DISTINCT mark FROM calls WHERE {GROUP} AND mark IS NOT NULL ORDER BY mark", *whose)
    for front in fronts:
        yield from _pages(desk, group, "mark = ?", (front["mark"],))


def _pages(desk: Desk, group: Group, which: str, values: tuple[Any, ...]) -> Iterator[Mapping[str, Any]]:
    """A few thousand at a time: what was read is written into batches meanwhile."""
    after = (-1, -1)
    while True:
        calls = desk.store.all(
            "SELECT row, n, bytes, tokens, inputs, worst_picousd, mark, front, front_tokens, head_tokens FROM calls "
            f"WHERE {GROUP} AND {which} AND (row, n) > (?, ?) ORDER BY row, n LIMIT ?",
            desk.job, group["provider"], group["model"], group["endpoint"], *values, *after, _TAKE,
        )  # fmt: skip
        yield from calls
        if len(calls) < _TAKE:
            return
        after = (calls[-1]["row"], calls[-1]["n"])


def _write(desk: Desk, group: Group, load: _Load) -> None:
    with desk.store.writing() as db:
        batch = _new_batch(desk, db, group, len(load.calls), load.tokens, 0.0)
        db.executemany(
            "UPDATE calls SET state = 'batched', batch = ?, place = ?, marked_tokens = ?, worst_picousd = worst_picousd + ?, "
            "attempts = attempts + 1 WHERE job = ? AND row = ? AND n = ?",
            [(batch, number, tokens, more, desk.job, *place) for number, (place, tokens, more) in enumerate(load.calls)],
        )
    desk.persisted("intended")


def _new_batch(desk: Desk, db: Any, group: Group, rows: int, tokens: int, not_before: float) -> int:
    values = (desk.job, new_tag(), group["provider"], group["model"], group["endpoint"], rows, tokens, desk.clock(), not_before)
    return int(db.execute(_BATCH, values).fetchone()[0])


def halve(desk: Desk, batch: Mapping[str, Any], not_before: float) -> None:
    """A batch that was more than the provider lets wait at once: two of half the size, handed in later."""
    calls = desk.store.all("SELECT row, n, tokens FROM calls WHERE batch = ? ORDER BY place, row, n", batch["id"])
    middle = max(1, (len(calls) + 1) // 2)
    parts: Sequence[Sequence[Mapping[str, Any]]] = (calls[:middle], calls[middle:])
    with desk.store.writing() as db:
        db.execute("UPDATE batches SET state = 'refused', why = 'more tokens than may be enqueued' WHERE id = ?", (batch["id"],))
        for part in parts:
            if part:
                made = _new_batch(desk, db, batch, len(part), sum(call["tokens"] for call in part), not_before)
                db.executemany(
                    "UPDATE calls SET batch = ? WHERE job = ? AND row = ? AND n = ?", [(made, desk.job, c["row"], c["n"]) for c in part]
                )
    desk.persisted("halved")


def new_tag() -> str:
    """Our name for a batch; custom ids begin with it, and Anthropic takes 64 characters for one."""
    return f"f{secrets.token_hex(7)}"
