"""What the recipe really saved: treated traffic beside the control group, with the range chance leaves.

Nothing here is estimated from tokens. Beside traffic that went untouched stands the whole recipe; beside traffic that went without
one technique stands what that one adds to the others. Costs are all calls of a request, helper calls too, so a saving is net; only
what went into judging a sample of answers is kept apart, since the groups are not judged equally often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import Db, edges
from frugal_plugins.ledger.rollups import within
from frugal_plugins.ledger.strata import (
    CONTROL,
    LEAST_CONTROL,
    MEASURES,
    ROWS,
    TREATED,
    Cells,
    Difference,
    Stratum,
    beside,
    compare,
    gather,
    gathered,
)

__all__ = ["LEAST_CONTROL", "MEASURES", "Added", "Difference", "Measured", "Saving", "measure"]

_WITHOUT: Final = "without "
_USD: Final = list(MEASURES).index("usd")


@dataclass(frozen=True, slots=True)
class Saving:
    """Dollars not spent on the treated requests of a period; a range of 95 %."""

    usd: float
    low_usd: float | None
    high_usd: float | None
    percent: float | None
    low_percent: float | None
    high_percent: float | None
    requests: int


@dataclass(frozen=True, slots=True)
class Added:
    """What one technique adds to the others: treated traffic beside traffic that went without it alone.

    Attributes:
        saving: on the treated requests; negative where the recipe would be cheaper without it.
        without_requests, without_conversations: what it is measured against.
        quality: how answers went, by measure, with it and without it.
    """

    saving: Saving
    without_requests: int
    without_conversations: int
    quality: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the control group and the traffic without single techniques show.

    Attributes:
        saving: over the covered treated requests; None without control traffic to compare with.
        covered_percent: the share of treated requests whose kind of work the control group has too.
        added: by technique, where a share of the traffic goes without each (`control_each_percent`).
        by_technique: only where one technique alone acted on a kind of work.
        together: the techniques that acted together and cannot be told apart.
        quality: how answers went, by measure.
        not_judged: how many answers of batches were drawn for that sample and not judged; their decisions say why.
        judged, judging_usd: how many answers a judge looked at on a sample, and what that cost; not part of `saving`.
        words: what a reader has to know before believing it.
    """

    control_requests: int
    control_conversations: int
    treated_requests: int
    covered_percent: float
    saving: Saving | None
    added: Mapping[str, Added] = field(default_factory=dict)
    by_technique: Mapping[str, Saving] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    quality: Mapping[str, Difference] = field(default_factory=dict)
    judged: int = 0
    judging_usd: float = 0.0
    not_judged: int = 0
    words: tuple[str, ...] = ()

    @property
    def net_usd(self) -> float | None:
        """The saving less what the judging cost; None where there is no saving to speak of."""
        return None if self.saving is None else self.saving.usd - self.judging_usd


def measure(db: Db, period: Period) -> Measured:
    """Compare the groups of a period. Reads the rows, so it takes seconds where there are millions."""
    groups = _booked(db, period)
    if not any(group == CONTROL or group.startswith(_WITHOUT) for group in groups):
        booked = groups.get(TREATED, 0)
        sampled = _judging(db, period)
        return Measured(
            0, 0, booked, 0.0, None, judged=sampled.judged, judging_usd=sampled.usd, not_judged=sampled.left, words=(_no_control(booked),)
        )  # fmt: skip
    gather(db, period)
    cells = [gathered(db, n) for n in range(len(MEASURES))]
    control, conversations = _size(cells[_USD], CONTROL)
    treated, _ = _size(cells[_USD], TREATED)
    sampled = _judging(db, period)
    added = _added(db, cells)
    if not control or not treated:
        return Measured(
            control, conversations, treated, 0.0, None, added,
            judged=sampled.judged, judging_usd=sampled.usd, not_judged=sampled.left, words=(_no_control(treated),),
        )  # fmt: skip
    money, quality = _beside(db, cells, CONTROL)
    covered = 0 if money is None else money.treated_requests
    acting = _acting(db, period)
    alone = _alone(db, cells[_USD], acting)
    words = [] if conversations >= LEAST_CONTROL else [_too_few(conversations)]
    if 0 < covered < treated:
        words.append(f"{treated - covered:,} treated requests are of kinds of work the control group lacks; they are left out")
    together = {name for names in acting.values() if len(names) > 1 for name in names} - alone.keys() - added.keys()
    return Measured(
        control, conversations, treated, round(100 * covered / treated, 2), None if money is None else _saving(money), added, alone,
        tuple(sorted(together)), quality, sampled.judged, sampled.usd, sampled.left, tuple(words),
    )  # fmt: skip


def _booked(db: Db, period: Period) -> dict[str, int]:
    """Requests by group, from the sums."""
    whole = edges(period)
    where = "dimension = 'group' AND (CAST(:recipe AS TEXT) IS NULL OR recipe = :recipe)"
    sums = within("rollups", whole["since"], whole["until"], where)
    return {group: int(count) for group, count in db.rows(f"SELECT value, sum(requests) FROM {sums} GROUP BY 1", recipe=period.recipe)}


class _Sampled(NamedTuple):
    """How many answers were judged on a sample, what that cost, and how many that were drawn were left."""

    judged: int
    usd: float
    left: int


def _judging(db: Db, period: Period) -> _Sampled:
    whole = edges(period)
    where = "dimension = 'technique' AND value = 'judge' AND (CAST(:recipe AS TEXT) IS NULL OR recipe = :recipe)"
    sums = within("rollups", whole["since"], whole["until"], where)
    ((count, saved),) = db.rows(f"SELECT coalesce(sum(requests), 0), coalesce(sum(saved_picousd), 0) FROM {sums}", recipe=period.recipe)
    return _Sampled(int(count), -float(saved) / 1e12, _not_judged(db, period))


def _not_judged(db: Db, period: Period) -> int:
    """How many answers were drawn for the sample and left."""
    whole = edges(period)
    where = "technique = 'judge' AND action = 'left' AND (CAST(:recipe AS TEXT) IS NULL OR recipe = :recipe)"
    sums = within("decision_rollups", whole["since"], whole["until"], where)
    ((count,),) = db.rows(f"SELECT coalesce(sum(decisions), 0) FROM {sums}", recipe=period.recipe)
    return int(count)


def _size(cells: Cells, group: str) -> tuple[int, int]:
    found = [groups[group] for groups in cells.values() if group in groups]
    return sum(cell.n for cell in found), sum(cell.conversations for cell in found)


def _beside(db: Db, cells: list[Cells], against: str) -> tuple[Difference | None, dict[str, Difference]]:
    """Dollars and quality of the treated traffic beside one group."""
    found = {name: compare(db, n, beside(cells[n], against), against) for n, name in enumerate(MEASURES)}
    money = found.pop("usd")
    return money, {name: difference for name, difference in found.items() if difference is not None}


def _added(db: Db, cells: list[Cells]) -> dict[str, Added]:
    """What each technique adds, where traffic went without it alone."""
    groups = sorted({group for found in cells[_USD].values() for group in found if group.startswith(_WITHOUT)})
    made: dict[str, Added] = {}
    for group in groups:
        money, quality = _beside(db, cells, group)
        if money is not None:
            made[group.removeprefix(_WITHOUT)] = Added(_saving(money), *_size(cells[_USD], group), quality)
    return made


def _saving(money: Difference) -> Saving:
    n, base = money.treated_requests, money.control
    low, high = (None, None) if money.low is None or money.high is None else (-money.high * n, -money.low * n)

    def percent(usd: float | None) -> float | None:
        return None if usd is None or not base else round(100 * usd / (base * n), 2)

    usd = -money.difference * n
    return Saving(usd, low, high, percent(usd), percent(low), percent(high), n)


def _acting(db: Db, period: Period) -> dict[Stratum, frozenset[str]]:
    """Which techniques changed what treated requests cost, by kind of work."""
    found = db.rows(
        "SELECT DISTINCT r.recipe, r.task, s.technique FROM savings s JOIN requests r ON r.id = s.request_id "
        f"WHERE {ROWS} AND r.grp = 'treated' AND s.technique NOT IN ('other', 'judge') AND s.basis <> 'shadow'",
        **edges(period),
    )
    acting: dict[Stratum, set[str]] = {}
    for recipe, task, technique in found:
        acting.setdefault((recipe, task), set()).add(technique)
    return {of: frozenset(names) for of, names in acting.items()}


def _alone(db: Db, cells: Cells, acting: Mapping[Stratum, frozenset[str]]) -> dict[str, Saving]:
    control = beside(cells, CONTROL)
    by: dict[str, set[Stratum]] = {}
    for of, names in acting.items():
        if len(names) == 1 and of in control:
            by.setdefault(next(iter(names)), set()).add(of)
    found = {name: compare(db, _USD, control, only=frozenset(strata)) for name, strata in by.items()}
    return {name: _saving(money) for name, money in sorted(found.items()) if money is not None}


def _no_control(treated: int) -> str:
    if not treated:
        return "no treated traffic in this time"
    return "no control traffic in this time: set control_percent in the recipe (2 is a good start), to measure and not only estimate"


def _too_few(conversations: int) -> str:
    return f"only {conversations} control conversations; from {LEAST_CONTROL} on a range is given"
