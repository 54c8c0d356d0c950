"""How fast to send: as many at once as asked for, fewer while the provider says it is too much."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, Final

_FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 60.0
_LONGEST_ASKED_SECONDS: Final = 600.0


class Pace:
    """Slots for requests in flight. Halved at each rate limit, grown back by one after as many answers as there are slots."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.in_flight = 0
        self._not_before = 0.0
        self._free = asyncio.Condition()

    async def take(self, stop: asyncio.Event) -> bool:
        """Wait for a slot; False when the run is to stop first."""
        async with self._free:
            await self._free.wait_for(lambda: stop.is_set() or self.in_flight < int(self.limit))
        while not stop.is_set() and (pause := self._not_before - time.monotonic()) > 0:
            await wait(pause, stop)
        if stop.is_set():
            return False
        self.in_flight += 1
        return True

    async def give_back(self) -> None:
        """A request is over."""
        async with self._free:
            self.in_flight -= 1
            self._free.notify_all()

    async def wake(self) -> None:
        """Let those who wait see that the run is to stop."""
        async with self._free:
            self._free.notify_all()

    def went_well(self) -> None:
        """An answer came: dare a little more."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def too_fast(self, pause_seconds: float) -> None:
        """The provider refused: nobody sends for that long, and fewer at once afterwards."""
        now = time.monotonic()
        if now >= self._not_before:  # one refusal for all that were in flight together
            self.limit = max(1.0, self.limit / 2)
        self._not_before = max(self._not_before, now + pause_seconds)


async def wait(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but not longer than the run lasts."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def backoff_seconds(attempt: int) -> float:
    """1, 2, 4, ... seconds up to a minute, with jitter so that many clients do not come back together."""
    longest: float = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


def asked_to_wait(error: Any) -> float | None:
    """The seconds a provider's `retry-after` header asks for, where there is one."""
    response = getattr(error, "response", None)
    for headers in (getattr(response, "headers", None), getattr(error, "litellm_response_headers", None)):
        value = headers.get("retry-after") if isinstance(headers, Mapping) else None
        try:
            return min(_LONGEST_ASKED_SECONDS, max(0.0, float(value or "")))
        except ValueError:
            continue
    return None
