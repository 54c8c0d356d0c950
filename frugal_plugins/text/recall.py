"""Finding again what was said long ago, in turns that are no longer sent: BM25 over their sentences, and what sounds alike."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.text.facts import content_words, folded, sentences
from frugal_plugins.text.summary import Said
from frugal_plugins.tokens import count_text

_K1: Final = 1.2
_B: Final = 0.6
_NEIGHBOUR: Final = 0.35
_SAME_RECORD: Final = 0.6
_LONGEST_CHARS: Final = 400
_PIECE: Final = re.compile(r"(?<=[,;}\]>])\s*")
_ASKS: Final = re.compile(
    r"\?|\b(?:remind|recall|remember|again|earlier|before|previous(?:ly)?|told you|mentioned|said|same as)\b|"
    r"^\W*(?:what|which|who|whom|whose|where|when|why|how|list|give|tell|name|show)\b",
    re.IGNORECASE,
)
_LOOKED_AT: Final = 64
_ALIKE: Final = 8.0
_LEAST_COSINE: Final = 0.4
_MOSTLY_KNOWN: Final = 0.6


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence that was found: which message it stood in, who said it, and its weight against the question."""

    place: int
    role: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    folded: str
    words: tuple[str, ...]
    tokens: int


@lru_cache(maxsize=16_384)
def _pieces(text: str) -> tuple[_Piece, ...]:
    found = []
    for sentence in sentences(text):
        for part in (sentence,) if len(sentence) <= _LONGEST_CHARS else _short(sentence):
            words = tuple(content_words(part))
            if words:
                found.append(_Piece(part, folded(part), words, count_text(part) + 7))
    return tuple(found)


@lru_cache(maxsize=16_384)
def _words(text: str) -> frozenset[str]:
    return frozenset(content_words(text))


def _short(sentence: str) -> Iterable[str]:
    held = ""
    for part in _PIECE.split(sentence):
        if held and len(held) + len(part) > _LONGEST_CHARS:
            yield held
            held = ""
        held += part
    if held:
        yield held


Vector = Any
"""A unit vector of numpy, or all zeros."""


class Archive:
    """An index of turns. Building it takes a pass over their words; asking it does not.

    Args:
        embed: makes a vector of a sentence, so that other words for the same thing are found too; without it, words alone decide.
    """

    def __init__(self, said: Sequence[Said], embed: Callable[[str], Vector] | None = None) -> None:
        self._embed = embed
        self._vectors: Vector = None
        self._rows = [(place, turn.role, piece) for place, turn in enumerate(said) for piece in _pieces(turn.text)]
        self._counts = [Counter(piece.words) for *_, piece in self._rows]
        self._with: dict[str, list[int]] = {}
        for row, counts in enumerate(self._counts):
            for word in counts:
                self._with.setdefault(word, []).append(row)
        self._mean = sum(len(piece.words) for *_, piece in self._rows) / max(1, len(self._rows))

    def __len__(self) -> int:
        return len(self._rows)

    def knows(self, word: str) -> bool:
        """Whether a stem occurs at all."""
        return word in self._with

    def find(self, question: str, budget_tokens: int, *, already: str = "", least: float = 0.0, nearly: float = 0.0) -> list[Quote]:
        """The sentences that answer best, at most `budget_tokens` of them, in the order they were said.

        Args:
            already: text that is sent anyway; a sentence that stands there is not quoted again.
            least: sentences that score less are left out.
            nearly: and those that score less than this share of the best.
        """
        scores = self._scores(question)
        seen, used = folded(already), 0
        chosen: list[Quote] = []
        least = max(least, nearly * max(scores.values(), default=0.0))
        for row in heapq.nsmallest(_LOOKED_AT, scores, key=lambda row: (-scores[row], -row)):
            place, role, piece = self._rows[row]
            if scores[row] < least or used + piece.tokens > budget_tokens or piece.folded in seen:
                continue
            used += piece.tokens
            chosen.append(Quote(place, role, piece.text, scores[row]))
        return sorted(chosen, key=lambda quote: quote.place)

    def _scores(self, question: str) -> dict[int, float]:
        asked = set(content_words(question))
        total = len(self._rows)
        own: dict[int, float] = {}
        for word in asked:
            rows = self._with.get(word, ())
            rarity = math.log(1 + (total - len(rows) + 0.5) / (len(rows) + 0.5))
            for row in rows:
                times, length = self._counts[row][word], len(self._rows[row][2].words)
                weight = rarity * times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * length / self._mean))
                own[row] = own.get(row, 0.0) + weight
        for row, bonus in self._alike(question):
            own[row] = own.get(row, 0.0) + bonus
        spread = dict(own)
        for row, score in own.items():
            share = _SAME_RECORD if self._rows[row][1] in ("tool", "function") else _NEIGHBOUR
            for beside in (row - 1, row + 1):
                if 0 <= beside < total and self._rows[beside][0] == self._rows[row][0]:
                    spread[beside] = spread.get(beside, 0.0) + share * score
        return spread

    def _alike(self, question: str) -> Iterable[tuple[int, float]]:
        """What sentences earn that sound like the question, whatever words they use."""
        cosines = self._cosines(question)
        if cosines is None:
            return ()
        return [(int(row), _ALIKE * float(cosines[row] - _LEAST_COSINE)) for row in (cosines > _LEAST_COSINE).nonzero()[0]]

    def _cosines(self, question: str) -> Vector:
        """How alike each sentence and the question sound; None where nobody can tell."""
        if self._embed is None or not self._rows:
            return None
        if self._vectors is None:
            import numpy as np

            self._vectors = np.stack([self._embed(piece.text) for *_, piece in self._rows])
        return self._vectors @ self._embed(question)


def asked_back(question: str, archive: Archive, sent: Iterable[str]) -> str:
    """The sentences of a message that ask for something said earlier and no longer sent; "" where there are none.

    They ask, most of their words are known from the archive, and at least one of these stands nowhere in what is sent.
    """
    asking = [sentence for sentence in sentences(question) if _ASKS.search(sentence)]
    known = {sentence: {word for word in _words(sentence) if archive.knows(word)} for sentence in asking}
    missing = set().union(*known.values())
    for text in sent if missing else ():
        missing -= _words(text)
    found = [s for s in asking if known[s] & missing and len(known[s]) >= _MOSTLY_KNOWN * len(_words(s))]
    return " ".join(found)
