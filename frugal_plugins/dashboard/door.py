"""Who may come in: browsers on this machine, or whoever has the token; and what no page of ours may ever do."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "frugal_token"
_SAME_SITE: Final = frozenset({"same-origin", "none"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who was let in.

    Attributes:
        secret: what the nonce of their forms is made from; a foreign page does not know it.
        may_judge: whether they may reject stored answers, or only look.
    """

    secret: bytes
    may_judge: bool = True

    @property
    def nonce(self) -> str:
        """What a form must bring along."""
        return hmac.new(self.secret, b"frugal dashboard form", hashlib.sha256).hexdigest()

    def allows(self, nonce: str) -> bool:
        """Whether a form is one of ours."""
        return hmac.compare_digest(self.nonce.encode(), nonce.encode())


Admit = Callable[[Request], Awaitable[Visit | Response]]
"""Lets a request in, or answers it instead."""


def on_loopback() -> Admit:
    """Whoever is on this machine. The Host header must name it, so that a foreign page cannot reach us under its own name."""
    secret = secrets.token_bytes(32)

    async def admit(request: Request) -> Visit | Response:
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in _LOOPBACK:
            return PlainTextResponse(
                "This page is for 127.0.0.1 only. Start it with --host to serve others; it then asks for a token.\n", 403
            )
        return Visit(secret)

    return admit


def with_token(token: str) -> Admit:
    """Whoever has the token: in `Authorization: Bearer`, in `?token=` once, or in the cookie that sets."""

    async def admit(request: Request) -> Visit | Response:
        said = request.query_params.get("token")
        bearer = request.headers.get("authorization", "")
        given = said or (bearer[7:] if bearer[:7].lower() == "bearer " else "") or request.cookies.get(COOKIE, "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            return PlainTextResponse("This page needs its token: open the address `frugal dashboard` printed.\n", 401)
        if said is None:
            return Visit(token.encode())
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        answer = RedirectResponse(f"{request.url.path}{'?' if rest else ''}{rest}", 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https", path=request.url.path)
        return answer

    return admit


class Door:
    """Stands before every page: admits, refuses forms from elsewhere, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, admit: Admit) -> None:
        self.app = app
        self.admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        request = Request(scope, receive)
        found = await self.admit(request)
        if isinstance(found, Visit) and request.method not in ("GET", "HEAD"):
            found = self._from_here(request, found)
        if isinstance(found, Visit):
            scope.setdefault("state", {})["visit"] = found
            await self.app(scope, receive, send_on)
        else:
            await found(scope, receive, send_on)

    def _from_here(self, request: Request, visit: Visit) -> Visit | Response:
        if request.headers.get("sec-fetch-site", "none") not in _SAME_SITE:
            return PlainTextResponse("Forms of other pages are not taken.\n", 403)
        return visit
