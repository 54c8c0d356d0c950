"""What each technique would save: low, likely and high, alone and with the others, with what drives the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from frugal_plugins.estimate.cells import Cell, Visible
from frugal_plugins.estimate.replay import FLOW, HIGH, LIKELY, LOW, OFF, Pile, alone, by_block, together, total

MISSION_ORDER: Final = ("route", "prompt_cache", "cap", "history", "cache", "batch", "shorten")
"""In which order teams are advised to begin; it decides between techniques of about equal return."""

IN_RECIPES: Final = frozenset({"cache", "route", "cap", "history", "shorten", "prompt_cache", "batch"})
"""What a written recipe switches on. history, shorten and prompt_cache can be added by hand; their predictions are not checked yet."""

_EFFORT: Final = {"route": 2.0, "prompt_cache": 1.0, "cap": 1.0, "history": 2.0, "cache": 1.5, "batch": 3.0, "shorten": 1.5}
_NINETY_PERCENT: Final = 1.64
_LEAST_BLOCKS: Final = 4

_RISKS: Final = {
    "cache": "an answer that has gone stale, until its time is over",
    "history": "a detail of an early turn that the summary leaves out",
    "shorten": "an instruction that loses a nuance; code, numbers and JSON are left alone",
    "route": "a cheap answer to a question that only looked simple",
    "cap": "an answer cut short; it is asked again with a larger budget",
    "prompt_cache": "none: the model reads the same text",
    "batch": "an answer up to 24 hours later",
}
_DRIVERS: Final = {
    "cache": "how many of the repeats may share an answer: the very same (low), also politer ones (likely), the same words (high)",
    "history": "how much of the earlier turns a summary replaces, and how short tool results get; what was cached is worth little",
    "shorten": "how wordy the prompts are: 0 to 10 % of what is not cached",
    "route": "how much of the work is recognised, how long the cheaper model's answers are (90 to 115 % of today's), and how much "
    "of today's cached input it has to read anew",
    "cap": "whether cut answers are complete (a verdict) or must be asked again",
    "prompt_cache": "how often the provider's cache still holds a prefix five minutes later",
    "batch": "whether the work that looks as if it could wait really can; only what is marked counts as low",
}
_NOT_VISIBLE: Final = {
    "cache": "needs the prompts or a hash of them: log requests, or keep a ledger",
    "history": "needs the conversations: log requests, or a session with each call",
    "route": "needs the prompts, a task, or single requests",
    "cap": "needs the prompts or a task with each call",
    "prompt_cache": "needs the prompts, or a session with each call",
    "batch": "needs the prompts, a task, or a tag that says what can wait",
    "shorten": "needs token counts",
}


@dataclass(frozen=True, slots=True)
class Range:
    """Dollars over the observed span."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """For a month, say."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class Saving:
    """One technique's part.

    Attributes:
        alone: by itself; `combined`: what it adds after those before it in the flow.
        visible: whether these logs show what it needs; where not, `driver` says what would.
        in_recipes: whether a recipe can switch it on today.
        rank: its place by return on effort, from 1.
    """

    name: str
    alone: Range
    combined: Range
    visible: bool
    driver: str
    risk: str
    in_recipes: bool
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Savings:
    """All seven, in the order of the flow.

    Attributes:
        before, after: dollars over the observed span; `after` with everything on.
        sampled: whether the range also holds how much the stretches of the observed time differ.
    """

    techniques: tuple[Saving, ...]
    before: float
    after: Range
    sampled: bool

    def by_rank(self) -> tuple[Saving, ...]:
        """Best return on effort first."""
        return tuple(sorted(self.techniques, key=lambda one: one.rank))


def savings_of(timed: Sequence[Pile], seen: Visible, cells: Sequence[Cell]) -> Savings:
    """Replay everything three times and widen the range by what chance does between one stretch of time and the next."""
    before = total(timed, OFF)
    combined = {name: [together(timed, s)[name] for s in (LOW, LIKELY, HIGH)] for name in FLOW}
    single = {name: [alone(timed, s)[name] for s in (LOW, LIKELY, HIGH)] for name in FLOW}
    chance = _chance(timed)
    shows = _shows(seen, cells)
    made = [
        Saving(
            name=name,
            alone=_range(single[name], chance[name], before),
            combined=_range(combined[name], chance[name], before),
            visible=shows[name],
            driver=_DRIVERS[name] if shows[name] else _NOT_VISIBLE[name],
            risk=_RISKS[name],
            in_recipes=name in IN_RECIPES,
        )
        for name in FLOW
    ]
    after = sorted(total(timed, s) for s in (LOW, LIKELY, HIGH))
    spread = sum(value**2 for value in chance.values()) ** 0.5
    whole = Range(max(0.0, after[0] - spread), total(timed, LIKELY), min(before, after[2] + spread))
    return Savings(tuple(_ranked(made, before)), before, whole, any(chance.values()))


def _range(values: Sequence[float], chance: float, before: float) -> Range:
    low, likely, high = min(values), values[1], max(values)
    down = low - chance
    return Range(max(0.0, down) if low >= 0 else down, likely, min(before, high + chance))


def _chance(timed: Sequence[Pile]) -> dict[str, float]:
    """The next stretch of the same length may differ by this much, nine times in ten: from how the observed stretches differ."""
    made = {}
    for name, pairs in by_block(timed, LIKELY).items():
        spent, saved = sum(a for a, _ in pairs), sum(b for _, b in pairs)
        count = len(pairs)
        if count < _LEAST_BLOCKS or not spent:
            made[name] = 0.0
            continue
        share = saved / spent
        squares = sum((b - share * a) ** 2 for a, b in pairs)
        made[name] = _NINETY_PERCENT * (2 * squares * count / (count - 1)) ** 0.5
    return made


def _shows(seen: Visible, cells: Sequence[Cell]) -> Mapping[str, bool]:
    guessed = any(cell.source == "shape" for cell in cells)
    return {
        "cache": seen.repeats,
        "history": seen.sessions,
        "shorten": True,
        "route": seen.tasks or guessed,
        "cap": seen.tasks and seen.singles,
        "prompt_cache": seen.prefixes or seen.sessions,
        "batch": seen.tasks or any(cell.can_wait for cell in cells),
    }


def _ranked(made: Sequence[Saving], before: float) -> list[Saving]:
    """Dollars per effort in steps of one percent of the bill; within a step the mission's order decides."""

    def key(one: Saving) -> tuple[float, int]:
        gain = one.combined.likely / _EFFORT[one.name] / before if before else 0.0
        return -round(gain, 2), MISSION_ORDER.index(one.name)

    order = [one.name for one in sorted(made, key=key)]
    return [Saving(s.name, s.alone, s.combined, s.visible, s.driver, s.risk, s.in_recipes, order.index(s.name) + 1) for s in made]
