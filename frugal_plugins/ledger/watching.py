"""Who wants to see each request as it is booked, besides the ledger: a callback that counts costs, say."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from frugal_plugins.ledger.settle import Entry

WATCHERS: Final[ContextVar[tuple[Callable[[Entry], None], ...]]] = ContextVar("frugal_watchers", default=())
"""Called in the caller's thread with every request that ends in this context; they must be quick and must not raise."""
