"""Whether two answers say the same."""

from __future__ import annotations

import json
from typing import Final

from frugal_plugins.meaning.guards.compare import compare

_ENOUGH_WORDS: Final = 0.6
_CONTRADICTIONS: Final = frozenset({"numbers", "dates", "units", "negation", "antonyms", "length"})


def same_answer(one: str, other: str) -> bool:
    """Whether two answers say the same: equal JSON, or mostly the same words with the same numbers, dates and negations.

    Strict on purpose: a pair it cannot tell counts as different, which makes the cache more careful, never less.

    >>> same_answer("We open at 9 on Mondays.", "On Mondays we open at 9.")
    True
    >>> same_answer("We open at 9 on Mondays.", "We open at 8 on Mondays.")
    False
    """
    if _plain(one) == _plain(other):
        return True
    left, right = _as_json(one), _as_json(other)
    if left is not None or right is not None:
        return left == right
    difference = compare(one, other)
    return _CONTRADICTIONS.isdisjoint(difference.conflicts) and difference.overlap >= _ENOUGH_WORDS


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!")


def _as_json(text: str) -> object:
    if not text.strip().startswith(("{", "[")):
        return None
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found
