"""LiteLLM's keyword arguments as a Request and its answers as a Reply, and back, without touching what no technique changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.flow import Call, Context, Decision, Flow
from frugal_plugins.litellm.own_prices import prices_of_call
from frugal_plugins.litellm.reach import CONNECTION, reachable_for
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint, Lane, Message, Reply, Request, fingerprint
from frugal_plugins.told import Told, read_told
from frugal_plugins.usage import Usage, from_openai, part_of

_SHAPES_THE_ANSWER: Final = CONNECTION | {
    "additional_drop_params",
    "allowed_openai_params",
    "assistant_continue_message",
    "drop_params",
    "enable_json_schema_validation",
    "guardrails",
    "hf_model_name",
    "litellm_system_prompt",
    "mock_response",
    "prompt_id",
    "prompt_label",
    "prompt_variables",
    "prompt_version",
    "roles",
    "user_continue_message",
}
"""LiteLLM's own arguments that decide where a request goes or what comes back, and so who may share a stored answer."""

_NOT_BODY: Final = frozenset(
    {
        *_SHAPES_THE_ANSWER,
        *("callbacks", "failure_callback", "input_callback", "success_callback"),
        *("input", "max_retries", "messages", "model", "stream", "timeout"),
    }
)
_LEFT_ALONE: Final = ("complete_response", "text_completion", "background")
"""Arguments of calls that go through untouched: other endpoints in disguise, and answers that are fetched later."""

_LANES: Final[Mapping[str, Lane]] = {"flex": "flex", "priority": "priority", "batch": "batch"}
_WHY_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of LiteLLM, read: its arguments by name, the request they make, and what the caller said about it."""

    kwargs: Mapping[str, Any]
    request: Request
    told: Told

    def kwargs_for(self, call: Call) -> dict[str, Any]:
        """LiteLLM's arguments for a call: the caller's own objects, but for the fields a technique changed."""
        changed, asked = call.request, self.request
        kwargs = dict(self.kwargs)
        if call.purpose != "answer":
            return self._own_call(changed, kwargs)
        if changed.model != asked.model:
            kwargs["model"] = changed.model
            if "/" in changed.model:
                kwargs.pop("custom_llm_provider", None)
        if changed.messages is not asked.messages:
            kwargs["input" if asked.endpoint == "responses" else "messages"] = list(changed.messages)
        if changed.params is not asked.params:
            kwargs.update({name: value for name, value in changed.params.items() if asked.params.get(name) is not value})
            for name in asked.params.keys() - changed.params.keys():
                kwargs.pop(name, None)
        return kwargs

    def tagged(self, **tags: str) -> Asked:
        """The same call with some tags set."""
        return replace(self, request=self.request.with_(tags={**self.request.tags, **tags}))

    def _own_call(self, request: Request, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A technique's own helper call: the caller's connection, nothing else of his."""
        kept = {name: kwargs[name] for name in (*CONNECTION, "timeout", "num_retries", "max_retries") if name in kwargs}
        return {**kept, "model": request.model, "messages": list(request.messages), **request.params}

    def start(
        self, recipe: Recipe, *, host: str = "litellm", reachable: Callable[[str], bool] | None = None, **known: Any
    ) -> tuple[Flow, Context]:
        """Send the request on its way through the recipe; `known` sets further fields of the context."""
        home = recipe.baseline_model(self.request)
        may_reach = reachable or reachable_for(self.kwargs, self.request.model, home)
        known.setdefault("prices", prices_of_call(recipe.prices, self.request.model, self.kwargs))
        return recipe.flow(self.request, told=self.told, host=host, reachable=may_reach, **known)


def read_call(kwargs: Mapping[str, Any], endpoint: Endpoint = "chat", scope: tuple[str, ...] = ()) -> Asked | None:
    """Read the arguments of a call; None for shapes we leave alone (it then goes through untouched)."""
    model, messages = kwargs.get("model"), _conversation(kwargs, endpoint)
    if not isinstance(model, str) or not model or messages is None or any(map(kwargs.get, _LEFT_ALONE)):
        return None
    own, params, shaping = _not_body(), {}, {}
    for name, value in kwargs.items():
        if value is None:
            continue
        if name in _SHAPES_THE_ANSWER:
            shaping[name] = value
        elif name not in own and not name.startswith(("_", "litellm_")):
            params[name] = value
    told = read_told(_said_in(kwargs), kwargs.get("cache"))
    user, session = kwargs.get("user"), kwargs.get("litellm_session_id")
    request = Request(
        model=model,
        messages=messages,
        params=params,
        tags={**({"user": user} if isinstance(user, str) and user else {}), **_unrepeatable(kwargs)},
        scope=(*scope, _shape_name(shaping)) if shaping else scope,
        session=session if isinstance(session, str) and session else None,
        stream=bool(kwargs.get("stream")),
        endpoint=endpoint,
    )
    return Asked(kwargs if endpoint == "chat" else _between_us(kwargs), request, told)


def _shape_name(shaping: Mapping[str, Any]) -> str:
    """A short name for the arguments that shape the answer."""
    if all(value.__class__ is str for value in shaping.values()):
        return _name_of_texts(tuple(shaping.items()))  # an address and a key: the same in every call
    return fingerprint(shaping)[:16]


@lru_cache(maxsize=128)
def _name_of_texts(shaping: tuple[tuple[str, str], ...]) -> str:
    return fingerprint(dict(shaping))[:16]


def _said_in(kwargs: Mapping[str, Any]) -> Any:
    """The metadata in which the caller spoke to us."""
    places = [kwargs.get(name) for name in ("metadata", "litellm_metadata")]
    return next((said for said in places if isinstance(said, Mapping) and "frugal" in said), None)


def from_proxy(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call comes from the Proxy, whose own hooks then look after it."""
    metadata = kwargs.get("metadata") or kwargs.get("litellm_metadata")
    return kwargs.get("proxy_server_request") is not None or (isinstance(metadata, Mapping) and "user_api_key" in metadata)


def _between_us(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments without what the caller told us, where LiteLLM would send his metadata on to the provider."""
    said = kwargs.get("metadata")
    if not isinstance(said, Mapping) or "frugal" not in said:
        return kwargs
    left = {name: value for name, value in said.items() if name != "frugal"}
    kept = {name: value for name, value in kwargs.items() if name != "metadata"}
    return {**kept, "metadata": left} if left else kept


def _unrepeatable(kwargs: Mapping[str, Any]) -> dict[str, str]:
    """A response that is written into a conversation at the provider happens there: another one's answer cannot stand for it."""
    return {"no_cache": "yes", "no_store": "yes"} if kwargs.get("conversation") else {}


def request_of(kwargs: Mapping[str, Any], endpoint: Endpoint = "chat") -> Request:
    """The Request that LiteLLM's keyword arguments (`model`, `messages`, `temperature`, ...) make.

    Raises ValueError when `model` is not text or `messages` is not a list of dicts or LiteLLM messages.
    """
    asked = read_call(kwargs, endpoint)
    if asked is None:
        raise ValueError("not a chat request: give model as text and messages as a list of dicts")
    return asked.request


def reply_of(response: Any, *, asked_model: str) -> Reply:
    """What came back, in our words. Shapes we do not know become an empty reply that carries the response along."""
    choices = part_of(response, "choices")
    if not isinstance(choices, list) or not choices or part_of(choices[0], "message") is None:
        return Reply({"role": "assistant", "content": None}, asked_model, finish="", raw=response)
    hidden, model, usage = hidden_params(response), part_of(response, "model"), part_of(response, "usage")
    return Reply(
        message=message_dict(choices[0].message),
        model=model or asked_model,
        usage=Usage() if hidden.get("cache_hit") is True else from_openai(usage),
        finish=str(choices[0].finish_reason or ""),
        raw=response,
        others=tuple(message_dict(choice.message) for choice in choices[1:]) if len(choices) > 1 else (),
        billed_as=billed_as(hidden, model),
        id=provider_id(response, hidden),
        lane=lane_of(response, usage),
    )


def hidden_params(response: Any) -> Mapping[str, Any]:
    """What LiteLLM keeps beside an answer."""
    private = getattr(response, "__pydantic_private__", None)  # where pydantic's own, slow `__getattr__` would find it
    hidden = private.get("_hidden_params") if private else getattr(response, "_hidden_params", None)
    return hidden if hidden.__class__ is dict or isinstance(hidden, Mapping) else {}


def message_dict(message: Any) -> dict[str, Any]:
    """A message object as a plain dict without its empty fields; `content` is always there."""
    fields = {**getattr(message, "__dict__", {}), **(getattr(message, "__pydantic_extra__", None) or {})}
    found: dict[str, Any] = {"role": "assistant", "content": None}
    extra = fields.pop("provider_specific_fields", None)
    if isinstance(extra, Mapping):
        fields["provider_specific_fields"] = {key: part for key, part in extra.items() if part is not None}
        fields.setdefault("refusal", extra.get("refusal"))
    for name, value in fields.items():
        if value.__class__ is str or (value is not None and value not in ({}, [])):
            found[name] = value if value.__class__ is str else plain(value)
    return found


def plain(value: Any) -> Any:
    """Pydantic objects inside as dicts."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value


def billed_as(hidden: Mapping[str, Any], answered_by: str | None) -> str | None:
    """The full name LiteLLM says it called, where it says so; after a fallback, the name the answer itself bears."""
    provider, model = hidden.get("custom_llm_provider"), hidden.get("litellm_model_name")
    headers = hidden.get("additional_headers")
    if isinstance(headers, Mapping) and headers.get("x-litellm-attempted-fallbacks"):
        model = answered_by
    if not isinstance(model, str) or not model:
        return None
    if not isinstance(provider, str) or not provider or provider == "cached_response" or model.startswith(f"{provider}/"):
        return model
    return f"{provider}/{model}"


def provider_id(response: Any, hidden: Mapping[str, Any]) -> str | None:
    """The provider's own name for the answer.

    LiteLLM replaces the id of an Anthropic message by one it makes up; there the request id of the response's headers is
    what Anthropic can be asked about.
    """
    if hidden.get("custom_llm_provider") == "anthropic" or str(hidden.get("litellm_model_name", "")).startswith("anthropic/"):
        headers = hidden.get("additional_headers")
        named = headers.get("llm_provider-request-id") or headers.get("request-id") if isinstance(headers, Mapping) else None
        if named:
            return str(named)
    found = part_of(response, "id")
    return found if isinstance(found, str) and found else None


def lane_of(response: Any, usage: Any) -> Lane:
    """The price class the provider says it used."""
    named = part_of(response, "service_tier") or part_of(usage, "service_tier")
    return _LANES.get(named, "standard") if isinstance(named, str) else "standard"


def why(decisions: Sequence[Decision]) -> str:
    """What was decided, in one short line."""
    said = (f"{d.technique} {d.action}: {d.why}" if d.mode != "shadow" else f"{d.technique} would {d.action}: {d.why}" for d in decisions)
    return "; ".join(said)[:_WHY_CHARS]


def _conversation(kwargs: Mapping[str, Any], endpoint: Endpoint) -> tuple[Message, ...] | None:
    given = kwargs.get("input" if endpoint == "responses" else "messages")
    if endpoint == "responses" and isinstance(given, str):
        return ({"role": "user", "content": given},) if given else None
    return _messages(given)


def _messages(messages: Any) -> tuple[Message, ...] | None:
    """The messages as mappings; objects of LiteLLM and OpenAI (an answer appended to the conversation) are read as dicts."""
    if not isinstance(messages, (list, tuple)) or not messages:
        return None
    found: list[Message] = []
    for message in messages:
        if message.__class__ is dict or isinstance(message, Mapping):
            found.append(message)
        elif type(message).__module__.startswith("litellm.") and hasattr(message, "tool_calls"):
            found.append(message_dict(message))
        elif type(message).__module__.startswith(("litellm.", "openai.")) and hasattr(message, "model_dump"):
            found.append(message.model_dump(exclude_none=True))
        else:
            return None
    return tuple(found)


@lru_cache(maxsize=1)
def _not_body() -> frozenset[str]:
    """Arguments that are LiteLLM's own and no part of what the provider is asked."""
    from litellm.types.utils import all_litellm_params

    return _NOT_BODY | frozenset(all_litellm_params)
