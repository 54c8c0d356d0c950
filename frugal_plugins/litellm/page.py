"""The dashboard on the LiteLLM Proxy, at /frugal/, for those whom the proxy itself takes for an administrator."""

from __future__ import annotations

import base64
import binascii
import logging
import os
import sys
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message

from frugal_plugins.dashboard import Visit, dashboard_app, judge_of
from frugal_plugins.recipe.recipe import Recipe

_log = logging.getLogger("frugal_plugins.litellm")

PATH: Final = "/frugal"
_OFF: Final = frozenset({"off", "0", "false", "no"})
_LOOKS: Final = frozenset({"proxy_admin", "proxy_admin_viewer"})
_JUDGES: Final = frozenset({"proxy_admin"})
_ASK: Final = {"www-authenticate": 'Basic realm="LiteLLM: any name, an admin key as the password", charset="UTF-8"'}


def mount_page(recipe: Recipe) -> bool:
    """Add the dashboard of a recipe's ledger to the proxy that runs in this process; False where there is none, or it is off.

    Turn it off with FRUGAL_DASHBOARD=off. It shows no prompt, whatever the ledger keeps.
    """
    proxy = sys.modules.get("litellm.proxy.proxy_server")
    app = getattr(proxy, "app", None)
    if app is None or recipe.ledger is None or os.environ.get("FRUGAL_DASHBOARD", "").lower() in _OFF:
        return False
    routes = app.router.routes
    if any(isinstance(route, Mount) and route.path == PATH for route in routes):
        return True
    pages = dashboard_app(recipe.ledger.source, admit=admit, judge=judge_of(recipe))
    # Before the proxy's own patterns, some of which take any path.
    routes[:0] = [Route(PATH, lambda request: RedirectResponse(f"{request.url.path}/", 307)), Mount(PATH, app=pages)]
    _log.info("The dashboard is at %s/ for admin keys.", PATH)
    return True


async def admit(request: Request) -> Visit | Response:
    """Ask LiteLLM's own `user_api_key_auth` whose key this is. Browsers ask for it by HTTP Basic, programs send it as Bearer."""
    from fastapi import HTTPException
    from litellm.proxy._types import ProxyException

    said = request.headers.get("authorization", "")
    key = _key(said)
    if not key:
        return PlainTextResponse("This page needs an admin key of this proxy.\n", 401, _ASK)
    try:
        role = _role(await _whose(request, key))
    except (ProxyException, HTTPException):
        return PlainTextResponse("This proxy does not know that key, or it may not look at spend.\n", 401, _ASK)
    if role not in _LOOKS:
        return PlainTextResponse("That key is no admin's. The proxy needs a master key, and this page an admin's.\n", 403, _ASK)
    return Visit(said.encode(), may_judge=role in _JUDGES)


async def _whose(request: Request, key: str) -> Any:
    """LiteLLM decides as for its own spend pages; it is handed no body, which is ours to read."""
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {**request.scope, "method": "GET", "path": "/spend/logs", "root_path": "", "query_string": b"", "state": {}}
    others = ("azure_api_key_header", "anthropic_api_key_header", "google_ai_studio_api_key_header", "azure_apim_header")
    return await user_api_key_auth(
        Request(scope, nothing), api_key=f"Bearer {key}", custom_litellm_key_header=None, **dict.fromkeys(others, "")
    )


def _key(said: str) -> str:
    """The key in an Authorization header: Bearer's token, or Basic's password."""
    kind, _, rest = said.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _role(key: Any) -> str:
    role = getattr(key, "user_role", None)
    return str(getattr(role, "value", role) or "")
