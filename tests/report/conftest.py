"""A small ledger with known dollars, written by a real recipe whose provider is a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import Recipe, Reply, Request, Usage
from frugal_plugins.drivers import drive
from frugal_plugins.flow import Call
from frugal_plugins.told import Told

PRICES = {
    "openai/small": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2},
    "openai/large": {"input_usd_per_mtok": 10, "output_usd_per_mtok": 20},
}
RECIPE: dict[str, Any] = {
    "recipe": "small_and_large",
    "tiers": {"cheap": {"models": ["openai/small"]}, "dear": {"models": ["openai/large"]}},
    "tasks": {"yes_no": {"tier": "cheap", "output_tokens": 5}, "document": {"tier": "dear"}},
    "prices": PRICES,
    "cache": {},
    "route": {},
    "cap": {},
}


class Shop:
    """A day's clock and a ledger to fill."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.path = path
        self.now = 1_750_000_000.0
        recipe = {**RECIPE, **changes, "ledger": {"path": str(path), **changes.get("ledger", {})}}
        self.recipe = Recipe.load(recipe, clock=lambda: self.now)
        self.calls = 0

    def ask(self, text: str, *, task: str, model: str = "openai/large", known: Usage | None = None, session: str | None = None) -> Reply:
        """One request: 1,000 tokens in, 100 out; a session is left untouched, or not, in every run alike."""
        request = Request(model, ({"role": "user", "content": text},))
        flow, ctx = self.recipe.flow(request, told=Told(task=task, session=session), baseline_usage=known)
        return drive(flow, ctx, self._send)

    def _send(self, call: Call) -> Reply:
        self.calls += 1
        message = {"role": "assistant", "content": "Yes."}
        return Reply(message, call.request.model, Usage(input_tokens=1000, output_tokens=100), id=f"resp-{self.calls}")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    opened: list[Shop] = []

    def build(**changes: Any) -> Shop:
        opened.append(Shop(tmp_path / "ledger.sqlite", **changes))
        return opened[-1]

    yield build
    for one in opened:
        one.recipe.close()


@pytest.fixture
def ledger(shop: Callable[..., Shop]) -> Path:
    """Two days: a question routed down, the same from the store, a document left alone."""
    day = shop()
    day.ask("Is <b>this</b> a yes?", task="yes_no")
    day.now += 3600
    day.ask("Is <b>this</b> a yes?", task="yes_no")
    day.now += 86_400
    day.ask("Write the report.", task="document")
    assert day.recipe.ledger is not None
    assert day.recipe.ledger.flush()
    return day.path
