"""Single flight: while one request is being answered, the same request of another thread or task waits for that answer."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field


@dataclass(slots=True)
class Flights:
    """Requests under way in this process, by key: the thread of each, and what others wait for, once there are any."""

    _under_way: dict[str, int] = field(default_factory=dict)
    _awaited: dict[str, Future[None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lead(self, key: str) -> bool:
        """Begin a request; False when the same one is already under way."""
        with self._lock:
            if key in self._under_way:
                return False
            self._under_way[key] = threading.get_ident()
            return True

    def land(self, key: str) -> None:
        """The request is over, well or badly: those who wait go on."""
        with self._lock:
            self._under_way.pop(key, None)
            awaited = self._awaited.pop(key, None)
        if awaited is not None:
            awaited.set_result(None)

    async def landed(self, key: str, limit_seconds: float) -> bool:
        """Await the same request of another task, if there is one, for this long at most; says whether there was one and it is over."""
        import asyncio

        found = self._landing(key)
        if found is None:
            return False
        done, _ = await asyncio.wait({asyncio.wrap_future(found)}, timeout=limit_seconds)
        return bool(done)

    def wait(self, key: str, limit_seconds: float) -> bool:
        """Wait for the same request of another thread; says whether there was one and it is over.

        Never waits inside a running event loop or for a request of its own thread, which could not go on meanwhile.
        """
        if self._under_way.get(key) in (None, threading.get_ident()) or _in_event_loop():
            return False
        found = self._landing(key)
        try:
            if found is not None:
                found.result(limit_seconds)
        except TookTooLong:
            return False
        return True

    def _landing(self, key: str) -> Future[None] | None:
        """What is done when the request is over; None where it is not under way."""
        with self._lock:
            return self._awaited.setdefault(key, Future()) if key in self._under_way else None


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
