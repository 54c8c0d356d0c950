"""The real proxy with keys and teams of its own: a recipe widens nobody's access, and a key or a team may name another recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from frugal_plugins.sandbox import Sandbox
from tests.contract.litellm.conftest import BASE, user
from tests.contract.litellm.proxies import KEY, RunningProxy, in_front_of

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}
KEYS: dict[str, dict[str, Any]] = {
    "sk-both": {"models": ["gpt-4o", "mini", "sonnet", "haiku"]},
    "sk-both-too": {"models": ["gpt-4o", "mini"]},
    "sk-dear-only": {"models": ["gpt-4o", "sonnet"]},
    "sk-dear-team": {"models": [], "team_id": "dear", "team_models": ["gpt-4o"]},
    "sk-whole-team": {"models": ["all-team-models"], "team_id": "whole", "team_models": ["gpt-4o", "mini"]},
    "sk-off": {"models": [], "metadata": {"frugal_recipe": "off"}},
    "sk-other": {"models": [], "metadata": {"frugal_recipe": "other"}},
    "sk-other-team": {"models": [], "team_id": "t", "team_models": [], "team_metadata": {"frugal_recipe": "other"}},
}
AUTH = """
import json, pathlib
from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth

async def user_api_key_auth(request, api_key):
    known = json.loads(pathlib.Path(__file__).with_name("keys.json").read_text())
    if api_key not in known:
        raise HTTPException(401, "no such key")
    return UserAPIKeyAuth(api_key=api_key, **known[api_key])
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """A proxy that knows its keys by a function of its owner's, as a database would give them, and checks them as ever."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "keys.json").write_text(json.dumps({KEY: {"user_role": "proxy_admin"}, **KEYS}))
    (folder / "own_keys.py").write_text(AUTH)
    ledger = {"path": str(folder / "ledger.sqlite")}
    recipe = folder / "support.yaml"
    recipe.write_text(json.dumps({**BASE, "cache": {}, "route": {}, "cap": {}, "ledger": ledger}))
    (folder / "other.yaml").write_text(json.dumps({**BASE, "recipe": "other", "cap": {}, "ledger": ledger}))
    general = {"custom_auth": "own_keys.user_api_key_auth", "custom_auth_run_common_checks": True}
    with (
        Sandbox(chunk_seconds=0.002) as sandbox,
        in_front_of(sandbox, folder, str(recipe), callbacks=["frugal_plugins.litellm.proxy"], general=general) as up,
    ):
        yield up


@pytest.fixture(autouse=True)
def _nothing_left(keyed: RunningProxy) -> Iterator[None]:
    keyed.new_rows(0)
    keyed.sandbox.reset()
    yield
    keyed.sandbox.reset()


def ask(proxy: RunningProxy, key: str, text: str, **more: Any) -> dict[str, str]:
    """Our headers on an answer to this key."""
    client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=0)
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=user(text), **more)  # type: ignore[arg-type]
    return {name: value for name, value in raw.headers.items() if name.startswith("x-frugal-")}


@pytest.mark.parametrize("key", ["sk-both", "sk-whole-team", KEY])
def test_a_key_with_the_cheap_tier_is_routed(keyed: RunningProxy, key: str) -> None:
    ours = ask(keyed, key, f"Is it open to {key}?", extra_body=YES_NO)
    assert [request.body["model"] for request in keyed.sandbox.requests()] == ["gpt-4o-mini"]
    assert ours["x-frugal-model"] == "openai/gpt-4o-mini"
    keyed.books_agree(1)


@pytest.mark.parametrize("key", ["sk-dear-only", "sk-dear-team"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_without_the_cheap_tier_stays(keyed: RunningProxy, key: str, stream: bool) -> None:
    ours = ask(keyed, key, f"Is it open to {key}, {stream}?", extra_body=YES_NO, stream=stream)
    assert [request.body["model"] for request in keyed.sandbox.requests()] == ["gpt-4o"]
    assert "this key or proxy does not reach it" in ours["x-frugal-why"]
    (row,) = keyed.new_rows(1)
    assert row["model_asked"] == "openai/gpt-4o"


def test_answers_are_kept_for_the_key_that_asked(keyed: RunningProxy) -> None:
    said = [ask(keyed, key, "Where is Oslo?")["x-frugal-cache"] for key in ("sk-both", "sk-both-too", "sk-both")]
    assert said == ["miss", "miss", "hit"]
    assert len(keyed.sandbox.requests()) == 2
    keyed.books_agree(3)


def test_a_key_may_be_left_alone(keyed: RunningProxy) -> None:
    assert ask(keyed, "sk-off", "Is it open at all?", extra_body=YES_NO) == {}
    assert [request.body["model"] for request in keyed.sandbox.requests()] == ["gpt-4o"]


@pytest.mark.parametrize("key", ["sk-other", "sk-other-team"])
def test_a_key_or_a_team_may_have_its_own_recipe(keyed: RunningProxy, key: str) -> None:
    ours = ask(keyed, key, f"Is it open to {key}?", extra_body=YES_NO)
    (sent,) = [request.body for request in keyed.sandbox.requests()]
    assert (ours["x-frugal-recipe"], ours["x-frugal-cache"]) == ("other", "bypass")
    assert (sent["model"], sent["max_tokens"]) == ("gpt-4o", 5)
    assert [row["recipe"] for row in keyed.books_agree(1)] == ["other"]
