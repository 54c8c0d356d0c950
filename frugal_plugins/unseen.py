"""Answers nobody has seen yet: held back from a reader, because they may be replaced."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from frugal_plugins.flow import Call, Flow
from frugal_plugins.request import Reply


class Unseen(Generator[Call, Reply, Reply]):
    """The same flow with its answers held back from a reader, because they may yet be replaced."""

    __slots__ = ("flow",)

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def send(self, value: Reply) -> Call:
        """The next call, to be held back."""
        return _held(self.flow.send(value))

    def throw(self, *error: Any) -> Call:
        """The same after an error."""
        return _held(self.flow.throw(*error))


def _held(call: Call) -> Call:
    return replace(call, hold=True) if call.purpose == "answer" else call
