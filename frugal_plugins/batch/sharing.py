"""Whether a front that rows share is worth a breakpoint in a batch, and who goes first to fill the cache for the others.

At Anthropic a batch is half the price and a cached read a tenth of that, but a front that was marked and is not found in the
cache costs twice the input price for an hour's lifetime. A batch is worked off in parallel, so many rows of it would miss. So
one row of each front is sent ahead, in a small batch; when its answer is there the front is in the cache, and the others follow
within the hour. Nothing is marked where that does not pay at the share of hits this store has seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.batch.desk import Desk
from frugal_plugins.batch.fronts import can_be_marked
from frugal_plugins.ledger.rows import pico
from frugal_plugins.prefix.cost import CachePlan, plan_for
from frugal_plugins.usage import Usage

_UNSEEN_HITS: Final = 0.75
"""The share of hits that is counted on before any was measured. Anthropic names 30 to 98 % for batches, without a row ahead."""
_FEWEST_SEEN: Final = 20
_SEEN: Final = 300
_WARM_SECONDS: Final = 3000.0
"""A front written within the last fifty minutes is read in time; it lives for an hour after it was last read."""
_MOST_AHEAD: Final = 2
_USUAL_SECONDS: Final = 3600.0

GROUP: Final = "job = ? AND state = 'planned' AND lane = 'batch' AND provider = ? AND model = ? AND endpoint = ?"


@dataclass(frozen=True, slots=True)
class Mark:
    """How many tokens of a call are marked, 0 for none, and how much more it may cost at worst."""

    tokens: int = 0
    worst_pico: int = 0


NO_MARK: Final = Mark()


@dataclass(slots=True)
class Marks:
    """What to do with each front: `ready` to be marked, `ahead` (one call goes first), or `waiting` for that one."""

    ready: dict[str, Mark] = field(default_factory=dict)
    ahead: dict[str, Mark] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    def of(self, call: Mapping[str, Any]) -> Mark | None:
        """A call's mark; None when it has to wait for the one ahead of it."""
        front = call["mark"]
        if front is None or not (self.ready or self.ahead or self.waiting):
            return NO_MARK
        if front in self.ahead:
            self.waiting.add(front)
            return self.ahead.pop(front)
        return None if front in self.waiting else self.ready.get(front, NO_MARK)


def group_fronts(desk: Desk, group: Mapping[str, Any]) -> None:
    """Write down which front each planned call shares with others: its whole one where that is shared, else its head."""
    whose = (desk.job, group["provider"], group["model"], group["endpoint"])
    new = "(head IS NOT NULL OR front IS NOT NULL) AND mark IS NULL"
    if not desk.store.count(f"SELECT count(*) FROM calls WHERE {GROUP} AND {new}", *whose):
        return
    with desk.store.writing() as db:
        for column in ("front", "head"):
            shared = f"SELECT {column} FROM calls WHERE {GROUP} AND {column} IS NOT NULL GROUP BY {column} HAVING count(*) > 1"
            db.execute(f"UPDATE calls SET mark = {column} WHERE {GROUP} AND mark IS NULL AND {column} IN ({shared})", (*whose, *whose))
    desk.persisted("grouped")


def marks_for(desk: Desk, group: Mapping[str, Any]) -> Marks:
    """Which fronts of a group are marked now, and which wait."""
    model = str(group["model"])
    plan = plan_for(model, desk.recipe.prices) if desk.settings.share_fronts and can_be_marked(model) else None
    if plan is None or not plan.caches or plan.write_1h is None:
        return Marks()
    whose = (desk.job, group["provider"], model, group["endpoint"])
    found = desk.store.all(
        "SELECT mark, count(*) AS calls, min(CASE WHEN mark = front THEN front_tokens ELSE head_tokens END) AS tokens "
        f"FROM calls WHERE {GROUP} AND mark IS NOT NULL GROUP BY mark",
        *whose,
    )
    marks, hits = Marks(), _hit_share(desk, model)
    for one in found:
        if one["tokens"] >= plan.minimum_tokens:
            _decide(desk, plan, one, Mark(one["tokens"], _more_pico(desk, model, one["tokens"])), marks, hits)
    return marks


def _decide(desk: Desk, plan: CachePlan, front: Mapping[str, Any], mark: Mark, marks: Marks, hits: float) -> None:
    sent = desk.store.all(
        "SELECT c.state AS state, b.ended_at AS ended_at, b.intent_at AS intent_at FROM calls c LEFT JOIN batches b ON c.batch = b.id "
        "WHERE c.job = ? AND c.mark = ? AND c.marked_tokens > 0 AND c.state IN ('batched', 'answered', 'failed')",
        desk.job, front["mark"],
    )  # fmt: skip
    name, now = str(front["mark"]), desk.clock()
    under_way = [one["intent_at"] for one in sent if one["state"] == "batched"]
    if under_way:
        if now - max(under_way) < 2 * _usual_seconds(desk):  # else the others go plainly: waiting on would make them late
            marks.waiting.add(name)
    elif any(one["state"] == "answered" and now - (one["ended_at"] or 0) < _WARM_SECONDS for one in sent):
        if plan.pays(hits, hour=True) > 0:
            marks.ready[name] = mark
    elif len(sent) < _MOST_AHEAD and _pays(plan, front["calls"], hits) and _has_time(desk):
        marks.ahead[name] = mark


def _pays(plan: CachePlan, calls: int, hits: float) -> bool:
    """Whether one write and many reads cost less than sending the front plainly every time."""
    write = plan.write_1h or plan.write
    return write + (calls - 1) * (hits * plan.read + (1 - hits) * write) < calls


def _has_time(desk: Desk) -> bool:
    """Sending one row ahead takes as long as a batch; the others must still end before the deadline."""
    return desk.switch_at() - desk.clock() > 4 * _usual_seconds(desk)


def _usual_seconds(desk: Desk) -> float:
    return max(_USUAL_SECONDS, desk.pace.batch_seconds("anthropic", "") or 0.0)


def _more_pico(desk: Desk, model: str, tokens: int) -> int:
    """What a mark costs at worst beyond the plain price: nobody finds the front and every row writes it."""
    plain, written = (
        desk.usd(model, usage, "batch") for usage in (Usage(input_tokens=tokens), Usage(input_tokens=tokens, cache_write_1h_tokens=tokens))
    )
    return 0 if plain is None or written is None else max(0, pico(written - plain) or 0)


def _hit_share(desk: Desk, model: str) -> float:
    """The share of marked tokens that were read from the cache so far in this store; a guess until enough were seen."""
    found = desk.store.all(
        "SELECT reply, marked_tokens FROM calls WHERE model = ? AND marked_tokens > 0 AND state = 'answered' "
        "AND lane = 'batch' ORDER BY job, row LIMIT ?",
        model, _SEEN,
    )  # fmt: skip
    if len(found) < _FEWEST_SEEN:
        return _UNSEEN_HITS
    read = sum(min(one["marked_tokens"], json.loads(one["reply"])["usage"]["cache_read_tokens"]) for one in found)
    return float(read / sum(one["marked_tokens"] for one in found))
