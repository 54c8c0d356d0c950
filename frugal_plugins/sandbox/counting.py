"""Token ids of texts, remembered: the same system prompt arrives thousands of times."""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache

from frugal_plugins.tokens import encoding, encoding_name

Ids = array  # of unsigned 32-bit token ids
"""A run of token ids."""

EMPTY: Ids[int] = array("I")


def token_ids(text: str, model: str) -> Ids[int]:
    """The tokens of `text`. The result is shared: do not change it."""
    return _ids(text, encoding_name(model)) if text else EMPTY


def count(text: str, model: str) -> int:
    """How many tokens `text` is."""
    return len(_ids(text, encoding_name(model))) if text else 0


@lru_cache(maxsize=4096)
def _ids(text: str, name: str) -> Ids[int]:
    return array("I", encoding(name).encode_ordinary(text))


def spell(ids: Sequence[int], model: str) -> list[tuple[str, int]]:
    """The text of a run of tokens, piece by piece, each with the number of tokens it took.

    A character that several tokens make up appears with the last of them; one that was cut short is left out.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
    pieces: list[tuple[str, int]] = []
    waiting = 0
    for raw in _bytes_of(ids, model):
        text = decoder.decode(raw)
        waiting += 1
        if text:
            pieces.append((text, waiting))
            waiting = 0
    if waiting:
        pieces.append(("", waiting))
    return pieces


def _bytes_of(ids: Sequence[int], model: str) -> Iterable[bytes]:
    return encoding(encoding_name(model)).decode_tokens_bytes(list(ids))
