"""Bad input through history, shorten and prompt_cache together: the request is served, once, and the worst case is "unchanged"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from frugal_plugins.prefix.sizes import Terms
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Request
from frugal_plugins.techniques.history import History
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.techniques.shorten import Shorten
from tests.support import FakeModel, send

MODELS = ("anthropic/claude-sonnet-4-5", "openai/gpt-4o", "openai/gpt-5.6", "house/unpriced")
LONG = "Answer questions about orders of the shop and be kind to people.\n" * 150
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
Messages = list[Mapping[str, Any]]


def talk(*more: Any, turns: int = 12) -> Messages:
    said: Messages = [{"role": "system", "content": LONG}]
    for turn in range(turns):
        said += [
            {"role": "user", "content": f"Order {turn}? " + "so then " * 60},
            {"role": "assistant", "content": f"Order {turn} is there."},
        ]
    return [*said, *more, {"role": "user", "content": "And now?"}]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CASES: dict[str, Messages] = {
    "content None": talk({"role": "user", "content": None}, {"role": "assistant", "content": None}),
    "no content at all": talk({"role": "user"}, {"role": "assistant"}),
    "list content": talk(
        {"role": "user", "content": [{"type": "text", "text": "Look at 4711"}, IMAGE]}, {"role": "assistant", "content": []}
    ),
    "odd blocks": talk({"role": "user", "content": [None, "plain", 3, {"type": None}, {"text": None}]}),
    "thinking": talk(
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Yes"}]}
    ),
    "unknown roles": talk({"role": "critic", "content": "Bad."}, {"role": None, "content": "?"}, {"content": "nobody's"}),
    "a result without a call": talk({"role": "tool", "tool_call_id": "lost", "content": "[1, 2]"}),
    "a call without a result": talk({"role": "assistant", "content": None, "tool_calls": [CALL]}),
    "calls that are no calls": talk(
        {"role": "assistant", "content": "x", "tool_calls": "yes"}, {"role": "assistant", "tool_calls": [None, 3]}
    ),
    "one message larger than any window": talk({"role": "user", "content": "word " * 60_000}),
    "five thousand messages": talk(turns=2500),
    "nothing but a system prompt": [{"role": "system", "content": LONG}],
    "no messages": [],
    "types that are no words": talk(
        {"type": ["x"], "role": "user", "content": [{"type": ["y"], "text": "a"}]}, {"type": {}, "role": "tool"}
    ),
    "broken surrogate": talk({"role": "user", "content": "half \ud83d emoji"}),
}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "[1, 2]"}
ITEMS: dict[str, Messages] = {
    "a result without a call": talk(OUTPUT),
    "a call without a result": talk({"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}),
    "items without ids": talk({"type": "function_call"}, {"type": "function_call_output"}),
    "odd outputs": talk(*({**OUTPUT, "output": odd} for odd in (None, 3, [], [None, "x", {"type": "input_text"}], {"a": 1}))),
    "odd arguments": talk(*({"type": "function_call", "call_id": 7, "name": None, "arguments": odd} for odd in (None, 3, {"a": 1}))),
    "reasoning alone": talk({"type": "reasoning", "id": "rs", "summary": None, "encrypted_content": "x" * 4000}),
    "a message without a role": talk({"type": "message", "content": "whose?"}),
    "kinds that are no words": talk({"type": None, "role": "user", "content": "a"}, {"type": 3}, {"type": ["x"]}),
    "a kind that is a list": talk({"type": ["x"], "role": "user", "content": "a"}),
    "odd pictures": talk(
        {"role": "user", "content": [{"type": "input_image"}, {"type": "input_image", "image_url": 3}, {"type": "input_file"}]}
    ),
    "five thousand items": talk(*[item for _ in range(1200) for item in ({"type": "function_call", "call_id": "c1"}, OUTPUT)]),
}
PARAMS: tuple[dict[str, Any], ...] = (
    {},
    {"tools": []},
    {"tools": [None, "x", {"type": "function"}, {"function": None}, {"function": {"name": 3, "parameters": []}}]},
    {"tools": "none", "response_format": 7, "system": [None, 3]},
)


def texts(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(block.get("text")) for block in content if isinstance(block, Mapping))
    return str(content)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("model", MODELS)
def test_it_is_served_once_and_the_last_question_is_whole(name: str, model: str) -> None:
    history = History(Terms(when="always", every_turns=2, keep_turns=1))
    asked = FakeModel()
    messages = tuple(CASES[name])
    for now in (0.0, 20.0):
        _, ctx = send(
            Request(model, messages, session="s"), asked, history, Shorten(select_tools=3), PromptCache(), clock=lambda now=now: now
        )
        assert not [decision for decision in ctx.decisions if decision.action == "stood_down"]
    assert len(asked.calls) == 2
    shown = asked.calls[-1].request.messages
    if messages and messages[-1]["role"] == "user":
        assert texts(messages[-1]).strip() in texts(shown[-1])


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("model", MODELS)
def test_odd_items_of_the_responses_api_are_served_once(name: str, model: str) -> None:
    history, asked = History(Terms(when="always", every_turns=2, keep_turns=1, keep_results=1)), FakeModel()
    for params in ({"instructions": LONG}, {"instructions": ["x", None]}, {"text": 7, "tool_choice": {"type": "function", "name": "find"}}):
        request = Request(model, tuple(ITEMS[name]), params, session=str(params), endpoint="responses")
        _, ctx = send(request, asked, history, Shorten(select_tools=3), PromptCache())
        assert not [decision for decision in ctx.decisions if decision.action == "stood_down"], ctx.decisions
        assert asked.calls[-1].request.messages[-1]["content"].startswith("And now?")
    assert len(asked.calls) == 3


@pytest.mark.parametrize("params", PARAMS, ids=range(len(PARAMS)))
@pytest.mark.parametrize("model", MODELS)
def test_odd_params_are_served(params: dict[str, Any], model: str) -> None:
    asked = FakeModel()
    book = PriceBook({"house/unpriced": own_rates("house/unpriced", {"input_usd": 1, "output_usd": 5, "cache_read_usd": "0.1"}, "test")})
    request = Request(model, tuple(talk()), params)
    _, ctx = send(request, asked, History(prices=book), Shorten(book, select_tools=3), PromptCache(book))
    assert len(asked.calls) == 1
    assert not [decision for decision in ctx.decisions if decision.action == "stood_down"], ctx.decisions
