"""Tools and structured output, whichever provider is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel

from frugal_plugins.errors import TruncatedOutput
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Sandbox
from tests.contract.langchain.conftest import bodies

SIMPLE = {"metadata": {"frugal": {"task": "extraction"}}}
STANDARD = {"metadata": {"frugal": {"task": "support_reply"}}}
ASKED = "Extract the order from: 3 red chairs for Ms Lund."


class Order(BaseModel):
    """An order."""

    item: str
    count: int


AS_DICT = {
    "title": "order",
    "type": "object",
    "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["item"],
}


@tool
def weather(city: str) -> str:
    """What the weather is."""
    return f"Sunny in {city}."


def test_tools_are_written_in_the_chosen_providers_own_form(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    asked = router_of(route={}).bind_tools([weather], tool_choice="any")
    for config in (SIMPLE, STANDARD):
        answer = asked.invoke("What is the weather in Oslo?", config)
        assert [call["name"] for call in answer.tool_calls] == ["weather"]
    to_openai, to_anthropic = bodies(sandbox)
    assert to_openai["tools"][0]["function"]["name"] == "weather"
    assert to_openai["tool_choice"] == "required"
    assert to_anthropic["tools"][0]["input_schema"]["required"] == ["city"]
    assert to_anthropic["tool_choice"] == {"type": "any"}


def test_a_tool_conversation_may_move_between_providers(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    asked = router_of(route={"sticky": "none"}).bind_tools([weather])
    history: list[Any] = [
        HumanMessage("What is the weather in Oslo?"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "call_1"}]),
        ToolMessage("Sunny in Oslo.", tool_call_id="call_1"),
    ]
    assert asked.invoke(history, SIMPLE).text
    assert asked.invoke(history, STANDARD).text
    to_openai, to_anthropic = bodies(sandbox)
    assert to_openai["messages"][2] == {"role": "tool", "content": "Sunny in Oslo.", "tool_call_id": "call_1"}
    assert to_anthropic["messages"][2]["content"][0]["type"] == "tool_result"


@pytest.mark.parametrize("config", [SIMPLE, STANDARD], ids=["openai", "anthropic"])
@pytest.mark.parametrize("method", [None, "function_calling", "json_schema"])
async def test_objects_come_back_whichever_model_is_chosen(router_of: Callable[..., FrugalRouter], config: Any, method: str | None) -> None:
    router = router_of(route={}, cap={})
    for schema, kind in ((Order, Order), (AS_DICT, dict)):
        chain = ChatPromptTemplate.from_template("{text}") | router.with_structured_output(schema, method=method)
        assert isinstance(chain.invoke({"text": ASKED}, config), kind)
        assert isinstance(await chain.ainvoke({"text": ASKED}, config), kind)
        assert [type(one) for one in chain.batch([{"text": ASKED}] * 2, config)] == [kind, kind]
        assert isinstance(list(chain.stream({"text": ASKED}, config))[-1], kind)
        assert isinstance([part async for part in chain.astream({"text": ASKED}, config)][-1], kind)


def test_include_raw_gives_the_message_and_the_object(router_of: Callable[..., FrugalRouter]) -> None:
    got: Any = router_of(route={}).with_structured_output(Order, include_raw=True).invoke(ASKED, SIMPLE)
    assert isinstance(got["parsed"], Order)
    assert got["raw"].response_metadata["frugal"]["model"] == "openai/gpt-4o-mini"
    assert got["parsing_error"] is None


def test_the_request_is_the_one_the_model_itself_would_send(
    router_of: Callable[..., FrugalRouter], models: dict[str, Any], sandbox: Sandbox
) -> None:
    for name, router in (("openai/gpt-4o", router_of(model="openai/gpt-4o")), ("anthropic/claude-sonnet-4-5", router_of())):
        models[name].with_structured_output(Order).invoke(ASKED)
        router.with_structured_output(Order).invoke(ASKED)
        models[name].bind_tools([weather], tool_choice="weather").invoke(ASKED)
        router.bind_tools([weather], tool_choice="weather").invoke(ASKED)
    raw = [request.raw for request in sandbox.requests()]
    assert raw[::2] == raw[1::2]


@pytest.mark.parametrize("config", [SIMPLE, STANDARD], ids=["openai", "anthropic"])
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_a_cut_object_is_an_error_not_a_guess(router_of: Callable[..., FrugalRouter], config: Any, method: str) -> None:
    chain = router_of(route={}).with_structured_output(Order, method=method)
    with pytest.raises(TruncatedOutput, match="output_tokens"):
        chain.invoke(ASKED, config, max_tokens=2)
    with pytest.raises(TruncatedOutput):
        list(chain.stream(ASKED, config, max_tokens=2))
    raw: Any = router_of(route={}).with_structured_output(Order, method=method, include_raw=True).invoke(ASKED, config, max_tokens=2)
    assert isinstance(raw["parsing_error"], TruncatedOutput)
    assert raw["parsed"] is None
    assert isinstance(raw["raw"], AIMessage)


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@pytest.mark.parametrize("tier", ["simple", "standard"])
def test_an_object_cut_by_our_limit_is_asked_again(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, method: str, tier: str
) -> None:
    order = {"item": "red chairs " * 30, "count": 3}  # far longer than the room a limit leaves for the schema's keys
    said = {"tool_calls": [{"name": "Order", "arguments": order}]} if method == "function_calling" else json.dumps(order)
    sandbox.provider.book.add({"user": ASKED, "outputs": {"*": said}})
    router = router_of(route={}, cap={}, tasks={"extraction": {"tier": tier, "output_tokens": 3}})
    assert isinstance(router.with_structured_output(Order, method=method).invoke(ASKED, SIMPLE), Order)
    limits = [body.get("max_completion_tokens") or body["max_tokens"] for body in bodies(sandbox)]
    assert limits[0] < 60
    assert limits[1:] == [256]
    router.recipe.close()
    with router.recipe.ledger.open() as ledger:
        calls = ledger.execute("SELECT sum(picousd), sum(output_tokens), count(*) FROM calls").fetchone()
    assert calls[0] == int(sandbox.invoice().total_usd * 10**12)
    assert calls[1:] == (sandbox.invoice().usage.output_tokens, 2)


def test_without_our_schema_the_clients_own_error_arrives(
    router_of: Callable[..., FrugalRouter], models: dict[str, Any], sandbox: Sandbox
) -> None:
    bound = {"response_format": Order, "max_tokens": 2}
    router = router_of(model="openai/gpt-4o", route={})
    with pytest.raises(openai.LengthFinishReasonError):
        models["openai/gpt-4o"].invoke(ASKED, **bound)
    with pytest.raises(openai.LengthFinishReasonError):
        router.invoke(ASKED, **bound)
    with pytest.raises(openai.LengthFinishReasonError):
        list(router.stream(ASKED, **bound))


@pytest.mark.parametrize("config", [SIMPLE, STANDARD], ids=["openai", "anthropic"])
@pytest.mark.parametrize("method", [None, "function_calling"])
def test_objects_are_cached(router_of: Callable[..., FrugalRouter], sandbox: Sandbox, config: Any, method: str | None) -> None:
    router = router_of(cache={}, route={})
    for schema in (Order, AS_DICT):
        chain = router.with_structured_output(schema, method=method)
        first = chain.invoke(ASKED, config)
        assert chain.invoke(ASKED, config) == first
        assert list(chain.stream(ASKED, config)) == [first]
    assert len(sandbox.requests()) == 2


def test_an_answer_that_is_not_the_object_is_not_served_again(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    sandbox.provider.book.add({"user": "As JSON, please.", "outputs": {"*": '{"item": "chair"}'}})
    chain = router_of(cache={}, model="openai/gpt-4o").with_structured_output(Order, method="json_mode")
    for _ in range(2):
        with pytest.raises(OutputParserException):
            chain.invoke("As JSON, please.")
    assert len(sandbox.requests()) == 2


def test_fallbacks_keep_their_tools_and_schema(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    from frugal_plugins.sandbox import Fault

    both = router_of(model="openai/gpt-4o").with_fallbacks([router_of()])
    sandbox.faults.add(Fault("server_error", times=1, model="gpt-4o"))
    assert both.bind_tools([weather], tool_choice="any").invoke(ASKED).tool_calls
    sandbox.faults.add(Fault("server_error", times=1, model="gpt-4o"))
    assert isinstance(both.with_structured_output(Order).invoke(ASKED), Order)
    assert [body["model"] for body in bodies(sandbox)] == ["gpt-4o", "claude-sonnet-4-5"] * 2
