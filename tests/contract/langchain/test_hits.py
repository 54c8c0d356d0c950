"""A stored answer: nothing is asked, nothing is counted, nothing is shared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Sandbox, VirtualClock

ASKED = "What is a lien?"


class Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, *asked: Any, **how: Any) -> None:
        self.seen.append("start")

    def on_llm_end(self, *ended: Any, **how: Any) -> None:
        self.seen.append("end")


async def test_a_hit_is_answered_without_asking_and_counts_nothing(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(cache={})
    first = router.invoke(ASKED)
    assert first.response_metadata["frugal"]["cache"] == "miss"
    with get_usage_metadata_callback() as counted:
        hits = [router.invoke(ASKED), await router.ainvoke(ASKED), *router.batch([ASKED]), *await router.abatch([ASKED])]
    assert len(sandbox.requests()) == 1
    assert [hit.text for hit in hits] == [first.text] * 4
    for hit in hits:
        assert hit.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        assert hit.response_metadata["frugal"]["cache"] == "hit"
        assert hit.response_metadata["frugal"]["saved_usage"]["total_tokens"] == first.usage_metadata["total_tokens"]  # type: ignore[index]
        assert hit.response_metadata["model_name"] == first.response_metadata["model_name"]
    assert sum(usage["total_tokens"] for usage in counted.usage_metadata.values()) == 0


def test_a_hit_never_carries_the_id_of_the_answer_it_came_from(router_of: Callable[..., FrugalRouter]) -> None:
    router = router_of(cache={})
    ids = [router.invoke(ASKED).id for _ in range(3)]
    assert len(set(ids)) == 3


async def test_a_hit_streams(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(cache={})
    first = router.invoke(ASKED)
    replayed = [list(router.stream(ASKED)), [chunk async for chunk in router.astream(ASKED)]]
    assert len(sandbox.requests()) == 1
    for chunks in replayed:
        assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
        assert "".join(chunk.text for chunk in chunks) == first.text
        assert chunks[-1].chunk_position == "last"
        assert (chunks[0] + chunks[1:]).usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def test_a_streamed_answer_is_stored_too(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(cache={}, model="openai/gpt-4o")
    text = "".join(chunk.text for chunk in router.stream(ASKED))
    hit = router.invoke(ASKED)
    assert (hit.text, len(sandbox.requests())) == (text, 1)
    assert hit.response_metadata["frugal"]["saved_usage"]["output_tokens"] == sandbox.invoice().usage.output_tokens


def test_callbacks_see_a_hit_once(router_of: Callable[..., FrugalRouter]) -> None:
    router, starts = router_of(cache={}), Starts()
    router.invoke(ASKED)
    router.invoke(ASKED, {"callbacks": [starts]})
    list(router.stream(ASKED, {"callbacks": [starts]}))
    router.generate([[HumanMessage(ASKED)]], callbacks=[starts])
    assert starts.seen == ["start", "end"] * 3


def test_changing_a_hit_does_not_change_the_next_one(router_of: Callable[..., FrugalRouter]) -> None:
    router = router_of(cache={})
    text = router.invoke(ASKED).text
    spoiled = router.invoke(ASKED)
    spoiled.content = "spoiled"
    spoiled.response_metadata["frugal"]["why"] = "spoiled"
    assert router.invoke(ASKED).text == text
    assert "spoiled" not in router.invoke(ASKED).response_metadata["frugal"]["why"]


@pytest.mark.parametrize(
    "other",
    [
        {"config": {"metadata": {"frugal": {"tenant": "b"}}}},
        {"temperature": 0.9},
        {"stop": ["."]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]},
        {"config": {"metadata": {"frugal": {"cache": {"no-cache": True}}}}},
    ],
    ids=["tenant", "temperature", "stop", "tools", "no-cache"],
)
def test_another_question_is_asked_again(router_of: Callable[..., FrugalRouter], sandbox: Sandbox, other: dict[str, Any]) -> None:
    router = router_of(cache={}, model="openai/gpt-4o")
    router.invoke(ASKED, {"metadata": {"frugal": {"tenant": "a"}}})
    router.invoke(ASKED, **{"config": {"metadata": {"frugal": {"tenant": "a"}}}, **other})
    assert len(sandbox.requests()) == 2


def test_an_answer_expires(router_of: Callable[..., FrugalRouter], sandbox: Sandbox, clock: VirtualClock) -> None:
    router = router_of(cache={"ttl_seconds": 60})
    router.invoke(ASKED)
    clock.advance(61)
    router.invoke(ASKED)
    assert len(sandbox.requests()) == 2


def test_models_set_up_otherwise_do_not_share_answers(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    recipe = recipe_of(cache={})
    FrugalRouter.from_recipe(recipe, models=models).invoke(ASKED)
    hotter = {**models, "openai/gpt-4o": ChatOpenAI(model="gpt-4o", temperature=1.5, base_url=sandbox.openai_base_url, api_key="k")}
    FrugalRouter.from_recipe(recipe, models=hotter).invoke(ASKED)
    FrugalRouter.from_recipe(recipe, models=dict(models)).invoke(ASKED)
    assert len(sandbox.requests()) == 2


def test_answers_that_call_tools_or_were_cut_are_not_kept(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(cache={}, model="openai/gpt-4o")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    for _ in range(2):
        router.invoke(ASKED, max_tokens=2)
        router.bind_tools(tools, tool_choice="any").invoke(ASKED)
    assert len(sandbox.requests()) == 4
