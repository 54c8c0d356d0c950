"""What changes from call to call inside a prompt that should stay the same: clocks, dates, UUIDs, request ids, counters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from frugal_plugins.text.facts import NEGATION

Kind = Literal["clock", "uuid", "id", "number", "other"]

_MONTHS: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_TIME: Final = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[AaPp]\.?[Mm]\.?)?"
_ZONE: Final = r"(?:\s?(?:Z|UTC|GMT|[A-Z]{2,4}T|[+-]\d{2}:?\d{2}))?"
_DATE: Final = (
    rf"(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|{_MONTHS}\s\d{{1,2}}(?:st|nd|rd|th)?,?(?:\s\d{{4}})?|"
    rf"\d{{1,2}}(?:st|nd|rd|th)?\s{_MONTHS}(?:\s\d{{4}})?)"
)
_WEEKDAY: Final = r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,?\s)?"
_PATTERNS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("uuid", re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")),
    ("clock", re.compile(rf"{_WEEKDAY}{_DATE}(?:(?:T|,?\s(?:at\s)?){_TIME})?{_ZONE}|\b{_TIME}{_ZONE}")),
    ("id", re.compile(r"\b(?:[a-z]{2,12}[_-])(?=[\w-]*\d)[A-Za-z0-9]{6,}\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,}\b")),
    ("number", re.compile(r"\b\d{5,}(?:\.\d+)?\b")),
)
_MOMENT: Final = re.compile(rf"({_DATE})(?:T|,?\s(?:at\s)?)({_TIME})")
_SEE_END: Final = "(time: last line)"
_PASSAGE: Final = re.compile(r"[^\n]*\n|[^\n]+$")
_SENTENCE: Final = re.compile(r".+?(?:[.!?](?:\s+|$)|$)", re.DOTALL)
_LONG_LINE_CHARS: Final = 160
_COMMANDS: Final = re.compile(r"\b(?:must|should|always|only|shall|ensure|required|if|when|until|after|before)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A line or sentence of a prompt.

    Attributes:
        text: as it stands, its line end included; all passages joined are the prompt.
        shape: the same with what looks volatile replaced by its kind.
        kinds: which kinds those are.
    """

    text: str
    shape: str
    kinds: tuple[Kind, ...]

    @property
    def may_move(self) -> bool:
        """Whether it only states a value: a rule or a condition keeps its place."""
        return bool(self.kinds) and not NEGATION.search(self.text) and not _COMMANDS.search(self.text)


@lru_cache(maxsize=64)
def passages(text: str) -> tuple[Passage, ...]:
    """A prompt in lines, long lines in sentences. Nothing is lost: the texts joined are the prompt.

    >>> [p.kinds for p in passages("It is 2026-11-22 10:05.\\nBe brief.")]
    [('clock',), ()]
    """
    found: list[Passage] = []
    for line in _PASSAGE.findall(text):
        parts = _SENTENCE.findall(line) if len(line) > _LONG_LINE_CHARS else (line,)
        found.extend(_passage(part) for part in parts)
    return tuple(found)


@lru_cache(maxsize=8192)
def _passage(text: str) -> Passage:
    shape = text
    kinds: list[Kind] = []
    for kind, pattern in _PATTERNS:
        shape, count = pattern.subn(f"\0{kind}\0", shape)
        if count:
            kinds.append(kind)
    return Passage(text, shape, tuple(kinds))


def numbered(text: str) -> list[tuple[str, Passage]]:
    """The passages that look volatile, each under its shape and the how manieth of that shape it is."""
    count: dict[str, int] = {}
    found: list[tuple[str, Passage]] = []
    for passage in passages(text):
        if passage.kinds:
            shape = passage.shape.strip()
            count[shape] = count.get(shape, 0) + 1
            found.append((f"{count[shape]}|{shape}", passage))
    return found


def shape_of(text: str, most_chars: int | None = None) -> str:
    """A prompt with everything that looks volatile masked: the same for every call of one template."""
    return "".join(passage.shape for passage in passages(text))[:most_chars]


def replaced(text: str, new: Mapping[str, str]) -> str:
    """The prompt with some passages, named by their text without spaces around, in other words; "" takes one out."""
    parts = []
    for passage in passages(text):
        bare = passage.text.strip()
        words = new.get(bare) if bare else None
        parts.append(passage.text if words is None else passage.text.replace(bare, words) if words else "")
    return "".join(parts)


def split_clock(passage: Passage) -> tuple[str, str] | None:
    """A line that states one moment, as the line with its date alone and the time of day; None where that is not what it states.

    >>> split_clock(passages("The time is 2026-11-22 10:05:09 UTC.")[0])
    ('The time is 2026-11-22 (time: last line) UTC.', '10:05:09')
    """
    found = _MOMENT.findall(passage.text)
    if passage.kinds != ("clock",) or len(found) != 1 or passage.shape.count("\0clock\0") != 1:
        return None
    place = _MOMENT.search(passage.text)
    if place is None:
        return None
    text = f"{passage.text[: place.end(1)]} {_SEE_END}{passage.text[place.end(2) :]}"
    return text.strip(), place.group(2)


def parted(moving: Sequence[Passage]) -> tuple[dict[str, str], str]:
    """What is left of passages that change where they stood, by their text, and what of them goes to the end of the request.

    Of one clock only the time of day moves, bare in the very last line, as its words in front then say. Whatever else moves is
    quoted whole.
    """
    clocks = {passage.text.strip(): clock for passage in moving if (clock := split_clock(passage)) is not None}
    times = {time for _, time in clocks.values()}
    if len(times) > 1:
        clocks, times = {}, set()
    left = {passage.text.strip(): clocks.get(passage.text.strip(), ("", ""))[0] for passage in moving}
    whole = [text for text in left if text not in clocks]
    lines = "\n".join(whole)
    return left, "\n".join(([f"[{lines}]"] if whole else []) + sorted(times))
