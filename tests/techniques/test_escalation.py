"""A cheaper model's answer is looked at before it is given out, and the model it stood in for is asked where it is no good."""

from __future__ import annotations

from typing import Any

import pytest

from frugal_plugins.drivers import stream
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.learned.breaker import FEWEST_SEEN, Breaker
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.route import Route, Tier
from tests.support import FakeModel, FakeStream, ask_for, reply_with, send

TIERS = (Tier("simple", ("openai/gpt-4o-mini",)), Tier("standard", ("openai/gpt-4o",)), Tier("complex", ("openai/o3-mini",)))
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["total"]}}}


def route(**changes: Any) -> Route:
    return Route(TIERS, {"yes_no": "simple", "extraction": "simple"}, "standard", frozenset({"support"}), **changes)


def asked(
    request: Request, answers: list[Reply | Exception], by: Route | None = None, task: str = "yes_no"
) -> tuple[Reply, list[str], Context]:
    model = FakeModel(answers)
    reply, ctx = send(request, model, by or route(), declared_task=task)
    return reply, [call.request.model for call in model.calls], ctx


@pytest.mark.parametrize(
    ("answer", "finding"),
    [("", "empty"), ("I'm sorry, I can't help with that.", "refusal"), ('{"sum": 1}', "lacks total"), ("{", "not JSON")],
)
def test_an_answer_that_cannot_be_used_is_asked_of_the_model_it_stood_in_for(answer: str, finding: str) -> None:
    reply, models, ctx = asked(ask_for(response_format=SCHEMA), [reply_with(answer), reply_with('{"total": 119}')])
    assert models == ["openai/gpt-4o-mini", "gpt-4o"]
    assert reply.text == '{"total": 119}'
    assert finding in next(decision.why for decision in ctx.decisions if decision.action == "escalate")
    assert ctx.attempts[0].replaced_by == "route"


def test_a_good_answer_is_asked_for_once() -> None:
    assert asked(ask_for(), [reply_with("Yes.")])[1] == ["openai/gpt-4o-mini"]


def test_an_answer_cut_by_its_limit_is_not_asked_of_a_dearer_model_which_would_cut_it_too() -> None:
    assert asked(ask_for(), [reply_with("Yes, beca", finish="length")])[1] == ["openai/gpt-4o-mini"]


def test_when_the_dearer_model_fails_the_answer_in_hand_is_returned() -> None:
    reply, _, ctx = asked(ask_for(response_format=SCHEMA), [reply_with("no json"), RuntimeError("down")])
    assert reply.text == "no json"
    assert any(decision.action == "stood_down" for decision in ctx.decisions)


def test_a_request_that_was_not_moved_is_not_looked_at() -> None:
    assert asked(ask_for(model="gpt-4o-mini"), [reply_with("")])[1] == ["gpt-4o-mini"]


def test_it_can_be_switched_off_and_stops_by_itself_where_it_costs_more_than_it_saves() -> None:
    assert asked(ask_for(), [reply_with("")], route(escalate=False))[1] == ["openai/gpt-4o-mini"]
    spent = Breaker()
    for _ in range(FEWEST_SEEN):
        spent.note(dear=False, paid_usd=2.0, baseline_usd=1.0, now_seconds=0.0)
    assert asked(ask_for(), [reply_with("")], route(breaker=spent))[1] == ["openai/gpt-4o-mini"]


def test_the_pattern_of_a_task_says_what_a_good_answer_contains() -> None:
    by = route(patterns={"extraction": r"\d{4}"})
    assert asked(ask_for(), [reply_with("none"), reply_with("2026")], by, "extraction")[1] == ["openai/gpt-4o-mini", "gpt-4o"]
    assert asked(ask_for("And this?"), [reply_with("1999")], by, "extraction")[1] == ["openai/gpt-4o-mini"]


def test_an_unsure_answer_is_escalated_where_the_provider_says_how_sure_it_is() -> None:
    raw = {"choices": [{"logprobs": {"content": [{"logprob": -2.0}, {"logprob": -1.0}]}}]}
    unsure = reply_with("Yes.").with_(raw=raw)
    assert asked(ask_for(), [unsure, reply_with("No.")], route(least_logprob=-0.5))[1] == ["openai/gpt-4o-mini", "gpt-4o"]
    assert asked(ask_for(), [unsure], route(least_logprob=-3.0))[1] == ["openai/gpt-4o-mini"]


@pytest.mark.parametrize(("word", "further"), [("BAD", 1), ("GOOD", 0), ("perhaps", 0)])
def test_a_judge_looks_where_the_recipe_asks_for_one(word: str, further: int) -> None:
    model = FakeModel([reply_with("Yes."), reply_with(word), reply_with("No.")])
    _, ctx = send(ask_for(), model, route(judge="openai/gpt-4o"), declared_task="yes_no")
    assert [call.purpose for call in model.calls] == ["answer", "judge", *["answer"] * further]
    assert "Yes." in str(model.calls[1].request.messages)
    assert [attempt.call.technique for attempt in ctx.attempts][1] == "route"


def test_a_judge_that_cannot_be_asked_costs_the_caller_nothing() -> None:
    reply, _, ctx = asked(ask_for(), [reply_with("Yes."), RuntimeError("judge down")], route(judge="openai/gpt-4o"))
    assert reply.text == "Yes."
    assert len(ctx.attempts) == 2


def test_a_stream_is_read_as_it_comes_unless_the_recipe_holds_it_back() -> None:
    def streamed(by: Route) -> list[str]:
        models: list[str] = []

        def send_whole(call: Call) -> Reply:
            models.append(call.request.model)
            return reply_with("" if call.request.model == "openai/gpt-4o-mini" else "No.")

        ctx = Context(declared_task="yes_no")
        flow = compose([(by, "on")], ctx)(ask_for().with_(stream=True))
        assert list(stream(flow, ctx, send_whole, lambda call: FakeStream(send_whole(call)), lambda reply: [reply.text]))
        return models

    assert streamed(route()) == ["openai/gpt-4o-mini"]
    assert streamed(route(streaming="buffer")) == ["openai/gpt-4o-mini", "gpt-4o"]


def test_no_request_goes_below_the_floor_unless_its_caller_named_a_model_there() -> None:
    by = route(floor="standard")
    assert asked(ask_for(model="gpt-4o"), [reply_with("Yes.")], by)[1] == ["gpt-4o"]
    assert asked(ask_for(model="support"), [reply_with("Yes.")], by)[1] == ["openai/gpt-4o"]
    assert asked(ask_for(model="gpt-4o-mini"), [reply_with("Yes.")], by)[1] == ["gpt-4o-mini"]
