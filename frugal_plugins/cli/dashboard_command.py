"""`frugal dashboard`."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

from rich.console import Group

from frugal_plugins.cli.provider import needs_sandbox
from frugal_plugins.cli.report_command import ledger_place
from frugal_plugins.cli.screen import line, note, result
from frugal_plugins.errors import InputError
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.recipe.recipe import Recipe

_LEAST_TOKEN: Final = 16


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen."""

    host: str
    port: int

    @property
    def on_this_machine(self) -> bool:
        """Whether nobody else can reach it."""
        if self.host == "localhost":
            return True
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False


def serve_dashboard(ledger: str | None, recipe: str | None, listen: Listen, *, show_text: bool, as_json: bool) -> None:
    """Serve the pages until Ctrl-C."""
    needs_sandbox()
    import uvicorn

    from frugal_plugins.dashboard import dashboard_app, judge_of, on_loopback, with_token

    loaded = None if recipe is None else Recipe.load(recipe)
    place = ledger_place(ledger or (loaded.ledger.source if loaded is not None and loaded.ledger is not None else None))
    with open_reader(place) as reader:
        shown = reader.place
    token = None if listen.on_this_machine else _token()
    app = dashboard_app(
        place,
        admit=on_loopback() if token is None else with_token(token),
        judge=None if loaded is None else judge_of(loaded),
        show_text=show_text,
    )
    with closing(_bound(listen)) as bound:
        url = _url(listen, bound.getsockname()[1])
        address = url if token is None else f"{url}?token={token}"
        lines = [f"The dashboard of {shown}: {address}", "Ctrl-C stops it."]
        if token is not None:
            lines.insert(1, "Whoever has this address can look. The connection is not encrypted: put a proxy with TLS before it.")
        result({"url": url, "token": token, "ledger": shown}, lambda: Group(*map(line, lines)), as_json=as_json)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])
    note("stopped.")


def _token() -> str:
    token = os.environ.get("FRUGAL_DASHBOARD_TOKEN")
    if token is not None and len(token) < _LEAST_TOKEN:
        raise InputError(
            f"FRUGAL_DASHBOARD_TOKEN is shorter than {_LEAST_TOKEN} characters; make a longer one, or unset it to have one made"
        )
    return token or secrets.token_urlsafe(24)


def _bound(listen: Listen) -> socket.socket:
    try:
        return socket.create_server((listen.host, listen.port), family=socket.AF_INET6 if ":" in listen.host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"{listen.host} port {listen.port} cannot be opened ({error.strerror or error}); choose another --port, or 0 for a free one"
        ) from error


def _url(listen: Listen, port: int) -> str:
    name = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"http://{name}:{port}/"
