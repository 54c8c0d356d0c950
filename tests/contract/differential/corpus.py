"""Two hundred requests for each endpoint, as different from each other as users' are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

from frugal_plugins.request import Endpoint
from frugal_plugins.sandbox.faults import CallKind

SIZE = 200
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMETERS = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "deep": {"type": "boolean"}},
    "required": ["order"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["city", "size"],
    "additionalProperties": False,
}
FAULTS: tuple[CallKind, ...] = ("rate_limit", "server_error", "unauthorized", "overloaded")
TEXTS = (
    "Is parcel {n} on its way? Answer yes or no.",
    "Extract the names from: Ada met Bob on day {n}.",
    'caf\u00e9 \u2014 \U0001f600 {{"a": {n}}}\n\ttab \u202eright',
    "Summarize in one sentence: the desk number {n} arrived late, but it is lovely.",
    "Hello there, could you please tell me when shop {n} opens? Thanks!",
    "def f(x):\n    return x * {n}\n# what does this do?",
    "Write an outline for a report about harbour {n}.",
)

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One request: its body in the endpoint's own shape, without a model, and what goes wrong upstream, if anything."""

    name: str
    endpoint: Endpoint
    body: Body
    fault: CallKind | None = None
    family: Literal["openai", "anthropic"] = "openai"

    @property
    def stream(self) -> bool:
        """Whether the answer is read in pieces."""
        return bool(self.body.get("stream"))


def corpus(endpoint: Endpoint, size: int = SIZE) -> list[Item]:
    """The requests for one endpoint; the same ones every time."""
    made: list[Item] = []
    makers = cycle(_KINDS[endpoint])
    while len(made) < size:
        n = len(made)
        kind, make = next(makers)
        body = make(n)
        if (n + n // len(_KINDS[endpoint])) % 5 in (1, 3) and kind not in ("wrong", "fault"):
            body["stream"] = True
            if endpoint == "chat" and n % 2:
                body["stream_options"] = {"include_usage": n % 10 != 3}
        fault = FAULTS[n // 7 % len(FAULTS)] if kind == "fault" else None
        made.append(Item(f"{endpoint}-{n}-{kind}", endpoint, body, fault, "anthropic" if endpoint == "messages" else "openai"))
    return made


def _text(n: int) -> str:
    return TEXTS[n % len(TEXTS)].format(n=n)


def _user(n: int) -> Body:
    return {"role": "user", "content": _text(n)}


def _turns(n: int) -> list[Body]:
    return [_user(n), {"role": "assistant", "content": f"Answer {n}."}, {"role": "user", "content": f"And {n + 1}?"}]


def _chat() -> Iterator[tuple[str, Callable[[int], Body]]]:
    tool = {"type": "function", "function": {"name": "look_up", "description": "Finds an order.", "parameters": PARAMETERS}}
    call = {"id": "call_a1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "7"}'}}
    yield "plain", lambda n: {"messages": [_user(n)]}
    yield "system", lambda n: {"messages": [{"role": "system", "content": f"You are clerk {n}. " * (n % 40 + 1)}, _user(n)]}
    yield "developer", lambda n: {"messages": [{"role": "developer", "content": "Be brief."}, *_turns(n)]}
    yield "warm", lambda n: {"messages": [_user(n)], "temperature": n % 3 / 2, "top_p": 0.9, "seed": n, "stop": ["END"], "user": f"u{n}"}
    yield "penalties", lambda n: {"messages": _turns(n), "presence_penalty": 0.5, "frequency_penalty": -0.5, "logit_bias": {"50256": -100}}
    yield "limit", lambda n: {"messages": [_user(n)], "max_tokens": n % 30 + 1}
    yield "new limit", lambda n: {"messages": [_user(n)], "max_completion_tokens": n % 30 + 1}
    yield "tools", lambda n: {"messages": [_user(n)], "tools": [tool], "tool_choice": "auto", "parallel_tool_calls": False}
    yield (
        "forced tool",
        lambda n: {"messages": [_user(n)], "tools": [tool], "tool_choice": {"type": "function", "function": {"name": "look_up"}}},
    )
    yield (
        "tool result",
        lambda n: {
            "messages": [
                _user(n),
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_a1", "content": f'{{"at": "Oslo", "n": {n}}}'},
            ],
            "tools": [tool],
        },
    )
    yield "choices", lambda n: {"messages": [_user(n)], "n": 2 + n % 2}
    yield "logprobs", lambda n: {"messages": [_user(n)], "logprobs": True, "top_logprobs": n % 3 + 1}
    yield (
        "json",
        lambda n: {
            "messages": [{"role": "user", "content": f"A JSON object about {n}, please."}],
            "response_format": {"type": "json_object"},
        },
    )
    yield (
        "schema",
        lambda n: {
            "messages": [_user(n)],
            "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
        },
    )
    yield (
        "image",
        lambda n: {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": _text(n)},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                    ],
                }
            ]
        },
    )
    yield "parts", lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in (_text(n), "And?")]}]}
    yield (
        "fields",
        lambda n: {"messages": [_user(n)], "store": False, "service_tier": "flex" if n % 2 else "auto", "prompt_cache_key": f"k{n}"},
    )
    yield "metadata", lambda n: {"messages": [_user(n)], "metadata": {"trace": f"t-{n}"}}
    yield "wrong", lambda n: {"messages": [_user(n)], **({"temperature": 77}, {"max_tokens": -1}, {"n": 1000}, {"top_logprobs": 3})[n % 4]}
    yield "fault", lambda n: {"messages": [_user(n)], **({"stream": True} if n % 2 else {})}


def _messages() -> Iterator[tuple[str, Callable[[int], Body]]]:
    tool = {"name": "look_up", "description": "Finds an order.", "input_schema": PARAMETERS}
    base: Body = {"max_tokens": 64}
    mark = {"type": "ephemeral"}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    use = {"type": "tool_use", "id": "toolu_a1", "name": "look_up", "input": {"order": "7"}}
    yield "plain", lambda n: {**base, "messages": [_user(n)]}
    yield "system", lambda n: {**base, "system": f"You are clerk {n}. " * (n % 40 + 1), "messages": [_user(n)]}
    yield "blocks", lambda n: {**base, "system": [{"type": "text", "text": "Be brief."}], "messages": _turns(n)}
    yield "warm", lambda n: {**base, "messages": [_user(n)], "temperature": n % 3 / 2, "top_k": 5, "stop_sequences": ["END"]}
    yield "short", lambda n: {"max_tokens": n % 20 + 1, "messages": [_user(n)]}
    yield "tools", lambda n: {**base, "messages": [_user(n)], "tools": [tool], "tool_choice": {"type": "auto"}}
    yield "forced tool", lambda n: {**base, "messages": [_user(n)], "tools": [tool], "tool_choice": {"type": "tool", "name": "look_up"}}
    yield (
        "tool result",
        lambda n: {
            **base,
            "messages": [
                _user(n),
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_a1", "content": f"in Oslo, {n}"}]},
            ],
            "tools": [tool],
        },
    )
    yield (
        "marked",
        lambda n: {
            **base,
            "system": [{"type": "text", "text": f"Handbook {n % 3}. " * 400, "cache_control": mark}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": _text(n), "cache_control": mark}]}],
        },
    )
    yield "image", lambda n: {**base, "messages": [{"role": "user", "content": [image, {"type": "text", "text": _text(n)}]}]}
    yield "thinking", lambda n: {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 1024}, "messages": [_user(n)]}
    yield "metadata", lambda n: {**base, "messages": [_user(n)], "metadata": {"user_id": f"u{n}"}}
    yield "wrong", lambda n: {**base, "messages": [_user(n)], **({"temperature": 7}, {"max_tokens": 0}, {"stop_sequences": [" "]})[n % 3]}
    yield "fault", lambda n: {**base, "messages": [_user(n)], **({"stream": True} if n % 2 else {})}


def _responses() -> Iterator[tuple[str, Callable[[int], Body]]]:
    tool = {"type": "function", "name": "look_up", "description": "Finds an order.", "parameters": PARAMETERS, "strict": False}
    call = {"type": "function_call", "call_id": "call_a1", "name": "look_up", "arguments": '{"order": "7"}'}
    form = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"}
    yield "plain", lambda n: {"input": _text(n)}
    yield "items", lambda n: {"input": [_user(n)]}
    yield "instructions", lambda n: {"input": _text(n), "instructions": f"You are clerk {n}. " * (n % 40 + 1)}
    yield "turns", lambda n: {"input": _turns(n)}
    yield "warm", lambda n: {"input": _text(n), "temperature": n % 3 / 2, "top_p": 0.9, "user": f"u{n}"}
    yield "limit", lambda n: {"input": _text(n), "max_output_tokens": 16 + n % 20}
    yield "tools", lambda n: {"input": _text(n), "tools": [tool], "tool_choice": "auto", "parallel_tool_calls": False}
    yield "forced tool", lambda n: {"input": [_user(n)], "tools": [tool], "tool_choice": {"type": "function", "name": "look_up"}}
    yield (
        "tool result",
        lambda n: {
            "input": [_user(n), call, {"type": "function_call_output", "call_id": "call_a1", "output": f"Oslo {n}"}],
            "tools": [tool],
        },
    )
    yield "schema", lambda n: {"input": _text(n), "text": form}
    yield "image", lambda n: {"input": [{"role": "user", "content": [{"type": "input_text", "text": _text(n)}, image]}]}
    yield "not stored", lambda n: {"input": _text(n), "store": False, "prompt_cache_key": f"k{n % 4}"}
    yield "metadata", lambda n: {"input": _text(n), "metadata": {"trace": f"t-{n}"}}
    yield (
        "wrong",
        lambda n: {"input": _text(n), **({"temperature": 77}, {"max_output_tokens": 1}, {"previous_response_id": "resp_none"})[n % 3]},
    )
    yield "fault", lambda n: {"input": _text(n), **({"stream": True} if n % 2 else {})}


_KINDS: dict[Endpoint, list[tuple[str, Callable[[int], Body]]]] = {
    "chat": list(_chat()),
    "messages": list(_messages()),
    "responses": list(_responses()),
}
