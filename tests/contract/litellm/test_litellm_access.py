"""Which configured model a key may be routed to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

from frugal_plugins.litellm.access import Configured, may_use
from frugal_plugins.litellm.headers import plain_ascii
from frugal_plugins.litellm.reach import has_key, reachable_for
from frugal_plugins.prices import PriceBook

DEPLOYMENTS: tuple[dict[str, Any], ...] = (
    {"model_name": "big", "litellm_params": {"model": "openai/gpt-4o"}},
    {"model_name": "little", "litellm_params": {"model": "gpt-4o-mini"}},
    {"model_name": "openai/gpt-4o-mini", "litellm_params": {"model": "azure/mini"}},
    {"model_name": "second", "litellm_params": {"model": "openai/gpt-4o"}},
    {"model_name": "theirs", "litellm_params": {"model": "openai/o3"}, "model_info": {"team_id": "t-2"}},
)


def test_a_model_is_asked_for_under_its_configured_name() -> None:
    configured = Configured(DEPLOYMENTS, team_id="t-1")
    assert configured.name_for("openai/gpt-4o") == "big"
    assert configured.name_for("gpt-4o") == "big"
    assert configured.name_for("openai/gpt-4o-mini") == "openai/gpt-4o-mini"
    assert configured.name_for("gpt-4o-mini") == "little"
    assert configured.name_for("anthropic/claude-haiku-4-5") is None
    assert configured.name_for("azure/gpt-4o") is None
    assert configured.model_behind("big") == "openai/gpt-4o"
    assert configured.model_behind("nobody") is None
    assert Configured.of(None).name_for("gpt-4o") is None


def test_another_teams_deployment_is_not_there() -> None:
    router = SimpleNamespace(model_list=DEPLOYMENTS)
    assert Configured.of(router, team_id="t-1").name_for("openai/o3") is None
    assert Configured.of(router, team_id="t-2").name_for("openai/o3") == "theirs"


def test_a_deployment_that_is_added_taken_away_or_put_in_anothers_place_is_seen_at_once() -> None:
    listed = [dict(one) for one in DEPLOYMENTS[:2]]
    router = SimpleNamespace(model_list=listed)
    assert Configured.of(router).name_for("openai/o3") is None
    listed.append(
        {"model_name": "new", "litellm_params": {"model": "openai/o3", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}
    )
    assert Configured.of(router).name_for("openai/o3") == "new"
    priced = Configured.of(router).prices(PriceBook())
    assert priced is not None
    assert priced.rates("new") is not None
    listed[2] = {"model_name": "newer", "litellm_params": {"model": "openai/o3"}}
    assert Configured.of(router).name_for("openai/o3") == "newer"
    assert Configured.of(router).prices(PriceBook()) is None
    del listed[2]
    assert Configured.of(router).name_for("openai/o3") is None


def test_an_alias_that_is_changed_in_place_is_seen_at_once() -> None:
    aliases = {"it": "big"}
    router = SimpleNamespace(model_list=list(DEPLOYMENTS), model_group_alias=aliases)
    assert Configured.of(router).model_behind("it") == "openai/gpt-4o"
    aliases["it"] = "little"
    assert Configured.of(router).model_behind("it") == "gpt-4o-mini"


def test_wildcards_aliases_and_the_owners_limit() -> None:
    listed = [
        {"model_name": "openai/*", "litellm_params": {"model": "openai/*"}},
        {"model_name": "short", "litellm_params": {"model": "anthropic/claude-haiku-4-5", "max_tokens": 50}},
    ]
    configured = Configured.of(SimpleNamespace(model_list=listed, model_group_alias={"brief": "short", "terse": {"model": "short"}}))
    assert configured.name_for("openai/gpt-4o-mini") == "openai/gpt-4o-mini"
    assert configured.name_for("gpt-4o-mini") is None
    assert configured.model_behind("brief") == configured.model_behind("terse") == "anthropic/claude-haiku-4-5"
    assert configured.limit_behind("terse") == 50
    assert configured.limit_behind("openai/gpt-4o") is None


@pytest.mark.parametrize(
    ("key", "user", "allowed"),
    [
        ({}, None, True),
        ({"models": ["all-proxy-models"]}, None, True),
        ({"models": ["big"]}, None, False),
        ({"models": ["big", "little"]}, None, True),
        ({"models": ["group-of-cheap-ones"]}, None, False),
        ({"models": ["openai/*"]}, None, False),
        ({"team_id": "t", "team_models": ["big"]}, None, False),
        ({"team_id": "t", "team_models": ["big", "little"], "models": ["all-team-models"]}, None, True),
        ({"team_id": "t", "team_models": ["big"], "models": ["little"]}, None, False),
        ({"models": ["all-team-models"]}, None, False),
        ({"user_id": "u"}, None, False),
        ({"user_id": "u"}, {"models": []}, True),
        ({"user_id": "u"}, {"models": ["big"]}, False),
        ({"user_id": "u", "models": ["little"]}, {"models": ["little"]}, True),
        ({"user_id": "u", "models": ["little"]}, None, True),
        ({"project_id": "p", "models": ["little"]}, None, False),
        ({"org_id": "o"}, None, False),
        ({"user_id": "admin", "user_role": LitellmUserRoles.PROXY_ADMIN}, None, True),
        ({"user_role": LitellmUserRoles.PROXY_ADMIN, "models": ["big"]}, None, False),
    ],
)
def test_a_key_goes_where_it_could_have_gone_itself(key: dict[str, Any], user: Any, allowed: bool) -> None:
    assert may_use(UserAPIKeyAuth(**key), user, "little") is allowed


def test_keys_are_found_where_liteLLM_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import litellm

    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    assert not has_key("groq")
    monkeypatch.setattr(litellm, "groq_key", "gsk")
    assert has_key("groq")
    monkeypatch.setattr(litellm, "groq_key", None)
    monkeypatch.setenv("GROQ_API_KEY", "gsk")
    assert has_key("groq")
    assert has_key("ollama")


def test_a_connection_in_the_call_ties_it_to_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    tied = reachable_for({"api_key": "k"}, "gpt-4o", "gpt-4o")
    assert tied("openai/gpt-4o-mini")
    assert not tied("anthropic/claude-haiku-4-5")
    free = reachable_for({}, "gpt-4o", "gpt-4o")
    assert free("anthropic/claude-haiku-4-5")
    azure = reachable_for({"custom_llm_provider": "azure", "api_base": "http://x"}, "my-deployment", "my-deployment")
    assert azure("azure/mini")
    assert not azure("openai/gpt-4o-mini")
    routed = reachable_for({"metadata": {"model_group": "big"}}, "openai/gpt-4o", "openai/gpt-4o")
    assert not routed("openai/gpt-4o-mini")


def test_header_values_are_one_line_of_ascii() -> None:
    assert plain_ascii("a\r\nx-evil: 1\u00e9" + "y" * 500) == "a??x-evil: 1?" + "y" * 187
