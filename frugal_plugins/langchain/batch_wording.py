"""A chain's calls in the words of its own chat models, and batch answers as the messages those models would have given.

LangChain has no public way to ask a model for its request body or to read one back. The two integrations this relies on are
named here and nowhere else, and a contract test calls them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult

from frugal_plugins.batch.bodies import Body, Wording
from frugal_plugins.batch.http import account
from frugal_plugins.errors import InputError
from frugal_plugins.langchain.batch_chain import Chain
from frugal_plugins.langchain.calls import request_of, with_tools
from frugal_plugins.langchain.messages import Conversation, from_dict
from frugal_plugins.request import Lane, Reply, Request

_FOR_TRACES: Final = ("ls_structured_output_format", "structured_output_format", "stream", "stream_options")
_OPENAI: Final = "openai-chat"
_ANTHROPIC: Final = "anthropic-chat"


class ChainWording(Wording):
    """Puts calls into words as the chain's own chat models do."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._asked = request_of(Conversation((), ()), "", chain.kwargs, chain.output, scope=(), stream=False).params

    def body(self, _row: int, request: Request, /) -> Body:
        """The body the chosen model would send."""
        model = self._model(request.model)
        kwargs = self._kwargs(request)
        if self.chain.output is not None:
            kwargs.pop("response_format", None)
            kwargs = {**self.chain.output.kwargs(model), **kwargs}
        elif kwargs.get("tools") is not None:
            kwargs = with_tools(model, kwargs)
        messages = [from_dict(message) for message in request.messages]
        payload: dict[str, Any] = model._get_request_payload(messages, **kwargs)  # type: ignore[attr-defined]
        body = {name: value for name, value in payload.items() if name not in _FOR_TRACES and value is not None}
        if "input" in body and "messages" not in body:
            raise InputError("the model is set up for the Responses API, which has no batch lane here yet; set use_responses_api=False")
        if isinstance(body.get("response_format"), type):
            from openai.lib._parsing._completions import type_to_response_format_param

            body["response_format"] = type_to_response_format_param(body["response_format"])
        if body.get("betas"):
            raise InputError("the model asks for beta features, which a batch does not carry; leave betas out")
        body.pop("betas", None)
        plain: Body = json.loads(json.dumps(body))
        return plain

    def reply(self, row: int, model: str, body: Mapping[str, Any], lane: Lane, /) -> Reply:
        """What came back; a structured answer as its JSON, also where the model gave it as a tool call."""
        reply = super().reply(row, model, body, lane)
        if self.chain.output is None:
            return reply
        read = self.chain.output.plain(reply.with_(raw=self.message(model, body)), self._model(model))
        return read.with_(raw=body)

    def message(self, name: str, body: Mapping[str, Any]) -> AIMessage:
        """A batch answer as the message the model would have given."""
        model: Any = self._model(name)
        if model._llm_type == _OPENAI:
            message = _told(model._create_chat_result(dict(body)))
            wanted = self.chain.output is not None and "response_format" in self.chain.output.kwargs(model)
            if wanted and message.text:
                try:
                    message.additional_kwargs["parsed"] = self.chain.output.read(message.text) if self.chain.output else None
                except (ValueError, TypeError):
                    message.additional_kwargs.pop("parsed", None)
        else:
            from anthropic.types import Message

            message = _told(model._format_output(Message.model_validate(body)))
        return message

    def _kwargs(self, request: Request) -> dict[str, Any]:
        """The chain's own arguments with what a technique set, changed or took away."""
        asked, now = self._asked, request.params
        kept = {name: value for name, value in self.chain.kwargs.items() if name != "model" and (name not in asked or name in now)}
        return {**kept, **{name: value for name, value in now.items() if name not in asked or asked[name] != value}}

    def _model(self, name: str) -> BaseChatModel:
        tiers = self.chain.router.tiers_in_use
        model = tiers.model(tiers.name_of(name))
        if model._llm_type not in (_OPENAI, _ANTHROPIC):
            kind = type(model).__name__
            raise InputError(f"{kind} has no batch lane here; use ChatOpenAI or ChatAnthropic for {name}, or invoke it one by one")
        own = getattr(model, "openai_api_base", None) or getattr(model, "anthropic_api_url", None)
        place = account("openai" if model._llm_type == _OPENAI else "anthropic").base_url
        if own and str(own).rstrip("/").removesuffix("/v1") != place.removesuffix("/v1"):
            raise InputError(
                f"{name} is set up for {own}, and its batches would go to {place}; set the provider's base URL variable to match"
            )
        return model


def _told(result: ChatResult) -> AIMessage:
    """The message of a result with everything LangChain would have put into its metadata (the model's name, above all)."""
    generation = result.generations[0]
    message = generation.message
    assert isinstance(message, AIMessage)
    metadata = {**(result.llm_output or {}), **(generation.generation_info or {}), **message.response_metadata}
    return message.model_copy(update={"response_metadata": metadata})
