"""From text to vocabulary numbers: the word pieces of an uncased BERT vocabulary, in plain Python.

The same greedy longest-match rule the models of that family use (Devlin et al. 2018, section 3), so that a table made with
such a model is read with the same keys. Words repeat, so each is looked up once and kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9]+|[^\W_]+|[^\w\s]|_")
_LONGEST_WORD_CHARS: Final = 60
_MOST_WORDS_KEPT: Final = 60_000


class Pieces:
    """Splits text into the numbers of a vocabulary. Pieces inside a word are written `##ing` in it.

    Args:
        vocabulary: the pieces in the order of their numbers.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers: Mapping[str, int] = {piece: number for number, piece in enumerate(vocabulary)}
        self._known: dict[str, tuple[int, ...]] = {}

    def __call__(self, text: str) -> list[int]:
        """The numbers of the pieces of `text`, in order. What the vocabulary does not hold is left out."""
        numbers: list[int] = []
        known = self._known
        for word in _WORD.findall(_plain(text)):
            pieces = known.get(word)
            numbers.extend(self._split(word) if pieces is None else pieces)
        return numbers

    def _split(self, word: str) -> tuple[int, ...]:
        found = self._longest_first(word) if len(word) <= _LONGEST_WORD_CHARS else ()
        if len(self._known) >= _MOST_WORDS_KEPT:
            self._known.clear()
        self._known[word] = found
        return found

    def _longest_first(self, word: str) -> tuple[int, ...]:
        numbers: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(mark + word[start:end])
                if number is not None:
                    numbers.append(number)
                    start = end
                    break
            else:
                return ()
        return tuple(numbers)


def _plain(text: str) -> str:
    """Lower case without accents, as the vocabulary was made."""
    lowered = text.lower()
    if lowered.isascii():
        return lowered
    return "".join(c for c in unicodedata.normalize("NFD", lowered) if unicodedata.category(c) != "Mn")
