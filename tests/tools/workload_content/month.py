"""When the requests of the month are sent: May 2026, the working hours of both shops, in UTC."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WORKING_DAYS = (1, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 18, 19, 20, 21, 22, 25, 26, 27, 28, 29)
OPENING_HOURS = {"larkfield-eu": (7, 16), "larkfield-us": (15, 24)}
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its id and time.

    Attributes:
        topic: for an FAQ, what it is about; customers tend to ask the same within a day.
        day: the day of May it belongs to, where its text says so.
        gap_seconds: for a later turn or step of a session, how long after the one before it comes, from and to.
    """

    kind: str
    body: dict[str, Any]
    frugal: dict[str, str]
    answers: dict[str, Any]
    check: dict[str, Any]
    topic: str | None = None
    day: int | None = None
    gap_seconds: tuple[int, int] | None = None


def in_time_order(drafts: Iterable[Draft], chance: random.Random) -> list[tuple[int, Draft]]:
    """Every draft with its second of the month, no two at the same second."""
    timed: list[tuple[int, Draft]] = []
    topic_days: dict[str, int] = {}
    by_burst: dict[tuple[str, int], list[Draft]] = {}
    previous = 0
    for draft in drafts:
        if draft.topic:
            day = _day_of_topic(draft, topic_days, chance)
            by_burst.setdefault((draft.frugal["tenant"], day), []).append(draft)
            continue
        previous = previous + _between(draft.gap_seconds, chance) if draft.gap_seconds else _any_time(draft, chance)
        timed.append((previous, draft))
    for (tenant, day), group in sorted(by_burst.items()):
        timed.extend(_bursts(tenant, day, group, chance))
    return _one_a_second(timed)


def _day_of_topic(draft: Draft, topic_days: dict[str, int], chance: random.Random) -> int:
    """Two of three questions about a topic come on one day, the others on any day."""
    key = f"{draft.frugal['tenant']} {draft.topic}"
    usual = topic_days.setdefault(key, _working_day(chance))
    return usual if chance.random() < 0.67 else _working_day(chance)


def _bursts(tenant: str, day: int, group: list[Draft], chance: random.Random) -> list[tuple[int, Draft]]:
    """A day's questions in groups of up to five, a minute or two apart within a group."""
    mixed = [draft for _, draft in sorted(((chance.random(), draft) for draft in group), key=lambda pair: pair[0])]
    timed = []
    while mixed:
        size = 2 + int(chance.random() * 4)
        at = _working_second(tenant, day, chance)
        for draft in mixed[:size]:
            timed.append((at, draft))
            at += _between((20, 170), chance)
        mixed = mixed[size:]
    return timed


def _any_time(draft: Draft, chance: random.Random) -> int:
    return _working_second(draft.frugal["tenant"], draft.day or _working_day(chance), chance)


def _working_day(chance: random.Random) -> int:
    return WORKING_DAYS[int(chance.random() * len(WORKING_DAYS))]


def _working_second(tenant: str, day: int, chance: random.Random) -> int:
    opens, closes = OPENING_HOURS[tenant]
    return (day - 1) * DAY_SECONDS + opens * 3600 + int(chance.random() * (closes - opens) * 3600)


def _between(bounds: tuple[int, int], chance: random.Random) -> int:
    return bounds[0] + int(chance.random() * (bounds[1] - bounds[0]))


def _one_a_second(timed: list[tuple[int, Draft]]) -> list[tuple[int, Draft]]:
    placed: list[tuple[int, Draft]] = []
    for at, draft in sorted(timed, key=lambda pair: pair[0]):
        earliest = placed[-1][0] + 1 if placed else 0
        placed.append((max(at, earliest), draft))
    return placed
