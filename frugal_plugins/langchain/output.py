"""Structured output that is routed: what the chosen model is told, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig, RunnableMap, RunnablePassthrough, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from frugal_plugins.errors import FrugalError, TruncatedOutput
from frugal_plugins.langchain.replies import finish_of
from frugal_plugins.langchain.voices import joined
from frugal_plugins.request import Reply, canonical

if TYPE_CHECKING:
    from frugal_plugins.langchain.router import FrugalRouter

CUT = "the answer ended at the token limit before it was complete; raise the task's output_tokens or max_tokens"


@dataclass(frozen=True, slots=True)
class Output:
    """What `with_structured_output` was asked for, to be applied to whichever model is chosen.

    Attributes:
        options: the further arguments (`method`, `strict`, `tools`), handed on as they are.
    """

    schema: Any
    options: Mapping[str, Any]
    _chains: dict[int, tuple[dict[str, Any], Runnable[Any, Any]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def response_format(self) -> Mapping[str, Any]:
        """The request in one form for all providers, for the cache's key and the rules that find the task."""
        if self.schema is None:
            return {"type": "json_object", **self._told()}
        schema = self._function()
        wanted = {"name": schema.get("name", "answer"), "schema": schema.get("parameters", schema)}
        return {"type": "json_schema", "json_schema": {**wanted, **self._told()}}

    @property
    def for_traces(self) -> dict[str, Any]:
        """What LangChain's traces show of the schema when no model is asked."""
        return {"ls_structured_output_format": {"kwargs": self._told(), "schema": self.schema}}

    def kwargs(self, model: BaseChatModel) -> dict[str, Any]:
        """What this model is told, in its provider's own form."""
        return self._chain(model)[0]

    def parser(self, model: BaseChatModel) -> Runnable[Any, Any]:
        """What reads this model's answer."""
        return self._chain(model)[1]

    def read(self, text: str) -> Any:
        """A stored answer as the schema's object."""
        data = json.loads(text)
        return self.schema(**data) if isinstance(self.schema, type) and is_basemodel_subclass(self.schema) else data

    def plain(self, reply: Reply, model: BaseChatModel) -> Reply:
        """The reply with its JSON as content, also where the model gave it as the arguments of the one tool it had to call.

        An answer that is not the object that was asked for ends as `no_object`, so that nobody stores it.
        """
        message = reply.raw
        if reply.finish in ("length", "closed") or not isinstance(message, AIMessage):
            return reply
        text, tools = str(message.text), self.kwargs(model).get("tools") or ()
        if len(tools) == 1 and len(message.tool_calls) == 1:
            text = canonical(message.tool_calls[0]["args"])
        try:
            self.read(text)
        except (ValueError, TypeError):
            return reply.with_(finish="no_object")
        return reply.with_(message={"role": "assistant", "content": text}, finish="stop")

    def _told(self) -> dict[str, Any]:
        return {name: self.options[name] for name in ("method", "strict") if self.options.get(name) is not None}

    def _function(self) -> Mapping[str, Any]:
        try:
            function: Mapping[str, Any] = convert_to_openai_tool(self.schema)["function"]
        except (ValueError, KeyError):
            return self.schema if isinstance(self.schema, Mapping) else {}
        return function

    def _chain(self, model: BaseChatModel) -> tuple[dict[str, Any], Runnable[Any, Any]]:
        known = self._chains.get(id(model))
        if known is None:
            known = self._chains[id(model)] = _taken_apart(model.with_structured_output(self.schema, **self.options), model)
        return known


class Parse(Runnable[AIMessage, Any]):
    """Reads a routed answer with the parser of the model that gave it.

    Raises TruncatedOutput when the answer ended at the token limit, instead of returning None or guessed data.
    """

    def __init__(self, router: FrugalRouter, output: Output) -> None:
        self.router = router
        self.output = output

    def invoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Read one answer."""
        if is_cut(input):
            raise TruncatedOutput(CUT)
        if self._stored(input):
            return self.output.read(input.text)
        return self._parser(input).invoke(input, config, **kwargs)

    async def ainvoke(self, input: AIMessage, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Read one answer."""
        if is_cut(input) or self._stored(input):
            return self.invoke(input, config)
        return await self._parser(input).ainvoke(input, config, **kwargs)

    def transform(self, input: Iterator[AIMessage], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        """Read an answer as it comes, as far as its model's parser can."""
        first = next(input, None)
        if first is None:
            return
        seen: list[AIMessage] = [first]
        if self._stored(first):
            yield self.invoke(_whole([first, *input]), config)
            return

        def watched() -> Iterator[AIMessage]:
            yield first
            for chunk in input:
                seen.append(chunk)
                yield chunk
            _refuse_cut(seen)

        yield from self._parser(first).transform(watched(), config, **kwargs)

    async def atransform(
        self,
        input: AsyncIterator[AIMessage],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """`transform`, for `async for`."""
        first = await anext(input, None)
        if first is None:
            return
        seen: list[AIMessage] = [first]
        if self._stored(first):
            yield self.invoke(_whole([first, *[chunk async for chunk in input]]), config)
            return

        async def watched() -> AsyncIterator[AIMessage]:
            yield first
            async for chunk in input:
                seen.append(chunk)
                yield chunk
            _refuse_cut(seen)

        async for part in self._parser(first).atransform(watched(), config, **kwargs):
            yield part

    def _stored(self, message: AIMessage) -> bool:
        note = message.response_metadata.get("frugal")
        return isinstance(note, Mapping) and note.get("cache") == "hit"

    def _parser(self, message: AIMessage) -> Runnable[Any, Any]:
        note = message.response_metadata.get("frugal")
        name = note["model"] if isinstance(note, Mapping) else self.router.plain_model()
        return self.output.parser(self.router.tiers_in_use.model(name))


def routed_output(
    router: FrugalRouter, output: Output, *, include_raw: bool, params: Mapping[str, Any] | None = None
) -> Runnable[Any, Any]:
    """Router, then parser; with `include_raw`, a dict of `raw`, `parsed` and `parsing_error`."""
    asked, parse = router.bind(**(params or {}), frugal_output=output), Parse(router, output)
    if not include_raw:
        return asked | parse
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parse, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return asked | RunnableMap({"raw": RunnablePassthrough()}) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def is_cut(message: AIMessage) -> bool:
    """Whether the limit took something away: the answer ended there and is not a whole JSON object."""
    return finish_of(message) == "length" and whole_object(message) is None


def whole_object(message: AIMessage) -> dict[str, Any] | None:
    """The JSON object an answer is, if it is one; tool calls cut short never are."""
    if message.tool_calls or message.invalid_tool_calls:
        return None
    try:
        value = json.loads(message.text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _refuse_cut(seen: list[AIMessage]) -> None:
    if is_cut(_whole(seen)):
        raise TruncatedOutput(CUT)


def _whole(seen: list[AIMessage]) -> AIMessage:
    chunks = [chunk for chunk in seen if isinstance(chunk, AIMessageChunk)]
    return joined(chunks) if chunks else seen[0]


def _taken_apart(chain: Runnable[Any, Any], model: BaseChatModel) -> tuple[dict[str, Any], Runnable[Any, Any]]:
    """The arguments the model is bound to and the parser behind it."""
    if isinstance(chain, RunnableSequence) and isinstance(chain.first, RunnableBindingBase):
        _, *rest = chain.steps
        return dict(chain.first.kwargs), rest[0] if len(rest) == 1 else RunnableSequence(*rest)
    raise FrugalError(
        f"{type(model).__name__}.with_structured_output does not return a model and a parser, so it cannot be routed; "
        "use bind_tools, or call that model directly"
    )
