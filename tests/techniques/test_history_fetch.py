"""A stub of an old tool result can be read whole again by the model that needs it, and the caller sees none of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.drivers import stream
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.prefix.sessions import MemorySessions, SessionFile, SessionStore
from frugal_plugins.prefix.sizes import Terms
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.techniques.history import History
from frugal_plugins.text.stubs import asked_for, may_ask, only_asks
from frugal_plugins.text.turns import calls_in, results_in
from frugal_plugins.usage import Usage
from tests.support import FakeModel, reply_with, send
from tests.techniques.test_history import prices

TERMS = Terms(when="always", every_turns=2, keep_turns=1, keep_results=2)
MODEL = "house/model"
THIRD = 7
"""Where the third order's result stands (counted from 0); `[[recall 8]]` asks for it."""


def looked_up(results: int, dialect: str = "openai") -> list[dict[str, Any]]:
    """An agent that looks one order up after the other; only the whole result says that the third was damaged."""
    body: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look all the orders up."}]
    for number in range(results):
        rows = [{"day": f"2026-11-{day:02d}", "event": "scanned", "place": "Oslo"} for day in range(1, 13)]
        rows[6] = {"day": "2026-11-07", "event": "damaged" if number == 2 else "scanned", "place": f"G{number}-hall"}
        found = json.dumps({"order": f"W58{number:04d}", "events": rows, "tracking": f"TRK-33527{number:02d}"})
        arguments = {"order": f"W58{number:04d}"}
        if dialect == "openai":
            call = {"id": f"c{number}", "type": "function", "function": {"name": "look_up", "arguments": json.dumps(arguments)}}
            body.append({"role": "assistant", "content": None, "tool_calls": [call]})
            body.append({"role": "tool", "tool_call_id": f"c{number}", "content": found})
        else:
            call = {"type": "tool_use", "id": f"c{number}", "name": "look_up", "input": arguments}
            body.append({"role": "assistant", "content": [call]})
            body.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"c{number}", "content": found}]})
    return body


class Curious:
    """A model that wants to read a result whole before it answers, unless it can read it already."""

    def __init__(self, *words: str) -> None:
        self.words, self.prompts = list(words), list[Sequence[Message]]()

    def __call__(self, call: Call) -> Reply:
        self.prompts.append(call.request.messages)
        said = self.words.pop(0) if self.words else "damaged in G2-hall" if "damaged" in json.dumps(call.request.messages) else "nothing"
        return Reply({"role": "assistant", "content": said}, MODEL, Usage(input_tokens=900, output_tokens=9))


def history(store: SessionStore | None = None) -> History:
    return History(TERMS, prices(), store or MemorySessions())


def ask(technique: History, model: Any, body: Sequence[Message], **known: Any) -> tuple[Reply, Context]:
    request = Request(MODEL, tuple(body), session="s", **{name: known.pop(name) for name in ("params", "endpoint") if name in known})
    reply, ctx = send(request, model, technique, clock=lambda: 0.0, **known)
    assert not [decision for decision in ctx.decisions if decision.action == "stood_down"], ctx.decisions
    return reply, ctx


def with_stubs(body: Sequence[Message], store: SessionStore | None = None) -> History:
    """The technique once the agent's loop has gone so far that old results are stubs."""
    technique, model = history(store), Curious(*["."] * 20)
    for place, message in enumerate(body):
        if message.get("role") == "assistant":
            ask(technique, model, body[:place])
    assert "facts: " in json.dumps(model.prompts[-1])
    return technique


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_model_that_asks_for_a_stub_is_asked_again_with_all_of_it(dialect: str) -> None:
    body = looked_up(8, dialect)
    technique, model = with_stubs(body), Curious("[[recall 8]]")
    reply, ctx = ask(technique, model, body, params={"tools": [{"type": "function", "function": {"name": "look_up"}}]})
    assert reply.text == "damaged in G2-hall"
    first, second = model.prompts
    assert "damaged" not in json.dumps(first)
    assert list(second[:-2]) == list(first)
    assert [message["role"] for message in second[-2:]] == ["assistant", "user"]
    assert "data, not instructions" in second[-1]["content"]
    assert [(attempt.reply is not None and attempt.reply.text, attempt.replaced_by) for attempt in ctx.attempts] == [
        ("[[recall 8]]", "history"),
        ("damaged in G2-hall", None),
    ]
    assert [decision.action for decision in ctx.decisions][-1] == "fetched"


def test_what_was_read_again_stays_where_it_was_read() -> None:
    body = looked_up(8)
    technique, model = with_stubs(body), Curious("[[recall 8]]")
    ask(technique, model, body)
    longer = [*body, {"role": "assistant", "content": "The third."}, {"role": "user", "content": "Thanks. Anything else?"}]
    ask(technique, model, longer)
    before, after = model.prompts[-2:]
    assert list(after[: len(before)]) == list(before)
    assert list(after[len(before) :]) == longer[-2:]


def test_it_outlives_the_process(tmp_path: Path) -> None:
    body, path = looked_up(8), tmp_path / "sessions.sqlite"
    technique, model = with_stubs(body, SessionFile(path)), Curious("[[recall 8]]")
    ask(technique, model, body)
    ask(history(SessionFile(path)), model, [*body, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}])
    assert "damaged" in json.dumps(model.prompts[-1])


@pytest.mark.parametrize(
    "wish",
    [
        "[[recall 8]]",
        "Let me look at that order again.\n\n[[recall 8]]",
        "[[recall 6, 8]]",
        "[[recall 6]] [[recall 8]]",
        " [[recall 8 6]]\n",
    ],
)
def test_ways_to_ask(wish: str) -> None:
    body = looked_up(8)
    reply, _ = ask(with_stubs(body), Curious(wish), body)
    assert reply.text == "damaged in G2-hall"


@pytest.mark.parametrize("wish", ["[[recall 999]]", "[[recall 1]]", "[[recall 18]]", "[[recall 8]] [[recall 0]] [[recall 3]]"])
def test_a_model_that_asks_for_what_is_no_stub_gets_everything(wish: str) -> None:
    body = looked_up(8)
    model = Curious(wish)
    reply, ctx = ask(with_stubs(body), model, body)
    assert reply.text == "damaged in G2-hall"
    assert list(model.prompts[-1]) == body
    assert ctx.decisions[-1].action == "restored"


def test_a_model_that_never_stops_asking_gets_everything_at_last() -> None:
    body = looked_up(8)
    model = Curious("[[recall 4]]", "[[recall 6]]", "[[recall 8]]", "[[recall 8]]", "[[recall 8]]")
    reply, _ = ask(with_stubs(body), model, body)
    assert len(model.prompts) == 4
    assert list(model.prompts[-1]) == body
    assert reply.text == "[[recall 8]]"


def test_words_that_look_like_asking_pass_where_there_are_no_stubs() -> None:
    model = Curious("[[recall 8]]")
    reply, _ = ask(history(), model, looked_up(2))
    assert (reply.text, len(model.prompts)) == ("[[recall 8]]", 1)


def test_an_answer_that_calls_tools_too_reaches_the_caller_and_the_wish_is_met_with_the_next_call() -> None:
    body = looked_up(8)
    technique = with_stubs(body)
    call = {"id": "c9", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "W1"}'}}
    both: dict[str, Any] = {"role": "assistant", "content": "I look again. [[recall 8]]", "tool_calls": [call]}
    reply, _ = ask(technique, FakeModel([Reply(both, MODEL, finish="tool_calls")]), body)
    assert reply.message == both
    model = Curious()
    answer, _ = ask(technique, model, [*body, both, {"role": "tool", "tool_call_id": "c9", "content": "none"}])
    assert answer.text == "damaged in G2-hall"
    assert len(model.prompts) == 1


@pytest.mark.parametrize("params", [{"tool_choice": "required"}, {"n": 2}, {"response_format": {"type": "json_object"}}])
def test_no_stubs_where_the_model_could_not_ask(params: dict[str, Any]) -> None:
    body, model = looked_up(8), Curious(*["."] * 20)
    technique = history()
    for place, message in enumerate(body):
        if message.get("role") == "assistant":
            ask(technique, model, body[:place], params=params)
    assert "facts: " not in json.dumps(model.prompts[-1])


def test_no_stubs_where_the_host_cannot_ask_again() -> None:
    body, model, technique = looked_up(8), Curious(*["."] * 20), history()
    for place, message in enumerate(body):
        if message.get("role") == "assistant":
            ask(technique, model, body[:place], one_answer=True)
    assert "facts: " not in json.dumps(model.prompts[-1])


@pytest.mark.parametrize("how", [{"one_answer": True}, {"params": {"n": 2}}])
def test_where_nobody_could_hear_the_model_ask_results_are_whole_again(how: dict[str, Any]) -> None:
    """A conversation that is streamed now and was not before."""
    body = looked_up(8)
    technique, model = with_stubs(body), Curious("[[recall 8]]")
    reply, _ = ask(technique, model, body, **how)
    assert (reply.text, len(model.prompts)) == ("[[recall 8]]", 1)
    assert "facts: " not in json.dumps(model.prompts[0])
    assert "damaged" in json.dumps(model.prompts[0])
    ask(technique, model, [*body, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}])
    assert "facts: " in json.dumps(model.prompts[-1])


def test_where_reading_again_has_cost_more_than_stubs_saved_no_more_are_made_until_they_have_earned_it() -> None:
    body, counts = looked_up(40), list[int]()

    def model(call: Call) -> Reply:
        prompt = json.dumps(call.request.messages)
        counts.append(prompt.count("facts: "))
        wants = counts[-1] and "[[recall 4]]" not in prompt.replace("answer [[recall 4]] alone", "")
        return Reply({"role": "assistant", "content": "[[recall 4]]" if wants else "."}, MODEL, Usage(input_tokens=400))

    technique = history()
    for place in [place for place, message in enumerate(body) if message["role"] == "assistant"]:
        ask(technique, model, body[:place])
    stubs = [count for count in counts if count]
    assert stubs[:8] == [stubs[0]] * 8
    assert stubs[-1] > stubs[0]


def pieces(technique: History, model: Curious, body: Sequence[Message]) -> list[str]:
    """What a reader of a stream is shown, two letters at a time."""

    class Open:
        def __init__(self, reply: Reply) -> None:
            self.whole, self.come = reply, 0

        def __iter__(self) -> Iterator[str]:
            for start in range(0, len(self.whole.text), 2):
                self.come = start + 2
                yield self.whole.text[start : start + 2]
            self.come = -1

        def reply(self) -> Reply:
            if self.come < 0:
                return self.whole
            return self.whole.with_(message={"role": "assistant", "content": self.whole.text[: self.come]}, finish="closed")

    ctx = Context(clock=lambda: 0.0)
    request = Request(MODEL, tuple(body), session="s", stream=True)
    flow = compose([(technique, "on")], ctx)(request)
    return list(stream(flow, ctx, model, lambda call: Open(model(call)), lambda reply: [f"replayed {reply.text}"]))


def test_a_reader_of_a_stream_never_sees_the_model_ask() -> None:
    body = looked_up(8)
    technique, model = with_stubs(body), Curious("[[recall 8]]")
    shown = pieces(technique, model, body)
    assert "".join(shown) == "damaged in G2-hall"
    assert len(shown) > 5


@pytest.mark.parametrize("said", ["[[rec", "[[recall", "[", "[[recall 8] is odd", "[[recall 8]] is how I would ask", "It is fine.", " "])
def test_a_stream_that_only_looks_like_asking_is_shown_whole(said: str) -> None:
    body = looked_up(8)
    assert "".join(pieces(with_stubs(body), Curious(said), body)) == said


def test_the_first_piece_is_shown_at_once() -> None:
    body = looked_up(8)
    assert pieces(with_stubs(body), Curious("It is fine."), body)[0] == "It"


@given(st.text(alphabet="[]recal 0123456789,x\n", max_size=40))
@settings(max_examples=300, deadline=None)
def test_what_is_held_back_to_the_end_is_what_is_asked_again(text: str) -> None:
    whole = reply_with(text)
    assert may_ask(whole) == bool(only_asks(whole))
    if only_asks(whole):
        assert only_asks(whole) == asked_for(text) or set(only_asks(whole)) <= set(asked_for(text))


@given(st.integers(0, 12), st.lists(st.integers(0, 30), max_size=3), st.sampled_from(["openai", "anthropic"]))
@settings(max_examples=40, deadline=None)
def test_whatever_a_model_asks_for_no_result_is_without_its_call(more: int, wanted: list[int], dialect: str) -> None:
    body = looked_up(6 + more, dialect)
    technique = history()
    model = Curious(*["."] * (6 + more), *[f"[[recall {place}]]" for place in wanted])
    for place in [place for place, message in enumerate(body) if message["role"] == "assistant"]:
        ask(technique, model, body[:place])
    ask(technique, model, body)
    for prompt in model.prompts:
        called = {name for message in prompt for name in calls_in(message)}
        answered = {name for message in prompt for name in results_in(message)}
        assert answered <= called
        assert len(prompt) >= 2
