"""One line of a log in our own words, whatever tool wrote it, and what is refused because it cannot be true."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final

from frugal_plugins.usage import Usage

MOST_TOKENS_A_REQUEST: Final = 20_000_000
"""More than any model takes; a count beyond it is a mistake of the log."""

FIRST_SECONDS: Final = 1_577_836_800.0
"""1 January 2020, before which nobody was billed for chat models; an earlier time is a mistake of the log."""

_MILLISECONDS_FROM: Final = 1e11
_MICROSECONDS_FROM: Final = 1e14
_LANES: Final = {"batch": "batch", "flex": "flex", "priority": "priority"}


@dataclass(slots=True)
class Row:
    """What one log line, or one line of a usage report, comes to. None is "the log does not say".

    Attributes:
        at_seconds: when, in unix seconds.
        requests: how many requests the line stands for: 1 in a log, many in a usage report, 0 where the report does not count them.
        input_tokens: what was read, cached or not; `fresh_tokens` is the part at the plain price.
        size_tokens: the input of a single request, which decides the long-context price.
        task, task_source: the kind of work and how it is known (declared, rules, unknown, unread, or "" without text).
        tenant, session: hashes, never names.
        exact, canonical, near: hashes of what was asked: the same, the same but for politeness, the same words.
        prefix: a hash of the system prompt and the tools; `prefix_tokens` their size.
        history_tokens, turns: what earlier turns add, and which user turn this is.
        tool_tokens: what results of tools take, wherever they stand.
        needs: what the request asks of a model (tools, schema, images, parameters), for routing.
        can_wait: 2 marked by the caller, 1 looks as if it could wait, 0 somebody waits for it.
        bounded_tokens: the caller's own limit on the answer.
        stored_answer: whether a cache answered and nothing was billed.
    """

    at_seconds: float | None
    model: str
    lane: str = "standard"
    requests: int = 1
    input_tokens: int = 0
    fresh_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    size_tokens: int = 0
    task: str = ""
    task_source: str = ""
    tenant: int | None = None
    session: int | None = None
    exact: int | None = None
    canonical: int | None = None
    near: int | None = None
    prefix: int | None = None
    prefix_tokens: int = 0
    history_tokens: int = 0
    tool_tokens: int = 0
    turns: int = 0
    needs: str = ""
    can_wait: int = 0
    bounded_tokens: int | None = None
    stored_answer: bool = False

    def line(self) -> str:
        """One tab-separated line for the database."""
        return "\t".join(["\\N" if value is None else value if value.__class__ is str else str(value) for value in _VALUES(self)])


COLUMNS: Final = tuple(field.name for field in fields(Row))

_VALUES: Final = attrgetter(*COLUMNS)

TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(COLUMNS, "BIGINT"),
    "at_seconds": "DOUBLE",
    **dict.fromkeys(("model", "lane", "task", "task_source", "needs"), "VARCHAR"),
    "stored_answer": "BOOLEAN",
}
"""The columns' types in the database."""


class Unusable(Exception):
    """Why one line cannot be counted, and what to do about it."""


def counted(row: Row, usage: Usage) -> Row:
    """Put a usage into a row. Raises Unusable for counts that cannot be."""
    values = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.output_tokens)
    if min(values) < 0:
        raise Unusable("a token count is negative; export the line again or remove it")
    if row.requests < 0:
        raise Unusable("the number of requests is negative; export the line again or remove it")
    if row.requests and max(values) > MOST_TOKENS_A_REQUEST * row.requests:
        raise Unusable(f"{max(values):,} tokens in one request cannot be; export the line again or remove it")
    row.input_tokens, row.cache_read_tokens, row.cache_write_5m_tokens, row.cache_write_1h_tokens, row.output_tokens = values
    row.fresh_tokens = usage.uncached_input_tokens
    row.reasoning_tokens = min(max(0, usage.reasoning_tokens), usage.output_tokens)
    row.size_tokens = row.size_tokens or usage.input_tokens // max(1, row.requests)
    return row


def moment(value: Any) -> tuple[float | None, bool]:
    """A time as unix seconds, and whether it named its time zone (one that does not is read as UTC).

    >>> moment("2026-11-01T12:00:00+01:00"), moment("2026-11-01 11:00:00"), moment(1793530800000), moment("soon")
    ((1793530800.0, True), (1793530800.0, False), (1793530800.0, True), (None, True))
    """
    seconds: float | None = None
    zoned = True
    if isinstance(value, str):
        text = value.strip()
        try:
            found = dt.datetime.fromisoformat(text.removesuffix(" UTC"))
        except ValueError:
            seconds = _number(text)
        else:
            zoned = found.tzinfo is not None or text.endswith("UTC")
            seconds = (found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)).timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    if seconds is None or not math.isfinite(seconds):
        return None, True
    if seconds > _MICROSECONDS_FROM:
        seconds /= 1e6
    elif seconds > _MILLISECONDS_FROM:
        seconds /= 1e3
    return (seconds, zoned) if seconds >= FIRST_SECONDS else (None, True)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def lane_of(*said: Any) -> str:
    """The price class a log names: `service_tier`, a batch flag, or standard."""
    for one in said:
        if one is True:
            return "batch"
        if isinstance(one, str) and one.lower() in _LANES:
            return _LANES[one.lower()]
    return "standard"


def whole(value: Any) -> int:
    """A count as people export it: 12, "12", "12.0", "1,234", "" or null. Raises Unusable for anything else."""
    if value is None or value == "":
        return 0
    if type(value) is int:
        return value
    try:
        return int(float(str(value).replace(",", "")))
    except (ValueError, OverflowError):
        raise Unusable(f"{str(value)[:30]!r} is not a number of tokens; export the line again or remove it") from None


def word(value: Any, longest: int = 120) -> str:
    """A name that fits on one line of the database and of a terminal: no control characters, no line ends."""
    if not value:
        return ""
    text = " ".join(str(value).split())[:longest].replace("\\", "/")
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
