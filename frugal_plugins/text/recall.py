"""Finding again what was said long ago: BM25 over the sentences of turns that are no longer sent."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from frugal_plugins.text.facts import content_words, folded, sentences
from frugal_plugins.text.summary import Said
from frugal_plugins.tokens import count_text

_K1: Final = 1.2
_B: Final = 0.6
_NEIGHBOUR: Final = 0.35
_LONGEST_CHARS: Final = 400
_PIECE: Final = re.compile(r"(?<=[,;}\]>])\s*")
_ASKS: Final = re.compile(
    r"\?|\b(?:what|which|who|whom|whose|where|when|why|how|remind|recall|remember|again|earlier|before|previous(?:ly)?|told|mentioned|said|"
    r"same|my|our|list|give|tell|name)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence that was found: which message it stood in, who said it, and its weight against the question."""

    place: int
    role: str
    text: str
    score: float


@lru_cache(maxsize=16_384)
def _pieces(text: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for sentence in sentences(text):
        for part in (sentence,) if len(sentence) <= _LONGEST_CHARS else _short(sentence):
            words = tuple(content_words(part))
            if words:
                found.append((part, words))
    return tuple(found)


def _short(sentence: str) -> Iterable[str]:
    held = ""
    for part in _PIECE.split(sentence):
        if held and len(held) + len(part) > _LONGEST_CHARS:
            yield held
            held = ""
        held += part
    if held:
        yield held


class Archive:
    """An index of turns. Building it takes a pass over their words; asking it does not."""

    def __init__(self, said: Sequence[Said]) -> None:
        self._rows = [(place, turn.role, text, words) for place, turn in enumerate(said) for text, words in _pieces(turn.text)]
        self._counts = [Counter(words) for *_, words in self._rows]
        self._with: dict[str, list[int]] = {}
        for row, counts in enumerate(self._counts):
            for word in counts:
                self._with.setdefault(word, []).append(row)
        self._mean = sum(len(words) for *_, words in self._rows) / max(1, len(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def knows(self, word: str) -> bool:
        """Whether a stem occurs at all."""
        return word in self._with

    def find(self, question: str, budget_tokens: int, *, already: str = "", least: float = 0.0) -> list[Quote]:
        """The sentences that answer best, at most `budget_tokens` of them, in the order they were said.

        Args:
            already: text that is sent anyway; a sentence that stands there is not quoted again.
            least: sentences that score less are left out.
        """
        scores = self._scores(question)
        seen, used = folded(already), 0
        chosen: list[Quote] = []
        for row in sorted(scores, key=lambda row: (-scores[row], -row)):
            place, role, text, _ = self._rows[row]
            if scores[row] < least or folded(text) in seen:
                continue
            cost = count_text(text) + 2
            if used + cost > budget_tokens:
                continue
            used += cost
            chosen.append(Quote(place, role, text, scores[row]))
        return sorted(chosen, key=lambda quote: quote.place)

    def _scores(self, question: str) -> dict[int, float]:
        asked = set(content_words(question))
        total = len(self._rows)
        own: dict[int, float] = {}
        for word in asked:
            rows = self._with.get(word, ())
            rarity = math.log(1 + (total - len(rows) + 0.5) / (len(rows) + 0.5))
            for row in rows:
                times, length = self._counts[row][word], len(self._rows[row][3])
                weight = rarity * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length / self._mean))
                own[row] = own.get(row, 0.0) + weight
        spread = dict(own)
        for row, score in own.items():
            for beside in (row - 1, row + 1):
                if 0 <= beside < total and self._rows[beside][0] == self._rows[row][0]:
                    spread[beside] = spread.get(beside, 0.0) + _NEIGHBOUR * score
        return spread


def asks_back(question: str, archive: Archive, sent: str) -> bool:
    """Whether a question seems to be about something that is no longer sent: it asks, and a word of it is only in the archive."""
    if not _ASKS.search(question):
        return False
    here = set(content_words(sent))
    return any(archive.knows(word) and word not in here for word in content_words(question))
