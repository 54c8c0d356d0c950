"""What the recipe really saved: treated traffic beside the control group, with the range chance leaves.

Nothing here is estimated from tokens. Whole conversations are drawn into the control group, so conversations, not requests,
are what varies; kinds of work are compared each with itself (a recipe and task make a stratum) and weighted as the treated
traffic has them. The ranges are the delta method's (linearised ratio means, clustered by conversation) with Student's t.
Costs are all calls of a request, helper calls too, so a saving is net.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import Db, edges

LEAST_CONTROL: Final = 30
"""Conversations the control group needs before anything is said."""

_LEAST_IN_STRATUM: Final = 5
_QUANTILE: Final = 1.959964
_OTHERS: Final = "(others)"
_KEY: Final = "coalesce(r.session_hash, r.id)"
_GOOD: Final = "(SELECT min(f.good) FROM feedback f WHERE f.request_id = r.id AND f.source {source})"

MEASURES: Final[Mapping[str, str]] = {
    "usd": "r.actual_picousd / 1e12",
    "failed_percent": "CASE WHEN r.outcome = 'error' THEN 100.0 ELSE 0.0 END",
    "cut_percent": "CASE WHEN r.finish_reason IS NULL THEN NULL WHEN r.finish_reason = 'length' THEN 100.0 ELSE 0.0 END",
    "refused_percent": (
        "CASE WHEN r.finish_reason IS NULL THEN NULL WHEN r.finish_reason IN ('content_filter', 'refusal') THEN 100.0 ELSE 0.0 END"
    ),
    "schema_valid_percent": "100.0 * r.schema_valid",
    "retries": "r.retries * 1.0",
    "output_tokens": "CASE WHEN r.outcome = 'answered' THEN r.output_tokens * 1.0 ELSE NULL END",
    "good_percent": "100.0 * " + _GOOD.format(source="<> 'judge'"),
    "judged_good_percent": "100.0 * " + _GOOD.format(source="= 'judge'"),
}
"""Per request: what it cost and how it went. NULL where a measure says nothing of a request."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure in both groups, weighted alike, and treated minus control with its 95 % range.

    `low` and `high` are None where there is too little control traffic to say.
    """

    control: float
    treated: float
    low: float | None
    high: float | None
    control_requests: int
    treated_requests: int

    @property
    def difference(self) -> float:
        """Treated minus control, per request."""
        return self.treated - self.control

    @property
    def sure(self) -> bool:
        """Whether chance alone does not explain it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


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
class Measured:
    """What the control group shows.

    Attributes:
        saving: over the covered treated requests; None without control traffic to compare with.
        covered_percent: the share of treated requests whose kind of work the control group has too.
        by_technique: only where one technique alone acted on a kind of work; where several act together nobody can tell them apart.
        together: the techniques that acted together.
        quality: how answers went, by measure.
        words: what a reader has to know before believing it.
    """

    control_requests: int
    control_conversations: int
    treated_requests: int
    covered_percent: float
    saving: Saving | None
    by_technique: Mapping[str, Saving] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    quality: Mapping[str, Difference] = field(default_factory=dict)
    words: tuple[str, ...] = ()


@dataclass(slots=True)
class _Cell:
    """One measure in one stratum and group: how many requests it speaks of, their sum, their conversations."""

    n: int = 0
    total: float = 0.0
    conversations: int = 0

    def add(self, other: _Cell) -> None:
        self.n += other.n
        self.total += other.total
        self.conversations += other.conversations

    @property
    def mean(self) -> float:
        return self.total / self.n


Stratum = tuple[str, str]
_Cells = dict[Stratum, dict[str, _Cell]]


def measure(db: Db, period: Period) -> Measured:
    """Compare the groups of a period. Reads the rows, so it takes seconds where there are millions."""
    if not _booked_in(db, period, "control"):
        booked = _booked_in(db, period, "treated")
        return Measured(0, 0, booked, 0.0, None, words=(_no_control(booked),))
    _gather(db, period)
    cells = {name: _cells(db, n) for n, name in enumerate(MEASURES)}
    counted = cells["usd"]
    control = sum(cell["control"].n for cell in counted.values() if "control" in cell)
    treated = sum(cell["treated"].n for cell in counted.values() if "treated" in cell)
    conversations = sum(cell["control"].conversations for cell in counted.values() if "control" in cell)
    if not control or not treated:
        return Measured(control, conversations, treated, 0.0, None, words=(_no_control(treated),))
    found = {name: _compare(db, n, of) for n, (name, of) in enumerate(cells.items())}
    money = found.pop("usd")
    covered = 0 if money is None else money.treated_requests
    acting = _acting(db, period)
    alone = _alone(db, counted, acting)
    words = [] if conversations >= LEAST_CONTROL else [_too_few(conversations)]
    if 0 < covered < treated:
        words.append(f"{treated - covered:,} treated requests are of kinds of work the control group lacks; they are left out")
    return Measured(
        control, conversations, treated, round(100 * covered / treated, 2), None if money is None else _saving(money), alone,
        tuple(sorted({name for names in acting.values() if len(names) > 1 for name in names} - alone.keys())),
        {name: difference for name, difference in found.items() if difference is not None}, tuple(words),
    )  # fmt: skip


def _booked_in(db: Db, period: Period, group: str) -> int:
    found = db.rows(
        "SELECT coalesce(sum(requests), 0) FROM rollups WHERE dimension = 'group' AND value = :grp AND hour_seconds >= :since "
        "AND hour_seconds < :until AND (CAST(:recipe AS TEXT) IS NULL OR recipe = :recipe)",
        grp=group,
        **edges(period),
    )
    return int(found[0][0])


_ROWS: Final = (
    "r.at_seconds >= :since AND r.at_seconds < :until AND (CAST(:recipe AS TEXT) IS NULL OR r.recipe = :recipe) "
    "AND r.grp IN ('control', 'treated')"
)


def _gather(db: Db, period: Period) -> None:
    """Read the rows once: every measure's count and sum for each conversation and kind of work, in a table of this connection only."""
    kind = "DOUBLE PRECISION"
    columns = ", ".join(f"n{n} {kind}, s{n} {kind}" for n in range(len(MEASURES)))
    sums = ", ".join(f"count(y{n}), coalesce(sum(y{n}), 0)" for n in range(len(MEASURES)))
    values = ", ".join(f"{sql} AS y{n}" for n, sql in enumerate(MEASURES.values()))
    rows = f"SELECT r.recipe, r.task, r.grp, {_KEY} AS k, {values} FROM requests r WHERE {_ROWS}"
    db.scratch("DROP TABLE IF EXISTS parts")
    db.scratch(f"CREATE TEMP TABLE parts (recipe TEXT, task TEXT, grp TEXT, k TEXT, {columns})")
    db.scratch(f"INSERT INTO parts SELECT recipe, task, grp, k, {sums} FROM ({rows}) seen GROUP BY recipe, task, grp, k", **edges(period))


def _cells(db: Db, n: int) -> _Cells:
    found = db.rows(f"SELECT recipe, task, grp, sum(n{n}), sum(s{n}), count(*) FROM parts WHERE n{n} > 0 GROUP BY 1, 2, 3")
    cells: _Cells = {}
    for recipe, task, group, count, total, conversations in found:
        cells.setdefault((recipe, task), {})[group] = _Cell(int(count), float(total), int(conversations))
    return _pooled(cells)


def _pooled(cells: _Cells) -> _Cells:
    """Kinds of work with too little control traffic are compared as one, per recipe."""
    kept: _Cells = {}
    for (recipe, task), groups in cells.items():
        enough = groups.get("control", _Cell()).conversations >= _LEAST_IN_STRATUM and "treated" in groups
        into = kept.setdefault((recipe, task if enough else _OTHERS), {})
        for group, cell in groups.items():
            into.setdefault(group, _Cell()).add(cell)
    return kept


def _compare(db: Db, n: int, cells: _Cells, only: frozenset[Stratum] | None = None) -> Difference | None:
    both = {of: groups for of, groups in cells.items() if len(groups) == 2 and (only is None or of in only)}
    if not both:
        return None
    treated = sum(groups["treated"].n for groups in both.values())
    means = {group: sum(groups["treated"].n * groups[group].mean for groups in both.values()) / treated for group in ("control", "treated")}
    control = sum(groups["control"].n for groups in both.values())
    conversations = sum(groups["control"].conversations for groups in both.values())
    margin = _margin(db, n, cells, both, treated) if conversations >= LEAST_CONTROL else None
    difference = means["treated"] - means["control"]
    low, high = (None, None) if margin is None else (difference - margin, difference + margin)
    return Difference(means["control"], means["treated"], low, high, control, treated)


def _margin(db: Db, n: int, cells: _Cells, both: _Cells, treated: int) -> float:
    """Half the range: every conversation's part in the weighted difference, squared and summed, in the database."""
    values: dict[str, Any] = {}
    mean, weight = _cases(cells, both, treated, values)
    found = db.rows(
        f"SELECT grp, count(*), sum(z * z) FROM (SELECT grp, k, sum(w * (s - m * n)) AS z FROM (SELECT r.grp, r.k, r.n{n} AS n, "
        f"r.s{n} AS s, {mean} AS m, {weight} AS w FROM parts r WHERE r.n{n} > 0) seen WHERE w IS NOT NULL GROUP BY grp, k) z GROUP BY grp",
        **values,
    )
    variance, freedom = 0.0, 1
    for group, conversations, squares in found:
        variance += float(squares) * conversations / max(1, conversations - 1)
        if group == "control":
            freedom = max(1, int(conversations) - len(both))
    return _student(freedom) * float(variance**0.5)


def _cases(cells: _Cells, both: _Cells, treated: int, values: dict[str, Any]) -> tuple[str, str]:
    """Each row's mean and weight as SQL: by recipe, task and group, with the pooled kinds of work as what is left."""
    means, weights = [], []
    for number, ((recipe, task), groups) in enumerate(sorted(both.items(), key=lambda of: of[0][1] == _OTHERS)):
        values |= {f"recipe{number}": recipe, f"task{number}": task}
        named = [of_task for of_recipe, of_task in cells if of_recipe == recipe and of_task != _OTHERS]
        where = f"r.recipe = :recipe{number}"
        if task != _OTHERS:
            where += f" AND r.task = :task{number}"
        elif named:
            values |= {f"named{number}n{n}": name for n, name in enumerate(named)}
            where += f" AND r.task NOT IN ({', '.join(f':named{number}n{n}' for n in range(len(named)))})"
        for group, cell in groups.items():
            share = groups["treated"].n / treated / cell.n
            means.append(f"WHEN {where} AND r.grp = '{group}' THEN CAST({cell.mean!r} AS DOUBLE PRECISION)")
            weights.append(f"WHEN {where} AND r.grp = '{group}' THEN CAST({share!r} AS DOUBLE PRECISION)")
    return f"CASE {' '.join(means)} ELSE NULL END", f"CASE {' '.join(weights)} ELSE NULL END"


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by its expansion around the normal's."""
    z = _QUANTILE
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


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
        f"WHERE {_ROWS} AND r.grp = 'treated' AND s.technique <> 'other' AND s.basis <> 'shadow'",
        **edges(period),
    )
    acting: dict[Stratum, set[str]] = {}
    for recipe, task, technique in found:
        acting.setdefault((recipe, task), set()).add(technique)
    return {of: frozenset(names) for of, names in acting.items()}


def _alone(db: Db, cells: _Cells, acting: Mapping[Stratum, frozenset[str]]) -> dict[str, Saving]:
    by: dict[str, set[Stratum]] = {}
    for of, names in acting.items():
        if len(names) == 1 and of in cells:
            by.setdefault(next(iter(names)), set()).add(of)
    found = {name: _compare(db, 0, cells, frozenset(strata)) for name, strata in by.items()}
    return {name: _saving(money) for name, money in sorted(found.items()) if money is not None}


def _no_control(treated: int) -> str:
    if not treated:
        return "no treated traffic in this time"
    return "no control traffic in this time: set control_percent in the recipe (2 is a good start), to measure and not only estimate"


def _too_few(conversations: int) -> str:
    return f"only {conversations} control conversations; from {LEAST_CONTROL} on a range is given"
