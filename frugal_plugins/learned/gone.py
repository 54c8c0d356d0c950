"""Chosen models their provider does not know: misspelled in the recipe, retired, or not open to this key."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.prices import bare_name
from frugal_plugins.request import Request

_FORGOTTEN_AFTER_SECONDS: Final = 3600.0
_NOT_FOUND: Final = 404


@dataclass(slots=True)
class Gone:
    """Remembers for an hour which models were not there, so that one request meets that and not every one."""

    _since: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def why_not(self, model: str, now_seconds: float) -> str | None:
        """Why this model is not asked now, or None."""
        since = self._since.get(bare_name(model))
        return None if since is None or now_seconds - since > _FORGOTTEN_AFTER_SECONDS else "its provider does not know it"

    def left_out(self, choose: Callable[[Request, Next, Context], Flow], own: str, request: Request, rest: Next, ctx: Context) -> Flow:
        """Let `choose` ask a model, and choose again while what it chose beside the caller's `own` is not there."""
        while True:
            with Instead(rest, own) as instead:
                return (yield from choose(request, instead, ctx))
            self.note(str(instead.missing), ctx.clock())
            ctx.note("route", "gone", f"the provider does not know {bare_name(str(instead.missing))}; check the recipe's tiers")

    def note(self, model: str, now_seconds: float) -> None:
        """This one was not there."""
        with self._lock:
            self._since[bare_name(model)] = now_seconds


class Instead:
    """`rest` that holds back the provider's "no such model", where another model than the caller's own was asked.

    As a context it ends quietly then, and `missing` names the model; every other error, and every error of the caller's own
    model, passes as it is.
    """

    __slots__ = ("_asked", "_own", "_rest", "missing")

    def __init__(self, rest: Next, own: str) -> None:
        self._rest = rest
        self._own = bare_name(own)
        self._asked: str | None = None
        self.missing: str | None = None

    def __call__(self, request: Request) -> Flow:
        """Ask, and remember whom."""
        self._asked = request.model
        reply = yield from self._rest(request)
        self._asked = None
        return reply

    def __enter__(self) -> Instead:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        # Read off the error itself: every host has a class of its own for it.
        if self._asked is not None and bare_name(self._asked) != self._own and getattr(error, "status_code", None) == _NOT_FOUND:
            self.missing = self._asked
        return self.missing is not None
