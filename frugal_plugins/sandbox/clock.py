"""The time the sandbox lives in: real, or moved by hand so that five minutes or a day pass at once."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time in unix seconds and can be moved forward."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class WallClock:
    """Real time, plus whatever `advance` added."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        """Jump `seconds` ahead."""
        with self._lock:
            self._ahead_seconds += seconds


class VirtualClock:
    """Time that stands still until it is advanced.

    >>> clock = VirtualClock(1_750_000_000)
    >>> clock.advance(300)
    >>> clock.now()
    1750000300.0
    """

    def __init__(self, start_unix_seconds: float = 1_750_000_000) -> None:
        self._now_seconds = float(start_unix_seconds)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Unix seconds."""
        return self._now_seconds

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        with self._lock:
            self._now_seconds += seconds
