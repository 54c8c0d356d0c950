"""Answers nobody has seen yet: held back from a reader, because they may be replaced."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from frugal_plugins.flow import Call, Flow
from frugal_plugins.request import Reply


class Unseen(Generator[Call, Reply, Reply]):
    """The same flow with its answers held back from a reader, because they may yet be replaced.

    With `unsure`, an answer is held back only as long as that says so of what has come of it.
    """

    __slots__ = ("flow", "unsure")

    def __init__(self, flow: Flow, unsure: Callable[[Reply], bool] | None = None) -> None:
        self.flow = flow
        self.unsure = unsure

    def send(self, value: Reply) -> Call:
        """The next call, to be held back."""
        return self._held(self.flow.send(value))

    def throw(self, *error: Any) -> Call:
        """The same after an error."""
        return self._held(self.flow.throw(*error))

    def _held(self, call: Call) -> Call:
        if call.purpose != "answer":
            return call
        return replace(call, hold=True) if self.unsure is None else replace(call, unsure=self.unsure)
