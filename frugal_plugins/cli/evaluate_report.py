"""What an evaluation found: each candidate's score with its range, by model, task and field, and two candidates side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from typing import Any

from rich.console import Group, RenderableType

from frugal_plugins.evaluate import Score, Verdict, difference, score
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number


@dataclass(frozen=True, slots=True)
class Scored:
    """One row of one candidate."""

    line: int
    custom_id: str | None
    expected: Any
    answer: str | None
    verdict: Verdict
    model: str
    task: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Candidacy:
    """One candidate's rows, and what its answers and the judge's words cost; None where a price is not known."""

    name: str
    answers: str
    rows: Sequence[Scored]
    usd: Decimal | None
    judge_usd: Decimal | None = Decimal(0)

    @property
    def whole(self) -> Score:
        """All rows."""
        return counted(self.rows)

    def by(self, name: Callable[[Scored], str]) -> dict[str, Score]:
        """The score of each kind of row, the most frequent first."""
        kinds: dict[str, list[Scored]] = {}
        for row in self.rows:
            kinds.setdefault(name(row), []).append(row)
        return {kind: counted(rows) for kind, rows in sorted(kinds.items(), key=lambda one: (-len(one[1]), one[0]))}

    def fields(self) -> dict[str, Score]:
        """The score of each JSON field."""
        found: dict[str, list[bool | None]] = {}
        for row in self.rows:
            for name, right in row.verdict.fields.items():
                found.setdefault(name, []).append(right)
        return {name: score(verdicts) for name, verdicts in found.items()}

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        whole = self.whole
        per_right = None if self.usd is None or not whole.right else self.usd / whole.right
        return {
            "name": self.name, **whole.figures(), "usd": number(self.usd), "usd_per_right_answer": number(per_right),
            "judge_usd": number(self.judge_usd), "answers": self.answers,
            "by_model": _figures(self.by(lambda row: row.model)), "by_task": _figures(self.by(lambda row: row.task)),
            "by_field": _figures(self.fields()),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All candidates, and what they had to reach.

    Attributes:
        most_drop_points: by how many percent points the first may be worse than each of the others.
    """

    candidates: Sequence[Candidacy]
    minimum_percent: float | None = None
    most_drop_points: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def failures(self) -> list[str]:
        """What was not reached, in words."""
        found = []
        if self.minimum_percent is not None:
            low = [one for one in self.candidates if one.whole.percent < self.minimum_percent]
            found += [f"{one.name} has {_range(one.whole)}, below the minimum of {self.minimum_percent:g} %" for one in low]
        if self.most_drop_points is not None:
            first = self.candidates[0]
            for other in self.candidates[1:]:
                points = difference(_verdicts(first), _verdicts(other)).points
                if -points > self.most_drop_points:
                    found.append(f"{first.name} is {-points:.1f} points worse than {other.name}, more than {self.most_drop_points:g}")
        return found

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        pairs = [
            {"first": one.name, "second": other.name, **difference(_verdicts(one), _verdicts(other)).figures()}
            for one, other in combinations(self.candidates, 2)
        ]
        return {
            **self.about, "candidates": [one.figures() for one in self.candidates], "comparisons": pairs,
            "minimum_percent": self.minimum_percent, "most_drop_points": self.most_drop_points, "passed": not self.failures(),
        }  # fmt: skip

    def text(self, title: str) -> RenderableType:
        """For a person."""
        parts: list[RenderableType] = [_overview(title, self.candidates)]
        for name, kinds in (
            ("model", lambda one: one.by(lambda row: row.model)),
            ("task", lambda one: one.by(lambda row: row.task)),
            ("field", Candidacy.fields),
        ):
            split = [(one.name, kind, found) for one in self.candidates for kind, found in kinds(one).items()]
            if len({kind for _, kind, _ in split}) > 1:
                rows = [(candidate, kind, f"{found.right:,} of {found.rows:,}", *_percents(found)) for candidate, kind, found in split]
                parts.append(table(f"By {name}", ("candidate", name, "right", "score", "95 % range"), rows, words=2))
        if len(self.candidates) > 1:
            parts.append(_side_by_side(self.candidates))
        return Group(*parts)


def counted(rows: Iterable[Scored]) -> Score:
    """Rows as a score."""
    rows = list(rows)
    return score([row.verdict.right for row in rows if row.error is None], sum(row.error is not None for row in rows))


def _verdicts(one: Candidacy) -> dict[int, bool | None]:
    return {row.line: row.verdict.right for row in one.rows}


def _figures(kinds: Mapping[str, Score]) -> dict[str, Any]:
    return {name: found.figures() for name, found in kinds.items()}


def _range(found: Score) -> str:
    low, high = found.interval_percent
    return f"{found.percent:.1f} % right ({low:.1f} to {high:.1f})"


def _percents(found: Score) -> tuple[str, str]:
    low, high = found.interval_percent
    return f"{found.percent:.1f} %", f"{low:.1f} to {high:.1f}"


def _overview(title: str, candidates: Sequence[Candidacy]) -> RenderableType:
    judged = any(one.judge_usd is None or one.judge_usd for one in candidates)
    unclear = any(one.whole.unclear for one in candidates)
    heads = ["candidate", "right", "score", "95 % range", "no answer", "cost", "per right answer"]
    rows = []
    for one in candidates:
        whole = one.whole
        each = None if one.usd is None else one.usd / whole.right if whole.right else Decimal(0)
        cells = [one.name, f"{whole.right:,} of {whole.rows:,}", *_percents(whole), f"{whole.unanswered:,}", money(one.usd)]
        cells.append("-" if not whole.right else money(each))
        rows.append([*cells, *([money(one.judge_usd)] if judged else []), *([f"{whole.unclear:,}"] if unclear else [])])
    more = [*(["the judge's cost"] if judged else []), *(["judge unclear"] if unclear else [])]
    return table(title, (*heads, *more), rows)


def _side_by_side(candidates: Sequence[Candidacy]) -> RenderableType:
    rows = []
    for one, other in combinations(candidates, 2):
        found = difference(_verdicts(one), _verdicts(other))
        low, high = found.interval_points
        says = f"{one.name if found.points > 0 else other.name} is better" if found.clear else "these rows cannot tell"
        cost = "-" if not one.usd or not other.usd else f"{float(one.usd / other.usd):.2f}"
        rows.append(
            (f"{one.name} against {other.name}", f"{found.only_first:,}", f"{found.only_second:,}", f"{found.points:+.1f}",
             f"{low:+.1f} to {high:+.1f}", cost, says)
        )  # fmt: skip
    heads = ("on the same rows", "only first right", "only second right", "points", "95 % range", "cost ratio", "")
    return table("Side by side", heads, rows)
