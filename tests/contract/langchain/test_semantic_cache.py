"""FaissSemanticCache keeps LangChain's own contract and what LangChain's key does not protect."""

from __future__ import annotations

import doctest
import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from frugal_plugins.answers import MemoryAnswers
from frugal_plugins.embedding import named
from frugal_plugins.embedding.embed import FunctionEmbedder
from frugal_plugins.errors import FrugalError
from frugal_plugins.langchain.cache import FaissSemanticCache
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.techniques.cache import Cache
from tests.meanings import SIZE, letters, of_letters


def a_cache(store: MemoryAnswers | None = None, **known: Any) -> FaissSemanticCache:
    return FaissSemanticCache(Cache(store or MemoryAnswers(), meaning=Meaning(letters())), **known)


class TestSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self) -> BaseCache:
        return a_cache()


class TestAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self) -> BaseCache:
        return a_cache()


def model(cache: BaseCache, *answers: AIMessage, **known: Any) -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter(answers), cache=cache, **known)


def said(text: str, **known: Any) -> AIMessage:
    usage = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
    return AIMessage(text, id="run-1", usage_metadata=usage, response_metadata={"id": "chatcmpl-1", "finish_reason": "stop"}, **known)


def asked_twice(first: Sequence[Any] | str, second: Sequence[Any] | str, answer: AIMessage | None = None) -> tuple[AIMessage, AIMessage]:
    llm = model(a_cache(), answer or said("At nine."), said("Another answer."))
    return llm.invoke(first), llm.invoke(second)


def test_a_similar_question_gets_the_stored_answer_with_no_id_and_no_usage() -> None:
    _, hit = asked_twice("When do you open on Sundays?", "when do you open on sundays, please")
    assert hit.text == "At nine."
    assert hit.id is None or (hit.id.startswith(("lc_", "run-")) and hit.id != "run-1")
    assert hit.usage_metadata is not None
    assert hit.usage_metadata["total_tokens"] == 0
    assert hit.response_metadata["frugal"]["saved_usage"] == {"input_tokens": 20, "output_tokens": 5}
    assert "chatcmpl-1" not in json.dumps(hit.response_metadata)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([SystemMessage("Be brief."), HumanMessage("How old is he?")], [SystemMessage("Be long."), HumanMessage("How old is he?")]),
        (
            [HumanMessage("Who is Ann?"), AIMessage("A cook."), HumanMessage("How old is she?")],
            [HumanMessage("Who is Eve?"), AIMessage("A cook."), HumanMessage("How old is she?")],
        ),
        ("Open on Sunday?", "Open on Monday?"),
    ],
)
def test_what_stands_around_the_question_must_be_equal(first: Any, second: Any) -> None:
    one, other = asked_twice(first, second)
    assert (one.text, other.text) == ("At nine.", "Another answer.")


def test_the_ids_of_earlier_answers_are_no_part_of_the_question() -> None:
    def turns(name: str) -> list[Any]:
        return [HumanMessage("Hello"), AIMessage("Hi", response_metadata={"id": name}), HumanMessage("When do you open?")]

    one, other = asked_twice(turns("a"), turns("b"))
    assert one.text == other.text == "At nine."


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage("cut off", response_metadata={"finish_reason": "length"}),
        AIMessage("cut off", response_metadata={"stop_reason": "max_tokens"}),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        AIMessage("I cannot", additional_kwargs={"refusal": "no"}),
    ],
)
def test_only_complete_answers_are_kept(answer: AIMessage) -> None:
    assert asked_twice("When?", "When?", answer)[1].text == "Another answer."


def test_changing_a_hit_changes_no_later_hit() -> None:
    llm = model(a_cache(), said("At nine."))
    llm.invoke("When?")
    llm.invoke("When?").content = "changed"
    assert llm.invoke("When?").text == "At nine."


def test_namespaces_share_nothing_and_clear_leaves_the_others() -> None:
    store = MemoryAnswers()
    one, other = a_cache(store, namespace="a"), a_cache(store, namespace="b")
    model(one, said("A's.")).invoke("When?")
    assert model(other, said("B's.")).invoke("When?").text == "B's."
    one.clear()
    assert model(one, said("A's again.")).invoke("When?").text == "A's again."
    assert model(other, said("never")).invoke("When?").text == "B's."


def test_a_schema_that_is_only_a_class_name_is_not_cached() -> None:
    cache = a_cache()
    key = "{}---[('response_format', <class '__main__.S'>)]"
    cache.update("When?", key, [])
    from langchain_core.outputs import Generation

    cache.update("When?", key, [Generation(text="{}")])
    assert cache.lookup("When?", key) is None


async def test_async_models_hit_too() -> None:
    llm = model(a_cache(), said("At nine."), said("Another."))
    await llm.ainvoke("When do you open?")
    assert (await llm.ainvoke("When do you open?")).text == "At nine."


def test_a_recipe_without_a_cache_says_so() -> None:
    tiny = {"recipe": "tiny", "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}, "ledger": {"path": "off"}}
    with pytest.raises(FrugalError, match="add a 'cache:' section"):
        FaissSemanticCache.from_recipe(Recipe.load(tiny))
    assert FaissSemanticCache.from_recipe(Recipe.load({**tiny, "cache": {}})).lookup("When?", "m") is None


def test_what_the_docstring_shows_is_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "open_embedder", lambda _: FunctionEmbedder("letters", of_letters, SIZE))
    found = doctest.DocTestFinder(recurse=False).find(FaissSemanticCache, "FaissSemanticCache", globs={})
    result = doctest.DocTestRunner().run(found[0])
    assert result.attempted > 10
    assert result.failed == 0
    assert get_llm_cache() is None
