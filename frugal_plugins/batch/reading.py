"""Looking at a job: its status and its results. Nothing here sends or changes anything."""

from __future__ import annotations

import base64
import json
import time
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.batch.pace import Pace
from frugal_plugins.batch.rows import reply_from
from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.store import JobStore
from frugal_plugins.ledger.rows import usd
from frugal_plugins.request import NO_USAGE, Endpoint, Reply

_READ: Final = 500


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row of the results, in the order the rows were given.

    Attributes:
        n: the row's place, from 0.
        name: the caller's own id for it.
        reply: the answer, or None. An embeddings answer is in `reply.raw`, as the API gives it, and in `vectors`.
        error: why there is none, with what to do; None while the row is under way.
        frugal: what the recipe did.
        usd: what its calls have cost so far; None where one has no known price.
    """

    n: int
    name: str | None
    reply: Reply | None
    error: str | None
    frugal: Mapping[str, Any]
    endpoint: Endpoint = "chat"
    usd: Decimal | None = Decimal(0)

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors of an embeddings row, in the order of its texts; empty for other rows."""
        if self.endpoint != "embeddings" or self.reply is None:
            return []
        data = sorted(self.reply.raw["data"], key=lambda one: one["index"])
        return [list(one["embedding"]) for one in data]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is.

    Attributes:
        state: `open`, `done`, `held` (the dollar limit), `cancelling` (it was asked to stop), or `cancelled`.
        planned: calls that are not handed in yet: they wait for their turn, or could cross the dollar limit.
        late_extra_usd: what the lanes that filled in before the deadline cost above the batch price.
        late_rows: calls that were filled in that way, by lane.
        lost_usd: what was paid for answers that never came.
        usual_seconds: how long such batches have taken in this store; None where none has ended yet.
        judging: of the rows that are done, those whose answer a judge still looks at, as the recipe's `judge:` asks.
        expected_seconds: when the batches under way are expected to end, unix seconds; None where nobody can tell.
    """

    job: str
    state: str
    why: str | None
    rows: int
    done: int
    failed: int
    asked_once: int
    planned: int
    spent_usd: Decimal
    late_extra_usd: Decimal
    late_rows: Mapping[str, int]
    lost_usd: Decimal
    deadline_seconds: float
    usual_seconds: float | None
    expected_seconds: float | None
    batches: tuple[Mapping[str, Any], ...]
    judging: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state not in ("open", "cancelling")


def status_of(store: JobStore, job: str, now: float | None = None) -> JobStatus:
    """How far a job is."""
    row = store.job(job)
    settings = BatchSettings.from_json(row["settings"])
    count = store.count
    usual = store.one(
        "SELECT avg(ended_at - submitted_at) AS s FROM batches WHERE state = 'harvested' AND status IN ('completed', 'ended') "
        "AND model IN (SELECT model FROM batches WHERE job = ?)",
        job,
    )
    lost = count("SELECT sum(picousd) FROM lost WHERE job = ?", job)
    names = "tag, provider, model, endpoint, state, status, rows, provider_id, shown, why, submitted_at"
    batches = store.all(f"SELECT {names} FROM batches WHERE job = ? ORDER BY id", job)
    states = {one["state"]: int(one["c"]) for one in store.all("SELECT state, count(*) AS c FROM rows WHERE job = ? GROUP BY state", job)}
    late = store.all(
        "SELECT lane, count(*) AS c FROM calls WHERE job = ? AND lane != 'batch' AND state = 'answered' AND took_seconds IS NOT NULL "
        "GROUP BY lane ORDER BY lane",
        job,
    )
    return JobStatus(
        job=job,
        state=row["state"],
        why=row["why"],
        rows=row["rows"],
        done=states.get("done", 0) + states.get("judging", 0),
        failed=states.get("failed", 0),
        asked_once=count("SELECT count(*) FROM calls WHERE job = ? AND state = 'same'", job),
        planned=count("SELECT count(*) FROM calls WHERE job = ? AND state = 'planned'", job),
        spent_usd=usd(spent_pico(store, job)) or Decimal(0),
        late_extra_usd=usd(count("SELECT sum(picousd) FROM calls WHERE job = ? AND lane = 'standard' AND state = 'answered'", job) // 2)
        or Decimal(0),
        late_rows={one["lane"]: int(one["c"]) for one in late},
        lost_usd=usd(lost) or Decimal(0),
        deadline_seconds=row["created"] + settings.window_hours * 3600,
        usual_seconds=None if usual is None else usual["s"],
        expected_seconds=_expected(store, settings, batches, time.time() if now is None else now),
        judging=states.get("judging", 0),
        batches=tuple({name: value for name, value in batch.items() if name != "submitted_at"} for batch in batches),
    )


def committed_usd(store: JobStore, job: str) -> Decimal:
    """What a job has cost, lines that got lost included, and what its calls under way could still cost at worst."""
    return usd(spent_pico(store, job) + held_pico(store, job)) or Decimal(0)


def spent_pico(store: JobStore, job: str) -> int:
    """What a job has cost so far, lines that got lost included."""
    calls = store.count("SELECT sum(picousd) FROM calls WHERE job = ?", job)
    return calls + store.count("SELECT sum(picousd) FROM lost WHERE job = ?", job)


def held_pico(store: JobStore, job: str) -> int:
    """What the calls under way could still cost at worst."""
    return store.count("SELECT sum(worst_picousd) FROM calls WHERE job = ? AND state IN ('batched', 'sent')", job)


def _expected(store: JobStore, settings: BatchSettings, batches: list[Mapping[str, Any]], now: float) -> float | None:
    pace = Pace(store, settings)
    ends = [pace.ends_at(batch, now) for batch in batches if batch["state"] == "submitted"]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def results_of(store: JobStore, job: str, after: int = -1) -> Iterator[RowResult]:
    """Every row behind `after`, in the order it was given, with its answer, its error, or neither while it is under way."""
    store.job(job)
    kinds = store.all("SELECT DISTINCT endpoint FROM calls WHERE job = ?", job)
    usual: Endpoint = kinds[0]["endpoint"] if len(kinds) == 1 else "chat"
    while True:
        rows = store.all("SELECT n, name, result, error FROM rows WHERE job = ? AND n > ? ORDER BY n LIMIT ?", job, after, _READ)
        said = [None if row["result"] is None else json.loads(row["result"]) for row in rows]
        calls = _calls(store, job, [row["n"] for row in rows])
        paid = _paid(store, job, rows, calls)
        for row, one in zip(rows, said, strict=True):
            usd_of = paid.get(row["n"], Decimal(0))
            if one is None:
                yield RowResult(row["n"], row["name"], None, row["error"], {}, usual, usd_of)
            else:
                yield _result(row, one, calls, usd_of)
        if len(rows) < _READ:
            return
        after = rows[-1]["n"]


def _calls(store: JobStore, job: str, rows: list[int]) -> dict[tuple[int, int], Mapping[str, Any]]:
    """The calls that rows point at, and those which these share."""
    columns = "row, n, state, reply, raw, picousd, leader_row, leader_n"
    calls = store.calls_of(job, rows, columns)
    leaders = sorted({call["leader_row"] for call in calls.values() if call["leader_row"] is not None} - set(rows))
    return calls | store.calls_of(job, leaders, columns)


def _paid(
    store: JobStore, job: str, rows: list[Mapping[str, Any]], calls: Mapping[tuple[int, int], Mapping[str, Any]]
) -> dict[int, Decimal | None]:
    """What each row's own calls came to, lines that got lost included; None where a price is not known."""
    if not rows:
        return {}
    between = (job, rows[0]["n"], rows[-1]["n"])
    pico = [
        (one["row"], one["picousd"]) for one in store.all("SELECT row, picousd FROM lost WHERE job = ? AND row BETWEEN ? AND ?", *between)
    ]
    pico += [(place[0], call["picousd"]) for place, call in calls.items() if call["state"] == "answered"]
    paid: dict[int, Decimal | None] = {}
    for row, cost in pico:
        before, now = paid.get(row, Decimal(0)), usd(cost)
        paid[row] = None if before is None or now is None else before + now
    return paid


def _result(
    row: Mapping[str, Any], said: Mapping[str, Any], calls: Mapping[tuple[int, int], Mapping[str, Any]], paid_usd: Decimal | None
) -> RowResult:
    endpoint: Endpoint = said.get("endpoint", "chat")
    if "call" in said:
        call = calls[row["n"], said["call"]]
        leader = call["leader_row"]
        source = call if leader is None else calls[leader, call["leader_n"]]
        reply = reply_from(source["reply"], source["raw"])
        if leader is not None:
            reply = reply.with_(usage=NO_USAGE, saved=reply.usage, id=None)
    elif isinstance(said["reply"], str):
        reply = reply_from(said["reply"], said["raw"])
    else:  # as version 1 of the store wrote it
        reply = reply_from(json.dumps(said["reply"]), None).with_(raw=said["raw"])
    if endpoint == "embeddings" and isinstance(reply.raw, dict):
        reply = reply.with_(raw={**reply.raw, "data": [_numbers(one) for one in reply.raw["data"]]})
    return RowResult(row["n"], row["name"], reply, None, said["frugal"], endpoint, paid_usd)


def _numbers(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """A vector as numbers. It travels and is stored as base64 of little-endian floats."""
    if not isinstance(one["embedding"], str):
        return one
    numbers = array("f", base64.b64decode(one["embedding"]))
    return {**one, "embedding": numbers.tolist()}
