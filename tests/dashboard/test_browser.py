"""The dashboard in headless Chromium: on a phone, in the dark, by keyboard, and while requests come in."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from frugal_plugins.dashboard import dashboard_app, judge_of
from tests.chromium import CONTRAST, DESK, PATIENCE_MS, PHONE, UNNAMED, chromium, too_wide
from tests.report.conftest import Shop

PAGES = ("", "rows", "rows?task=yes_no", "review", "control", "request")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def address(shop: Shop) -> Iterator[str]:
    """The dashboard on a free port."""
    assert shop.recipe.ledger is not None
    shop.recipe.ledger.flush()
    bound = socket.create_server(("127.0.0.1", 0))
    app = dashboard_app(shop.path, judge=judge_of(shop.recipe))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    server.should_exit = True
    thread.join(timeout=5)
    bound.close()


def opened(browser: Browser, **options: object) -> tuple[Page, list[str]]:
    """A fresh page, and what went wrong in it."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("http://127.0.0.1:") else None)
    return page, wrong


def test_every_page_fits_a_phone_and_a_desk_in_light_and_dark(browser: Browser, address: str) -> None:
    for size in (PHONE, DESK):
        for scheme in ("light", "dark"):
            page, wrong = opened(browser, viewport=size, color_scheme=scheme)
            for name in PAGES:
                page.goto(address + name.removeprefix("request"))
                if name == "request":
                    page.locator("#live-list a").first.click()
                    page.wait_for_url("**/request?*")
                assert too_wide(page) <= 0, (name, size)
                assert page.evaluate(CONTRAST) == [], (name, scheme)
                assert page.evaluate(UNNAMED) == [], name
            assert wrong == []
            page.context.close()


def test_landmarks_and_headings_are_where_a_screen_reader_looks(browser: Browser, address: str) -> None:
    page, _ = opened(browser)
    page.goto(address)
    assert page.locator("main").count() == 1
    assert page.get_by_role("navigation").count() == 2
    assert page.get_by_role("contentinfo").count() == 1
    assert page.locator("h1").count() == 1
    levels = [int(tag[1]) for tag in page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => one.tagName)")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"
    page.context.close()


def test_the_keyboard_reaches_the_rows_behind_a_figure_and_shows_where_it_is(browser: Browser, address: str) -> None:
    page, _ = opened(browser)
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('.figures')"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.wait_for_url("**/rows?*")
    assert page.locator(".card").count() == 5
    page.context.close()


def test_a_new_request_appears_while_one_looks_unless_paused(browser: Browser, address: str, shop: Shop) -> None:
    page, wrong = opened(browser)
    page.clock.install()
    page.goto(address)
    assert page.locator("#live-list .card").count() == 5
    shop.now = time.time() // 86_400 * 86_400 + 90
    shop.ask("Is it new?", task="yes_no")
    assert shop.recipe.ledger is not None
    shop.recipe.ledger.flush()
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(11_000)
    assert page.locator("#live-list .card").count() == 5
    page.get_by_role("button", name="Go on").click()
    page.evaluate("document.activeElement.blur()")
    page.clock.run_for(6_000)
    page.locator("#live-list .card").nth(5).wait_for()
    assert wrong == []
    page.context.close()


def test_a_wrong_stored_answer_is_rejected_by_keyboard(browser: Browser, address: str) -> None:
    page, wrong = opened(browser, viewport=PHONE)
    page.goto(address + "review")
    reject = page.get_by_role("button", name="Wrong, drop it").first
    reject.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review?said=bad")
    assert "Dropped" in page.get_by_role("status").inner_text()
    assert page.locator(".card").count() == 1
    assert wrong == []
    page.context.close()
