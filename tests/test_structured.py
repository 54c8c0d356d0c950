"""One schema for every provider, and prompts that spell it out."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from frugal_plugins.cli.provider import pointed_at
from frugal_plugins.errors import TruncatedOutput
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Endpoint, Reply, Request
from frugal_plugins.sandbox import Sandbox
from frugal_plugins.structured import (
    compact_instruction,
    find_instruction,
    least_output_tokens,
    parsed,
    response_format,
    schema_budget_tokens,
    schema_of,
    strict,
    was_truncated,
    with_response_format,
)
from frugal_plugins.techniques.cap import Cap
from tests.support import FakeModel, send


class Line(BaseModel):
    """A line of an invoice."""

    sku: str
    count: int = 1


class Invoice(BaseModel):
    """An invoice."""

    number: str
    lines: list[Line]
    note: str | None = None


PRETTY = json.dumps(Invoice.model_json_schema(), indent=2)
ASKED = f"You read invoices.\n\nRespond in JSON by this schema. Do not wrap it in markdown:\n```json\n{PRETTY}\n```\nAmounts are in EUR."


def test_each_endpoint_gets_its_own_field() -> None:
    assert response_format(Invoice)["response_format"]["json_schema"]["name"] == "Invoice"
    assert response_format(Invoice, endpoint="messages")["output_config"]["format"]["type"] == "json_schema"
    assert response_format(Invoice, endpoint="responses")["text"]["format"]["name"] == "Invoice"


def test_strict_closes_every_object_and_requires_every_property() -> None:
    schema = strict(schema_of(Invoice))
    line = schema["properties"]["lines"]["items"]
    assert schema["required"] == ["number", "lines", "note"]
    assert line["additionalProperties"] is False
    assert line["properties"]["count"]["type"] == ["integer", "null"]
    assert schema["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="pydantic model or a JSON Schema"):
        schema_of("Invoice")


def test_a_json_instruction_becomes_response_format_and_the_rest_of_the_prompt_stays() -> None:
    made = with_response_format(Request("gpt-4o", ({"role": "system", "content": ASKED},)), ASKED)
    assert made is not None
    text, params = made
    assert text == "You read invoices.\nAmounts are in EUR."
    assert params["response_format"]["json_schema"]["schema"]["required"] == ["number", "lines"]


@pytest.mark.parametrize("params", [{"tools": [{"name": "f"}]}, {"response_format": {"type": "json_object"}}])
def test_a_request_with_tools_or_a_format_of_its_own_is_left(params: dict[str, object]) -> None:
    assert with_response_format(Request("gpt-4o", (), params), ASKED) is None


def test_a_model_without_structured_output_gets_the_short_notation() -> None:
    assert with_response_format(Request("nobody/knows", ()), ASKED) is None
    text = compact_instruction(ASKED)
    assert "number: str" in text
    assert "Amounts are in EUR." in text
    assert len(text) < len(ASKED) / 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Answer briefly.",
        f"Here is our schema for reference:\n{PRETTY}\nSum the numbers up.",
        'Return JSON like {"a": 1}.',
        "Reply as JSON:\n{broken",
    ],
)
def test_a_prompt_without_a_clear_instruction_is_left(text: str) -> None:
    assert find_instruction(text) is None
    assert compact_instruction(text) == text


def test_the_least_answer_counts_keys_and_shortest_values() -> None:
    assert least_output_tokens(Invoice) < least_output_tokens(
        {"type": "object", "properties": {"a": {"type": "array", "minItems": 9}}, "required": ["a"]}
    )


def test_a_cut_answer_is_noticed() -> None:
    def answer(text: str, finish: str) -> Reply:
        return Reply({"role": "assistant", "content": text}, "m", finish=finish)

    assert was_truncated(answer('{"a": [1, 2', "length"))
    assert not was_truncated(answer('{"a": 1}', "length"))
    assert not was_truncated(answer("no json", "stop"))


@pytest.mark.parametrize("endpoint", ["chat", "responses", "messages"])
def test_a_limit_is_never_below_what_the_schema_needs(endpoint: Endpoint) -> None:
    """A budget of 5 tokens for an answer whose keys alone take more would always be cut and asked again."""
    request = Request(
        "openai/gpt-4o", ({"role": "user", "content": "Read it."},), response_format(Invoice, endpoint=endpoint), endpoint=endpoint
    )
    assert schema_budget_tokens(request) == least_output_tokens(Invoice, "openai/gpt-4o")
    model = FakeModel()
    send(request, model, Cap({"extraction": 5}), declared_task="extraction")
    limit = next(
        model.calls[0].request.params[name] for name in ("max_tokens", "max_output_tokens") if name in model.calls[0].request.params
    )
    assert limit >= least_output_tokens(Invoice, "openai/gpt-4o") > 5
    assert schema_budget_tokens(Request("gpt-4o", (), {"response_format": {"type": "json_object"}})) == 0


def test_an_answer_is_read_as_the_callers_own_type_and_a_cut_one_is_an_error() -> None:
    whole = Reply({"role": "assistant", "content": '{"number": "7", "lines": []}'}, "m")
    assert isinstance(parsed(whole, Invoice), Invoice)
    assert parsed(whole, {"type": "object"}) == {"number": "7", "lines": []}
    with pytest.raises(TruncatedOutput):
        parsed(whole.with_(message={"role": "assistant", "content": '{"number"'}, finish="length"), Invoice)


def test_a_recipes_output_schema_reaches_the_provider_without_what_says_nothing() -> None:
    said = {
        "recipe": "r",
        "tiers": {"only": {"models": ["openai/gpt-4o"]}},
        "pipeline": {"prompt": "Read {text}", "output": Invoice.model_json_schema()},
        "ledger": "off",
    }
    with Sandbox() as sandbox, pointed_at(sandbox):
        reply = Recipe.load(said).complete({"text": "Invoice 7"})
        sent = sandbox.requests()[-1].body["response_format"]["json_schema"]["schema"]
    assert "title" not in json.dumps(sent)
    assert set(sent["required"]) <= set(reply.json())
