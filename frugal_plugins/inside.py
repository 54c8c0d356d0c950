"""Whether the call being made right now already comes from a door of this package.

A LangChain router may reach its model through LiteLLM, where the same recipe could be installed again. The outer door then
says so here, and the inner one lets the request pass as it is: one request is processed once and booked once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

INSIDE: Final[ContextVar[bool]] = ContextVar("frugal_inside", default=False)
"""True while a door's own flow makes a call. A door that finds it set passes the request on untouched."""


@contextmanager
def inside() -> Iterator[None]:
    """Mark every call made in this block, in this thread or task, as one a flow makes.

    >>> with inside():
    ...     INSIDE.get()
    True
    >>> INSIDE.get()
    False
    """
    token = INSIDE.set(True)
    try:
        yield
    finally:
        INSIDE.reset(token)
