"""POST /v1/responses, and GET of a stored one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_plugins.request import text_of
from frugal_plugins.sandbox.api_errors import ApiError, bad_request
from frugal_plugins.sandbox.ask import Ask, Tool, Turn, Written
from frugal_plugins.sandbox.logprobs import logprobs
from frugal_plugins.sandbox.openai_chat import cache_scope, cache_seconds
from frugal_plugins.sandbox.price_sheet import ModelCard
from frugal_plugins.sandbox.prompt import chat_prompt
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, StreamReply, new_id
from frugal_plugins.sandbox.responses_checks import check_response_call
from frugal_plugins.sandbox.responses_items import input_items, messages_of
from frugal_plugins.sandbox.responses_stream import response_events
from frugal_plugins.usage import Usage

_ROLES = {"developer": "system"}


def responses(provider: Provider, call: Call) -> JsonReply | StreamReply:
    """Answer one response."""
    body = call.body
    card = check_response_call(body, provider.prices)
    earlier = _earlier(provider, call)
    items = (*earlier, *input_items(body["input"]))
    messages = messages_of(items, body.get("instructions"))
    model: str = body["model"]
    blocks = chat_prompt(_definitions(body), messages, model)
    prompt_tokens = sum(map(len, blocks))
    if prompt_tokens > card.context_tokens:
        text = "Your input exceeds the context window of this model. Please adjust your input and try again."
        raise bad_request(text, "input", "context_length_exceeded")
    cached = provider.automatic_cache.read(cache_scope(call, card), blocks, card.cache_minimum_tokens, cache_seconds(body))
    answer = provider.answer(_ask(body, card, messages))
    usage = Usage(
        input_tokens=prompt_tokens,
        cache_read_tokens=cached,
        output_tokens=answer.output_tokens,
        reasoning_tokens=answer.reasoning_tokens,
    )
    response = _response(provider, body, card, answer, usage)
    if body.get("store") is not False:
        provider.remember(call.key, response["id"], (*items, *response["output"]), response)

    def settle(tokens_sent: int, closed: bool) -> None:
        spent = usage.with_(output_tokens=usage.reasoning_tokens + tokens_sent) if closed else usage
        provider.bill(call, response_id=response["id"], model=model, card=card, usage=spent, closed=closed)

    if body.get("stream"):
        return StreamReply(response_events(response, answer), settle)
    settle(0, False)
    return JsonReply(response)


def get_response(provider: Provider, call: Call) -> JsonReply:
    """A response that was stored."""
    wanted = str(call.body["response_id"])
    found = provider.stored_responses.get((call.key, wanted))
    if found is None:
        raise ApiError(404, f"Response with id '{wanted}' not found.")
    return JsonReply(found[1])


def _earlier(provider: Provider, call: Call) -> tuple[Any, ...]:
    """The items of the conversation this response continues."""
    wanted = call.body.get("previous_response_id")
    if wanted is None:
        return ()
    found = provider.stored_responses.get((call.key, wanted))
    if found is None:
        text = f"Previous response with id '{wanted}' not found."
        raise bad_request(text, "previous_response_id", "previous_response_not_found")
    return found[0]


def _definitions(body: Mapping[str, Any]) -> dict[str, Any]:
    """What stands before the messages in the prompt: the tools, and the schema of the answer."""
    form = (body.get("text") or {}).get("format") or {}
    return {"tools": body.get("tools"), "response_format": form if form.get("type") == "json_schema" else None}


def _ask(body: Mapping[str, Any], card: ModelCard, messages: list[dict[str, Any]]) -> Ask:
    choice = body.get("tool_choice")
    named = choice.get("name") if isinstance(choice, dict) else None
    form = (body.get("text") or {}).get("format") or {}
    functions = [tool for tool in body.get("tools") or () if tool["type"] == "function"]
    return Ask(
        card=card,
        model=body["model"],
        turns=tuple(Turn(_ROLES.get(message["role"], message["role"]), text_of(message)) for message in messages),
        tools=tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in functions),
        tool_choice="named" if named else choice if isinstance(choice, str) else "auto",
        named_tool=named,
        json_only=form.get("type") == "json_object",
        output_schema=(form.get("schema") or {}) if form.get("type") == "json_schema" else None,
        max_output_tokens=body.get("max_output_tokens"),
        effort=(body.get("reasoning") or {}).get("effort"),
    )


def _response(provider: Provider, body: Mapping[str, Any], card: ModelCard, answer: Written, usage: Usage) -> dict[str, Any]:
    cut = answer.finish == "length"
    text = body.get("text") or {}
    reasoning = body.get("reasoning") or {}
    now = int(provider.clock.now())
    return {
        "id": new_id("resp_", 48),
        "object": "response",
        "created_at": now,
        "status": "incomplete" if cut else "completed",
        "background": False,
        "completed_at": None if cut else now,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": card.served_as(body["model"]),
        "output": _output(body, card, answer),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort") or ("medium" if card.reasoning else None), "summary": reasoning.get("summary")},
        "service_tier": "flex" if body.get("service_tier") == "flex" else "default",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature") if body.get("temperature") is not None else 1.0,
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [{"strict": True, **tool} if tool["type"] == "function" else tool for tool in body.get("tools") or ()],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p") if body.get("top_p") is not None else 1.0,
        "truncation": body.get("truncation") or "disabled",
        "usage": usage_json(usage),
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _output(body: Mapping[str, Any], card: ModelCard, answer: Written) -> list[dict[str, Any]]:
    """The output items: reasoning, message, function calls."""
    items: list[dict[str, Any]] = [{"id": new_id("rs_", 48), "type": "reasoning", "summary": []}] if card.reasoning else []
    status = "incomplete" if answer.finish == "length" else "completed"
    starved = answer.finish == "length" and not answer.text
    if answer.text is not None and not starved:
        wanted = "message.output_text.logprobs" in (body.get("include") or ())
        probs = logprobs(answer, body.get("top_logprobs") or 0)["content"] if wanted else []
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": probs}
        items.append({"id": new_id("msg_", 48), "type": "message", "status": status, "role": "assistant", "content": [part]})
    for call in answer.tool_calls:
        names = {"call_id": new_id("call_"), "name": call.name, "arguments": call.arguments}
        items.append({"id": new_id("fc_", 48), "type": "function_call", "status": status, **names})
    return items


def usage_json(usage: Usage) -> dict[str, Any]:
    """`usage` of a response."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
