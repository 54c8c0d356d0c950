"""Requests by kind of work and group, and the difference between two groups with the range chance leaves.

Whole conversations are drawn into a group, so conversations, not requests, are what varies; kinds of work are compared each with
itself (a recipe and task make a stratum) and weighted as the treated traffic has them. The ranges are the delta method's
(linearised ratio means, clustered by conversation) with Student's t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import Db, edges
from frugal_plugins.ledger.rollups import GROUP

LEAST_CONTROL: Final = 30
"""Conversations a group needs before a range is given."""

TREATED: Final = "treated"
CONTROL: Final = "control"
_LEAST_IN_STRATUM: Final = 5
_QUANTILE: Final = 1.959964
_OTHERS: Final = "(others)"
_KEY: Final = "coalesce(r.session_hash, r.id)"
_GOOD: Final = "(SELECT min(f.good) FROM feedback f WHERE f.request_id = r.id AND f.source {source})"

MEASURES: Final[Mapping[str, str]] = {
    "usd": "(r.actual_picousd - r.judge_picousd) / 1e12",
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
"""Per request: what it cost, without what went into judging it, and how it went. NULL where a measure says nothing of a request."""


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


@dataclass(slots=True)
class Cell:
    """One measure in one stratum and group: how many requests it speaks of, their sum, their conversations."""

    n: int = 0
    total: float = 0.0
    conversations: int = 0

    def add(self, other: Cell) -> None:
        """Take another's requests in."""
        self.n += other.n
        self.total += other.total
        self.conversations += other.conversations

    @property
    def mean(self) -> float:
        """Per request."""
        return self.total / self.n


Stratum = tuple[str, str]
Cells = dict[Stratum, dict[str, Cell]]

ROWS: Final = (
    "r.at_seconds >= :since AND r.at_seconds < :until AND (CAST(:recipe AS TEXT) IS NULL OR r.recipe = :recipe) "
    "AND r.grp IN ('control', 'treated')"
)
"""The requests of a period that belong to a group."""


def gather(db: Db, period: Period) -> None:
    """Read the rows once: every measure's count and sum for each conversation and kind of work, in a table of this connection only."""
    kind = "DOUBLE PRECISION"
    columns = ", ".join(f"n{n} {kind}, s{n} {kind}" for n in range(len(MEASURES)))
    sums = ", ".join(f"count(y{n}), coalesce(sum(y{n}), 0)" for n in range(len(MEASURES)))
    values = ", ".join(f"{sql} AS y{n}" for n, sql in enumerate(MEASURES.values()))
    rows = f"SELECT r.recipe, r.task, {GROUP} AS grp, {_KEY} AS k, {values} FROM requests r WHERE {ROWS}"
    db.scratch("DROP TABLE IF EXISTS parts")
    db.scratch(f"CREATE TEMP TABLE parts (recipe TEXT, task TEXT, grp TEXT, k TEXT, {columns})")
    db.scratch(f"INSERT INTO parts SELECT recipe, task, grp, k, {sums} FROM ({rows}) seen GROUP BY recipe, task, grp, k", **edges(period))


def gathered(db: Db, n: int) -> Cells:
    """One measure of what was gathered, by kind of work and group."""
    found = db.rows(f"SELECT recipe, task, grp, sum(n{n}), sum(s{n}), count(*) FROM parts WHERE n{n} > 0 GROUP BY 1, 2, 3")
    cells: Cells = {}
    for recipe, task, group, count, total, conversations in found:
        cells.setdefault((recipe, task), {})[group] = Cell(int(count), float(total), int(conversations))
    return cells


def beside(cells: Cells, against: str) -> Cells:
    """One group and the treated traffic. Kinds of work the group has too little of are compared as one, per recipe."""
    kept: Cells = {}
    for (recipe, task), groups in cells.items():
        enough = groups.get(against, Cell()).conversations >= _LEAST_IN_STRATUM and TREATED in groups
        into = kept.setdefault((recipe, task if enough else _OTHERS), {})
        for group in (against, TREATED):
            if group in groups:
                into.setdefault(group, Cell()).add(groups[group])
    return kept


def compare(db: Db, n: int, cells: Cells, against: str = CONTROL, only: frozenset[Stratum] | None = None) -> Difference | None:
    """Treated traffic beside one group, over the kinds of work both have; None where they have none in common."""
    both = {of: groups for of, groups in cells.items() if len(groups) == 2 and (only is None or of in only)}
    if not both:
        return None
    treated = sum(groups[TREATED].n for groups in both.values())
    means = {group: sum(groups[TREATED].n * groups[group].mean for groups in both.values()) / treated for group in (against, TREATED)}
    control = sum(groups[against].n for groups in both.values())
    conversations = sum(groups[against].conversations for groups in both.values())
    margin = _margin(db, n, cells, both, against) if conversations >= LEAST_CONTROL else None
    difference = means[TREATED] - means[against]
    low, high = (None, None) if margin is None else (difference - margin, difference + margin)
    return Difference(means[against], means[TREATED], low, high, control, treated)


def _margin(db: Db, n: int, cells: Cells, both: Cells, against: str) -> float:
    """Half the range: every conversation's part in the weighted difference, squared and summed, in the database."""
    values: dict[str, Any] = {"against": against, "treated": TREATED}
    mean, weight = _cases(cells, both, against, values)
    found = db.rows(
        f"SELECT grp, count(*), sum(z * z) FROM (SELECT grp, k, sum(w * (s - m * n)) AS z FROM (SELECT r.grp, r.k, r.n{n} AS n, "
        f"r.s{n} AS s, {mean} AS m, {weight} AS w FROM parts r WHERE r.n{n} > 0) seen WHERE w IS NOT NULL GROUP BY grp, k) z GROUP BY grp",
        **values,
    )
    variance, freedom = 0.0, 1
    for group, conversations, squares in found:
        variance += float(squares) * conversations / max(1, conversations - 1)
        if group == against:
            freedom = max(1, int(conversations) - len(both))
    return _student(freedom) * float(variance**0.5)


def _cases(cells: Cells, both: Cells, against: str, values: dict[str, Any]) -> tuple[str, str]:
    """Each row's mean and weight as SQL: by recipe, task and group, with the pooled kinds of work as what is left."""
    means, weights = [], []
    treated = sum(groups[TREATED].n for groups in both.values())
    for number, ((recipe, task), groups) in enumerate(sorted(both.items(), key=lambda of: of[0][1] == _OTHERS)):
        values |= {f"recipe{number}": recipe, f"task{number}": task}
        named = [of_task for of_recipe, of_task in cells if of_recipe == recipe and of_task != _OTHERS]
        where = f"r.recipe = :recipe{number}"
        if task != _OTHERS:
            where += f" AND r.task = :task{number}"
        elif named:
            values |= {f"named{number}n{n}": name for n, name in enumerate(named)}
            where += f" AND r.task NOT IN ({', '.join(f':named{number}n{n}' for n in range(len(named)))})"
        for name, group in (("against", against), ("treated", TREATED)):
            share = groups[TREATED].n / treated / groups[group].n
            means.append(f"WHEN {where} AND r.grp = :{name} THEN CAST({groups[group].mean!r} AS DOUBLE PRECISION)")
            weights.append(f"WHEN {where} AND r.grp = :{name} THEN CAST({share!r} AS DOUBLE PRECISION)")
    return f"CASE {' '.join(means)} ELSE NULL END", f"CASE {' '.join(weights)} ELSE NULL END"


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by its expansion around the normal's."""
    z = _QUANTILE
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
