"""What new rows add to the sums by hour and by day, worked out here: one pass over a batch, a few hundred sums to write."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from frugal_plugins.ledger.rows import COLUMNS, RequestRows, Row

_HOUR: Final = 3_600
_DAY: Final = 86_400
_DIMENSIONS: Final = ("all", "task", "asked_model", "group", "outcome", "host", "recipe", "team", "feature")


def _columns(table: str, names: str) -> Callable[[Row], tuple[Any, ...]]:
    """Reads some columns of a table's row."""
    at = {name: n for n, name in enumerate(COLUMNS[table].split(", "))}
    return itemgetter(*(at[name] for name in names.split()))


_REQUEST: Final = _columns(
    "requests",
    "at_seconds recipe basis task model_baseline grp held_out outcome host team feature "
    "input_tokens cache_read_tokens output_tokens baseline_picousd actual_picousd",
)
_CALL: Final = _columns("calls", "model error input_tokens cache_read_tokens output_tokens picousd")
_DECISION: Final = _columns("decisions", "technique action mode")
_SAVING: Final = _columns("savings", "technique picousd basis")


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows for the tables of sums, each sorted by its key, so that writers side by side do not lock each other out."""

    hours: list[Row]
    days: list[Row]
    decision_hours: list[Row]
    decision_days: list[Row]

    def by_table(self) -> dict[str, list[Row]]:
        """The rows under the names of their tables."""
        return {
            "rollups": self.hours,
            "day_rollups": self.days,
            "decision_rollups": self.decision_hours,
            "day_decision_rollups": self.decision_days,
        }


class _Adding:
    """Sums of whole numbers by key."""

    def __init__(self) -> None:
        self.of: dict[Any, list[int]] = {}

    def add(self, key: Hashable, numbers: Iterable[int]) -> None:
        found = self.of.get(key)
        if found is None:
            self.of[key] = list(numbers)
        else:
            for n, number in enumerate(numbers):
                found[n] += number

    def rows(self) -> list[Row]:
        return [(*key, *numbers) for key, numbers in sorted(self.of.items())]


def sums_of(new: Iterable[RequestRows]) -> Sums:
    """What these requests, none of them booked before, add to the sums."""
    alike, hours, decisions = _Adding(), _Adding(), _Adding()
    for rows in new:
        hour, recipe = _add_request(rows, alike)
        for model, error, read, cached, written, cost in map(_CALL, rows.calls):
            key = ("model", hour, model, recipe, "unpriced" if cost is None else "paid")
            hours.add(key, (1, int(cost is not None), 0, int(error is not None), read, cached, written, 0, 0, 0, cost or 0))
        for technique, saved, basis in map(_SAVING, rows.savings):
            key = ("shadow" if basis == "shadow" else "technique", hour, technique, recipe, basis)
            hours.add(key, (1, 1, 0, 0, 0, 0, 0, 0, 0, saved, 0))
        for technique, action, mode in map(_DECISION, rows.decisions):
            decisions.add((hour, technique, action, mode, recipe), (1,))
    for (hour, recipe, basis, *values), numbers in alike.of.items():
        for dimension, value in zip(_DIMENSIONS, ("", *values), strict=True):
            hours.add((dimension, hour, value, recipe, basis), numbers)
    days, decision_days = _Adding(), _Adding()
    for (dimension, hour, *rest), numbers in hours.of.items():
        days.add((dimension, hour // _DAY * _DAY, *rest), numbers)
    for (hour, *rest), numbers in decisions.of.items():
        decision_days.add((hour // _DAY * _DAY, *rest), numbers)
    return Sums(hours.rows(), days.rows(), decisions.rows(), decision_days.rows())


def _add_request(rows: RequestRows, alike: _Adding) -> tuple[int, str]:
    """Add a request to those that are alike in everything sums are split by; gives its hour and recipe."""
    at, recipe, basis, task, asked, group, held_out, outcome, host, team, feature, read, cached, written, before, paid = _REQUEST(
        rows.request
    )
    hour, pair = int(at // _HOUR) * _HOUR, before is not None and paid is not None
    spent = paid if paid is not None else sum(_prices(rows))
    group = f"without {held_out}" if held_out else group
    key = (hour, recipe, basis, task, asked, group, outcome, host, recipe, team or "", feature or "")
    dollars = (before, paid, before - paid) if pair else (0, 0, 0)
    alike.add(key, (1, int(pair), int(outcome == "hit"), int(outcome == "error"), read, cached, written, *dollars, spent))
    return hour, recipe


def _prices(rows: RequestRows) -> Iterator[int]:
    return (cost for *_, cost in map(_CALL, rows.calls) if cost is not None)
