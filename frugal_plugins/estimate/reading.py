"""Turning one stretch of a file into rows: the format is recognised record by record, and what cannot be used is named."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Final, Protocol

from frugal_plugins.errors import LedgerError
from frugal_plugins.estimate.chats import Chats
from frugal_plugins.estimate.features import TextReading, number_of
from frugal_plugins.estimate.reports import AnthropicUsage, OpenAIUsage
from frugal_plugins.estimate.row import Row, Unusable, counted, lane_of, word
from frugal_plugins.estimate.sources import Source, records
from frugal_plugins.estimate.traces import Helicone, Langfuse, LiteLLMSpend, PlainTable
from frugal_plugins.ledger.file import open_ledger
from frugal_plugins.usage import Usage

NAMED_PROBLEMS: Final = 20
"""How many unusable lines are named; all of them are counted."""

LEDGER: Final = "our own ledger"
_LEDGER_MISSING: Final = (
    "prompts",
    "prefixes are not visible, so prompt_cache is judged by sessions; shorten by token counts",
)


class Format(Protocol):
    """A reader of one format."""

    name: str
    missing: tuple[tuple[str, str], ...]
    reading: TextReading
    uncounted: int
    zoneless: int

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this format."""

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The rows of a record; raises Unusable."""


@dataclass(slots=True)
class Tally:
    """What one stretch of a file came to.

    Attributes:
        formats: records by format; `missing` what each of them leaves out and what that makes uncertain.
        problems: the first unusable lines (line, why); `unusable` counts all of them.
        overcached: rows whose cached tokens exceed their input.
        seen: the names in the first record nobody recognised.
    """

    formats: Counter[str] = field(default_factory=Counter)
    missing: dict[str, list[list[str]]] = field(default_factory=dict)
    rows: int = 0
    lines: int = 0
    unusable: int = 0
    left_out: int = 0
    uncounted: int = 0
    zoneless: int = 0
    overcached: int = 0
    unread: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def refuse(self, line: int, why: str) -> None:
        """Count an unusable line and keep the first ones by name."""
        self.unusable += 1
        if len(self.problems) < NAMED_PROBLEMS:
            self.problems.append((line, why))

    def as_json(self) -> str:
        """For the process that started this one."""
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Tally:
        """What `as_json` wrote."""
        found = json.loads(text)
        found["formats"] = Counter(found["formats"])
        found["problems"] = [(line, why) for line, why in found["problems"]]
        return cls(**found)


def read_stretch(source: Source, out: IO[str], start: int = 0, end: int | None = None, *, questions: IO[str] | None = None) -> Tally:
    """Write the rows of a stretch as tab-separated lines and tally them; the questions in it too, where they are wanted."""
    tally = Tally()
    if source.kind == "sqlite":
        for row in _ledger_rows(source.path, tally):
            _write(row, out, tally)
        return tally
    formats: list[Format] = [LiteLLMSpend(), OpenAIUsage(), AnthropicUsage(), Langfuse(), Helicone(), Chats(), PlainTable()]
    for one in formats:
        one.reading.questions = questions
    known = formats[0]
    for number, record in records(source, start, end):
        tally.lines = number
        if isinstance(record, Unusable):
            tally.refuse(number, str(record))
            continue
        if not known.fits(record):
            found = next((one for one in formats if one.fits(record)), None)
            if found is None:
                tally.seen = tally.seen or [word(name, 40) for name in list(record)[:12]]
                tally.refuse(number, "no format we know has these fields")
                continue
            known = found
        _rows(known, record, number, out, tally)
    for one in formats:
        tally.uncounted += one.uncounted
        tally.zoneless += one.zoneless
        if tally.formats[one.name]:
            tally.missing[one.name] = [list(pair) for pair in one.missing]
    return tally


def _rows(known: Format, record: Mapping[str, Any], number: int, out: IO[str], tally: Tally) -> None:
    try:
        rows = known.rows(record)
    except Unusable as why:
        tally.refuse(number, str(why))
        return
    tally.formats[known.name] += 1
    tally.left_out += not rows
    for row in rows:
        _write(row, out, tally)


def _write(row: Row, out: IO[str], tally: Tally) -> None:
    if row.cache_read_tokens + row.cache_write_5m_tokens + row.cache_write_1h_tokens > row.input_tokens:
        tally.overcached += 1
    tally.unread += row.task_source == "unread"
    tally.rows += 1
    out.write(row.line() + "\n")


_CALLS: Final = """
SELECT r.at_seconds, c.model, c.lane, r.task, r.task_source, r.tenant_hash, r.session_hash, r.request_hash, r.stream, c.finish_reason,
       c.input_tokens, c.cache_read_tokens, c.cache_write_5m_tokens, c.cache_write_1h_tokens, c.output_tokens, c.reasoning_tokens, c.purpose
FROM calls c JOIN requests r ON r.id = c.request_id ORDER BY r.at_seconds
"""


def _ledger_rows(path: Path, tally: Tally) -> Iterator[Row]:
    try:
        with closing(open_ledger(path)) as db:
            found = db.execute(_CALLS).fetchall()
            hits = db.execute("SELECT at_seconds, model_baseline FROM requests WHERE outcome = 'hit'").fetchall()
    except sqlite3.Error as error:
        raise LedgerError(f"{path} is an SQLite file but not a ledger of ours ({error}); name the ledger of a recipe") from error
    tally.missing[LEDGER] = [list(_LEDGER_MISSING)]
    for number, values in enumerate(found, start=1):
        at, model, lane, task, source, tenant, session, asked, stream, finish, *counts, purpose = values
        row = Row(at, model, lane_of(lane))
        try:
            counted(row, Usage(*counts))
        except Unusable as why:
            tally.refuse(number, str(why))
            continue
        tally.formats[LEDGER] += 1
        row.task, row.task_source = task, source
        row.tenant, row.session = number_of(tenant), number_of(session)
        if finish in ("stop", None) and purpose == "answer":
            row.exact = row.canonical = row.near = number_of(asked)
        row.can_wait = int(not stream and session is None and task in ("extraction", "classification", "summary", "document", "outline"))
        yield row
    for at, model in hits:
        tally.formats[LEDGER] += 1
        yield Row(at, model, stored_answer=True)
