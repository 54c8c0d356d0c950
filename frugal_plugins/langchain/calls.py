"""A LangChain call as a Request, and a Request's changes as a LangChain call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import BaseTool
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langchain_core.utils.function_calling import convert_to_openai_tool

from frugal_plugins.langchain.messages import Conversation
from frugal_plugins.langchain.output import Output
from frugal_plugins.request import Request

_NOT_ASKED: Final = frozenset({"ls_structured_output_format", "structured_output_format", "stream", "stream_usage", "stream_options"})
_MOST_TOOLS: Final = 1024
_plain: dict[tuple[Any, ...], tuple[Any, Any]] = {}
_OF_THE_TOOLS: Final = ("tool_choice", "strict", "parallel_tool_calls", "response_format")


def request_of(
    conversation: Conversation, model: str, kwargs: Mapping[str, Any], output: Output | None, *, scope: tuple[str, ...], stream: bool
) -> Request:
    """A LangChain call as a Request: tools and schemas in OpenAI's form, whatever form they were given in."""
    params = {name: value for name, value in kwargs.items() if name not in _NOT_ASKED}
    if params.get("tools"):
        params["tools"] = [plain_tool(tool) for tool in params["tools"]]
    if isinstance(params.get("response_format"), type):
        schema = convert_to_openai_tool(params["response_format"])["function"]
        params["response_format"] = {"type": "json_schema", "json_schema": {"name": schema["name"], "schema": schema.get("parameters", {})}}
    if output is not None:
        params["response_format"] = output.response_format
    return Request(model=model, messages=conversation.dicts, params=params, scope=scope, stream=stream)


def changed(kwargs: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's own arguments with what a technique set, changed or took away."""
    kept = {name: value for name, value in kwargs.items() if name not in before or name in after}
    return {**kept, **{name: value for name, value in after.items() if name not in before or before[name] is not value}}


def with_tools(model: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with the tools in this provider's own form."""
    theirs = {name: kwargs[name] for name in _OF_THE_TOOLS if kwargs.get(name) is not None}
    bound = model.bind_tools(kwargs["tools"], **theirs)
    formatted: dict[str, Any] = {}
    while isinstance(bound, RunnableBindingBase):
        formatted = {**bound.kwargs, **formatted}
        bound = bound.bound
    rest = {name: value for name, value in kwargs.items() if name not in ("tools", *theirs)}
    return {**formatted, **rest}


def hides_usage(model: BaseChatModel) -> bool:
    """Whether a model streams no usage unless asked: ChatOpenAI does so as soon as it has a base_url."""
    return "stream_usage" in type(model).model_fields and getattr(model, "stream_usage", None) is None


def plain_tool(tool: Any) -> Any:
    """A tool as OpenAI writes it. The same tool gives the same dict: writing its schema is the dearest part of a call with tools."""
    key = (id(tool), getattr(tool, "name", None), getattr(tool, "description", None), id(getattr(tool, "args_schema", None)))
    known = None if isinstance(tool, dict) else _plain.get(key)
    if known is not None:
        return known[1]
    try:
        plain = convert_to_openai_tool(tool)
    except (ValueError, TypeError, KeyError):
        return tool  # a provider's own tool: it goes to that provider as it is
    if not isinstance(tool, dict):
        if len(_plain) >= _MOST_TOOLS:
            _plain.clear()
        _plain[key] = (tool, plain)  # the tool itself is held, so that its id stays its own
    return plain


def unmarked_tools(tools: Sequence[Any]) -> list[Any]:
    """Tools without Anthropic's `cache_control`, which OpenAI refuses; those that have none stay the same objects."""
    return [_unmarked(tool) for tool in tools]


def _unmarked(tool: Any) -> Any:
    if isinstance(tool, dict):
        return {name: value for name, value in tool.items() if name != "cache_control"} if "cache_control" in tool else tool
    extras = getattr(tool, "extras", None)
    if not isinstance(tool, BaseTool) or not extras or "cache_control" not in extras:
        return tool
    return tool.model_copy(update={"extras": {name: value for name, value in extras.items() if name != "cache_control"} or None})


def streams(config: RunnableConfig) -> bool:
    """Whether somebody reads along while a model is only invoked: a graph's or an event stream."""
    callbacks = config.get("callbacks")
    handlers = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or ()
    return any(isinstance(handler, _StreamingCallbackHandler) for handler in handlers)


def with_usage(model: BaseChatModel) -> BaseChatModel:
    """The model, made to report what a stream used."""
    return model.model_copy(update={"stream_usage": True}) if hides_usage(model) else model
