"""From rows to calls: each row's flow is run as far as it goes; what it wants to ask becomes a call of the next wave."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from frugal_plugins.batch.desk import BATCHED, Desk
from frugal_plugins.batch.replay import Replayed, book, replay
from frugal_plugins.batch.store import StoredRow, reply_text
from frugal_plugins.errors import InputError
from frugal_plugins.flow import Call
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.request import fingerprint

CHUNK: Final = 500

Write = tuple[str, tuple[Any, ...]]


def advance_rows(desk: Desk, stop: Callable[[], bool] = lambda: False) -> int:
    """Run every row that is new or has got its answer. Returns how many there were."""
    count = 0
    for state in ("new", "ready"):
        while not stop() and (rows := desk.store.rows(desk.job, state, CHUNK)):
            _advance(desk, rows, new=state == "new")
            count += len(rows)
    return count


def _advance(desk: Desk, rows: list[StoredRow], *, new: bool) -> None:
    """One chunk. Rows that are over are booked first and then marked, so that a crash between the two changes nothing."""
    writes: list[Write] = []
    waiting: dict[str, tuple[int, int]] = {}
    over: list[Replayed] = []
    for row in rows:
        journal = [] if new else desk.store.journal(row.job, row.n)
        got = replay(desk.unbooked, row, journal, desk.reachable)
        if got.call is not None:
            try:
                writes += _call(desk, row, len(journal), got.call, waiting)
                continue
            except InputError as error:
                got = Replayed(got.ctx, got.request, error=str(error))
        over.append(got)
        result = None if got.reply is None else json.dumps(_result(got), ensure_ascii=False)
        state = "done" if got.reply is not None else "failed"
        writes.append(
            ("UPDATE rows SET state = ?, result = ?, error = ? WHERE job = ? AND n = ?", (state, result, got.error, row.job, row.n))
        )
        writes.append(("UPDATE calls SET body = NULL WHERE job = ? AND row = ?", (row.job, row.n)))
    for got in over:
        book(desk.recipe, got)
    ledger = desk.recipe.ledger
    if over and ledger is not None:
        ledger.flush()
        desk.persisted("booked")
    with desk.store.writing() as db:
        for sql, values in writes:
            db.execute(sql, values)
    desk.persisted("rows")


def _call(desk: Desk, row: StoredRow, n: int, call: Call, waiting: dict[str, tuple[int, int]]) -> list[Write]:
    """What to write for a call: one of its own, or a share in another row's. Raises InputError for one nobody can answer."""
    request = call.request
    provider = provider_of(request.model) or "unknown"
    lane = "batch"
    if provider not in BATCHED:
        if desk.settings.no_lane == "refuse":
            raise InputError(
                f"{request.model} has no batch lane here; route this row to an OpenAI or Anthropic model, or allow no_lane: realtime"
            )
        lane = "standard"
    body = desk.wording.body(row.n, request) if provider in BATCHED else _plain(call)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > desk.settings.most_bytes - 1000:
        raise InputError(f"the request is {size:,} bytes, more than a batch may have ({desk.settings.most_bytes:,}); shorten it")
    digest = _digest(desk, provider, body)
    waits: Write = ("UPDATE rows SET state = 'waiting' WHERE job = ? AND n = ?", (row.job, row.n))
    leader = _leader(desk, digest, waiting)
    if leader is not None:
        found = desk.store.one("SELECT state FROM calls WHERE job = ? AND row = ? AND n = ?", row.job, *leader)
        over = found is not None and found["state"] in ("answered", "failed")
        if over:
            waits = ("UPDATE rows SET state = 'ready' WHERE job = ? AND n = ?", (row.job, row.n))
        return [(_INSERT_SAME, (row.job, row.n, n, provider, request.model, lane, None, 0, 0, None, "same", *leader)), waits]
    if digest is not None:
        waiting[digest] = (row.n, n)
    tokens = desk.tokens(request)
    worst = desk.worst(request, tokens, body, "batch" if lane == "batch" else "standard")
    values = (row.job, row.n, n, provider, request.model, lane, text, size, tokens, digest, "planned", worst)
    return [(_INSERT, values), waits]


_INSERT: Final = (
    "INSERT INTO calls (job, row, n, provider, model, lane, body, bytes, tokens, digest, state, worst_picousd) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_SAME: Final = (
    "INSERT INTO calls (job, row, n, provider, model, lane, body, bytes, tokens, digest, state, leader_row, leader_n) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _digest(desk: Desk, provider: str, body: dict[str, Any]) -> str | None:
    """Equal for calls that may share one answer; None for a call that wants its own."""
    heat = body.get("temperature")
    if not desk.settings.ask_once or (isinstance(heat, (int, float)) and heat > 0) or body.get("n") not in (None, 1):
        return None
    return fingerprint([provider, body])


def _leader(desk: Desk, digest: str | None, waiting: dict[str, tuple[int, int]]) -> tuple[int, int] | None:
    if digest is None:
        return None
    if digest in waiting:
        return waiting[digest]
    found = desk.store.one("SELECT row, n FROM calls WHERE job = ? AND digest = ? LIMIT 1", desk.job, digest)
    return None if found is None else (found["row"], found["n"])


def _plain(call: Call) -> dict[str, Any]:
    """What LiteLLM is asked, for a provider without a batch lane."""
    return {**call.request.params, "model": call.request.model, "messages": [dict(message) for message in call.request.messages]}


def _result(over: Replayed) -> dict[str, Any]:
    """What a row delivers: its reply, and what the recipe did."""
    reply = over.reply
    assert reply is not None
    why = "; ".join(f"{d.technique} {d.action}: {d.why}" for d in over.ctx.decisions)
    cache = "hit" if reply.saved is not None else "miss"
    last = next((a for a in reversed(over.ctx.attempts) if a.reply is not None), None)
    model = last.call.request.model if last is not None and reply.saved is None else reply.model
    return {
        "reply": json.loads(reply_text(reply)),
        "raw": reply.raw if isinstance(reply.raw, dict) else None,
        "frugal": {"id": over.ctx.id, "model": model, "why": why, "cache": cache},
        "bare": bare_name(model),
    }
