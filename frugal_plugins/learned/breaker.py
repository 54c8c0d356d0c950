"""A limit on how much traffic, and how much money, the dear models may take.

Routers can be talked into escalating (an adversarial prefix, a shift of traffic). Counted over a window of the last requests,
this keeps the dear tier's share and its dollars an hour bounded, and the whole below what the baseline would have cost.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

FEWEST_SEEN: Final = 50


@dataclass(slots=True)
class Breaker:
    """Counts the last requests; `closed` says why the dear tier is closed, or None.

    Args:
        most_dear_percent: share of the window that may go to the dear tier; 100 for no limit.
        most_dear_usd_per_hour: dollars in any hour for the dear tier; None for no limit.
        window_requests: how many requests are looked back on.
    """

    most_dear_percent: float = 100.0
    most_dear_usd_per_hour: float | None = None
    window_requests: int = 500
    _last: deque[tuple[bool, float, float]] = field(default_factory=deque)
    _dear_spent: deque[tuple[float, float]] = field(default_factory=deque)
    _dear: int = 0
    _hour_usd: float = 0.0
    _paid_usd: float = 0.0
    _baseline_usd: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def closed(self, now_seconds: float) -> str | None:
        """Why no further request may go to the dear tier now, or None."""
        with self._lock:
            self._forget_before(now_seconds - 3600)
            full = 100 * self._dear >= self.most_dear_percent * len(self._last)
            if self.most_dear_percent < 100 and len(self._last) >= FEWEST_SEEN and full:
                return f"the dear tier had its {self.most_dear_percent:g} % of the last {len(self._last)} requests"
            if self.most_dear_usd_per_hour is not None and self._hour_usd >= self.most_dear_usd_per_hour:
                return f"the dear tier had its ${self.most_dear_usd_per_hour:g} of this hour"
        return None

    def overspent(self) -> bool:
        """Whether the window cost more than the baseline would have: then nothing is bought only to compare it."""
        with self._lock:
            return len(self._last) >= FEWEST_SEEN and self._paid_usd > self._baseline_usd

    def note(self, *, dear: bool, paid_usd: float, baseline_usd: float, now_seconds: float) -> None:
        """One request is over."""
        with self._lock:
            self._last.append((dear, paid_usd, baseline_usd))
            self._dear += dear
            self._paid_usd += paid_usd
            self._baseline_usd += baseline_usd
            if len(self._last) > self.window_requests:
                was_dear, paid, baseline = self._last.popleft()
                self._dear -= was_dear
                self._paid_usd -= paid
                self._baseline_usd -= baseline
            if dear:
                self._dear_spent.append((now_seconds, paid_usd))
                self._hour_usd += paid_usd

    def _forget_before(self, moment_seconds: float) -> None:
        while self._dear_spent and self._dear_spent[0][0] < moment_seconds:
            self._hour_usd -= self._dear_spent.popleft()[1]
