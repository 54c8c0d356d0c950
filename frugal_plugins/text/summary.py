"""An extractive summary, fact first: the sentences that say the most new facts for their tokens. It invents nothing."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from frugal_plugins.text.facts import DECISION, NEGATION, content_words, fact_spans, folded, sentences
from frugal_plugins.tokens import count_text

_LONGEST_UNIT_CHARS: Final = 320
_CLAUSE: Final = re.compile(r"(?<=[,;}\]])\s*|\s+[-–—]\s+")
_FILLER: Final = re.compile(
    r"^(?:(?:okay|ok|sure|great|well|hi|hello|hey|yes|yeah|yep|alright|perfect|wonderful|awesome|cool|thanks|thank you|oh|so|and|"
    r"absolutely|definitely|sounds (?:good|great|nice)|that(?:'s| is| sounds)? (?:good|great|fine|nice|perfect|okay))"
    r"(?: (?:there|then|much))?"
    r"[,.!:;\s]+)+",
    re.IGNORECASE,
)
_POLITE: Final = re.compile(
    r"\b(?:(?:i|we)(?: would|'d)? (?:really )?(?:like|want|wish|love|need|am hoping|am looking|am going|am planning|plan|hope)(?: you)? to|"
    r"i(?:'d| would)? (?:really )?(?:like|want|need)|i(?:'m| am) (?:looking for|interested in|hoping for)|"
    r"(?:can|could|would|will) you (?:please )?(?:help me )?|please(?: confirm(?: the following)?:?)?|"
    r"(?:may|can|could) i (?:please )?(?:have|get)|let me know|go ahead and|i think|i guess|do you (?:want|have|know|mind)(?: me)?(?: to)?|"
    r"would you (?:like|prefer)(?: me)?(?: to)?|i found|i have found|there (?:is|are)|it(?:'s| is)|make sure|is there|are there)\b\s*",
    re.IGNORECASE,
)
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Said:
    """One message as a summary reads it."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence that could be quoted: its words with filler removed, its facts and what it costs."""

    text: str
    facts: tuple[str, ...]
    words: tuple[str, ...]
    decides: bool
    tokens: int


def summarise(said: Sequence[Said], budget_tokens: int, *, known: str = "") -> str:
    """At most `budget_tokens` of the most telling sentences of a conversation, in their order, speakers marked by a letter.

    Args:
        known: text the reader sees anyway; a fact that stands there earns nothing.
    """
    units = [(place, role, unit) for place, (role, unit) in enumerate(_units(said))]
    chosen = _choose(units, budget_tokens, folded(known))
    lines: list[str] = []
    last = ""
    for _, role, unit in sorted(chosen, key=lambda entry: entry[0]):
        if lines and role == last:
            lines[-1] += f" {unit.text}"
        else:
            lines.append(f"{role[:1].upper()}: {unit.text}")
        last = role
    return "\n".join(lines)


def _units(said: Iterable[Said]) -> Iterable[tuple[str, _Unit]]:
    for message in said:
        for unit in _units_of(message.text):
            yield message.role, unit


@lru_cache(maxsize=8192)
def _units_of(text: str) -> tuple[_Unit, ...]:
    pieces: list[str] = []
    for sentence in sentences(text):
        pieces.extend([sentence] if len(sentence) <= _LONGEST_UNIT_CHARS else _clauses(sentence))
    found = []
    for piece in pieces:
        short = _plainer(piece)
        if short:
            facts = tuple(dict.fromkeys(folded(short[start:end]) for start, end in fact_spans(short)))
            words = tuple(dict.fromkeys(content_words(short)))
            found.append(_Unit(short, facts, words, bool(DECISION.search(short)), count_text(short) + 1))
    return tuple(found)


def _clauses(sentence: str) -> list[str]:
    """A long sentence in pieces of readable size, cut after commas and brackets."""
    pieces, held = [], ""
    for part in _CLAUSE.split(sentence):
        if held and len(held) + len(part) > _LONGEST_UNIT_CHARS // 2:
            pieces.append(held)
            held = ""
        held = f"{held} {part}".strip()
    return [*pieces, held] if held else pieces


def _plainer(sentence: str) -> str:
    """A sentence without greetings and polite wrapping. Names, numbers and negations stay as they were written."""
    bare = _FILLER.sub("", sentence).strip()
    if not NEGATION.search(bare):
        bare = _SPACES.sub(" ", _POLITE.sub("", bare)).strip(" ,")
    return bare if any(char.isalnum() for char in bare) else ""


_FACT, _WORD, _DECIDES, _USER, _LATE = 1.0, 0.25, 0.35, 0.3, 0.25
"""What a unit earns: for each new fact, each new word, a decision, being the user's own word, and being recent."""


def _choose(units: Sequence[tuple[int, str, _Unit]], budget: int, known: str) -> list[tuple[int, str, _Unit]]:
    """Greedy by gain for each token; a gain only shrinks as others are chosen, so it is looked at again when it comes up."""
    seen: set[str] = set()
    total = max(1, len(units))
    heap = [(-_gain(unit, role, place / total, seen, known), place) for place, role, unit in units]
    heapq.heapify(heap)
    chosen: list[tuple[int, str, _Unit]] = []
    left = budget
    while heap and left > 3:
        old, place = heapq.heappop(heap)
        _, role, unit = units[place]
        if unit.tokens + 2 > left:
            continue
        gain = _gain(unit, role, place / total, seen, known)
        if gain <= 0.0:
            continue
        if heap and gain < -heap[0][0] and gain < -old:
            heapq.heappush(heap, (-gain, place))
            continue
        chosen.append(units[place])
        seen.update(unit.facts, unit.words)
        left -= unit.tokens + (0 if chosen and len(chosen) > 1 and chosen[-2][1] == role else 1)
    return chosen


def _gain(unit: _Unit, role: str, late: float, seen: set[str], known: str) -> float:
    facts = sum(fact not in seen and fact not in known for fact in unit.facts)
    words = sum(word not in seen for word in unit.words)
    if not facts and not words:
        return 0.0
    earned = _FACT * facts + _WORD * words + _DECIDES * unit.decides + _USER * (role == "user") + _LATE * late
    weight: float = earned / (4 + unit.tokens) ** 0.75
    return weight


Summariser = Callable[[Sequence[Said], int], str]
"""Turns of a conversation and a budget in tokens to a summary."""
