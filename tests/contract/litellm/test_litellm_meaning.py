"""Answers by meaning through LiteLLM's doors, and the words LiteLLM's own cache understands, call by call."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins import Recipe
from frugal_plugins.embedding import named
from frugal_plugins.embedding.embed import FunctionEmbedder
from frugal_plugins.litellm import FrugalCallback, install
from frugal_plugins.litellm.convert import read_call
from frugal_plugins.litellm.live import UNDERWAY
from frugal_plugins.request import Reply
from frugal_plugins.techniques.cache import Cache
from tests.contract.litellm.conftest import MakeRecipe, rows, user
from tests.meanings import SIZE, of_letters

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

CACHE = {"similarity": 0.95, "audit_percent": 0, "embedding_seconds": 5}
FIRST, OTHER = "When do you open on Sunday?", "When do you open on the Sunday?"


@pytest.fixture(autouse=True)
def _letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "open_embedder", lambda _: FunctionEmbedder("letters", of_letters, SIZE))


async def through(door: str, recipe: Recipe, openai: dict[str, Any], text: str, **said: Any) -> Any:
    """Ask through one of the doors."""
    asked = {"model": "gpt-4o", "messages": user(text), **openai, **said}
    if door == "completion":
        return await asyncio.to_thread(litellm.completion, **asked)
    if door == "stream":
        return [chunk async for chunk in await litellm.acompletion(**asked, stream=True)]
    return await litellm.acompletion(**asked)


def opened(door: str, recipe: Recipe) -> None:
    if door == "callback":
        litellm.callbacks = [FrugalCallback(recipe)]
    else:
        install(recipe)


DOORS = ["completion", "acompletion", "stream", "callback"]


@pytest.mark.parametrize("door", DOORS)
async def test_other_words_are_a_hit_through_every_door(
    door: str, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(cache=CACHE)
    opened(door, recipe)
    for text in (FIRST, OTHER):
        await through(door, recipe, openai, text)
        await asyncio.sleep(0.05)  # LiteLLM tells callbacks of a stream afterwards
    assert len(sandbox.requests()) == 1
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "hit"]


@pytest.mark.parametrize("door", ["completion", "acompletion", "stream"])
async def test_litellms_words_for_one_call_are_kept_to(
    door: str, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(cache=CACHE)
    opened(door, recipe)
    for said, asked in (
        ({"cache": {"no-store": True}}, 1),  # answered, not kept
        ({}, 2),  # so it is asked again, and kept
        ({"cache": {"no-cache": True}}, 3),  # asked although it is there
        ({"cache": {"namespace": "b2b"}}, 4),  # nobody else's namespace is looked into
        ({"cache": {"namespace": "b2b"}}, 4),
        ({"metadata": {"frugal": {"cache": {"namespace": "b2b"}}}}, 4),
        ({"metadata": {"frugal": {"tenant": "acme"}}, "cache": {"ttl": 0}}, 5),  # kept for no time at all
        ({"metadata": {"frugal": {"tenant": "acme"}}}, 6),
        ({}, 6),
    ):
        await through(door, recipe, openai, FIRST, **said)
        assert len(sandbox.requests()) == asked, said


async def test_identical_cold_calls_at_once_are_asked_once(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe(cache=CACHE))
    await asyncio.gather(*(litellm.acompletion(model="gpt-4o", messages=user(FIRST), **openai) for _ in range(5)))
    assert len(sandbox.requests()) == 1


async def test_the_proxy_hook_finds_other_words_for_one_key_and_not_for_another(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(cache=CACHE)
    (cache,) = [step for step, _ in recipe.steps if isinstance(step, Cache)]
    asked = read_call({"model": "gpt-4o", "messages": user(FIRST)}, scope=("proxy", "a"))
    assert asked is not None
    assert cache.keep(asked.request, Reply({"role": "assistant", "content": "At nine."}, "gpt-4o"), recipe.clock()) is None

    async def hit(key: str) -> bool:
        data: dict[str, Any] = {"model": "gpt-4o", "messages": user(OTHER), "metadata": {"user_api_key": key}, "litellm_call_id": key}
        sent = await FrugalCallback(recipe).async_pre_call_hook(SimpleNamespace(api_key=key), None, data, "acompletion")
        live = UNDERWAY.find(sent or data)
        assert live is not None
        found = live.run.ctx.decisions[-1].action == "hit"
        if not found:
            live.fail(RuntimeError("never asked"))
        UNDERWAY.drop({"litellm_call_id": key})
        return found

    assert [await hit("a"), await hit("b")] == [True, False]


async def test_a_hit_can_be_rejected_by_the_id_the_caller_sees(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(cache=CACHE)
    install(recipe)
    await litellm.acompletion(model="gpt-4o", messages=user(FIRST), **openai)
    hit = await litellm.acompletion(model="gpt-4o", messages=user(OTHER), **openai)
    (cache,) = [step for step, _ in recipe.steps if isinstance(step, Cache)]
    assert cache.reject(hit._hidden_params["frugal"]["id"])
    await litellm.acompletion(model="gpt-4o", messages=user(OTHER), **openai)
    assert len(sandbox.requests()) == 2


async def test_an_audited_hit_is_asked_again_and_the_ledger_says_so(
    sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(cache={**CACHE, "audit_percent": 100})
    install(recipe)
    for text in (FIRST, OTHER):
        await litellm.acompletion(model="gpt-4o", messages=user(text), **openai)
    assert len(sandbox.requests()) == 2
    assert [row["outcome"] for row in rows(recipe)] == ["answered", "answered"]
    told = {row["action"]: row["why"] for row in rows(recipe, "SELECT * FROM decisions WHERE technique = 'cache'")}
    assert {"audited", "compared"} <= set(told)
    assert told["compared"].startswith("the stored answer says")


@pytest.mark.parametrize("host", ["litellm", "langchain"])
def test_a_hosts_embedding_is_found_by_name(host: str, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def embedding(model: str, input: list[str]) -> Any:  # noqa: A002 - LiteLLM's word
        asked.append(model)
        return SimpleNamespace(data=[{"index": n, "embedding": v} for n, v in reversed(list(enumerate(of_letters(input))))])

    def init_embeddings(model: str) -> Any:
        asked.append(model)
        return SimpleNamespace(embed_documents=of_letters)

    monkeypatch.setattr(litellm, "embedding", embedding)
    monkeypatch.setattr("langchain.embeddings.init_embeddings", init_embeddings)
    recipe = make_recipe(cache={**CACHE, "embedding": f"{host}:openai/text-embedding-3-small"})
    (cache,) = [step for step, _ in recipe.steps if isinstance(step, Cache)]
    assert cache.meaning is not None
    one, other = cache.meaning.embeddings.embed_many([FIRST, OTHER])
    assert float(one @ other) > 0.9
    assert cache.meaning.embeddings.fingerprint == f"function:{host}:openai/text-embedding-3-small:{SIZE}"
    assert asked[0] == "openai/text-embedding-3-small"


@pytest.mark.parametrize("host", ["litellm", "langchain"])
def test_what_a_providers_embedding_reads_is_booked_as_calls_of_the_cache(
    host: str, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedding(model: str, input: list[str]) -> Any:  # noqa: A002 - LiteLLM's word
        data = [{"index": n, "embedding": vector} for n, vector in enumerate(of_letters(input))]
        return SimpleNamespace(data=data, usage=SimpleNamespace(prompt_tokens=100 * len(input)))

    monkeypatch.setattr(litellm, "embedding", embedding)
    monkeypatch.setattr("langchain.embeddings.init_embeddings", lambda _: SimpleNamespace(embed_documents=of_letters))
    name = {"litellm": "litellm:openai/text-embedding-3-small", "langchain": "langchain:openai:text-embedding-3-small"}[host]
    recipe = make_recipe(cache={**CACHE, "embedding": name})
    install(recipe)
    for text in (FIRST, OTHER, OTHER):
        litellm.completion(model="gpt-4o", messages=user(text), **openai)
    assert len(sandbox.requests()) == 1
    booked = rows(recipe, "SELECT * FROM calls WHERE purpose = 'embed'")
    assert {(row["technique"], row["model"]) for row in booked} == {("cache", "openai/text-embedding-3-small")}
    assert len({row["request_id"] for row in booked}) == len(booked) == 2, "the third question's vector was remembered"
    read = sum(row["input_tokens"] for row in booked)
    assert read == 300 if host == "litellm" else 15 < read < 60
    assert [row["basis"] for row in rows(recipe)][1:] == ["estimated", "estimated"]


def test_an_embedding_without_a_known_price_is_named_and_leaves_savings_as_they_are(
    sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("langchain.embeddings.init_embeddings", lambda _: SimpleNamespace(embed_documents=of_letters))
    recipe = make_recipe(cache={**CACHE, "embedding": "langchain:nobody:knows"})
    install(recipe)
    for text in (FIRST, OTHER):
        litellm.completion(model="gpt-4o", messages=user(text), **openai)
    assert "No price is known for nobody/knows" in caplog.text
    assert rows(recipe, "SELECT * FROM calls WHERE purpose = 'embed'") == []
    assert rows(recipe)[-1]["basis"] == "estimated"
