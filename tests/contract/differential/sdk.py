"""The corpus through `litellm.completion` and `acompletion`, alone and with an empty recipe installed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from frugal_plugins.sandbox import Sandbox
from frugal_plugins.sandbox.clock import VirtualClock
from tests.contract.differential.compare import differences
from tests.contract.differential.corpus import Item

EMPTY: dict[str, Any] = {"recipe": "empty", "tiers": {"only": {"models": ["openai/gpt-4o"]}}, "ledger": {"path": "off"}}
"""A recipe with all techniques off."""


def sync_differences(items: Iterable[Item]) -> list[str]:
    """What `litellm.completion` does otherwise with the recipe installed."""
    import litellm

    def ask(item: Item, connection: dict[str, Any]) -> Any:
        answer = litellm.completion(model="gpt-4o", **item.body, **connection)
        return list(answer) if item.stream else answer

    return _compared(ask, items)


def async_differences(items: Iterable[Item]) -> list[str]:
    """What `litellm.acompletion` does otherwise with the recipe installed."""
    import litellm

    async def asked(item: Item, connection: dict[str, Any]) -> Any:
        answer = await litellm.acompletion(model="gpt-4o", **item.body, **connection)
        return [chunk async for chunk in answer] if item.stream else answer

    with asyncio.Runner() as runner:
        return _compared(lambda item, connection: runner.run(asked(item, connection)), items)


def _compared(ask: Any, items: Iterable[Item]) -> list[str]:
    from frugal_plugins.litellm import install, uninstall

    with Sandbox(clock=VirtualClock(1_750_000_000)) as sandbox:
        connection = {"api_base": sandbox.openai_base_url, "api_key": "sk-test", "max_retries": 0}

        def alone(item: Item) -> Any:
            return ask(item, connection)

        def through(item: Item) -> Any:
            install(EMPTY)
            try:
                return ask(item, connection)
            finally:
                uninstall()

        return differences(alone, through, items, sandbox)
