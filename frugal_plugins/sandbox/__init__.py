"""A provider on loopback that speaks OpenAI and Anthropic, keeps a prompt cache and writes an invoice.

Tests, `frugal try` and dry runs talk to it instead of a paid API. Nothing in it knows the rest of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_plugins.sandbox.answers import recorded_from_zeroeval as recorded_from_zeroeval
    from frugal_plugins.sandbox.clock import Clock as Clock
    from frugal_plugins.sandbox.clock import VirtualClock as VirtualClock
    from frugal_plugins.sandbox.clock import WallClock as WallClock
    from frugal_plugins.sandbox.faults import Fault as Fault
    from frugal_plugins.sandbox.invoice import Invoice as Invoice
    from frugal_plugins.sandbox.invoice import InvoiceLine as InvoiceLine
    from frugal_plugins.sandbox.price_sheet import PriceSheet as PriceSheet
    from frugal_plugins.sandbox.provider import ReceivedRequest as ReceivedRequest
    from frugal_plugins.sandbox.server import Sandbox as Sandbox

_HOMES = {
    "Clock": "clock",
    "Fault": "faults",
    "Invoice": "invoice",
    "InvoiceLine": "invoice",
    "PriceSheet": "price_sheet",
    "ReceivedRequest": "provider",
    "Sandbox": "server",
    "VirtualClock": "clock",
    "WallClock": "clock",
    "recorded_from_zeroeval": "answers",
}

__all__ = [
    "Clock",
    "Fault",
    "Invoice",
    "InvoiceLine",
    "PriceSheet",
    "ReceivedRequest",
    "Sandbox",
    "VirtualClock",
    "WallClock",
    "recorded_from_zeroeval",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
