"""Budgets limit answers without taking anything away the caller needs."""

from __future__ import annotations

import pytest

from frugal_plugins.request import Request
from frugal_plugins.techniques.cap import Cap
from tests.support import FakeModel, ask_for, reply_with, send

BUDGETS = {"yes_no": 5, "extraction": 50, "support_reply": 200}


def sent(model: FakeModel) -> list[int | None]:
    return [call.request.params.get("max_tokens") for call in model.calls]


def test_a_known_task_gets_its_budget() -> None:
    model = FakeModel()
    send(ask_for(), model, Cap(BUDGETS), declared_task="yes_no")
    assert sent(model) == [5]


def test_an_unknown_task_is_left_alone() -> None:
    model, request = FakeModel(), ask_for("Tell me a story")
    send(request, model, Cap(BUDGETS))
    assert model.calls[0].request is request


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_callers_lower_limit_wins_and_travels_under_its_own_name(field: str) -> None:
    model, request = FakeModel(), ask_for(**{field: 3})
    send(request, model, Cap(BUDGETS), declared_task="yes_no")
    assert model.calls[0].request is request


def test_a_callers_higher_limit_is_lowered_in_its_own_field() -> None:
    model = FakeModel()
    send(ask_for(max_completion_tokens=900), model, Cap(BUDGETS), declared_task="extraction")
    assert dict(model.calls[0].request.params) == {"max_completion_tokens": 50}


def test_the_responses_api_has_its_own_field() -> None:
    model = FakeModel()
    send(Request("gpt-4o", ({"role": "user", "content": "x"},), endpoint="responses"), model, Cap(BUDGETS), declared_task="extraction")
    assert dict(model.calls[0].request.params) == {"max_output_tokens": 50}


def test_a_cut_answer_is_asked_once_more_with_a_larger_limit_and_booked() -> None:
    model = FakeModel([reply_with("Your order was", finish="length"), reply_with("Your order was sent on Monday.")])
    reply, ctx = send(ask_for(), model, Cap(BUDGETS), declared_task="support_reply")
    assert reply.text.endswith("Monday.")
    assert sent(model) == [200, 800]
    assert ctx.attempts[0].replaced_by == "cap"
    assert [d.action for d in ctx.decisions] == ["set", "retry"]


def test_an_answer_that_is_still_cut_is_returned_and_not_asked_a_third_time() -> None:
    model = FakeModel([reply_with("a", finish="length")])
    reply, _ = send(ask_for(), model, Cap(BUDGETS), declared_task="support_reply")
    assert reply.finish == "length"
    assert len(model.calls) == 2


def test_the_second_limit_never_exceeds_what_the_caller_allowed() -> None:
    model = FakeModel([reply_with("a", finish="length")])
    send(ask_for(max_tokens=300), model, Cap(BUDGETS), declared_task="support_reply")
    assert sent(model) == [200, 300]


@pytest.mark.parametrize("text", ["Yes, we are", "no.", '"True" because', "**No**, sorry"])
def test_a_verdict_is_complete_although_the_chatter_after_it_was_cut(text: str) -> None:
    model = FakeModel([reply_with(text, finish="length")])
    reply, _ = send(ask_for(), model, Cap(BUDGETS), declared_task="yes_no")
    assert len(model.calls) == 1
    assert reply.finish == "stop"


def test_a_yes_no_answer_that_starts_with_something_else_is_asked_again() -> None:
    model = FakeModel([reply_with("Well, that depends on", finish="length"), reply_with("Well, that depends on the day: yes.")])
    reply, _ = send(ask_for(), model, Cap(BUDGETS), declared_task="yes_no")
    assert reply.text.endswith("yes.")
    assert sent(model) == [5, 256]


def test_cut_json_is_never_handed_on_as_if_it_were_whole() -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    model = FakeModel([reply_with('{"name": "Ann', finish="length"), reply_with('{"name": "Anna"}')])
    reply, _ = send(ask_for(response_format=wanted), model, Cap(BUDGETS), declared_task="extraction")
    assert reply.json() == {"name": "Anna"}


def test_json_that_is_whole_is_not_asked_again_even_at_the_limit() -> None:
    model = FakeModel([reply_with('{"name": "Ann"}', finish="length")])
    send(ask_for(response_format={"type": "json_object"}), model, Cap(BUDGETS), declared_task="extraction")
    assert len(model.calls) == 1


def test_a_tool_call_cut_in_the_middle_is_asked_again() -> None:
    half = reply_with(None, finish="length", tool_calls=[{"id": "1", "function": {"name": "refund", "arguments": '{"order'}}])
    model = FakeModel([half, reply_with("done")])
    send(ask_for(), model, Cap(BUDGETS), declared_task="support_reply")
    assert len(model.calls) == 2


@pytest.mark.parametrize("model_name", ["o3-mini", "openai/o1-mini", "gpt-5-mini"])
def test_a_thinking_model_gets_room_to_think(model_name: str) -> None:
    model = FakeModel()
    send(ask_for(model=model_name), model, Cap(BUDGETS, reasoning_tokens=2000), declared_task="yes_no")
    assert sent(model) == [2005]


def test_an_empty_answer_at_the_limit_is_asked_again() -> None:
    model = FakeModel([reply_with("", finish="length", model="o3-mini"), reply_with("Yes.")])
    reply, _ = send(ask_for(model="o3-mini"), model, Cap(BUDGETS), declared_task="yes_no")
    assert reply.text == "Yes."


def test_a_stream_and_several_choices_get_a_limit_against_runaways_and_are_asked_once() -> None:
    for request in (ask_for().with_(stream=True), ask_for(n=2)):
        model = FakeModel([reply_with("cut", finish="length")])
        send(request, model, Cap(BUDGETS), declared_task="support_reply")
        assert sent(model) == [3200]


def test_a_kind_whose_retries_cost_more_than_its_limit_saved_gets_the_larger_limit_at_once() -> None:
    cap = Cap(BUDGETS)
    send(ask_for(), FakeModel([reply_with("a", finish="length"), reply_with("whole")]), cap, declared_task="support_reply")
    model = FakeModel()
    _, ctx = send(ask_for(), model, cap, declared_task="support_reply")
    assert sent(model) == [800]
    assert "asking again costs more" in ctx.decisions[0].why
    other = FakeModel()
    send(ask_for(), other, cap, declared_task="extraction")
    assert sent(other) == [50]


def test_a_long_prompt_is_not_worth_asking_twice_so_it_gets_the_larger_limit() -> None:
    for system, limit in (("short", 200), ("word " * 2000, 800)):
        model = FakeModel()
        send(ask_for(system=system), model, Cap(BUDGETS), declared_task="support_reply")
        assert sent(model) == [limit]
    verdict = FakeModel()
    send(ask_for(system="word " * 2000), verdict, Cap(BUDGETS), declared_task="yes_no")
    assert sent(verdict) == [5]


def test_cuts_that_saved_something_pay_for_a_retry_now_and_then() -> None:
    cap = Cap(BUDGETS)
    for _ in range(20):
        send(ask_for(), FakeModel([reply_with("Yes, and", finish="length")]), cap, declared_task="yes_no")
    send(ask_for(), FakeModel([reply_with("Hm", finish="length"), reply_with("Yes.")]), cap, declared_task="yes_no")
    model = FakeModel()
    send(ask_for(), model, cap, declared_task="yes_no")
    assert sent(model) == [5]


def test_a_factor_of_one_never_asks_again() -> None:
    model = FakeModel([reply_with("a", finish="length")])
    send(ask_for(), model, Cap(BUDGETS, retry_factor=1), declared_task="support_reply")
    assert sent(model) == [200]


def test_the_limit_never_exceeds_what_the_model_can_write() -> None:
    model = FakeModel()
    send(ask_for(model="gpt-4o"), model, Cap({"document": 1_000_000}), declared_task="document")
    assert sent(model) == [16384]
