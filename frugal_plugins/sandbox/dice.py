"""Choices that look random and are always the same for the same seed, on every Python version."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


def seed_of(*texts: str) -> int:
    """A 64-bit seed from texts; the border between two texts counts."""
    digest = blake2b(digest_size=8)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return int.from_bytes(digest.digest(), "little")


class Dice:
    """A splitmix64 generator: one multiplication chain per draw, good enough to choose words."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def draw(self) -> int:
        """The next 64 bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return self.draw() % limit

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self.draw() % (high - low + 1)

    def share(self) -> float:
        """A number from 0 up to, not including, 1."""
        return (self.draw() >> 11) / (1 << 53)

    def pick(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.draw() % len(options)]
