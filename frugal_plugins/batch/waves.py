"""From rows to calls: each row's flow is run as far as it goes; what it wants to ask becomes a call of the next wave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from frugal_plugins.batch.bodies import PLAIN, Wording
from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.fronts import Front, front_of
from frugal_plugins.batch.judging import heard, question_on
from frugal_plugins.batch.places import BATCHED, lane_problem, length_problem, size_problem
from frugal_plugins.batch.replay import Replayed, entry_of, replay
from frugal_plugins.batch.rows import Journaled, StoredRow, byte_size, reply_text, to_json
from frugal_plugins.errors import InputError
from frugal_plugins.flow import Call
from frugal_plugins.prices import provider_of
from frugal_plugins.request import Request, fingerprint

CHUNK: Final = 500

_NEW_CALL: Final = (
    "INSERT INTO calls (job, row, n, provider, model, endpoint, lane, body, bytes, tokens, inputs, digest, state, worst_picousd, "
    "front, front_tokens, head, head_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, ?)"
)
_SAME_CALL: Final = (
    "INSERT INTO calls (job, row, n, provider, model, endpoint, lane, bytes, tokens, state, leader_row, leader_n) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 'same', ?, ?)"
)
_STATE: Final = "UPDATE rows SET state = ? WHERE job = ? AND n = ?"
_OVER: Final = "UPDATE rows SET state = ?, result = ?, error = ? WHERE job = ? AND n = ?"

Writes = dict[str, list[tuple[Any, ...]]]


def advance_rows(desk: Desk, stop: Callable[[], bool] = lambda: False, *, refused: str | None = None) -> int:
    """Run every row that is new or has got its answer, until `stop`; new ones are over at once where they are `refused`.

    Returns how many there were.
    """
    count = 0
    for state in ("new", "ready"):
        while not stop() and (rows := desk.store.rows(desk.job, state, CHUNK)):
            _advance(desk, rows, new=state == "new", refused=refused)
            count += len(rows)
    return count


def _advance(desk: Desk, rows: list[StoredRow], *, new: bool, refused: str | None) -> None:
    """One chunk. Rows that are over are booked first and then marked, so that a crash between the two changes nothing."""
    writes: Writes = {sql: [] for sql in (_NEW_CALL, _SAME_CALL, _STATE, _OVER)}
    journals = {} if new else desk.store.journals(desk.job, [row.n for row in rows])
    over: list[Replayed] = []
    asking: list[tuple[StoredRow, int, Replayed]] = []
    for row in rows:
        journal = journals.get(row.n, [])
        problem = refused or length_problem(row.request, desk.settings.most_bytes) if new else None
        got = replay(desk.unbooked, row, journal, desk.reachable_for(row.request.endpoint), problem)
        if got.call is not None:
            asking.append((row, len(journal), got))
        elif got.judged is not None:
            heard(desk, got, got.judged)
            writes[_STATE].append(("done", desk.job, row.n))  # its answer was delivered before
            over.append(got)
        elif (question := question_on(desk, got)) is not None:
            _over(desk, row, got, journal, writes, state="judging")
            _plan(desk, row, len(journal), _draw(desk, row, question, PLAIN), question, writes)
        else:
            over.append(_over(desk, row, got, journal, writes))
    over += _ask(desk, asking, writes)
    _book(desk, over)
    with desk.store.writing() as db:
        for sql, values in writes.items():
            if values:
                db.executemany(sql, values)
    desk.persisted("rows")


def _book(desk: Desk, over: list[Replayed]) -> None:
    ledger = desk.recipe.ledger
    if not over or (ledger is None and desk.heard is None):
        return
    for one in over:
        entry = entry_of(desk.recipe, one)
        if ledger is not None:
            ledger.record(entry)
        if desk.heard is not None:
            desk.heard(entry)
    if ledger is not None:
        ledger.flush()
        desk.persisted("booked")


def _over(desk: Desk, row: StoredRow, got: Replayed, journal: list[Journaled], writes: Writes, state: str = "done") -> Replayed:
    result = None if got.reply is None else to_json(_result(got, journal, row))
    writes[_OVER].append(("failed" if got.reply is None else state, result, got.error, desk.job, row.n))
    return got


def _ask(desk: Desk, asking: list[tuple[StoredRow, int, Replayed]], writes: Writes) -> list[Replayed]:
    """Write the calls down that rows want to make. Returns the rows that are over because nobody can answer them."""
    refused: list[Replayed] = []
    drawn: list[tuple[StoredRow, int, Call, _Drawn]] = []
    for row, n, got in asking:
        assert got.call is not None
        try:
            drawn.append((row, n, got.call, _draw(desk, row, got.call.request, desk.wording)))
        except InputError as error:
            refused.append(_over(desk, row, Replayed(got.ctx, got.request, error=str(error)), [], writes))
    leaders = _leaders(desk, (one.digest for _, _, _, one in drawn))
    for row, n, call, one in drawn:
        model, endpoint = call.request.model, call.request.endpoint
        leader = None if one.digest is None else leaders.get(one.digest)
        if leader is not None:
            writes[_SAME_CALL].append((desk.job, row.n, n, one.provider, model, endpoint, one.lane, *leader[:2]))
            writes[_STATE].append(("ready" if leader[2] else "waiting", desk.job, row.n))
            continue
        if one.digest is not None:
            leaders[one.digest] = (row.n, n, False)
        _plan(desk, row, n, one, call.request, writes)
        writes[_STATE].append(("waiting", desk.job, row.n))
    return refused


def _plan(desk: Desk, row: StoredRow, n: int, one: _Drawn, request: Request, writes: Writes) -> None:
    front = one.front
    writes[_NEW_CALL].append(
        (desk.job, row.n, n, one.provider, request.model, request.endpoint, one.lane, one.text, one.size, one.tokens, one.inputs,
         one.digest, one.worst, front.whole, front.whole_tokens, front.head, front.head_tokens)
    )  # fmt: skip


class _Drawn:
    """A call as it would be written down."""

    __slots__ = ("digest", "front", "inputs", "lane", "provider", "size", "text", "tokens", "worst")

    def __init__(self, provider: str, lane: str, text: str, size: int, inputs: int, digest: str | None) -> None:
        self.provider = provider
        self.lane = lane
        self.text = text
        self.size = size
        self.inputs = inputs
        self.digest = digest
        self.tokens = 0
        self.worst: int | None = None
        self.front = Front()


def _draw(desk: Desk, row: StoredRow, request: Request, wording: Wording) -> _Drawn:
    """A call in the provider's words. Raises InputError for one nobody can answer."""
    provider = provider_of(request.model) or "unknown"
    problem = lane_problem(request)
    if problem is not None and (desk.settings.no_lane == "refuse" or request.endpoint != "chat"):
        raise InputError(problem)
    lane = "standard" if problem is not None else "batch"
    body = wording.body(row.n, request) if provider in BATCHED else _plain(request)
    text = to_json(body)
    size = byte_size(text)
    too_large = size_problem(size, desk.settings.most_bytes)
    if too_large is not None:
        raise InputError(too_large)
    one = _Drawn(provider, lane, text, size, desk.inputs(request), _digest(desk, provider, body))
    one.tokens = desk.tokens(request)
    one.worst = desk.worst(request, one.tokens, body, "batch" if lane == "batch" else "standard")
    if lane == "batch" and desk.settings.share_fronts:
        one.front = front_of(body, text, request.model, desk.counted)
    return one


def _digest(desk: Desk, provider: str, body: Mapping[str, Any]) -> str | None:
    """Equal for calls that may share one answer; None for a call that wants its own."""
    heat = body.get("temperature")
    if not desk.settings.ask_once or (isinstance(heat, (int, float)) and heat > 0) or body.get("n") not in (None, 1):
        return None
    return fingerprint([provider, body])


def _leaders(desk: Desk, digests: Iterable[str | None]) -> dict[str, tuple[int, int, bool]]:
    """Calls of the job that ask the same already: row, number, and whether they are over."""
    wanted = sorted({digest for digest in digests if digest is not None})
    if not wanted:
        return {}
    marks = ",".join("?" * len(wanted))
    found = desk.store.all(f"SELECT row, n, digest, state FROM calls WHERE job = ? AND digest IN ({marks})", desk.job, *wanted)
    return {one["digest"]: (one["row"], one["n"], one["state"] in ("answered", "failed")) for one in found}


def _plain(request: Request) -> dict[str, Any]:
    """What LiteLLM is asked, for a provider without a batch lane."""
    return {**request.params, "model": request.model, "messages": [dict(message) for message in request.messages]}


def _result(over: Replayed, journal: list[Journaled], row: StoredRow) -> dict[str, Any]:
    """What a row delivers: where its reply is kept, or the reply itself where it is none of the journal's, and what the recipe did."""
    reply = over.reply
    assert reply is not None
    why = "; ".join(f"{d.technique} {d.action}: {d.why}" for d in over.ctx.decisions)
    cache = "hit" if reply.saved is not None else "miss"
    last = next((a for a in reversed(over.ctx.attempts) if a.reply is not None), None)
    model = last.call.request.model if last is not None and reply.saved is None else reply.model
    said: dict[str, Any] = {"frugal": {"id": over.ctx.id, "model": model, "why": why, "cache": cache}}
    if row.request.endpoint != "chat":
        said["endpoint"] = row.request.endpoint
    kept = next((entry for entry in journal if entry.reply is reply), None)
    if kept is not None:
        return said | {"call": kept.n}
    raw = to_json(reply.raw) if isinstance(reply.raw, dict) else None
    return said | {"reply": reply_text(reply), "raw": raw}
