"""A small embedder for tests: letters and their pairs, so that texts that look alike lie near each other."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from frugal_plugins.embedding.embed import Embeddings, FunctionEmbedder

SIZE = 256


def of_letters(texts: Sequence[str]) -> list[list[float]]:
    """Counts of three letters in a row, hashed into 256 places."""
    return [_one(text.casefold()) for text in texts]


def _one(text: str) -> list[float]:
    counted = np.full(SIZE, 1e-3)
    words = " " + " ".join("".join(c if c.isalnum() else " " for c in text).split()) + " "
    for start in range(len(words) - 2):
        counted[zlib.crc32(words[start : start + 3].encode("utf-8", "replace")) % SIZE] += 1
    return counted.tolist()


def letters(*, limit_seconds: float = 5.0, name: str = "letters") -> Embeddings:
    """Embeddings over `of_letters`."""
    return Embeddings(lambda: FunctionEmbedder(name, of_letters, SIZE), limit_seconds=limit_seconds)
