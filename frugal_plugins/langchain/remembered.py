"""What a memory in front of a router says about the messages it hands on, so that they are not summed up a second time.

The note stands in the last message's `response_metadata`: no provider is sent it, no cache key depends on it, and it holds counts and
reasons only, never text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from langchain_core.messages import BaseMessage

from frugal_plugins.flow import Attempt, Call, Context, Decision
from frugal_plugins.request import Reply, Request
from frugal_plugins.usage import Usage

_NOTE: Final = "frugal_memory"


def noted(messages: Sequence[BaseMessage], ctx: Context, owed: Sequence[Mapping[str, Any]]) -> list[BaseMessage]:
    """The messages with a note on the last one: what was decided, and which calls for summaries are not booked yet."""
    decisions = [asdict(decision) for decision in ctx.decisions]
    last = messages[-1]
    note = {_NOTE: {"recipe": ctx.recipe, "decisions": decisions, "asked": list(owed)}}
    return [*messages[:-1], last.model_copy(update={"response_metadata": {**last.response_metadata, **note}})]


def note_in(messages: Sequence[BaseMessage]) -> Mapping[str, Any] | None:
    """The note of a memory these messages came through, if they did."""
    for message in reversed(messages):
        if _NOTE in message.response_metadata:
            note: Mapping[str, Any] = message.response_metadata[_NOTE]
            return note
    return None


def owed_for(attempts: Sequence[Attempt]) -> list[Mapping[str, Any]]:
    """The calls a memory made for its summaries, as plain values."""
    return [
        {"model": a.reply.billed_as or a.call.request.model, "answered": a.reply.model, "usage": asdict(a.reply.usage), "id": a.reply.id}
        for a in attempts
        if a.call.purpose == "summarise" and a.reply is not None
    ]


def book(note: Mapping[str, Any], ctx: Context) -> None:
    """Write a memory's note into the context of the request it was made for."""
    ctx.decisions.extend(Decision(**decision) for decision in note["decisions"])
    for asked in note["asked"]:
        call = Call(Request(asked["model"], ()), purpose="summarise", technique="history")
        reply = Reply({}, asked["answered"], Usage(**asked["usage"]), billed_as=asked["model"], id=asked["id"])
        ctx.attempts.append(Attempt(call, reply))
