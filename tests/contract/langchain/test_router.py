"""What a user of the router notices: where requests go, what reaches the provider, what comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tracers.schemas import Run
from langchain_openai import ChatOpenAI

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Fault, Sandbox
from tests.contract.langchain.conftest import bodies

YES_NO = {"metadata": {"frugal": {"task": "yes_no"}}}
HARD = "Compare the two proposals and say which risks the board should weigh."


def whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + chunks[1:]


def test_naming_the_room_loads_nothing_of_langchain() -> None:
    code = "import sys, frugal_plugins.langchain; print([name for name in sys.modules if name.startswith('langchain')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_declared_task_goes_to_its_tier_with_its_budget(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    answer = router_of(route={}, cap={}).invoke("Is it raining?", YES_NO)
    assert answer.text
    assert answer.response_metadata["frugal"]["model"] == "openai/gpt-4o-mini"
    assert "yes_no" in answer.response_metadata["frugal"]["why"]
    (body,) = bodies(sandbox)
    assert (body["model"], body["max_completion_tokens"]) == ("gpt-4o-mini", 5)


def test_unknown_work_goes_to_the_baseline(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    answer = router_of(route={}).invoke(HARD)
    assert answer.response_metadata["model_name"].startswith("claude-sonnet-4-5")
    assert bodies(sandbox)[0]["model"] == "claude-sonnet-4-5"


def test_a_named_model_is_never_replaced_by_a_dearer_one(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(model="openai/gpt-4o-mini", route={})
    router.invoke("Please help me.", {"metadata": {"frugal": {"task": "support_reply"}}})
    router.invoke("Is it raining?", YES_NO, model="gpt-4o")
    assert [body["model"] for body in bodies(sandbox)] == ["gpt-4o-mini", "gpt-4o-mini"]


async def test_every_way_of_asking_gives_the_same_answer(router_of: Callable[..., FrugalRouter]) -> None:
    router = router_of(route={})
    one = router.invoke("Is it raining?", YES_NO)
    streamed = list(router.stream("Is it raining?", YES_NO))
    astreamed = [chunk async for chunk in router.astream("Is it raining?", YES_NO)]
    others = [
        await router.ainvoke("Is it raining?", YES_NO),
        *router.batch(["Is it raining?"], YES_NO),
        *await router.abatch(["Is it raining?"], YES_NO),
        whole(streamed),
        whole(astreamed),
    ]
    assert {other.text for other in others} == {one.text}
    assert all(other.usage_metadata == one.usage_metadata for other in others)
    assert all(other.response_metadata["frugal"]["model"] == "openai/gpt-4o-mini" for other in others)
    assert len({other.response_metadata["frugal"]["id"] for other in others}) == 5
    assert streamed[-1].chunk_position == "last"
    assert len(streamed) > 2


def test_a_batch_keeps_its_order_and_returns_the_exceptions_it_was_asked_to(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox
) -> None:
    router = router_of()
    sandbox.faults.add(Fault("rate_limit"))
    answers = router.batch([HARD, "What is a lien?"], {"max_concurrency": 1}, return_exceptions=True)
    assert [isinstance(answer, Exception) for answer in answers] == [True, False]
    single = [router.invoke(text).text for text in (HARD, "What is a lien?")]
    assert [answer.text for answer in router.batch([HARD, "What is a lien?"])] == single


def test_a_recipe_without_techniques_changes_no_byte(
    router_of: Callable[..., FrugalRouter], models: dict[str, Any], sandbox: Sandbox
) -> None:
    bare = models["anthropic/claude-sonnet-4-5"]
    named = router_of(model="openai/gpt-4o")
    messages = [SystemMessage([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]), HumanMessage(HARD)]
    for model, router in ((bare, router_of()), (models["openai/gpt-4o"], named)):
        model.invoke(messages, temperature=0.3, stop=["END"])
        router.invoke(messages, temperature=0.3, stop=["END"])
    first, second, third, fourth = [request.raw for request in sandbox.requests()]
    assert first == second
    assert third == fourth


def test_in_shadow_nothing_changes_but_the_ledger_knows(recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox) -> None:
    recipe = recipe_of(mode="shadow", route={}, cap={}, cache={})
    router = FrugalRouter.from_recipe(recipe, models=models, model="openai/gpt-4o")
    models["openai/gpt-4o"].invoke("Is it raining?")
    for _ in range(2):
        router.invoke("Is it raining?", YES_NO)
    assert len({request.raw for request in sandbox.requests()}) == 1
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert {row[0] for row in ledger.execute("SELECT DISTINCT technique FROM decisions WHERE mode = 'shadow'")} == {
            "cache",
            "cap",
            "route",
        }


def test_a_control_group_travels_untouched(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(control_percent=50, route={}, cap={}, cache={})
    answers = [router.invoke("Is it raining?", {**YES_NO, "configurable": {"thread_id": str(n)}}) for n in range(20)]
    untouched = [answer for answer in answers if answer.response_metadata["model_name"].startswith("claude-sonnet-4-5")]
    assert 0 < len(untouched) < 20
    assert {answer.response_metadata["frugal"]["cache"] for answer in untouched} == {"bypass"}
    assert sum(body["model"] == "claude-sonnet-4-5" for body in bodies(sandbox)) == len(untouched)


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"])
def test_a_stream_that_breaks_raises_what_the_model_raises(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox, model: str
) -> None:
    recipe = recipe_of(route={}, cap={}, cache={})
    router = FrugalRouter.from_recipe(recipe, models=models, model=model)
    raised: list[type[BaseException] | None] = []
    for stream in (models[model].stream, router.stream):
        sandbox.faults.add(Fault("disconnect"))
        with pytest.raises(Exception) as info:  # noqa: PT011
            list(stream(HARD))
        raised.append(info.type)
    assert raised[0] is raised[1]
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert [row[0] for row in ledger.execute("SELECT outcome FROM requests")] == ["error"]


def test_cache_marks_for_anthropic_do_not_reach_openai(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    marked = SystemMessage([{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    for task in ("yes_no", "support_reply"):
        router_of(route={}).invoke([marked, HumanMessage("Is it late?")], {"metadata": {"frugal": {"task": task}}})
    to_openai, to_anthropic = bodies(sandbox)
    assert to_openai["messages"][0]["content"] == [{"type": "text", "text": "Be brief."}]
    assert "cache_control" in to_anthropic["system"][0]
    assert "cache_control" in marked.content[0]


async def test_streaming_may_be_disabled(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of().model_copy(update={"disable_streaming": True})
    assert len(list(router.stream(HARD))) == len([chunk async for chunk in router.astream(HARD)]) == 1
    assert not any(body.get("stream") for body in bodies(sandbox))


def test_tokens_are_counted_once(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(route={}, cap={})
    with get_usage_metadata_callback() as counted:
        router.invoke(HARD)
        list(router.stream("Is it raining?", YES_NO))
        router.generate([[HumanMessage("Is it late?")]])
    tokens = sum(usage["total_tokens"] for usage in counted.usage_metadata.values())
    assert tokens == sandbox.invoice().usage.input_tokens + sandbox.invoice().usage.output_tokens


def test_traces_show_the_model_that_really_answered(router_of: Callable[..., FrugalRouter]) -> None:
    from langchain_core.tracers.base import BaseTracer

    class Traces(BaseTracer):
        def __init__(self) -> None:
            super().__init__()
            self.roots: list[Run] = []

        def _persist_run(self, run: Run) -> None:
            self.roots.append(run)

    traces = Traces()
    answer = router_of(route={}).invoke("Is it raining?", {**YES_NO, "callbacks": [traces]})
    (run,) = traces.roots
    metadata = run.extra["metadata"]
    assert metadata["ls_model_name"] == "gpt-4o-mini"
    assert (metadata["frugal_recipe"], metadata["frugal_id"]) == ("desk", answer.response_metadata["frugal"]["id"])


def test_a_tiers_own_callbacks_and_cache_stay_alive(recipe_of: Callable[..., Recipe], sandbox: Sandbox) -> None:
    from langchain_core.caches import InMemoryCache

    tier = ChatOpenAI(model="gpt-4o", base_url=sandbox.openai_base_url, api_key="k", cache=InMemoryCache())
    recipe = recipe_of(tiers={"only": {"models": ["openai/gpt-4o"]}}, tasks={})
    router = FrugalRouter.from_recipe(recipe, models={"openai/gpt-4o": tier})
    first, second = router.invoke(HARD), router.invoke(HARD)
    assert len(sandbox.requests()) == 1
    assert first.text == second.text
    assert first.response_metadata["frugal"]["id"] != second.response_metadata["frugal"]["id"]
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        paid = [row[0] for row in ledger.execute("SELECT picousd FROM calls ORDER BY picousd")]
    assert paid[0] == 0
    assert paid[1] > 0


def test_a_conversation_stays_where_it_is(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    router = router_of(route={})
    thread = {"configurable": {"thread_id": "42"}}
    router.invoke("Please help me.", {**thread, "metadata": {"frugal": {"task": "support_reply"}}})
    router.invoke("Is it raining?", {**thread, **YES_NO})
    router.invoke("Is it raining?", {"configurable": {"thread_id": "43"}, **YES_NO})
    assert [body["model"] for body in bodies(sandbox)] == ["claude-sonnet-4-5", "claude-sonnet-4-5", "gpt-4o-mini"]


@pytest.mark.parametrize(
    "config",
    [
        {"configurable": {"frugal_task": "yes_no"}},
        {"configurable": {"frugal": {"task": "yes_no"}}},
        {"configurable": {"frugal_task": "support_reply"}, "metadata": {"frugal": {"task": "yes_no"}}},
    ],
)
def test_the_task_may_be_said_in_the_configurable(router_of: Callable[..., FrugalRouter], sandbox: Sandbox, config: Any) -> None:
    router_of(route={}).invoke(HARD, config)
    assert bodies(sandbox)[0]["model"] == "gpt-4o-mini"


def test_off_in_the_metadata_and_the_kill_switch_leave_requests_alone(
    router_of: Callable[..., FrugalRouter], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = router_of(route={}, cap={}, cache={})
    off = router.invoke("Is it raining?", {"metadata": {"frugal": {"task": "yes_no", "off": True}}})
    assert off.response_metadata["frugal"]["cache"] == "bypass"
    monkeypatch.setenv("FRUGAL_OFF", "1")
    killed = router.invoke("Is it raining?", YES_NO)
    assert "frugal" not in killed.response_metadata
    assert list(router.stream("Is it raining?", YES_NO))
    assert {body["model"] for body in bodies(sandbox)} == {"claude-sonnet-4-5"}
    assert {body["max_tokens"] for body in bodies(sandbox)} == {64000}


async def test_errors_of_the_provider_arrive_as_they_are(
    router_of: Callable[..., FrugalRouter], models: dict[str, Any], sandbox: Sandbox
) -> None:
    router = router_of(model="openai/gpt-4o", route={}, cap={}, cache={})
    for kind in ("rate_limit", "unauthorized", "server_error"):
        sandbox.faults.add(Fault(kind, times=4))
        with pytest.raises(openai.APIStatusError) as bare:
            models["openai/gpt-4o"].invoke(HARD)
        for asked in (lambda: router.invoke(HARD), lambda: list(router.stream(HARD))):
            with pytest.raises(openai.APIStatusError) as routed:
                asked()
            assert type(routed.value) is type(bare.value)
        with pytest.raises(openai.APIStatusError) as awaited:
            await router.ainvoke(HARD)
        assert type(awaited.value) is type(bare.value)


def test_a_models_own_limit_is_the_callers_limit(recipe_of: Callable[..., Recipe], sandbox: Sandbox) -> None:
    tier = ChatOpenAI(model="gpt-4o-mini", base_url=sandbox.openai_base_url, api_key="k", max_tokens=3)
    recipe = recipe_of(
        tiers={"simple": {"models": ["openai/gpt-4o-mini"]}}, tasks={"yes_no": {"tier": "simple", "output_tokens": 50}}, cap={}
    )
    router = FrugalRouter.from_recipe(recipe, models={"openai/gpt-4o-mini": tier})
    router.invoke("Say something long.", YES_NO)
    assert [body["max_completion_tokens"] for body in bodies(sandbox)] == [3]


def test_a_second_try_stays_within_the_models_own_limit(recipe_of: Callable[..., Recipe], sandbox: Sandbox) -> None:
    sandbox.provider.book.add({"user": "Is it open?", "outputs": {"*": "Well, that depends on the day of the week you mean."}})
    tier = ChatOpenAI(model="gpt-4o-mini", base_url=sandbox.openai_base_url, api_key="k", max_tokens=20)
    router = FrugalRouter.from_recipe(recipe_of(route={}, cap={}), models={"openai/gpt-4o-mini": tier})
    router.invoke("Is it open?", YES_NO)
    assert [body["max_completion_tokens"] for body in bodies(sandbox)] == [5, 20]


def test_an_answer_cut_by_our_limit_is_asked_again(router_of: Callable[..., FrugalRouter], sandbox: Sandbox) -> None:
    sandbox.provider.book.add({"user": "Is the shop open?", "outputs": {"*": "Well, that depends on the day of the week you mean."}})
    answer = router_of(route={}, cap={}).invoke("Is the shop open?", YES_NO)
    assert answer.text.endswith("you mean.")
    assert [body["max_completion_tokens"] for body in bodies(sandbox)] == [5, 256]


def test_a_reader_who_leaves_a_stream_is_booked_for_what_was_sent(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    recipe = recipe_of(route={})
    stream = FrugalRouter.from_recipe(recipe, models=models).stream(HARD)
    next(stream)
    next(stream)
    stream.close()
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        (row,) = ledger.execute("SELECT outcome, finish_reason, input_tokens, output_tokens FROM requests").fetchall()
    assert row[:2] == ("closed", "closed")
    assert row[2] > 5
    assert row[3] > 0


async def test_leaving_an_async_stream_is_booked_too(recipe_of: Callable[..., Recipe], models: dict[str, Any]) -> None:
    recipe = recipe_of(route={})
    stream = FrugalRouter.from_recipe(recipe, models=models).astream(HARD)
    await anext(stream)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert [row[0] for row in ledger.execute("SELECT outcome FROM requests")] == ["closed"]
