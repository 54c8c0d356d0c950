"""The corpus through LangChain's own chat models, alone and behind a FrugalRouter with an empty recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from frugal_plugins.sandbox import Sandbox
from frugal_plugins.sandbox.clock import VirtualClock
from tests.contract.differential.compare import differences
from tests.contract.differential.corpus import Item

_ELSEWHERE = frozenset({"messages", "system", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls"})
_NAMES = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-sonnet-4-5"}


def sync_differences(items: Iterable[Item]) -> list[str]:
    """What `invoke` and `stream` do otherwise."""

    def ask(model: Any, item: Item) -> Any:
        bound, messages = _bound(model, item)
        return list(bound.stream(messages)) if item.stream else bound.invoke(messages)

    return _compared(ask, items)


def async_differences(items: Iterable[Item]) -> list[str]:
    """What `ainvoke` and `astream` do otherwise."""

    async def asked(model: Any, item: Item) -> Any:
        bound, messages = _bound(model, item)
        return [chunk async for chunk in bound.astream(messages)] if item.stream else await bound.ainvoke(messages)

    with asyncio.Runner() as runner:
        return _compared(lambda model, item: runner.run(asked(model, item)), items)


def _compared(ask: Any, items: Iterable[Item]) -> list[str]:
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    from frugal_plugins import Recipe
    from frugal_plugins.langchain import FrugalRouter

    recipe = Recipe.load({"recipe": "empty", "tiers": {"only": {"models": list(_NAMES.values())}}, "ledger": {"path": "off"}})
    with Sandbox(clock=VirtualClock(1_750_000_000)) as sandbox:
        models: dict[str, Any] = {
            "openai": ChatOpenAI(model="gpt-4o", base_url=sandbox.openai_base_url, api_key="k", max_retries=0),  # type: ignore[arg-type]
            "anthropic": ChatAnthropic(  # type: ignore[call-arg]
                model_name="claude-sonnet-4-5", base_url=sandbox.anthropic_base_url, api_key="k", max_retries=0
            ),
        }
        own = {_NAMES[family]: model for family, model in models.items()}
        routers = {family: FrugalRouter.from_recipe(recipe, models=own, model=name) for family, name in _NAMES.items()}
        return differences(
            lambda item: ask(models[item.family], item),
            lambda item: _without_note(ask(routers[item.family], item)),
            items,
            sandbox,
        )


def _bound(model: Any, item: Item) -> tuple[Any, list[Any]]:
    """A model with the item's arguments, as a user of LangChain gives them, and its messages."""
    from langchain_core.messages import SystemMessage, convert_to_messages

    body = item.body
    messages = convert_to_messages(body["messages"])
    if "system" in body:
        messages = [SystemMessage(body["system"]), *messages]
    kwargs = {name: value for name, value in body.items() if name not in _ELSEWHERE}
    if "stop_sequences" in kwargs:
        kwargs["stop"] = kwargs.pop("stop_sequences")
    if (body.get("stream_options") or {}).get("include_usage"):
        kwargs["stream_usage"] = True
    if body.get("tools"):
        how = {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body}
        return model.bind_tools(body["tools"], **how, **kwargs), messages
    return model.bind(**kwargs) if kwargs else model, messages


def _without_note(got: Any) -> Any:
    """The answer without the one thing that is always added: what was done, under `response_metadata["frugal"]`."""
    for message in got if isinstance(got, list) else [got]:
        message.response_metadata.pop("frugal", None)
    return got
