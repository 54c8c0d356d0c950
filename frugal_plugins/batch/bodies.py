"""A request as the body one provider takes, and its answer as a Reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from frugal_plugins.batch.anthropic_body import anthropic_body, anthropic_reply
from frugal_plugins.errors import InputError
from frugal_plugins.models import always_thinks
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.request import Lane, Reply, Request
from frugal_plugins.usage import from_openai

_NOT_SENT: Final = frozenset({"stream", "stream_options", "service_tier"})
_LANES: Final[Mapping[Any, Lane]] = {"flex": "flex", "priority": "priority", "batch": "batch"}
_MOST_INPUTS: Final = 2048
"""Texts OpenAI takes in one embeddings request."""

Body = dict[str, Any]


class Wording:
    """How calls are put into words: OpenAI's chat completions, responses and embeddings, and Anthropic's messages.

    A host with words of its own (LangChain) replaces `body` and `reply`.
    """

    def body(self, _row: int, request: Request, /) -> Body:
        """The provider's body of a call. Raises InputError where it has no counterpart for something."""
        params = {name: value for name, value in request.params.items() if name not in _NOT_SENT and value is not None}
        if request.endpoint == "embeddings":
            return _embeddings_body(request, params)
        if request.endpoint == "responses":
            if params.get("background"):
                raise InputError("'background' does not go into a batch, which is in the background anyway; take it out")
            return {"model": bare_name(request.model), "input": [dict(item) for item in request.messages], **params}
        if provider_of(request.model) == "anthropic":
            if request.endpoint == "messages":
                return {"model": bare_name(request.model), "messages": [dict(message) for message in request.messages], **params}
            return anthropic_body(request)
        if provider_of(request.model) == "mistral":
            params = _in_mistrals_words(params)
        elif always_thinks(request.model) and "max_tokens" in params:
            params.setdefault("max_completion_tokens", params.pop("max_tokens"))
        return {"model": bare_name(request.model), "messages": [dict(message) for message in request.messages], **params}

    def reply(self, _row: int, model: str, body: Mapping[str, Any], lane: Lane, /) -> Reply:
        """What came back, in our words. Raises InputError when it is not an answer."""
        try:
            found = anthropic_reply(body) if provider_of(model) == "anthropic" else openai_reply(body)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"the answer cannot be read ({type(error).__name__}: {error}); it is asked again") from error
        said = _LANES.get(body.get("service_tier") or (body.get("usage") or {}).get("service_tier"), "standard")
        return found.with_(lane="batch" if lane == "batch" else said, billed_as=model)


PLAIN: Final = Wording()
"""The provider's own words, for calls of which a host that has others knows nothing."""

_MISTRALS: Final = {"max_completion_tokens": "max_tokens", "seed": "random_seed"}
_NOT_MISTRALS: Final = frozenset({"user", "store", "metadata", "logit_bias", "logprobs", "top_logprobs", "service_tier"})


def _in_mistrals_words(params: Body) -> Body:
    """What Mistral calls otherwise, renamed; it refuses a request with a field it does not know, so that is said here, for this row."""
    refused = next((name for name in params if name in _NOT_MISTRALS), None)
    if refused is not None:
        raise InputError(f"'{refused}' has no counterpart at Mistral; take it out, or send this row to another model")
    return {_MISTRALS.get(name, name): value for name, value in params.items()}


def openai_reply(body: Mapping[str, Any]) -> Reply:
    """A chat completion, a response or embeddings as a Reply."""
    if body.get("object") == "response":
        return _response_reply(body)
    if "choices" not in body and isinstance(body["data"], list):
        return _embeddings_reply(body)
    choices = body["choices"]
    return Reply(
        message=_message(choices[0]["message"]),
        model=str(body["model"]),
        usage=from_openai(body["usage"]),
        finish=str(choices[0].get("finish_reason") or ""),
        raw=body,
        others=tuple(_message(choice["message"]) for choice in choices[1:]),
        id=body.get("id"),
    )


def _embeddings_body(request: Request, params: Body) -> Body:
    """Vectors come as base64, a quarter of the size of numbers; whoever reads the results gets what they asked for."""
    given = params.get("input")
    texts = given if isinstance(given, list) else [given]
    if not given or any(text in ("", [], None) for text in texts):
        raise InputError("'input' has an empty text, which no provider embeds; take it out")
    if isinstance(given, list) and not isinstance(given[0], int) and len(given) > _MOST_INPUTS:
        raise InputError(f"'input' has {len(given):,} texts, and one request may have {_MOST_INPUTS:,}; split the row")
    return {"model": bare_name(request.model), **params, "encoding_format": "base64"}


def _embeddings_reply(body: Mapping[str, Any]) -> Reply:
    """Vectors stay in the raw answer: a message has no place for them."""
    if not body["data"] or any(not one["embedding"] for one in body["data"]):
        raise ValueError("a vector is missing")
    return Reply({"role": "assistant", "content": None}, str(body["model"]), from_openai(body["usage"]), "stop", body)


def _response_reply(body: Mapping[str, Any]) -> Reply:
    texts = [
        part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"] if part["type"] == "output_text"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    calls = [
        {"id": item["call_id"], "type": "function", "function": {"name": item["name"], "arguments": item["arguments"]}}
        for item in body["output"]
        if item["type"] == "function_call"
    ]
    if body.get("status") not in ("completed", "incomplete"):
        raise ValueError(f"the response is {body.get('status')}")
    why = (body.get("incomplete_details") or {}).get("reason")
    finish = "length" if why == "max_output_tokens" else why or ("tool_calls" if calls else "stop")
    if calls:
        message["tool_calls"] = calls
    return Reply(message, str(body["model"]), from_openai(body["usage"]), str(finish), body, id=body.get("id"))


def _message(said: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in said.items() if value not in (None, [], {})}
    return {"role": "assistant", "content": None, **kept}
