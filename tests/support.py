"""Small fakes the tests share: a model that answers from a list, and a way to send one request through techniques."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from frugal_plugins.drivers import drive
from frugal_plugins.flow import Call, Context, Flow, Mode, Next, Technique, compose
from frugal_plugins.request import Reply, Request
from frugal_plugins.usage import Usage


def ask_for(text: str = "Is the shop open?", *, model: str = "gpt-4o", system: str | None = None, **params: Any) -> Request:
    """A chat request with one user message."""
    head = ({"role": "system", "content": system},) if system else ()
    return Request(model, (*head, {"role": "user", "content": text}), params)


def reply_with(text: str | None = "Yes.", *, finish: str = "stop", model: str = "gpt-4o", out: int = 5, **message: Any) -> Reply:
    """An assistant answer."""
    return Reply({"role": "assistant", "content": text, **message}, model, Usage(input_tokens=100, output_tokens=out), finish)


@dataclass
class FakeModel:
    """Answers calls in order, repeating the last answer; an exception in the list is raised. Remembers every call."""

    answers: Sequence[Reply | Exception] = field(default_factory=lambda: [reply_with()])
    calls: list[Call] = field(default_factory=list)

    def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def send(
    request: Request, model: Callable[[Call], Reply], *techniques: Technique | tuple[Technique, Mode], **known: Any
) -> tuple[Reply, Context]:
    """Drive one request through techniques, outermost first."""
    ctx = Context(**known)
    steps: list[tuple[Technique, Mode]] = [t if isinstance(t, tuple) else (t, "on") for t in techniques]
    reply = drive(compose(steps, ctx)(request), ctx, model)
    wait_for_later()
    return reply, ctx


def wait_for_later() -> None:
    """Until what is done once the caller has the answer is over."""
    for thread in threading.enumerate():
        if thread.name == "frugal-later":
            thread.join(30)


@dataclass
class Doing:
    """A technique made of one function."""

    what: Callable[[Request, Next, Context], Flow]
    name: str = "doing"

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        return (yield from self.what(request, rest, ctx))


class FakeStream:
    """Three chunks of an answer, which may break in the middle or before the first."""

    def __init__(self, reply: Reply, error: Exception | None = None, breaks_at: int = 1) -> None:
        self.whole, self.error, self.read, self.breaks_at = reply, error, 0, breaks_at

    def __iter__(self) -> Iterator[str]:
        for chunk in ("one ", "two ", "three"):
            if self.error is not None and self.read == self.breaks_at:
                raise self.error
            self.read += 1
            yield chunk

    def reply(self) -> Reply:
        return self.whole if self.read == 3 else self.whole.with_(finish="closed", usage=Usage(100, output_tokens=self.read))
