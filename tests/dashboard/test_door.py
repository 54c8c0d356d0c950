"""Who gets in, what a foreign page can make a browser do here, and what rejecting a stored answer does."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from frugal_plugins.cli.dashboard_command import Listen
from frugal_plugins.dashboard import Visit, dashboard_app, with_token
from tests.dashboard.conftest import Serve
from tests.report.conftest import Shop

TOKEN = "a-token-long-enough-to-keep"


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', page)[:2])


def test_a_foreign_name_for_this_machine_is_refused(serve: Serve) -> None:
    browser = serve()
    assert browser.get("/", headers={"host": "rebound.example"}).status_code == 403
    assert browser.get("/", headers={"host": "rebound.example:8322"}).status_code == 403
    for host in ("127.0.0.1:8322", "localhost:1", "[::1]:8322", "LOCALHOST"):
        assert browser.get("/", headers={"host": host}).status_code == 200, host


def test_beyond_this_machine_nothing_is_shown_without_the_token(serve: Serve) -> None:
    browser = serve(admit=with_token(TOKEN))
    for address in ("/", "/rows", "/figures.json", "/style.css", "/?token=wrong", "/nowhere"):
        assert browser.get(address).status_code == 401, address
    assert browser.get("/figures.json", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert browser.get("/figures.json", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401


def test_the_token_leaves_the_address_at_once_for_a_cookie_no_script_can_read(serve: Serve) -> None:
    browser = serve(admit=with_token(TOKEN))
    answer = browser.get(f"/?token={TOKEN}&span=7d")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?span=7d"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get("/?span=7d").status_code == 200


@pytest.mark.parametrize("address", ["/", "/rows", "/review", "/style.css", "/script.js", "/figures.json", "/nowhere"])
def test_every_answer_forbids_scripts_frames_and_sniffing(serve: Serve, address: str) -> None:
    headers = serve().get(address).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_rejecting_a_stored_answer_makes_the_next_request_ask_again(shop: Shop, serve: Serve) -> None:
    browser = serve()
    page = browser.get("/review").text
    assert page.count('value="bad"') == 2
    answer = browser.post("/judge", data={**form_of(page), "verdict": "bad"})
    assert answer.status_code == 303
    after = browser.get(f"/{answer.headers['location']}").text
    assert 'role="status">Dropped' in after
    assert after.count('value="bad"') == 1
    calls = shop.calls
    shop.ask("Write the contract <script>document.title='taken'</script>", task="document")
    assert shop.calls == calls + 1


def test_an_answer_called_right_is_kept_and_not_asked_about_again(shop: Shop, serve: Serve) -> None:
    browser = serve()
    browser.post("/judge", data={**form_of(browser.get("/review").text), "verdict": "good"})
    assert browser.get("/review").text.count('value="bad"') == 1
    calls = shop.calls
    shop.ask("Write the contract <script>document.title='taken'</script>", task="document")
    assert shop.calls == calls


def test_a_form_from_elsewhere_changes_nothing(serve: Serve) -> None:
    browser = serve()
    fields = {**form_of(browser.get("/review").text), "verdict": "bad"}
    assert browser.post("/judge", data={**fields, "nonce": "0" * 64}).status_code == 403
    assert browser.post("/judge", data={**fields, "nonce": "é"}).status_code == 403
    assert browser.post("/judge", data={"id": fields["id"], "verdict": "bad"}).status_code == 403
    assert browser.post("/judge", data=fields, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.post("/judge", data={**fields, "verdict": "maybe"}).status_code == 400
    assert browser.post("/judge", data={**fields, "more": "x" * 5000}).status_code == 413
    assert browser.get("/review").text.count('value="bad"') == 2


def test_without_a_recipe_or_with_a_key_that_may_only_look_there_is_nothing_to_press(shop: Shop, serve: Serve) -> None:
    async def looks_only(_request: object) -> Visit:
        return Visit(b"secret", may_judge=False)

    serve()
    for app in (dashboard_app(shop.path), dashboard_app(shop.path, admit=looks_only, judge=lambda _id, _good: None)):
        browser = TestClient(app, base_url="http://127.0.0.1")
        page = browser.get("/review").text
        assert "<button" not in page
        assert browser.post("/judge", data={"id": "x", "verdict": "bad"}).status_code == 403


def test_which_addresses_are_this_machine() -> None:
    inside = {
        host
        for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "10.0.0.1", "::", "host.example")
        if Listen(host, 0).on_this_machine
    }
    assert inside == {"127.0.0.1", "127.8.8.8", "::1", "localhost"}
