"""Techniques compose; a failing one costs nothing; the provider's own exception stays itself; nothing is paid twice."""

from __future__ import annotations

import copy
import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.drivers import adrive, drive, stream
from frugal_plugins.flow import Call, Context, Flow, Next, ask, compose
from frugal_plugins.request import Reply, Request, canonical
from tests.support import Doing, FakeModel, FakeStream, ask_for, reply_with, send


class ProviderDown(Exception):
    """What a provider's client raises."""


def passes(request: Request, rest: Next, ctx: Context) -> Flow:
    return (yield from rest(request))


def test_a_request_no_technique_touches_arrives_as_the_same_object() -> None:
    model, request = FakeModel(), ask_for()
    send(request, model, Doing(passes), Doing(passes))
    assert model.calls[0].request is request


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    messages=st.lists(st.dictionaries(st.text(max_size=8), json_values, max_size=4), max_size=5),
    params=st.dictionaries(st.text(max_size=8), json_values, max_size=4),
)
def test_whatever_the_caller_sent_travels_untouched(messages: list[dict[str, object]], params: dict[str, object]) -> None:
    before = copy.deepcopy((messages, params))
    model = FakeModel()
    send(Request("any", tuple(messages), params), model, Doing(passes))
    sent = model.calls[0].request
    assert all(a is b for a, b in zip(sent.messages, messages, strict=True))
    assert sent.params is params
    assert (messages, params) == before


def test_a_technique_that_fails_before_the_call_stands_down_and_the_original_goes_on_once() -> None:
    def broken(request: Request, rest: Next, ctx: Context) -> Flow:
        raise KeyError("my own bug")
        yield

    model, request = FakeModel(), ask_for()
    reply, ctx = send(request, model, Doing(broken, "broken"))
    assert reply.text == "Yes."
    assert [call.request for call in model.calls] == [request]
    assert [(d.technique, d.action) for d in ctx.decisions] == [("broken", "stood_down")]
    assert "KeyError" in ctx.decisions[0].why
    assert "my own bug" not in ctx.decisions[0].why


def test_a_technique_that_fails_after_the_answer_was_paid_returns_that_answer() -> None:
    def broken(request: Request, rest: Next, ctx: Context) -> Flow:
        yield from rest(request)
        raise ZeroDivisionError

    model = FakeModel()
    reply, ctx = send(ask_for(), model, Doing(broken))
    assert reply is model.answers[0]
    assert len(model.calls) == 1
    assert ctx.decisions[0].action == "stood_down"


def test_a_technique_that_returns_no_reply_stands_down() -> None:
    def forgetful(request: Request, rest: Next, ctx: Context) -> Flow:
        yield from rest(request)
        return None  # type: ignore[return-value]

    reply, ctx = send(ask_for(), FakeModel(), Doing(forgetful))
    assert reply.text == "Yes."
    assert ctx.decisions[0].action == "stood_down"


@pytest.mark.parametrize("wrap", [False, True])
def test_the_providers_exception_is_the_same_object_even_when_a_technique_wraps_it(wrap: bool) -> None:
    def wrapping(request: Request, rest: Next, ctx: Context) -> Flow:
        try:
            return (yield from rest(request))
        except ProviderDown as error:
            if wrap:
                raise RuntimeError("hidden") from error
            raise

    down = ProviderDown("503")
    model = FakeModel([down])
    with pytest.raises(ProviderDown) as caught:
        send(ask_for(), model, Doing(passes), Doing(wrapping))
    assert caught.value is down
    assert len(model.calls) == 1


def test_a_technique_may_answer_a_provider_error_with_another_call() -> None:
    def falls_back(request: Request, rest: Next, ctx: Context) -> Flow:
        try:
            return (yield from rest(request))
        except ProviderDown:
            return (yield from rest(request.with_(model="other")))

    model = FakeModel([ProviderDown(), reply_with("from the other")])
    reply, ctx = send(ask_for(), model, Doing(falls_back))
    assert reply.text == "from the other"
    assert [a.error for a in ctx.attempts] == ["ProviderDown", None]


def test_when_a_second_call_fails_the_answer_already_paid_is_returned() -> None:
    def asks_twice(request: Request, rest: Next, ctx: Context) -> Flow:
        yield from rest(request)
        return (yield from rest(request.with_(model="dear")))

    model = FakeModel([reply_with("first"), ProviderDown()])
    reply, ctx = send(ask_for(), model, Doing(asks_twice))
    assert reply.text == "first"
    assert [a.error for a in ctx.attempts] == [None, "ProviderDown"]
    assert "further call failed" in ctx.decisions[0].why


def test_a_failed_helper_call_stands_the_technique_down_and_the_request_still_goes() -> None:
    def summarises(request: Request, rest: Next, ctx: Context) -> Flow:
        yield Call(request, "summarise", technique="history")
        return (yield from rest(request.with_(messages=())))

    model, request = FakeModel([ProviderDown(), reply_with()]), ask_for()
    _, ctx = send(request, model, Doing(summarises, "history"))
    assert model.calls[-1].request is request
    assert ctx.decisions[0].action == "stood_down"


def test_in_shadow_a_technique_says_what_it_would_do_and_the_request_stays_as_it_came() -> None:
    def edits(request: Request, rest: Next, ctx: Context) -> Flow:
        ctx.note("edits", "set", "would be shorter")
        first = yield from rest(request.with_(model="cheap"))
        ctx.replace_last("edits")
        yield from rest(request.with_(model="dear"))
        return first

    model, request = FakeModel(), ask_for()
    _, ctx = send(request, model, (Doing(edits, "edits"), "shadow"), Doing(passes))
    assert [call.request for call in model.calls] == [request]
    assert ctx.decisions[0].mode == "shadow"
    assert ctx.attempts[0].replaced_by is None
    assert ctx.mode == "on"


def test_in_shadow_a_would_be_hit_still_asks_and_helper_calls_are_not_made() -> None:
    def hits(request: Request, rest: Next, ctx: Context) -> Flow:
        ctx.note("hits", "hit", "stored")
        return reply_with("stored")
        yield

    def judges(request: Request, rest: Next, ctx: Context) -> Flow:
        yield Call(request, "judge", technique="judges")
        return (yield from rest(request))

    model = FakeModel()
    reply, ctx = send(ask_for(), model, (Doing(hits, "hits"), "shadow"), (Doing(judges, "judges"), "shadow"))
    assert reply.text == "Yes."
    assert [call.purpose for call in model.calls] == ["answer"]
    assert [d.action for d in ctx.decisions] == ["hit", "would_ask"]


def test_off_means_the_technique_is_not_there() -> None:
    def edits(request: Request, rest: Next, ctx: Context) -> Flow:
        return (yield from rest(request.with_(model="cheap")))

    model = FakeModel()
    send(ask_for(), model, (Doing(edits), "off"))
    assert model.calls[0].request.model == "gpt-4o"


async def test_the_same_flow_runs_async() -> None:
    ctx, model = Context(), FakeModel([ProviderDown(), reply_with()])

    async def asend(call: Call) -> Reply:
        return model(call)

    def falls_back(request: Request, rest: Next, ctx: Context) -> Flow:
        try:
            return (yield from rest(request))
        except ProviderDown:
            return (yield from rest(request))

    reply = await adrive(compose([(Doing(falls_back), "on")], ctx)(ask_for()), ctx, asend)
    assert reply.text == "Yes."


def test_keyboard_interrupt_ends_the_flow_and_is_written_down() -> None:
    ctx = Context()

    def interrupted(call: Call) -> Reply:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(ask(ask_for()), ctx, interrupted)
    assert ctx.attempts[0].error == "KeyboardInterrupt"


def run_stream(flow: Flow, ctx: Context, chunks: FakeStream, model: FakeModel | None = None):
    return stream(flow, ctx, model or FakeModel(), lambda call: chunks, lambda reply: [reply.text])


def test_chunks_pass_through_and_the_whole_reply_reaches_the_flow() -> None:
    seen: list[Reply] = []

    def looks(request: Request, rest: Next, ctx: Context) -> Flow:
        seen.append((yield from rest(request)))
        return seen[0]

    ctx = Context()
    assert list(run_stream(compose([(Doing(looks), "on")], ctx)(ask_for()), ctx, FakeStream(reply_with("one two three")))) == [
        "one ",
        "two ",
        "three",
    ]
    assert seen[0].text == "one two three"


def test_a_stored_answer_is_replayed_as_chunks() -> None:
    def hits(request: Request, rest: Next, ctx: Context) -> Flow:
        return reply_with("stored")
        yield

    ctx = Context()
    assert list(run_stream(compose([(Doing(hits), "on")], ctx)(ask_for()), ctx, FakeStream(reply_with()))) == ["stored"]


def test_a_reader_who_leaves_early_is_booked_with_what_was_read_and_nothing_more_is_asked() -> None:
    def retries(request: Request, rest: Next, ctx: Context) -> Flow:
        reply = yield from rest(request)
        return reply if reply.finish == "stop" else (yield from rest(request))

    ctx, model = Context(), FakeModel()
    reading = run_stream(compose([(Doing(retries), "on")], ctx)(ask_for()), ctx, FakeStream(reply_with()), model)
    assert next(iter(reading)) == "one "
    reading.close()
    assert ctx.attempts[0].reply is not None
    assert ctx.attempts[0].reply.finish == "closed"
    assert ctx.attempts[0].reply.usage.output_tokens == 1
    assert model.calls == []


def test_a_stream_that_breaks_raises_the_same_error_and_books_what_came() -> None:
    ctx, cut = Context(), ProviderDown("cut")
    with pytest.raises(ProviderDown) as caught:
        list(run_stream(ask(ask_for()), ctx, FakeStream(reply_with(), cut)))
    assert caught.value is cut
    assert ctx.attempts[0].error == "ProviderDown"
    assert ctx.attempts[0].reply is not None
    assert ctx.attempts[0].reply.usage.output_tokens == 1


def test_later_requests_have_later_ids_so_that_a_ledger_writes_them_side_by_side() -> None:
    first = Context().id
    time.sleep(0.002)
    assert first < Context().id


def test_every_request_has_an_id_of_its_own_also_in_a_forked_process() -> None:
    names = {Context().id for _ in range(600)}
    assert len(names) == 600
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
    assert len({name[12:] for name in names}) == 600
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, Context().id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 64).decode() not in {Context().id for _ in range(600)}


@given(value=st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_the_canonical_form_is_json_with_sorted_keys(value: dict[str, object]) -> None:
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_canonical_form_of_what_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        canonical(loop)
