"""Telling those who watch of a settled request, so that none of them can disturb the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from frugal_plugins.ledger.settle import Entry, Settled

_log = logging.getLogger("frugal_plugins.observe")
_OWN_FAULTS: Final = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OSError)


def tell(observers: Sequence[Callable[[Entry, Settled], None]], entry: Entry, settled: Settled) -> None:
    """Tell each of a request; what one raises is its own fault and is said in the log."""
    for one in observers:
        try:
            one(entry, settled)
        except _OWN_FAULTS as error:
            _log.warning("%s could not note a request: %s", type(one).__name__, type(error).__name__)
