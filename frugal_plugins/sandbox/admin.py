"""/_sandbox/: the invoice, the request log, faults, the clock, for a test in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox.batch_work import bill_due
from frugal_plugins.sandbox.codec import dumps, loads
from frugal_plugins.sandbox.faults import Fault
from frugal_plugins.sandbox.invoice import key_hash
from frugal_plugins.sandbox.provider import Provider

Endpoint = Callable[[Request], Awaitable[Response]]


def admin_routes(provider: Provider) -> tuple[Route, ...]:
    """The routes a standalone sandbox is read and steered through."""
    return (
        Route("/_sandbox/invoice", _invoice(provider), methods=["GET"]),
        Route("/_sandbox/requests", _requests(provider), methods=["GET"]),
        Route("/_sandbox/faults", _faults(provider), methods=["POST"]),
        Route("/_sandbox/reset", _reset(provider), methods=["POST"]),
        Route("/_sandbox/clock", _clock(provider), methods=["POST"]),
    )


def _invoice(provider: Provider) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        bill_due(provider)
        invoice = provider.journal.invoice()
        by_model = {model: str(usd) for model, usd in invoice.by_model().items()}
        lines = [line.as_json() for line in invoice.lines]
        return _json({"total_usd": str(invoice.total_usd), "by_model_usd": by_model, "lines": lines})

    return endpoint


def _requests(provider: Provider) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        found = [
            {
                "method": one.method,
                "path": one.path,
                "body": one.body,
                "raw": one.raw.decode("utf-8", "replace"),
                "headers": {name: value for name, value in one.headers.items() if name not in ("authorization", "x-api-key")},
                "key": key_hash(one.api_key) if one.api_key else None,
                "at_unix_seconds": one.at_unix_seconds,
            }
            for one in provider.requests()
        ]
        return _json({"requests": found})

    return endpoint


def _faults(provider: Provider) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            provider.faults.add(Fault.from_json(loads(await request.body())))
        except (InputError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"ok": True})

    return endpoint


def _reset(provider: Provider) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        provider.reset()
        return _json({"ok": True})

    return endpoint


def _clock(provider: Provider) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            provider.clock.advance(float(loads(await request.body())["advance_seconds"]))
        except (KeyError, TypeError, ValueError):
            return _json({"error": 'send {"advance_seconds": 300}'}, 400)
        return _json({"now_unix_seconds": provider.clock.now()})

    return endpoint


def _json(value: Any, status: int = 200) -> Response:
    return Response(dumps(value), status, media_type="application/json")
