"""What a model can do, from the facts LiteLLM ships; read once, without importing LiteLLM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.request import Request

_ALWAYS_THINKS: Final = re.compile(r"^(?:o[134](?:-|$)|gpt-5(?!.*chat)|gpt-[6-9])")
_REFUSED_BY_THINKERS: Final = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "parallel_tool_calls"}
)
_OPENAI_ONLY: Final = frozenset(
    {
        "n",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "service_tier",
        "prediction",
        "audio",
        "modalities",
        "store",
        "web_search_options",
    }
)
_THINKING_PARAMS: Final = frozenset({"reasoning_effort", "thinking", "reasoning"})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known of a model. None means nobody wrote it down, which is read as "can"."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    vision: bool | None = None
    tools: bool | None = None
    schema: bool | None = None
    thinks: bool = False
    retired_on: str | None = None


@lru_cache(maxsize=1)
def _facts() -> Mapping[str, Mapping[str, Any]]:
    spec = find_spec("litellm")
    for root in spec.submodule_search_locations or () if spec else ():
        file = Path(root, "model_prices_and_context_window_backup.json")
        if file.is_file():
            facts: dict[str, dict[str, Any]] = json.loads(file.read_bytes())
            return facts
    return {}


@lru_cache(maxsize=1024)
def capabilities(model: str) -> Capabilities:
    """The facts about a model, by its full or bare name."""
    known = _facts().get(model) or _facts().get(bare_name(model)) or {}
    return Capabilities(
        max_input_tokens=known.get("max_input_tokens"),
        max_output_tokens=known.get("max_output_tokens"),
        vision=known.get("supports_vision"),
        tools=known.get("supports_function_calling"),
        schema=known.get("supports_response_schema"),
        thinks=always_thinks(model),
        retired_on=known.get("deprecation_date"),
    )


def always_thinks(model: str) -> bool:
    """Whether a model spends hidden reasoning tokens on every answer (OpenAI's o-series and GPT-5 and later)."""
    return bool(_ALWAYS_THINKS.match(bare_name(model)))


def thinks(model: str, request: Request) -> bool:
    """Whether this request makes this model think before it answers."""
    thinking = request.params.get("thinking")
    asked = isinstance(thinking, Mapping) and thinking.get("type") not in (None, "disabled")
    return capabilities(model).thinks or asked or "reasoning_effort" in request.params or bool(_effort(request))


def _effort(request: Request) -> Any:
    """How hard the model is asked to think, in the Responses API's words."""
    reasoning = request.params.get("reasoning")
    return reasoning.get("effort") if isinstance(reasoning, Mapping) else None


def misfit(model: str, request: Request) -> str | None:
    """Why this model cannot take this request as it is, or None when it can.

    A parameter the model would refuse counts: dropping it silently would change what the caller asked for.
    """
    able, params = capabilities(model), request.params
    if request.endpoint != "chat" and provider_of(request.model) not in (None, provider_of(model)):
        return f"its provider does not speak /v1/{request.endpoint}"
    if (params.get("tools") or params.get("functions")) and able.tools is False:
        return "it has no tool calls"
    if params.get("response_format") and not isinstance(params["response_format"], str) and able.schema is False:
        return "it has no structured output"
    if able.vision is False and _has_images(request):
        return "it does not read images"
    unusual = _said(_REFUSED_BY_THINKERS if able.thinks else _THINKING_PARAMS, params, but="temperature")
    if unusual:
        return f"it refuses {unusual}"
    foreign = None if provider_of(model) == "openai" else _said(_OPENAI_ONLY, params, but="n")
    if foreign:
        return f"{foreign} is an OpenAI parameter"
    if able.max_input_tokens is not None and _characters(request) > able.max_input_tokens * 3:
        return f"the prompt may exceed its window of {able.max_input_tokens} tokens"
    return None


def _said(names: frozenset[str], params: Mapping[str, Any], *, but: str) -> str | None:
    """The first of these parameters, by the alphabet, that the request sets; `but` set to 1 is what every model does anyway."""
    return min(
        (name for name in names.intersection(params) if params[name] is not None and not (name == but and params[name] == 1)), default=None
    )


def _has_images(request: Request) -> bool:
    return any(
        isinstance(part, Mapping) and str(part.get("type", "")) in ("image_url", "image", "input_image")
        for message in request.messages
        if isinstance(message.get("content"), (list, tuple))
        for part in message["content"]
    )


def _characters(request: Request) -> int:
    return sum(len(c) if isinstance(c := m.get("content"), str) else sum(len(str(p)) for p in c or ()) for m in request.messages)
