"""What a LangChain model answered, in this package's words: usage, finish, id and lane; and a stored answer as a message."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langsmith.utils import tracing_is_enabled

from frugal_plugins.flow import Context
from frugal_plugins.langchain.messages import as_dict, plain_text
from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Lane, Reply, Request
from frugal_plugins.tokens import count_messages, count_text
from frugal_plugins.usage import Usage, from_openai

_FINISHES: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "refusal": "content_filter",
}
_LANES: Final[Mapping[Any, Lane]] = {"flex": "flex", "priority": "priority", "batch": "batch"}
_OWN_IDS: Final = ("lc_run-", "run-")


def read_reply(message: AIMessage, *, name: str, request: Request, finish: str | None = None) -> Reply:
    """A model's message as a Reply. `name` is the model as the recipe names it; `finish` says it when the host cannot."""
    said = as_dict(message)
    text = plain_text(message.content)
    if text is not None:
        said["content"] = text
    metadata = message.response_metadata
    answered = metadata.get("model_name") or metadata.get("model")
    return Reply(
        message=said,
        model=answered if isinstance(answered, str) else name,
        usage=usage_of(message, request),
        finish=finish or finish_of(message),
        raw=message,
        billed_as=name,
        id=_provider_id(message),
        lane=_lane(metadata),
    )


def usage_of(message: AIMessage, request: Request) -> Usage:
    """What the model reported; counted here when it reported nothing; zero when LangChain's own cache answered."""
    counted: Mapping[str, Any] | None = cast("Mapping[str, Any] | None", message.usage_metadata)
    if counted is None:
        said = as_dict(message)
        return Usage(
            input_tokens=count_messages(request.messages, request.model, params=request.params),
            output_tokens=count_text(message.text, request.model) + sum(_call_tokens(c, request) for c in said.get("tool_calls", ())),
        )
    if counted.get("total_cost") == 0:  # LangChain's mark on an answer from its own cache
        return Usage()
    read, output = counted.get("input_token_details") or {}, counted.get("output_token_details") or {}
    hour, five_minutes = _detail(read, "ephemeral_1h_input_tokens"), _detail(read, "ephemeral_5m_input_tokens")
    written = max(_detail(read, "cache_creation"), hour + five_minutes)
    return Usage(
        input_tokens=int(counted.get("input_tokens") or 0),
        cache_read_tokens=_detail(read, "cache_read"),
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=int(counted.get("output_tokens") or 0),
        reasoning_tokens=_detail(output, "reasoning"),
    )


def finish_of(message: AIMessage) -> str:
    """Why the answer ended, in OpenAI's words."""
    metadata = message.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    if reason is None and metadata.get("status") == "incomplete":
        details = metadata.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
    if not isinstance(reason, str):
        return "tool_calls" if message.tool_calls else "stop"
    return _FINISHES.get(reason.lower(), reason.lower())


def stored_message(reply: Reply, note: Mapping[str, Any]) -> AIMessage:
    """A stored answer as a fresh message: no id of its own, no tokens used, what it once cost in `frugal.saved_usage`."""
    said = copy.deepcopy(dict(reply.message))
    return AIMessage(
        content=said.get("content") or "",
        additional_kwargs={"refusal": said["refusal"]} if said.get("refusal") else {},
        response_metadata={"model_name": reply.model, "finish_reason": reply.finish, "frugal": dict(note)},
        usage_metadata=UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0),
    )


def message_of_cut(error: Exception) -> AIMessage:
    """What OpenAI's client refused to hand out because an answer with a schema ended at the token limit."""
    completion: Any = cast("Any", error).completion
    said = {"id": completion.id, "model_name": completion.model, "service_tier": getattr(completion, "service_tier", None)}
    message = AIMessage(
        content=completion.choices[0].message.content or "",
        response_metadata={"model_provider": "openai", "finish_reason": "length", **{k: v for k, v in said.items() if v}},
    )
    usage = from_openai(completion.usage)
    if usage != Usage():
        message.usage_metadata = UsageMetadata(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
            input_token_details={"cache_read": usage.cache_read_tokens, "cache_creation": usage.cache_write_tokens},
            output_token_details={"reasoning": usage.reasoning_tokens},
        )
    return message


def note_of(ctx: Context, reply: Reply | None, model: str, cache: str) -> dict[str, Any]:
    """What `response_metadata["frugal"]` says about one request."""
    note: dict[str, Any] = {"id": ctx.id, "recipe": ctx.recipe, "model": model, "why": reasons(ctx), "cache": cache}
    if reply is not None and reply.saved is not None:
        note["saved_usage"] = {
            "input_tokens": reply.saved.input_tokens,
            "output_tokens": reply.saved.output_tokens,
            "total_tokens": reply.saved.input_tokens + reply.saved.output_tokens,
        }
    return note


def reasons(ctx: Context) -> str:
    """What was decided so far and why, on one line."""
    return "; ".join(f"{decision.technique} {decision.action}: {decision.why}" for decision in ctx.decisions if decision.mode == "on")


def traced_as(ctx: Context, model: str) -> dict[str, str]:
    """What a run's metadata says in traces: under which id the ledger has it, which model was chosen and why."""
    return {"frugal_recipe": ctx.recipe, "frugal_id": ctx.id, "frugal_model": model, "frugal_why": reasons(ctx)}


def with_money(note: dict[str, Any], recipe: Recipe, request: Request, ctx: Context, reply: Reply) -> dict[str, Any]:
    """The note with what the request cost and saved, as the ledger will book it. Only where somebody traces: it takes time."""
    if not tracing_is_enabled():
        return note
    settled = settle(
        Entry(
            request=request,
            ctx=ctx,
            reply=reply,
            error=None,
            baseline_model=recipe.baseline_model(request),
            prices=recipe.prices,
            at=dt.datetime.fromtimestamp(recipe.clock(), tz=dt.UTC),
        )
    )
    if settled.actual_usd is None or settled.baseline_usd is None:
        return note
    return {**note, "cost_usd": float(settled.actual_usd), "saved_usd": float(settled.baseline_usd - settled.actual_usd)}


def marked(message: AIMessage, note: Mapping[str, Any]) -> AIMessage:
    """The same answer with our note. A copy, because LangChain's own cache may hold on to the original."""
    return message.model_copy(update={"response_metadata": {**message.response_metadata, "frugal": dict(note)}})


def _detail(details: Mapping[str, Any], name: str) -> int:
    """A count by its name, also where LangChain writes the service tier in front (`flex_cache_read`)."""
    if not details:
        return 0
    return sum(int(value or 0) for key, value in details.items() if key == name or key.endswith(f"_{name}"))


def _call_tokens(call: Mapping[str, Any], request: Request) -> int:
    return sum(count_text(str(call["function"].get(part) or ""), request.model) for part in ("name", "arguments"))


def _provider_id(message: AIMessage) -> str | None:
    """The provider's id of the answer; LangChain gives a streamed one its own, and then nobody knows it."""
    for value in (message.response_metadata.get("id"), message.id):
        if isinstance(value, str) and value and not value.startswith(_OWN_IDS):
            return value
    return None


def _lane(metadata: Mapping[str, Any]) -> Lane:
    usage = metadata.get("usage")
    tier = metadata.get("service_tier") or (usage.get("service_tier") if isinstance(usage, Mapping) else None)
    return _LANES.get(tier, "standard")
