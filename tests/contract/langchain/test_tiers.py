"""Where the models come from: yours, or built from the environment on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_litellm import ChatLiteLLM
from langchain_openai import ChatOpenAI

from frugal_plugins import Recipe
from frugal_plugins.errors import FrugalError, MissingExtra, NotReachable
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.sandbox import Sandbox
from tests.contract.langchain.conftest import bodies

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}


def test_models_are_built_from_the_environment(recipe_of: Callable[..., Recipe], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.openai_base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", sandbox.anthropic_base_url)
    router = FrugalRouter.from_recipe(recipe_of(route={}), model_kwargs={"temperature": 0.2})
    router.invoke("Is it late?", YES_NO)
    router.invoke("Is it late?", {"metadata": {"frugal": {"task": "support_reply"}}})
    assert [(body["model"], body["temperature"]) for body in bodies(sandbox)] == [("gpt-4o-mini", 0.2), ("claude-sonnet-4-5", 0.2)]


def test_a_model_without_a_key_is_passed_over(recipe_of: Callable[..., Recipe], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", sandbox.anthropic_base_url)
    answer = FrugalRouter.from_recipe(recipe_of(route={})).invoke("Is it late?", YES_NO)
    assert answer.response_metadata["frugal"]["model"] == "anthropic/claude-haiku-4-5"


def test_without_routing_a_model_of_the_same_tier_stands_in(
    recipe_of: Callable[..., Recipe], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.openai_base_url)
    answer = FrugalRouter.from_recipe(recipe_of()).invoke("Is it late?")
    assert answer.response_metadata["frugal"]["model"] == "openai/gpt-4o"


def test_a_model_that_was_named_is_not_replaced_for_want_of_a_key(recipe_of: Callable[..., Recipe]) -> None:
    with pytest.raises(NotReachable, match="OPENAI_API_KEY"):
        FrugalRouter.from_recipe(recipe_of(), model="openai/gpt-4o").invoke("Is it late?")
    with pytest.raises(NotReachable, match="ANTHROPIC_API_KEY"):
        FrugalRouter.from_recipe(recipe_of(), model="anthropic/claude-haiku-4-5").invoke("Is it late?")


def test_a_missing_integration_names_what_to_install(recipe_of: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    from frugal_plugins.langchain import tiers

    recipe = recipe_of(tiers={"only": {"models": ["mistral/mistral-small"]}}, tasks={})
    monkeypatch.setattr(tiers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'frugal-plugins\[langchain\]'"):
        FrugalRouter.from_recipe(recipe).invoke("Is it late?")


def test_a_provider_without_integration_is_reached_through_litellm(
    recipe_of: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    recipe = recipe_of(tiers={"only": {"models": ["mistral/mistral-small"]}}, tasks={})
    model = Tiers(recipe, {}, {}).model("mistral/mistral-small")
    assert isinstance(model, ChatLiteLLM)
    monkeypatch.delenv("MISTRAL_API_KEY")
    assert not Tiers(recipe, {}, {}).reachable("mistral/mistral-small")


def test_your_own_models_may_be_given_by_name(recipe_of: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    tiers = Tiers(recipe_of(), {"openai/gpt-4o": "openai:gpt-4.1"}, {})
    model = tiers.model("gpt-4o")
    assert isinstance(model, ChatOpenAI)
    assert model.model_name == "gpt-4.1"


def test_a_name_without_its_provider_means_the_recipes_model(router_of: Callable[..., FrugalRouter]) -> None:
    answer = router_of(model="gpt-4o").invoke("Is it late?")
    assert answer.response_metadata["frugal"]["model"] == "openai/gpt-4o"


def test_a_model_that_reports_nothing_is_counted_here(recipe_of: Callable[..., Recipe]) -> None:
    recipe = recipe_of(tiers={"only": {"models": ["openai/gpt-4o"]}}, tasks={})
    silent = GenericFakeChatModel(messages=iter([AIMessage("Yes, it is.")]))
    router = FrugalRouter.from_recipe(recipe, models={"openai/gpt-4o": silent})
    answer = router.invoke([HumanMessage("Is it late?")])
    assert (answer.text, answer.usage_metadata) == ("Yes, it is.", None)
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert ledger.execute("SELECT input_tokens, output_tokens FROM calls").fetchone() == (11, 5)


async def test_litellm_tiers_work_and_are_not_processed_twice(recipe_of: Callable[..., Recipe], sandbox: Sandbox) -> None:
    from frugal_plugins.litellm import install, uninstall

    recipe = recipe_of(route={}, cap={}, cache={})
    openai: dict[str, Any] = {"api_base": sandbox.openai_base_url, "api_key": "k"}
    models = {
        "openai/gpt-4o-mini": ChatLiteLLM(model="openai/gpt-4o-mini", **openai),
        "anthropic/claude-sonnet-4-5": ChatLiteLLM(model="anthropic/claude-sonnet-4-5", api_base=sandbox.anthropic_base_url, api_key="k"),
    }
    router = FrugalRouter.from_recipe(recipe, models=models)
    install(recipe)
    try:
        texts = [
            router.invoke("Is it late?", YES_NO).text,
            (await router.ainvoke("Please help me.", {"metadata": {"frugal": {"task": "support_reply"}}})).text,
            "".join(chunk.text for chunk in router.stream("Is it early?", YES_NO)),
            "".join([chunk.text async for chunk in router.astream("Is it soon?", YES_NO)]),
        ]
    finally:
        uninstall()
    assert all(texts)
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        rows = ledger.execute("SELECT host, stream FROM requests").fetchall()
        booked = ledger.execute("SELECT sum(picousd), sum(input_tokens), sum(output_tokens) FROM calls").fetchone()
    assert sorted(rows) == [("langchain", 0)] * 2 + [("langchain", 1)] * 2
    invoice = sandbox.invoice()
    assert booked == (int(invoice.total_usd * 10**12), invoice.usage.input_tokens, invoice.usage.output_tokens)


def test_sets_of_models_that_answer_alike_are_the_same_set(recipe_of: Callable[..., Recipe]) -> None:
    def tiers(**how: Any) -> Tiers:
        return Tiers(recipe_of(), {"anthropic/claude-haiku-4-5": ChatAnthropic(model_name="claude-haiku-4-5", api_key="k", **how)}, {})

    assert tiers().fingerprint == tiers().fingerprint
    assert tiers().fingerprint != tiers(temperature=0.5).fingerprint


def test_every_error_of_this_room_says_what_to_do(recipe_of: Callable[..., Recipe]) -> None:
    with pytest.raises(FrugalError, match="models="):
        Tiers(recipe_of(), {}, {}).model("openai/gpt-4o")


def test_a_bound_model_is_refused_since_its_arguments_would_be_lost(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    with pytest.raises(FrugalError, match="bind arguments on the router"):
        FrugalRouter.from_recipe(recipe_of(), models={"openai/gpt-4o": models["openai/gpt-4o"].bind(temperature=0)})
