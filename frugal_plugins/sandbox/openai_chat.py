"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.request import text_of
from frugal_plugins.sandbox.api_errors import bad_request
from frugal_plugins.sandbox.ask import Ask, Tool, Turn, Written
from frugal_plugins.sandbox.chat_checks import check_chat
from frugal_plugins.sandbox.chat_stream import chat_events, finish_reason
from frugal_plugins.sandbox.logprobs import logprobs
from frugal_plugins.sandbox.price_sheet import Lane, ModelCard
from frugal_plugins.sandbox.prompt import chat_prompt
from frugal_plugins.sandbox.prompt_cache import FIVE_MINUTES, ONE_DAY
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, StreamReply, new_id
from frugal_plugins.usage import Usage

_ROLES = {"developer": "system", "function": "tool"}


def chat(provider: Provider, call: Call) -> JsonReply | StreamReply:
    """Answer one chat completion."""
    body = call.body
    card = check_chat(body, provider.prices)
    model: str = body["model"]
    blocks = chat_prompt(body, body["messages"], model)
    prompt_tokens = sum(map(len, blocks))
    check_context(prompt_tokens, card, "messages")
    scope = cache_scope(call, card)
    minimum = card.cache_minimum_tokens if card.provider == "openai" else None
    cached = provider.automatic_cache.read(scope, blocks, minimum, cache_seconds(body))
    ask = _ask(body, card)
    answers = [provider.answer(ask.for_choice(choice)) for choice in range(body.get("n") or 1)]
    usage = Usage(
        input_tokens=prompt_tokens,
        cache_read_tokens=cached,
        output_tokens=sum(answer.output_tokens for answer in answers),
        reasoning_tokens=sum(answer.reasoning_tokens for answer in answers),
    )
    envelope = _envelope(provider, card, model, call.lane)

    def settle(tokens_sent: int, closed: bool) -> None:
        spent = usage.with_(output_tokens=usage.reasoning_tokens + tokens_sent) if closed else usage
        provider.bill(call, response_id=envelope["id"], model=model, card=card, usage=spent, closed=closed)

    if body.get("stream"):
        return StreamReply(chat_events(envelope, body, answers, usage_json(usage)), settle)
    settle(0, False)
    choices = [_choice(place, answer, body) for place, answer in enumerate(answers)]
    return JsonReply({**envelope, "object": "chat.completion", "choices": choices, "usage": usage_json(usage)})


def check_context(prompt_tokens: int, card: ModelCard, param: str) -> None:
    """OpenAI's refusal of a prompt longer than the context."""
    if prompt_tokens <= card.context_tokens:
        return
    text = (
        f"This model's maximum context length is {card.context_tokens} tokens. However, your {param} resulted in {prompt_tokens} tokens. "
        f"Please reduce the length of the {param}."
    )
    raise bad_request(text, param, "context_length_exceeded")


def cache_scope(call: Call, card: ModelCard) -> tuple[str, ...]:
    """Who shares OpenAI's prompt cache: the same key, model and, where it is given, `prompt_cache_key`."""
    return ("openai", call.key, card.id, str(call.body.get("prompt_cache_key") or ""))


def cache_seconds(body: Mapping[str, Any]) -> int:
    """How long a prefix is kept after its last use."""
    return ONE_DAY if body.get("prompt_cache_retention") == "24h" else FIVE_MINUTES


def usage_json(usage: Usage) -> dict[str, Any]:
    """`usage` of a chat completion."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _ask(body: Mapping[str, Any], card: ModelCard) -> Ask:
    tools = tuple(Tool(tool["function"]["name"], tool["function"].get("parameters") or {}) for tool in body.get("tools") or ())
    choice = body.get("tool_choice")
    named = choice["function"]["name"] if isinstance(choice, dict) else None
    form = body.get("response_format") or {}
    stop = body.get("stop")
    return Ask(
        card=card,
        model=body["model"],
        turns=tuple(Turn(_ROLES.get(message["role"], message["role"]), text_of(message)) for message in body["messages"]),
        tools=tools,
        tool_choice="named" if named else choice or "auto",
        named_tool=named,
        json_only=form.get("type") == "json_object",
        output_schema=(form["json_schema"].get("schema") or {}) if form.get("type") == "json_schema" else None,
        max_output_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        effort=body.get("reasoning_effort"),
    )


def _envelope(provider: Provider, card: ModelCard, model: str, lane: Lane) -> dict[str, Any]:
    return {
        "id": new_id("chatcmpl-", 28),
        "created": int(provider.clock.now()),
        "model": card.served_as(model),
        "service_tier": "flex" if lane == "flex" else "default",
        "system_fingerprint": None if card.reasoning else "fp_5a4db0c7e1",
    }


def _choice(place: int, answer: Written, body: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": new_id("call_"), "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in answer.tool_calls
        ]
    wanted = logprobs(answer, body.get("top_logprobs") or 0) if body.get("logprobs") else None
    return {"index": place, "message": message, "logprobs": wanted, "finish_reason": finish_reason(answer, body)}
