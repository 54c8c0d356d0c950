"""A small ledger behind the pages, written by a real recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from frugal_plugins import Usage
from frugal_plugins.dashboard import dashboard_app, judge_of
from tests.report.conftest import Shop

NASTY = "<script>document.title='taken'</script>"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Five requests of today: a document and two stored answers to it, two questions a cheaper model answers, one of them measured."""
    opened = Shop(tmp_path / "ledger.sqlite", ledger={"keep_text": True})
    opened.now = time.time() // 86_400 * 86_400 + 60
    opened.ask(f"Write the contract {NASTY}", task="document")
    opened.ask(f"Write the contract {NASTY}", task="document")
    opened.ask(f"Write the contract {NASTY}", task="document")
    opened.ask("Is it open?", task="yes_no")
    opened.ask("Is it closed?", task="yes_no", known=Usage(input_tokens=1000, output_tokens=100))
    yield opened
    opened.recipe.close()


Serve = Callable[..., TestClient]


@pytest.fixture
def serve(shop: Shop) -> Serve:
    """A browser without a screen, on this machine."""

    def open_pages(**options: object) -> TestClient:
        assert shop.recipe.ledger is not None
        shop.recipe.ledger.flush()
        app = dashboard_app(shop.path, judge=judge_of(shop.recipe), **options)  # type: ignore[arg-type]
        return TestClient(app, base_url="http://127.0.0.1:8322", follow_redirects=False)

    return open_pages
