"""Budgets: counted together, said once, and refused only where the recipe says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import FrugalError, Recipe
from frugal_plugins.drivers import drive
from frugal_plugins.errors import BudgetReached, RecipeError
from frugal_plugins.ledger import budgets as module
from frugal_plugins.ledger import open_reader
from frugal_plugins.request import Reply
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage
from tests.support import FakeModel, ask_for

TENTH_USD = Reply({"role": "assistant", "content": "x"}, "gpt-4o", Usage(40_000))


def recipe_with(tmp_path: Path, *alerts: dict[str, Any], name: str = "shop") -> Recipe:
    tiers = {"only": {"models": ["openai/gpt-4o"]}}
    made = Recipe.load({"recipe": name, "tiers": tiers, "ledger": {"path": str(tmp_path / "l.sqlite")}, "alerts": list(alerts)})
    assert made.ledger is not None
    assert made._budgets is not None
    made._budgets.every_seconds = 0.0
    return made


def ask(recipe: Recipe, team: str | None = None, **told: Any) -> Reply:
    flow, ctx = recipe.flow(ask_for(), told=Told(tags={"team": team} if team else {}, **told))
    return drive(flow, ctx, FakeModel([TENTH_USD]))


def settled(recipe: Recipe) -> None:
    assert recipe.ledger is not None
    assert recipe.ledger.flush()


def test_a_budget_that_stops_refuses_what_it_covers_and_names_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = recipe_with(tmp_path, {"name": "search-day", "usd": 0.25, "per": "day", "team": "search", "action": "stop"})
    for _ in range(3):
        ask(recipe, "search")
        ask(recipe, "billing")
        settled(recipe)
    with pytest.raises(FrugalError, match=r"budget search-day is spent \(\$0\.30 of \$0\.25\); requests are refused until") as raised:
        ask(recipe, "search")
    assert isinstance(raised.value, BudgetReached)
    assert (raised.value.budget, raised.value.limit_usd, raised.value.status_code) == ("search-day", Decimal("0.25"), 429)
    ask(recipe, "billing")
    ask(recipe, "search", off=True)
    settled(recipe)
    assert caplog.text.count("Budget search-day of recipe shop is reached: $0.30 of $0.25 per day, team search.") == 1
    with open_reader(tmp_path / "l.sqlite") as reader:
        alert = reader.alerts(5)[0]
    assert (alert.name, alert.what, alert.usd, alert.limit_usd) == ("shop/search-day", "team search", Decimal("0.3"), Decimal("0.25"))
    recipe.close()


def test_another_program_with_the_same_ledger_is_refused_too_and_is_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alert = {"name": "hourly", "usd": 0.15, "per": "hour", "action": "stop"}
    one = recipe_with(tmp_path, alert)
    ask(one)
    ask(one)
    settled(one)
    two = recipe_with(tmp_path, alert)
    two.ledger.flush()  # type: ignore[union-attr]
    ask(two)
    settled(two)
    with pytest.raises(BudgetReached):
        ask(two)
    other = recipe_with(tmp_path, alert, name="other")
    ask(other)
    settled(other)
    ask(other)
    assert caplog.text.count("is reached") == 1
    for recipe in (one, two, other):
        recipe.close()


def test_a_budget_that_logs_lets_traffic_pass(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = recipe_with(tmp_path, {"name": "soft", "usd": 0.05})
    for _ in range(3):
        ask(recipe)
        settled(recipe)
    record = next(record for record in caplog.records if "soft" in record.getMessage())
    assert (record.frugal_limit_usd, record.frugal_per) == ("0.05", "month")  # type: ignore[attr-defined]
    recipe.close()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[dict[str, Any]], threading.Event]]:
    heard: list[dict[str, Any]] = []
    came = threading.Event()

    class Listening(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if len(heard) == 1 else 204)
            self.end_headers()
            if len(heard) == 2:
                came.set()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Listening)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/budget", heard, came
    server.shutdown()
    server.server_close()


def test_a_webhook_is_told_figures_and_tried_again(tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, heard, came = listener
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
    recipe = recipe_with(tmp_path, {"name": "hook", "usd": 0.05, "action": "webhook", "url": url})
    ask(recipe)
    settled(recipe)
    assert came.wait(10)
    assert heard[1] | {"since": "", "until": ""} == {
        "budget": "hook", "recipe": "shop", "covers": {}, "per": "month", "since": "", "until": "", "spent_usd": "0.1", "limit_usd": "0.05",
        "action": "webhook",
    }  # fmt: skip
    recipe.close()


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ({"name": "x", "usd": 1, "action": "webhook"}, "needs a url"),
        ({"name": "x", "usd": 1, "url": "http://example.com/x"}, "neither https nor a loopback"),
        ({"name": "x", "usd": 1, "url": "http://127.0.0.1@example.com/"}, "neither https nor a loopback"),
        ({"name": "x", "usd": 1, "url": "http://localhost.example.com/"}, "neither https nor a loopback"),
        ({"name": "x", "usd": 1, "team": "a", "task": "b"}, "more than one of team"),
        ({"name": "x", "usd": 0}, "alerts"),
        ({"usd": 5}, "name"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(tmp_path: Path, alert: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe_with(tmp_path, alert)
