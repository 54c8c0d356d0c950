"""From planned calls to batches: split by provider, model, rows, bytes and tokens, and never beyond the dollar limit."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.batch.desk import Desk

_ID_BYTES: Final = 120
"""What a custom id and the frame of a line add to a body."""
_TAKE: Final = 2000


@dataclass(slots=True)
class _Load:
    """A batch being filled."""

    calls: list[tuple[int, int]] = field(default_factory=list)
    bytes: int = 0
    tokens: int = 0
    worst: int = 0


def form_batches(desk: Desk) -> bool:
    """Write down which calls go into which batch, before anything is sent. Returns whether some were held back by the dollar limit."""
    held_back = False
    groups = desk.store.all(
        "SELECT DISTINCT provider, model FROM calls WHERE job = ? AND state = 'planned' AND lane = 'batch' ORDER BY 1, 2", desk.job
    )
    for group in groups:
        held = desk.held_pico()
        for load, fits in _loads(desk, group, held):
            if load.calls:
                _write(desk, group, load)
            held_back = held_back or not fits
    return held_back


def _loads(desk: Desk, group: Mapping[str, Any], held: int) -> Iterator[tuple[_Load, bool]]:
    """Batches as full as they may be; the last one ends where the money does."""
    lane, settings = desk.lane(group["provider"]), desk.settings
    most_rows, most_bytes = min(settings.most_rows, lane.most_rows), min(settings.most_bytes, lane.most_bytes)
    load, promised = _Load(), held
    for call in _planned(desk, group):
        size = call["bytes"] + _ID_BYTES
        tokens_full = settings.most_enqueued_tokens is not None and load.tokens + call["tokens"] > settings.most_enqueued_tokens
        if load.calls and (len(load.calls) >= most_rows or load.bytes + size > most_bytes or tokens_full):
            yield load, True
            load = _Load()
        if not desk.fits(None if call["worst_picousd"] is None else call["worst_picousd"], promised):
            yield load, False
            return
        promised += call["worst_picousd"] or 0
        load.calls.append((call["row"], call["n"]))
        load.bytes += size
        load.tokens += call["tokens"]
    yield load, True


def _planned(desk: Desk, group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The planned calls of a group in the order of their rows, a few thousand at a time."""
    after = (-1, -1)
    while True:
        calls = desk.store.all(
            "SELECT row, n, bytes, tokens, worst_picousd FROM calls WHERE job = ? AND state = 'planned' AND lane = 'batch' "
            "AND provider = ? AND model = ? AND (row, n) > (?, ?) ORDER BY row, n LIMIT ?",
            desk.job, group["provider"], group["model"], *after, _TAKE,
        )  # fmt: skip
        yield from calls
        if len(calls) < _TAKE:
            return
        after = (calls[-1]["row"], calls[-1]["n"])


def _write(desk: Desk, group: Mapping[str, Any], load: _Load, not_before: float = 0.0) -> None:
    with desk.store.writing() as db:
        values = (desk.job, new_tag(), group["provider"], group["model"], len(load.calls), load.tokens, desk.clock(), not_before)
        batch = db.execute(
            "INSERT INTO batches (job, tag, provider, model, state, rows, tokens, intent_at, not_before) "
            "VALUES (?, ?, ?, ?, 'intended', ?, ?, ?, ?)",
            values,
        ).lastrowid
        db.executemany(
            "UPDATE calls SET state = 'batched', batch = ?, attempts = attempts + 1 WHERE job = ? AND row = ? AND n = ?",
            [(batch, desk.job, *place) for place in load.calls],
        )
    desk.persisted("intended")


def halve(desk: Desk, batch: Mapping[str, Any], not_before: float) -> None:
    """A batch that was more than the provider lets wait at once: two of half the size, handed in later."""
    calls = desk.store.all("SELECT row, n, bytes, tokens FROM calls WHERE batch = ? ORDER BY row, n", batch["id"])
    middle = max(1, (len(calls) + 1) // 2)
    with desk.store.writing() as db:
        db.execute("UPDATE batches SET state = 'refused', why = 'more tokens than may be enqueued' WHERE id = ?", (batch["id"],))
        for part in (calls[:middle], calls[middle:]):
            if not part:
                continue
            values = (
                desk.job,
                new_tag(),
                batch["provider"],
                batch["model"],
                len(part),
                sum(c["tokens"] for c in part),
                desk.clock(),
                not_before,
            )
            made = db.execute(
                "INSERT INTO batches (job, tag, provider, model, state, rows, tokens, intent_at, not_before) "
                "VALUES (?, ?, ?, ?, 'intended', ?, ?, ?, ?)",
                values,
            ).lastrowid
            db.executemany(
                "UPDATE calls SET batch = ? WHERE job = ? AND row = ? AND n = ?", [(made, desk.job, c["row"], c["n"]) for c in part]
            )
    desk.persisted("halved")


def new_tag() -> str:
    """Our name for a batch; custom ids begin with it, and Anthropic takes 64 characters for one."""
    return f"f{secrets.token_hex(7)}"
