"""The dashboard on the real LiteLLM Proxy: behind its own keys, and able to reject what its cache served."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.litellm.conftest import BASE
from tests.contract.litellm.proxies import KEY, RunningProxy, running

ADMIN = ("anyone", KEY)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    folder = tmp_path_factory.mktemp("proxy")
    recipe = folder / "support.json.yaml"
    recipe.write_text(json.dumps({**BASE, "cache": {}, "ledger": {"path": str(folder / "ledger.sqlite")}}))
    with running(folder, str(recipe), callbacks=["frugal_plugins.litellm.proxy"]) as up:
        yield up


def test_without_an_admin_key_nothing_is_shown(proxy: RunningProxy) -> None:
    for address in ("/frugal/", "/frugal/rows", "/frugal/figures.json", "/frugal/style.css"):
        answer = httpx.get(proxy.url + address)
        assert answer.status_code == 401, address
        assert "Basic" in answer.headers["www-authenticate"]
        assert "spend" not in answer.text
    for wrong in (("anyone", "sk-wrong"), ("anyone", ""), (KEY, "")):
        assert httpx.get(f"{proxy.url}/frugal/", auth=wrong).status_code == 401
    assert httpx.get(f"{proxy.url}/frugal/", headers={"authorization": "Basic !!"}).status_code == 401
    assert httpx.get(f"{proxy.url}/frugal/style.css", headers={"authorization": f"Bearer {KEY}"}).status_code == 200


def test_an_admin_sees_the_traffic_and_rejects_a_stored_answer(proxy: RunningProxy) -> None:
    proxy.ask("What is the capital of France?")
    _, headers = proxy.ask("What is the capital of France?")
    assert headers["x-frugal-cache"].startswith("hit")
    proxy.new_rows(2)
    with httpx.Client(base_url=f"{proxy.url}/frugal/", auth=ADMIN, follow_redirects=True) as browser:
        page = browser.get("")
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "France" not in page.text
        assert browser.get("figures.json").json()["total"]["hits"] == 1
        review = browser.get("review").text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]+)">', review)[:2])
        assert httpx.post(f"{proxy.url}/frugal/judge", data={**fields, "verdict": "bad"}).status_code == 401
        assert "Dropped" in browser.post("judge", data={**fields, "verdict": "bad"}).text
    _, headers = proxy.ask("What is the capital of France?")
    assert not headers["x-frugal-cache"].startswith("hit")


def test_the_proxys_own_pages_are_still_there(proxy: RunningProxy) -> None:
    assert httpx.get(f"{proxy.url}/health/liveliness").status_code == 200
    assert httpx.get(f"{proxy.url}/v1/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    assert httpx.get(f"{proxy.url}/frugal").headers["location"] == "/frugal/"
