"""One model call of an agent on its way through a recipe: the agent's own next step makes each call the flow wants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy, StructuredOutputError, ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.runnables import RunnableConfig

from frugal_plugins.drivers import adrive, drive
from frugal_plugins.flow import Call, Context, Flow
from frugal_plugins.inside import inside
from frugal_plugins.langchain.asking import REFUSE_MARKS, cache_word, length_errors
from frugal_plugins.langchain.calls import changed, plain_tool, unmarked_tools, with_usage
from frugal_plugins.langchain.messages import Conversation, without_marks
from frugal_plugins.langchain.replies import marked, message_of_cut, note_of, read_reply, stored_message, traced_as, with_money
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.langchain.voices import PublicVoice, StoredAnswer, Target
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request

AgentRequest = ModelRequest[Any]
Answered = ModelResponse[Any]
_AGENTS_OWN: Final = ("tools", "tool_choice", "response_format")


@dataclass(slots=True)
class Turn:
    """Drives one model call's flow.

    Attributes:
        given: what the agent (and middleware further out) asked for.
        own_name: the recipe's name of the agent's own model.
        config: the run this call belongs to.
    """

    recipe: Recipe
    tiers: Tiers
    given: AgentRequest
    own_name: str
    conversation: Conversation
    request: Request
    flow: Flow
    ctx: Context
    config: RunnableConfig

    def answer(self, handler: Callable[[AgentRequest], Answered]) -> Answered:
        """The answer, by blocking calls."""

        def send(call: Call) -> Reply:
            target = self.target(call)
            try:
                with inside():
                    if call.purpose != "answer":
                        return self.reply(target, call, target.model.invoke(target.messages, self._aside(), **target.kwargs))
                    return self.heard(target, call, handler(self.wanted(target, call)))
            except _unreadable() as error:
                return self.refused(target, call, error)

        reply = drive(self.flow, self.ctx, send)
        stored = self.stored(reply)
        if stored is None:
            return self.finished(reply)
        if self.given.response_format is not None:
            return handler(self.replayed(stored))
        return ModelResponse(result=[self._voice().ask(self._said(stored))])

    async def aanswer(self, handler: Callable[[AgentRequest], Awaitable[Answered]]) -> Answered:
        """The answer, awaited."""

        async def send(call: Call) -> Reply:
            target = self.target(call)
            try:
                with inside():
                    if call.purpose != "answer":
                        return self.reply(target, call, await target.model.ainvoke(target.messages, self._aside(), **target.kwargs))
                    return self.heard(target, call, await handler(self.wanted(target, call)))
            except _unreadable() as error:
                return self.refused(target, call, error)

        reply = await adrive(self.flow, self.ctx, send)
        stored = self.stored(reply)
        if stored is None:
            return self.finished(reply)
        if self.given.response_format is not None:
            return await handler(self.replayed(stored))
        return ModelResponse(result=[await self._voice().aask(self._said(stored))])

    def target(self, call: Call) -> Target:
        """Which model a call goes to, with what."""
        name = self.tiers.name_of(call.request.model)
        model = self.given.model if name == self.own_name else self.tiers.model(name)
        if self.request.stream:
            model = with_usage(model)
        messages = self.conversation.back(call.request.messages)
        if call.purpose != "answer":
            return Target(name, model, messages, dict(call.request.params))
        kwargs = changed(self.given.model_settings, self.request.params, call.request.params)
        if name != self.own_name and provider_of(name) in REFUSE_MARKS:
            messages = without_marks(messages)
            kwargs.pop("cache_control", None)
        traced = {**(model.metadata or {}), **traced_as(self.ctx, name)}
        return Target(name, model.model_copy(update={"metadata": traced}), messages, kwargs)

    def wanted(self, target: Target, call: Call) -> AgentRequest:
        """The agent's request with what the recipe changed, for the middleware further in and the model itself."""
        settings = {name: value for name, value in target.kwargs.items() if name not in _AGENTS_OWN}
        tools = self._tools(call.request.params.get("tools") or ())
        if target.name != self.own_name and provider_of(target.name) in REFUSE_MARKS:
            tools = unmarked_tools(tools)
        if self.given.response_format is None and "response_format" in target.kwargs:
            settings["response_format"] = target.kwargs["response_format"]
        system, rest = _split(target.messages)
        return self.given.override(
            model=target.model, system_message=system, messages=cast("Any", rest), tools=tools, model_settings=settings
        )

    def heard(self, target: Target, call: Call, response: Answered) -> Reply:
        """What the agent's step came back with, as the flow wants to hear it."""
        message = next((said for said in response.result if isinstance(said, AIMessage)), None)
        if message is None:
            return Reply({"role": "assistant", "content": ""}, target.name, finish="no_answer", raw=response)
        reply = self.reply(target, call, message)
        if self.given.response_format is not None and response.structured_response is None and not message.tool_calls:
            reply = reply.with_(finish="no_object")
        return reply.with_(raw=response)

    def reply(self, target: Target, call: Call, message: AIMessage) -> Reply:
        """A model's message; middleware further in may have asked another model, which is then the one that is billed."""
        reply = read_reply(message, name=target.name, request=call.request)
        other = reply.model != target.name and not bare_name(reply.model).startswith(bare_name(target.name))
        known = self.recipe.prices.rates(reply.model) is not None and self.recipe.prices.rates(target.name) is not None
        return reply.with_(billed_as=self.tiers.closest(reply.model)) if other and known else reply

    def refused(self, target: Target, call: Call, error: Exception) -> Reply:
        """An answer that was paid for but could not be read as the object that was asked for."""
        message = error.ai_message if isinstance(error, StructuredOutputError) else message_of_cut(error)
        finish = "no_object" if isinstance(error, StructuredOutputError) else "length"
        return read_reply(message, name=target.name, request=call.request, finish=finish).with_(raw=error)

    def stored(self, reply: Reply) -> AIMessage | None:
        """The message of an answer that was not asked for just now."""
        if isinstance(reply.raw, (ModelResponse, Exception)):
            return None
        note = note_of(self.ctx, reply, self.tiers.closest(reply.model), cache_word(self.ctx, self.recipe, self.request, reply))
        message = stored_message(reply, with_money(note, self.recipe, self.request, self.ctx, reply))
        message.name = (self.config.get("metadata") or {}).get("lc_agent_name")
        return message

    def replayed(self, stored: AIMessage) -> AgentRequest:
        """A request that makes the agent read a stored answer as it reads any: into the object that was asked for."""
        wanted = self.given.response_format
        schema = wanted.schema if isinstance(wanted, (AutoStrategy, ProviderStrategy, ToolStrategy)) else wanted
        return self.given.override(model=StoredAnswer.of(stored), response_format=ProviderStrategy(cast("Any", schema)))

    def finished(self, reply: Reply) -> Answered:
        """The response with a note of what was done on its answer."""
        if isinstance(reply.raw, Exception):
            raise reply.raw
        response = cast("Answered", reply.raw)
        word = cache_word(self.ctx, self.recipe, self.request, reply)
        note = note_of(self.ctx, reply, reply.billed_as or reply.model, word)
        note = with_money(note, self.recipe, self.request, self.ctx, reply)
        said = [marked(message, note) if isinstance(message, AIMessage) else message for message in response.result]
        return replace(response, result=said)

    def _tools(self, wanted: Sequence[Any]) -> list[Any]:
        """The agent's own tools, except where a technique put another in its place."""
        own = {id(plain): tool for plain, tool in zip(self.request.params.get("tools") or (), self.given.tools, strict=True)}
        return [own.get(id(tool), tool) for tool in wanted]

    def _said(self, stored: AIMessage) -> Target:
        traced = traced_as(self.ctx, stored.response_metadata["frugal"]["model"])
        return Target(stored.response_metadata["model_name"], StoredAnswer.of(stored), list(self.conversation.originals), {}, traced)

    def _voice(self) -> PublicVoice:
        return PublicVoice(self.config)

    def _aside(self) -> RunnableConfig:
        """A technique's own call: in the traces, but not in what a reader of the stream sees."""
        return {"run_name": "frugal_summary", "tags": ["nostream"], "metadata": {"frugal_recipe": self.recipe.name, "lc_source": "frugal"}}


def params_of(given: AgentRequest) -> Mapping[str, Any]:
    """The parameters of a request, tools and schema in OpenAI's form."""
    params: dict[str, Any] = dict(given.model_settings)
    if given.tools:
        params["tools"] = [plain_tool(tool) for tool in given.tools]
    if given.tool_choice is not None:
        params["tool_choice"] = given.tool_choice
    if given.response_format is not None:
        params["response_format"] = _schema_of(given.response_format)
    return params


def _schema_of(wanted: Any) -> Mapping[str, Any]:
    strategy = wanted if isinstance(wanted, ToolStrategy) else ToolStrategy(getattr(wanted, "schema", wanted))
    specs = [{"name": spec.name, "schema": spec.json_schema} for spec in strategy.schema_specs]
    if len(specs) == 1:
        return {"type": "json_schema", "json_schema": specs[0]}
    return {"type": "json_schema", "json_schema": {"name": "one_of", "schema": {"anyOf": [spec["schema"] for spec in specs]}}}


def _unreadable() -> tuple[type[Exception], ...]:
    """Errors that say an answer came, and was paid for, but is not the object that was asked for."""
    return (StructuredOutputError, *length_errors())


def _split(messages: list[BaseMessage]) -> tuple[SystemMessage | None, list[BaseMessage]]:
    """The system prompt, which agents keep apart, and the rest."""
    if messages and isinstance(messages[0], SystemMessage):
        return messages[0], messages[1:]
    return None, messages
