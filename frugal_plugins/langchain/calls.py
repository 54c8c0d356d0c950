"""A LangChain call as a Request, and a Request's changes as a LangChain call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.utils.function_calling import convert_to_openai_tool

from frugal_plugins.langchain.messages import Conversation
from frugal_plugins.langchain.output import Output
from frugal_plugins.request import Request

_NOT_ASKED: Final = frozenset({"ls_structured_output_format", "structured_output_format", "stream", "stream_usage", "stream_options"})
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
    """A tool as OpenAI writes it."""
    try:
        return convert_to_openai_tool(tool)
    except (ValueError, TypeError, KeyError):
        return tool  # a provider's own tool: it goes to that provider as it is
