"""Answers that no provider gave just now, in LiteLLM's own shapes: a whole response, or the chunks of a stream."""

from __future__ import annotations

import datetime as dt
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litellm import ModelResponse, ModelResponseStream
from litellm.types.utils import Choices, Delta, StreamingChoices
from litellm.types.utils import Message as LiteLLMMessage
from litellm.types.utils import Usage as LiteLLMUsage

from frugal_plugins.request import Message, Reply

_PIECES: Final = re.compile(r"\s*\S+(?:\s+\S+){0,7}\s*|\s+")
"""A stored text is replayed eight words at a time."""


def response_of(reply: Reply, details: Mapping[str, Any]) -> Any:
    """A stored answer as a ModelResponse: a fresh id, no usage, marked as a hit that cost nothing."""
    choices = [
        Choices(index=index, finish_reason=reply.finish or "stop", message=LiteLLMMessage(**message))
        for index, message in enumerate((reply.message, *reply.others))
    ]
    response = ModelResponse(id=_new_id(details), model=reply.model, created=int(time.time()), choices=choices, usage=_no_usage())
    response._hidden_params = hidden_of(details)
    return response


def chunks_of(reply: Reply, details: Mapping[str, Any], *, with_usage: bool) -> Iterator[Any]:
    """An answer we hold in one piece, as the chunks a streaming caller expects."""
    identity = {"id": _new_id(details), "created": int(time.time()), "model": reply.model}
    hidden = hidden_of(details) if reply.saved is not None else {"frugal": dict(details)}

    def chunk(index: int, finish: str | None = None, **delta: Any) -> Any:
        made = ModelResponseStream(**identity, choices=[StreamingChoices(index=index, finish_reason=finish, delta=Delta(**delta))])
        made._hidden_params = dict(hidden)
        return made

    for index, message in enumerate((reply.message, *reply.others)):
        yield chunk(index, role="assistant", content="")
        for delta in _deltas(message):
            yield chunk(index, **delta)
        yield chunk(index, reply.finish or "stop")
    if with_usage:
        last = chunk(0)
        last.usage = getattr(reply.raw, "usage", None) if reply.saved is None else _no_usage()
        yield last


def hidden_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """What LiteLLM keeps beside a hit."""
    return {"cache_hit": True, "response_cost": 0.0, "custom_llm_provider": "cached_response", "model_id": None, "frugal": dict(details)}


def stream_attributes(reply: Reply, messages: Any) -> dict[str, Any]:
    """What code that knows LiteLLM's streams (its Router, for one) reads from one, for a stored answer."""
    from litellm.litellm_core_utils.litellm_logging import Logging

    log = Logging(
        model=reply.model,
        messages=messages,
        stream=True,
        call_type="acompletion",
        start_time=dt.datetime.now(tz=dt.UTC),
        litellm_call_id=_new_id({}),
        function_id="",
    )
    return {
        "model": reply.model,
        "custom_llm_provider": "cached_response",
        "completion_stream": (),
        "make_call": None,
        "chunks": [],
        "stream_options": None,
        "logging_obj": log,
        "received_finish_reason": reply.finish or "stop",
        "intermittent_finish_reason": None,
    }


def _deltas(message: Message) -> Iterator[dict[str, Any]]:
    if message.get("reasoning_content"):
        yield {"content": None, "reasoning_content": message["reasoning_content"]}
    if isinstance(message.get("content"), str):
        for piece in _PIECES.findall(message["content"]):
            yield {"content": piece}
    if message.get("refusal"):
        yield {"content": None, "refusal": message["refusal"]}
    if message.get("function_call"):
        yield {"content": None, "function_call": message["function_call"]}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield {"content": None, "tool_calls": [{**call, "index": index}]}


def _no_usage() -> Any:
    return LiteLLMUsage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def _new_id(details: Mapping[str, Any]) -> str:
    return f"chatcmpl-{details.get('id') or uuid.uuid4().hex}"
