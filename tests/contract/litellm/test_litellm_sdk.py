"""The techniques at work under `litellm.completion` and `acompletion`."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import litellm
import pytest
from packaging.version import Version

from frugal_plugins.litellm import install
from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox


def sent_models(sandbox: Sandbox) -> list[str]:
    return [request.body["model"] for request in sandbox.requests()]


def test_a_repeated_question_is_asked_once(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    first = litellm.completion(model="gpt-4o", messages=user("Do you ship to Norway?"), **openai)
    again = litellm.completion(model="gpt-4o", messages=user("hello, do you ship to Norway? Thanks!"), **openai)
    assert len(sandbox.requests()) == 1
    assert again.choices[0].message.content == first.choices[0].message.content
    assert again.id != first.id
    assert again.model == first.model
    assert (again.usage.prompt_tokens, again.usage.completion_tokens, again.usage.total_tokens) == (0, 0, 0)
    hidden = again._hidden_params
    assert (hidden["cache_hit"], hidden["response_cost"]) == (True, 0)
    usd = f"{sandbox.invoice().total_usd:f}"
    assert hidden["frugal"]["saved"] == {
        "input_tokens": first.usage.prompt_tokens,
        "output_tokens": first.usage.completion_tokens,
        "usd": usd,
    }
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]


async def test_sync_and_async_share_one_cache(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe())
    first = await litellm.acompletion(model="gpt-4o", messages=user("Do you ship to Norway?"), **openai)
    again = litellm.completion(model="gpt-4o", messages=user("Do you ship to Norway?"), **openai)
    assert again.choices[0].message.content == first.choices[0].message.content
    assert len(sandbox.requests()) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"api_key": "sk-other"},
        {"extra_headers": {"x-team": "b"}},
        {"metadata": {"frugal": {"tenant": "b"}}},
        {"temperature": 0.1},
        {"seed": 3},
        {"metadata": {"frugal": {"cache": {"no-cache": True}}}},
        {"cache": {"no-cache": True}},
    ],
)
def test_answers_are_not_shared_across(other: dict[str, Any], sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe())
    litellm.completion(model="gpt-4o", messages=user("What do I owe?"), **openai)
    litellm.completion(model="gpt-4o", messages=user("What do I owe?"), **{**openai, **other})
    assert len(sandbox.requests()) == 2


def test_declared_yes_no_goes_to_the_small_model(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    said = {"frugal": {"task": "yes_no"}}
    answer = litellm.completion(model="gpt-4o", messages=user("May I return a used kettle?"), metadata=said, **openai)
    body = sandbox.requests()[0].body
    assert body == {"model": "gpt-4o-mini", "messages": user("May I return a used kettle?"), "max_tokens": 5}
    assert answer._hidden_params["frugal"]["model"].startswith("gpt-4o-mini")
    row = rows(recipe)[0]
    assert (row["model_asked"], row["model_baseline"], row["model_answered"], row["task"]) == (
        "gpt-4o",
        "gpt-4o",
        "openai/gpt-4o-mini",
        "yes_no",
    )
    assert row["baseline_picousd"] > row["actual_picousd"] > 0


def test_a_key_in_the_call_stays_with_its_provider(sandbox: Sandbox, anthropic: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe(tiers={"simple": {"models": ["openai/gpt-4o-mini"]}, "standard": {"models": ["anthropic/claude-sonnet-4-5"]}}))
    said = {"frugal": {"task": "yes_no"}}
    litellm.completion(model="anthropic/claude-sonnet-4-5", messages=user("Is it?"), metadata=said, **anthropic)
    assert sent_models(sandbox) == ["claude-sonnet-4-5"]


@pytest.mark.usefixtures("both_keys")
def test_keys_in_the_environment_let_it_change_provider(sandbox: Sandbox, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe(tiers={"simple": {"models": ["anthropic/claude-haiku-4-5"]}, "standard": {"models": ["openai/gpt-4o"]}}))
    answer = litellm.completion(model="gpt-4o", messages=user("Is it?"), metadata={"frugal": {"task": "yes_no"}})
    assert sent_models(sandbox) == ["claude-haiku-4-5"]
    assert sandbox.requests()[0].path == "/v1/messages"
    assert answer.choices[0].message.content
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


@pytest.mark.usefixtures("both_keys")
def test_without_its_key_a_provider_is_not_reached(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, make_recipe: MakeRecipe) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    install(make_recipe(tiers={"simple": {"models": ["anthropic/claude-haiku-4-5"]}, "standard": {"models": ["openai/gpt-4o"]}}))
    answer = litellm.completion(model="gpt-4o", messages=user("Is it?"), metadata={"frugal": {"task": "yes_no"}})
    assert sent_models(sandbox) == ["gpt-4o"]
    assert "does not reach" in answer._hidden_params["frugal"]["why"]


@pytest.mark.usefixtures("both_keys")
@pytest.mark.parametrize("name", ["support", "frugal", "frugal/support"])
def test_the_recipes_own_name_is_a_model(name: str, sandbox: Sandbox, make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    litellm.completion(model=name, messages=user("Is it raining, yes or no?"))
    litellm.completion(model=name, messages=user("Tell me about the harbour."))
    assert sent_models(sandbox) == ["gpt-4o-mini", "gpt-4o"]
    assert [row["model_baseline"] for row in rows(recipe)] == ["openai/gpt-4o"] * 2


def test_the_own_name_with_a_key_in_the_call(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe(route="off"))
    litellm.completion(model="support", messages=user("Hello"), **openai)
    assert sent_models(sandbox) == ["gpt-4o"]


async def test_an_answer_cut_too_short_is_asked_again(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    asked: dict[str, Any] = {
        "messages": user("Every name in this long list, please."),
        "metadata": {"frugal": {"task": "extraction"}},
    }
    sync = litellm.completion(model="gpt-4o", **asked, **openai)
    assert [request.body["max_tokens"] for request in sandbox.requests()] == [3, 256]
    assert sync.choices[0].finish_reason == "stop"
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert [row["replaced_by"] for row in rows(recipe, "SELECT replaced_by FROM calls ORDER BY request_id, n")] == ["cap", None]
    sandbox.reset()
    install(make_recipe(ledger="off"))
    answer = await litellm.acompletion(model="gpt-4o", **asked, **openai)
    assert [request.body["max_tokens"] for request in sandbox.requests()] == [3, 256]
    assert answer.choices[0].finish_reason == "stop"


def test_two_choices_and_tools(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    two = litellm.completion(model="gpt-4o", messages=user("A name for a boat?"), n=2, **openai)
    assert len(two.choices) == 2
    litellm.completion(model="gpt-4o", messages=user("A name for a boat?"), n=2, **openai)
    assert len(sandbox.requests()) == 2
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_a_router_keeps_its_deployment_and_is_booked_once(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    router = litellm.Router(model_list=[{"model_name": "big", "litellm_params": {"model": "openai/gpt-4o", **openai}}])
    said = {"frugal": {"task": "yes_no"}}
    for _ in range(2):
        await router.acompletion(model="big", messages=user("Is it wet?"), metadata=dict(said))
    router.completion(model="big", messages=user("Is it dry?"), metadata=dict(said))
    streamed = [
        chunk async for chunk in await router.acompletion(model="big", messages=user("Is it wet?"), metadata=dict(said), stream=True)
    ]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert [(request.body["model"], request.body["max_tokens"]) for request in sandbox.requests()] == [("gpt-4o", 5)] * 2
    assert sorted(row["outcome"] for row in rows(recipe)) == ["answered", "answered", "hit", "hit"]
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


@pytest.mark.xfail(
    Version(version("litellm")) >= Version("1.108.7"),
    reason="LiteLLM 1.108.7, also without us: with fallbacks= it sends its own `drops_unsupported` to the provider, which refuses it",
    raises=litellm.APIConnectionError,
    strict=True,
)
async def test_fallbacks_of_liteLLM_are_one_request(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    """Blocking calls in async code: LiteLLM then makes the attempts from a thread of its own."""
    recipe = install(make_recipe(route="off", cap="off"))
    sandbox.faults.add(Fault("server_error", model="gpt-4o"))
    answer = litellm.completion(model="openai/gpt-4o", messages=user("Hello"), fallbacks=["openai/gpt-4o-mini"], **openai)
    assert answer.model.startswith("gpt-4o-mini")
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]
    assert b"inside" not in b"".join(request.raw for request in sandbox.requests())
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_what_a_provider_of_ones_own_asks_inside_belongs_to_the_call(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    class Inner(litellm.CustomLLM):  # type: ignore[misc, name-defined]
        def completion(self, *args: Any, messages: Any, **kwargs: Any) -> Any:
            return litellm.completion(model="gpt-4o", messages=messages, **openai)

    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "mine", "custom_handler": Inner()}])
    recipe = install(make_recipe())
    assert litellm.completion(model="mine/own", messages=user("Is it, yes or no?")).choices[0].message.content
    assert [row["model_asked"] for row in rows(recipe)] == ["mine/own"]
    assert sent_models(sandbox) == ["gpt-4o"]


async def test_hits_of_liteLLMs_own_cache_cost_nothing(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    litellm.cache = litellm.Cache(type="local")
    recipe = install(make_recipe(cache="off"))
    for _ in range(2):
        litellm.completion(model="gpt-4o", messages=user("Tell me."), **openai)
        await litellm.acompletion(model="gpt-4o", messages=user("Tell me more."), **openai)
        assert list(litellm.completion(model="gpt-4o", messages=user("Stream me."), stream=True, **openai))
        await asyncio.sleep(0.1)  # LiteLLM keeps answers in tasks of their own
    assert len(sandbox.requests()) == 3
    assert len(rows(recipe)) == 6
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)
    assert {row["saved"] for row in rows(recipe, "SELECT baseline_picousd - actual_picousd AS saved FROM requests")} == {0}
