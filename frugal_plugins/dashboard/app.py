"""The pages as one small ASGI application: to be served alone, or to be mounted behind somebody else's door."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from frugal_plugins.dashboard.asked import Asked
from frugal_plugins.dashboard.door import Admit, Door, Visit, on_loopback
from frugal_plugins.dashboard.figures import figures
from frugal_plugins.dashboard.overview import live_part, overview
from frugal_plugins.dashboard.rows import request_page, review_page, rows_page
from frugal_plugins.dashboard.versus import control_page
from frugal_plugins.errors import FrugalError, InputError, LedgerError
from frugal_plugins.ledger.reading import TableReader, open_reader
from frugal_plugins.report.shell import asset

Judge = Callable[[str, bool], None]
"""Told of a request whose stored answer is right (True) or wrong (False); drops the wrong one."""

_ROOM: Final = "frugal_plugins.dashboard"
_MOST_FORM_BYTES: Final = 4_096
_SAID: Final[Mapping[str, str]] = {"good": "Kept, and noted as right.", "bad": "Dropped: it will not be served again."}


def dashboard_app(
    place: str | os.PathLike[str], *, admit: Admit | None = None, judge: Judge | None = None, show_text: bool = False
) -> Starlette:
    """The dashboard of a ledger as an ASGI application; every link in it is relative, so it may be mounted anywhere.

    Args:
        place: the ledger: a SQLite file, or `postgresql://...`.
        admit: who may come in; without it only browsers on this machine.
        judge: what rejects a stored answer; without it answers can be looked at but not judged.
        show_text: also show prompts and answers, of a ledger that keeps them.
    """
    pages = _Pages(place, judge, show_text=show_text)
    routes = [
        Route("/", pages.overview),
        Route("/rows", pages.rows),
        Route("/request", pages.request),
        Route("/review", pages.review),
        Route("/control", pages.control),
        Route("/judge", pages.judged, methods=["POST"]),
        Route("/figures.json", pages.figures),
        Route("/style.css", _asset("page.css", "text/css", also=(("page.css", "frugal_plugins.report"),))),
        Route("/icon.svg", _asset("icon.svg", "image/svg+xml")),
        Route("/script.js", _asset("page.js", "text/javascript")),
    ]
    handlers = {FrugalError: _refused, LedgerError: _refused, InputError: _refused}
    return Starlette(routes=routes, middleware=[Middleware(Door, admit or on_loopback())], exception_handlers=handlers)


class _Pages:
    def __init__(self, place: str | os.PathLike[str], judge: Judge | None, *, show_text: bool) -> None:
        self.place = place
        self.judge = judge
        self.show_text = show_text

    def overview(self, request: Request) -> Response:
        asked = Asked.of(request.query_params)
        if request.query_params.get("part") == "live":
            return self._page(lambda reader: _live(reader, asked))
        return self._page(lambda reader: overview(reader, asked))

    def rows(self, request: Request) -> Response:
        asked = Asked.of(request.query_params)
        return self._page(lambda reader: rows_page(reader, asked))

    def request(self, request: Request) -> Response:
        asked, name = Asked.of(request.query_params), request.query_params.get("id", "")[:200]
        with open_reader(self.place) as reader:
            made = request_page(reader, asked, name, show_text=self.show_text)
        return HTMLResponse(made) if made is not None else PlainTextResponse("There is no such request in this ledger.\n", 404)

    def control(self, request: Request) -> Response:
        asked = Asked.of(request.query_params)
        return self._page(lambda reader: control_page(reader, asked))

    def review(self, request: Request) -> Response:
        asked, visit = Asked.of(request.query_params), _visit(request)
        told = _SAID.get(request.query_params.get("said", ""), "")
        may = self.judge is not None
        return self._page(lambda reader: review_page(reader, asked, visit, may=may, show_text=self.show_text, told=told))

    async def judged(self, request: Request) -> Response:
        visit, judge = _visit(request), self.judge
        if judge is None or not visit.may_judge:
            return PlainTextResponse("Stored answers cannot be judged here: start with --recipe, and use a key that may.\n", 403)
        if int(request.headers.get("content-length") or 0) > _MOST_FORM_BYTES:
            return PlainTextResponse("That is no form of ours.\n", 413)
        form = await _form(request)
        if not visit.allows(form.get("nonce", "")):
            return PlainTextResponse("This form is not from this page, or is out of date. Load the page again.\n", 403)
        verdict, name = form.get("verdict"), form.get("id", "")
        if verdict not in _SAID or not name:
            return PlainTextResponse("Say of which request, and whether its answer was good or bad.\n", 400)
        await run_in_threadpool(judge, name, verdict == "good")
        return RedirectResponse(f"review?{urlencode({'said': verdict})}", HTTPStatus.SEE_OTHER)

    def figures(self, request: Request) -> Response:
        asked = Asked.of(request.query_params)
        with open_reader(self.place) as reader:
            return JSONResponse(figures(reader, asked))

    def _page(self, make: Callable[[TableReader], str]) -> Response:
        start = time.perf_counter()
        with open_reader(self.place) as reader:
            made = make(reader)
        return HTMLResponse(made, headers={"server-timing": f"page;dur={1000 * (time.perf_counter() - start):.1f}"})


def _live(reader: TableReader, asked: Asked) -> str:
    period = asked.period(time.time())
    return live_part(reader, Asked(asked.span), reader.total(period), period)


def _visit(request: Request) -> Visit:
    visit = request.scope["state"]["visit"]
    assert isinstance(visit, Visit)
    return visit


async def _form(request: Request) -> dict[str, str]:
    """The fields of a plain form; starlette's own reader would need another package."""
    from urllib.parse import parse_qsl

    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM_BYTES:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10))


def _asset(name: str, kind: str, *, also: tuple[tuple[str, str], ...] = ()) -> Callable[[Request], Response]:
    text = "\n".join([*(asset(*one) for one in also), asset(name, _ROOM)])

    def served(_request: Request) -> Response:
        return Response(text, media_type=kind)

    return served


def _refused(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 400 if isinstance(error, InputError) else 503)
