"""A mixed run through every path of the SDK: the ledger says what the provider bills, to the picodollar."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import litellm

from frugal_plugins.litellm import install
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user
from tests.support import wait_for_later

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

LONG = "You are a careful support agent for a harbour museum. " * 400
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"order": {"type": "string"}}}}}


def _marked(text: str, ttl: str | None = None) -> dict[str, Any]:
    control = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    return {"type": "text", "text": text, "cache_control": control}


def _calls() -> list[dict[str, Any]]:
    cached = [{"role": "system", "content": [_marked(LONG, "1h")]}, {"role": "user", "content": [_marked("Hello there. " * 1200)]}]
    warm = [{"role": "system", "content": LONG}, *user("Which hall is warm?")]
    return [
        {"model": "gpt-4o", "messages": user("Tell me about tides.")},
        {"model": "gpt-4o", "messages": user("Tell me about tides.")},
        {"model": "openai/gpt-4o-mini", "messages": warm},
        {"model": "openai/gpt-4o-mini", "messages": [*warm, {"role": "assistant", "content": "The first."}, *user("And the second?")]},
        {"model": "gpt-4o", "messages": user("May I return a kettle, yes or no?")},
        {"model": "o3-mini", "messages": user("Prove it step by step."), "reasoning_effort": "low"},
        {"model": "openai/o3", "messages": user("Prove it slowly, step by step."), "service_tier": "flex"},
        {"model": "gpt-4o", "messages": user("Names for a boat"), "n": 3},
        {"model": "gpt-4o", "messages": user("Where is order 7?"), "tools": [TOOL], "tool_choice": "required"},
        {"model": "gpt-4o", "messages": user("All names in this."), "metadata": {"frugal": {"task": "extraction"}}},
        {"model": "gpt-4o", "messages": user("Stream me a tide."), **USAGE},
        {"model": "gpt-4o", "messages": user("Stream me another tide."), "stream": True},
        {"model": "anthropic/claude-haiku-4-5", "messages": cached, "max_tokens": 60},
        {"model": "anthropic/claude-haiku-4-5", "messages": cached, "max_tokens": 61},
        {"model": "anthropic/claude-haiku-4-5", "messages": cached, "max_tokens": 62, "stream": True},
        {"model": "anthropic/claude-sonnet-4-5", "messages": user("Tell me about moons."), "max_tokens": 90, **USAGE},
    ]


def _connection(model: str, openai: dict[str, Any], anthropic: dict[str, Any]) -> dict[str, Any]:
    return anthropic if model.startswith("anthropic") else openai


async def test_the_ledger_is_the_invoice(
    sandbox: Sandbox, openai: dict[str, Any], anthropic: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = install(make_recipe())
    for call in _calls():
        answer = litellm.completion(**call, **_connection(call["model"], openai, anthropic))
        if call.get("stream"):
            list(answer)
    for call in _calls():
        again = {**call, "metadata": {"frugal": {**call.get("metadata", {}).get("frugal", {}), "tenant": "async"}}}
        answer = await litellm.acompletion(**again, **_connection(call["model"], openai, anthropic))
        if call.get("stream"):
            [_ async for _ in answer]
    found, calls = rows(recipe), rows(recipe, "SELECT * FROM calls")
    assert len(found) == 2 * len(_calls())
    assert {row["outcome"] for row in found} == {"answered", "hit"}
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert all(row["picousd"] is not None for row in calls)
    openai_lines = {line.id for line in sandbox.invoice().lines if line.endpoint == "chat"}
    assert openai_lines == {call["provider_id"] for call in calls if not call["provider_id"].startswith("req_")}
    assert sum(call["provider_id"].startswith("req_") for call in calls) == sum(
        line.endpoint == "messages" for line in sandbox.invoice().lines
    )


async def test_usage_is_read_as_the_provider_counted_it(
    sandbox: Sandbox, anthropic: dict[str, Any], openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = install(make_recipe(cap="off"))
    for call in _calls():
        answer = litellm.completion(**call, **_connection(call["model"], openai, anthropic))
        if call.get("stream"):
            list(answer)
    names = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens")
    booked = sorted(tuple(row[name] for name in names) for row in rows(recipe, "SELECT * FROM calls"))
    billed = sorted(tuple(getattr(line.usage, name) for name in names) for line in sandbox.invoice().lines)
    totals = [sum(column) for column in zip(*billed, strict=True)]
    assert booked == billed
    assert all(total > 0 for total in totals)


async def test_what_a_judge_of_a_sample_costs_is_on_the_invoice_and_in_the_ledger(
    sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = install(make_recipe(judge={"percent": 100}))
    asked = {"model": "gpt-4o", "messages": user("Tell me about tides."), **openai}
    litellm.completion(**asked)
    list(litellm.completion(**{**asked, "messages": user("Tell me about moons."), **USAGE}))
    await litellm.acompletion(**{**asked, "messages": user("Tell me about boats.")})
    litellm.completion(**asked)
    wait_for_later()
    for _ in range(300):
        if len(rows(recipe, "SELECT * FROM calls WHERE purpose = 'judge'")) == 4:
            break
        await asyncio.sleep(0.1)
    judged = rows(recipe, "SELECT * FROM calls WHERE purpose = 'judge'")
    assert [row["technique"] for row in judged] == ["judge"] * 4, "an answer in one piece, a stream, an awaited one and a stored one"
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert {row["judge_picousd"] for row in rows(recipe)} == {row["picousd"] for row in judged}
