"""Streams: LiteLLM's chunks passed on as they come, read on the way, and booked however the reading ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from typing import Any, Final

from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

from frugal_plugins.litellm.convert import billed_as, hidden_params, lane_of, plain, provider_id
from frugal_plugins.request import Lane, Message, Reply, Request
from frugal_plugins.tokens import count_messages, count_text
from frugal_plugins.usage import Usage, from_openai, part_of

OPENED: Final = object()
"""The first item of every stream: it is open, and an error of opening has been raised. Callers never see it."""


def asks_usage(kwargs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The arguments of a stream with usage asked for, and whether its chunk is to be hidden because the caller did not ask.

    A caller who says `include_usage: false` himself is obeyed; his stream is booked with counted tokens.
    """
    options = kwargs.get("stream_options")
    if options is None:
        return {**kwargs, "stream_options": {"include_usage": True}}, True
    if isinstance(options, Mapping) and "include_usage" not in options:
        return {**kwargs, "stream_options": {**options, "include_usage": True}}, True
    return kwargs, False


class _Choice:
    """One choice as far as its pieces have come."""

    __slots__ = ("_fields", "_texts", "_tools", "finish")

    def __init__(self) -> None:
        self.finish = ""
        self._texts: dict[str, list[str]] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._fields: dict[str, Any] = {}

    def add(self, choice: Any) -> None:
        """Take one piece in."""
        self.finish = choice.finish_reason or self.finish
        delta = choice.delta
        for name in ("content", "refusal", "reasoning_content"):
            text = getattr(delta, name, None)
            if isinstance(text, str) and text:
                self._texts.setdefault(name, []).append(text)
        for call in getattr(delta, "tool_calls", None) or ():
            self._add_call(self._tools.setdefault(getattr(call, "index", None) or 0, {"type": "function"}), plain(call))
        if getattr(delta, "function_call", None):
            self._add_call(self._fields.setdefault("function_call", {}), {"function": plain(delta.function_call)})

    def _add_call(self, call: dict[str, Any], piece: Mapping[str, Any]) -> None:
        if piece.get("id"):
            call["id"] = piece["id"]
        into, said = (call.setdefault("function", {}) if "type" in call else call), piece.get("function") or {}
        if said.get("name"):
            into["name"] = said["name"]
        into["arguments"] = into.get("arguments", "") + (said.get("arguments") or "")

    def message(self) -> Message:
        """The message so far."""
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        tools = {"tool_calls": [self._tools[index] for index in sorted(self._tools)]} if self._tools else {}
        return {"role": "assistant", "content": None, **texts, **tools, **self._fields}

    def output_text(self) -> str:
        """All that was generated, for counting."""
        calls = [*(tool.get("function", {}) for tool in self._tools.values()), *self._fields.values()]
        said = [part for parts in self._texts.values() for part in parts]
        return "".join([*said, *(call.get(name, "") for call in calls for name in ("name", "arguments"))])


class Reading:
    """One open stream of LiteLLM: passes its chunks on and remembers what they add up to."""

    def __init__(self, source: Any, request: Request, *, hide_usage: bool) -> None:
        self.source = source
        self._request = request
        self._hide_usage = hide_usage
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        self._first: Any = None
        self._last: Any = None
        self._lane: Lane = "standard"
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        yield OPENED
        try:
            for chunk in self.source:
                if self._read(chunk):
                    yield chunk
            self._ended = True
        finally:
            if not self._ended:
                _close(self.source)

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield OPENED
        try:
            async for chunk in self.source:
                if self._read(chunk):
                    yield chunk
            self._ended = True
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Let go of the provider's stream when it was not read to its end."""
        if self._ended:
            return
        lines: Any = getattr(getattr(self.source, "completion_stream", None), "streaming_response", None)
        if hasattr(self.source, "aclose"):
            await self.source.aclose()
        if hasattr(lines, "aclose"):
            await lines.aclose()  # LiteLLM's reader of Anthropic's stream has no close of its own

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self._request.model

    def reply(self) -> Reply:
        """The answer as far as it was read."""
        first = self._choices.get(0) or _Choice()
        hidden = {**hidden_params(self.source), **hidden_params(self._first)}
        return Reply(
            message=first.message(),
            model=hidden.get("provider_response_model") or getattr(self._first, "model", None) or self._request.model,
            usage=self._counted(hidden),
            finish=self._finish(first) if self._ended else "closed",
            raw=self.source,
            others=tuple(choice.message() for index, choice in sorted(self._choices.items()) if index),
            billed_as=billed_as(hidden, hidden.get("provider_response_model")),
            id=provider_id(self._first, hidden),
            lane=self._lane,
        )

    def _read(self, chunk: Any) -> bool:
        """Take a chunk in; whether the caller gets it."""
        self._first = self._first if self._first is not None else chunk
        for choice in chunk.choices:
            self._choices.setdefault(choice.index or 0, _Choice()).add(choice)
        usage = part_of(chunk, "usage")
        if part_of(chunk, "service_tier") is not None:
            self._lane = lane_of(chunk, usage)
        if usage is None:
            self._last = chunk
            return True
        self._usage = usage
        if not self._hide_usage:
            return True
        if self._last is not None and isinstance(getattr(self._last, "_hidden_params", None), dict):
            self._last._hidden_params["usage"] = usage  # where LiteLLM itself puts it for callers who did not ask
        return False

    def _finish(self, first: _Choice) -> str:
        """How the provider said it ended; "" where it did not say, although LiteLLM then writes `stop` for it."""
        source = self.source
        if getattr(source, "received_finish_reason", None) or getattr(source, "intermittent_finish_reason", None):
            return first.finish
        chunks = getattr(source, "chunks", None)  # what LiteLLM keeps for its own log, without the reason it made up
        if isinstance(chunks, list) and not any(choice.finish_reason for chunk in reversed(chunks) for choice in chunk.choices):
            return ""
        return first.finish

    def _counted(self, hidden: Mapping[str, Any]) -> Usage:
        """What the provider counted; where it did not get to say so, what we count."""
        if hidden.get("cache_hit") is True or getattr(self.source, "custom_llm_provider", None) == "cached_response":
            return Usage()
        usage = from_openai(self._usage)
        if usage.input_tokens:
            return usage
        early = next((from_openai(u) for c in getattr(self.source, "chunks", ()) if (u := getattr(c, "usage", None)) is not None), Usage())
        text = "".join(choice.output_text() for choice in self._choices.values())
        ours = counted(self._request, text, input_tokens=early.input_tokens)
        return early.with_(input_tokens=ours.input_tokens, output_tokens=ours.output_tokens)


def counted(request: Request, output: str, *, input_tokens: int = 0) -> Usage:
    """An estimate, where the provider's own count never came."""
    read = input_tokens or count_messages(request.messages, request.model, params=request.params)
    return Usage(input_tokens=read, output_tokens=count_text(output, request.model))


def _close(source: Any) -> None:
    """Let go of the connection behind a blocking stream; LiteLLM's wrapper has no close of its own."""
    inner = getattr(source, "completion_stream", None)
    for one in (inner, getattr(inner, "streaming_response", None), getattr(inner, "response", None)):
        close = getattr(one, "close", None)
        if callable(close):
            close()
            return


class _Delegating(CustomStreamWrapper):  # type: ignore[misc]
    """Looks like LiteLLM's own stream to code that asks what it is; what it does not have, the stream inside has."""

    def __init__(self, source: Any, hidden: dict[str, Any], stored: Mapping[str, Any]) -> None:  # LiteLLM's own would open one more
        self._source = source
        if source is None:
            self.__dict__.update(stored)
        beside = hidden_params(source)
        self._hidden_params = beside if isinstance(beside, dict) else {}
        self._hidden_params.update(hidden)

    def __getattr__(self, name: str) -> Any:
        source = self.__dict__.get("_source")
        if source is None:
            raise AttributeError(f"{type(self).__name__!r} of a stored answer has no attribute {name!r}")
        return getattr(source, name)

    def __del__(self) -> None:
        """The stream inside looks after itself."""


class FrugalStream(_Delegating):
    """What `litellm.completion(stream=True)` returns: iterate it; `close()` or dropping it ends and books the request."""

    def __init__(self, chunks: Generator[Any], source: Any, hidden: dict[str, Any], stored: Mapping[str, Any]) -> None:
        super().__init__(source, hidden, stored)
        self._chunks = chunks

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._chunks)

    def close(self) -> None:
        """Stop reading: the provider's connection is closed and the request is booked with what came so far."""
        self._chunks.close()


class FrugalAsyncStream(_Delegating):
    """What `litellm.acompletion(stream=True)` returns: `async for` it; `aclose()` ends and books the request."""

    def __init__(self, chunks: AsyncGenerator[Any], reading: Reading | None, hidden: dict[str, Any], stored: Mapping[str, Any]) -> None:
        super().__init__(reading.source if reading is not None else None, hidden, stored)
        self._chunks = chunks
        self._reading = reading

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Stop reading: the provider's connection is closed and the request is booked with what came so far."""
        await self._chunks.aclose()
        if self._reading is not None:
            await self._reading.aclose()
