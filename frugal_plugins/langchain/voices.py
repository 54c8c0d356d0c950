"""How a tier's model is spoken to: through its public methods, or from within a run that LangChain has opened already.

In the public way the model opens its own run, so its callbacks, cache, rate limiter and name in traces are its own. In the
inner way (`generate`, `stream_events(version="v3")`) LangChain has opened a run for the router, and opening another would
count the tokens twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig

from frugal_plugins.request import canonical

_FOR_TRACES = ("ls_structured_output_format", "structured_output_format")


@dataclass(frozen=True, slots=True)
class Target:
    """One call to make: the model, what it is handed, its name in the recipe, and what traces say of it."""

    name: str
    model: BaseChatModel
    messages: list[BaseMessage]
    kwargs: dict[str, Any]
    traced: Mapping[str, str] = field(default_factory=dict)


class Voice(Protocol):
    """Speaks to a model in one way."""

    def ask(self, target: Target) -> AIMessage:
        """The answer."""

    async def aask(self, target: Target) -> AIMessage:
        """The answer, awaited."""

    def listen(self, target: Target) -> Iterator[AIMessageChunk]:
        """The answer piece by piece."""

    def alisten(self, target: Target) -> AsyncIterator[AIMessageChunk]:
        """The answer piece by piece, for `async for`."""


@dataclass(slots=True)
class PublicVoice:
    """Calls the model as any program would, with the caller's config."""

    config: RunnableConfig
    _run_named: bool = field(default=False)

    def ask(self, target: Target) -> AIMessage:
        """`invoke` the model."""
        return target.model.invoke(target.messages, self._config(target), **target.kwargs)

    async def aask(self, target: Target) -> AIMessage:
        """`ainvoke` the model."""
        return await target.model.ainvoke(target.messages, self._config(target), **target.kwargs)

    def listen(self, target: Target) -> Iterator[AIMessageChunk]:
        """`stream` the model."""
        return target.model.stream(target.messages, self._config(target), **target.kwargs)

    def alisten(self, target: Target) -> AsyncIterator[AIMessageChunk]:
        """`astream` the model."""
        return target.model.astream(target.messages, self._config(target), **target.kwargs)

    def _config(self, target: Target) -> RunnableConfig:
        """The caller's config; a run id of the caller's names the first call only, since no two runs may share it."""
        config = self.config.copy()
        if target.traced:
            config["metadata"] = {**(config.get("metadata") or {}), **target.traced}
        if self._run_named:
            config.pop("run_id", None)
        self._run_named = True
        return config


@dataclass(frozen=True, slots=True)
class InnerVoice:
    """Calls the model below its public methods, inside the run that was opened for the router.

    The model's own cache and rate limiter are used; a run of its own is not opened. LangChain hands a run's manager to the
    kind of method, sync or async, that it belongs to.
    """

    manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None

    def ask(self, target: Target) -> AIMessage:
        """The model's answer."""
        kwargs, stop = _split(target.kwargs)
        manager = cast("CallbackManagerForLLMRun | None", self.manager)
        return _message(target.model._generate_with_cache(target.messages, stop=stop, run_manager=manager, **kwargs))

    async def aask(self, target: Target) -> AIMessage:
        """The model's answer, awaited."""
        kwargs, stop = _split(target.kwargs)
        manager = cast("AsyncCallbackManagerForLLMRun | None", self.manager)
        return _message(await target.model._agenerate_with_cache(target.messages, stop=stop, run_manager=manager, **kwargs))

    def listen(self, target: Target) -> Iterator[AIMessageChunk]:
        """The model's own pieces."""
        if type(target.model)._stream is BaseChatModel._stream:
            yield as_chunk(self.ask(target))
            return
        if target.model.rate_limiter:
            target.model.rate_limiter.acquire(blocking=True)
        kwargs, stop = _split(target.kwargs)
        manager = cast("CallbackManagerForLLMRun | None", self.manager)
        for chunk in target.model._stream(target.messages, stop=stop, run_manager=manager, **kwargs):
            yield _piece(chunk)

    async def alisten(self, target: Target) -> AsyncIterator[AIMessageChunk]:
        """The model's own pieces, for `async for`."""
        kind = type(target.model)
        if kind._stream is BaseChatModel._stream and kind._astream is BaseChatModel._astream:
            yield as_chunk(await self.aask(target))
            return
        if target.model.rate_limiter:
            await target.model.rate_limiter.aacquire(blocking=True)
        kwargs, stop = _split(target.kwargs)
        manager = cast("AsyncCallbackManagerForLLMRun | None", self.manager)
        async for chunk in target.model._astream(target.messages, stop=stop, run_manager=manager, **kwargs):
            yield _piece(chunk)


class StoredAnswer(BaseChatModel):
    """A model that says one message: how a stored answer passes LangChain's callbacks, traces and event streams.

    Its tokens are all zero, so usage that is counted by callbacks stays what was really used.
    """

    answer: AIMessage

    @classmethod
    def of(cls, answer: AIMessage) -> StoredAnswer:
        """A model that says this. Copied from one that is kept, since setting up a chat model takes longer than finding the answer."""
        return _said_nothing().model_copy(update={"answer": answer})

    @property
    def _llm_type(self) -> str:
        return "frugal-stored-answer"

    def bind_tools(self, tools: Any, **_how: Any) -> Runnable[Any, AIMessage]:  # noqa: ARG002
        """Itself: it has made up its mind."""
        return self

    def _generate(self, *_asked: Any, **_how: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer.model_copy())])

    def _stream(self, *_asked: Any, **_how: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=as_chunk(self.answer))


@cache
def _said_nothing() -> StoredAnswer:
    model = StoredAnswer(answer=AIMessage(""), cache=False)
    assert model._serialized  # worked out here once: for traces, and the costliest part of a run
    return model


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the last piece of a stream."""
    if isinstance(message, AIMessageChunk):
        return message
    calls = [
        {"type": "tool_call_chunk", "name": c["name"], "args": canonical(c["args"]), "id": c["id"], "index": i}
        for i, c in enumerate(message.tool_calls)
    ]
    return AIMessageChunk(
        content=message.content,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=calls,
        id=message.id,
        name=message.name,
        chunk_position="last",
    )


def joined(chunks: list[AIMessageChunk]) -> AIMessage:
    """The pieces as one message."""
    return add_ai_message_chunks(chunks[0], *chunks[1:]) if chunks else AIMessage("")


def _split(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
    """Arguments as the inner methods take them: without what is for traces only, and `stop` by itself."""
    rest = {name: value for name, value in kwargs.items() if name not in _FOR_TRACES}
    stop: list[str] | None = rest.pop("stop", None)
    return rest, stop


def _message(result: ChatResult) -> AIMessage:
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    return message


def _piece(chunk: ChatGenerationChunk) -> AIMessageChunk:
    message = chunk.message
    assert isinstance(message, AIMessageChunk)
    if chunk.generation_info:
        return message.model_copy(update={"response_metadata": {**chunk.generation_info, **message.response_metadata}})
    return message
