"""A question asked in other words is asked once, and nobody gets an answer that is not theirs."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_plugins.answers import AnswerFile, MemoryAnswers
from frugal_plugins.drivers import adrive
from frugal_plugins.embedding.embed import Embeddings, FunctionEmbedder
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.meaning.calibration import Sample, fit
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache
from tests.meanings import SIZE, letters, of_letters
from tests.support import FakeModel, ask_for, reply_with, send

SHARED = letters()


def a_cache(store: Any = None, **known: Any) -> Cache:
    meaning = Meaning(known.pop("embeddings", SHARED), audit_percent=known.pop("audit_percent", 0.0))
    return Cache(MemoryAnswers() if store is None else store, meaning=meaning, **known)


def ask_both(first: Request, second: Request, cache: Cache | None = None) -> int:
    model, cache = FakeModel([reply_with("At nine."), reply_with("Another answer.")]), cache or a_cache()
    send(first, model, cache)
    send(second, model, cache)
    return len(model.calls)


def test_other_words_for_the_same_are_a_hit_that_costs_nothing() -> None:
    cache, model = a_cache(), FakeModel([reply_with("At nine.")])
    send(ask_for("When do you open on Sundays?"), model, cache)
    answer, ctx = send(ask_for("when do you open on the sundays, thank you"), model, cache)
    assert (len(model.calls), answer.text, answer.usage.output_tokens) == (1, "At nine.", 0)
    assert answer.saved is not None
    assert ctx.decisions[-1].action == "hit"
    assert "cosine" in ctx.decisions[-1].why
    assert "sunday" not in ctx.decisions[-1].why


@pytest.mark.parametrize(
    "other",
    [
        "Can I return it within 60 days?",
        "Can't I return it within 30 days?",
        "Can I exchange it within 30 days in Oslo?",
        "Can I return it within 30 weeks?",
    ],
)
def test_a_question_that_only_looks_alike_is_asked(other: str) -> None:
    assert ask_both(ask_for("Can I return it within 30 days?"), ask_for(other)) == 2


WORDS = ["When do you open on Sunday?", "when do you open on sundays please", "Hello, when do you open on Sunday"]
CHANGES = {
    "tenant": lambda r, n: r.with_(tags={"tenant": f"t{n}"}),
    "namespace": lambda r, n: r.with_(tags={"namespace": f"n{n}"}),
    "scope": lambda r, n: r.with_(scope=(f"k{n}",)),
    "model": lambda r, n: r.with_(model=f"m{n}"),
    "endpoint": lambda r, n: r.with_(endpoint=("messages", "responses")[n % 2]),
    "temperature": lambda r, n: r.with_params(temperature=0.01 + n / 1000),
    "max_tokens": lambda r, n: r.with_params(max_tokens=n + 1),
    "tools": lambda r, n: r.with_params(tools=[{"type": "function", "function": {"name": f"f{n}"}}]),
    "response_format": lambda r, n: r.with_params(response_format={"type": "json_schema", "json_schema": {"name": f"s{n}"}}),
    "system": lambda r, n: r.with_(messages=({"role": "system", "content": f"Be {n}."}, *r.messages)),
    "earlier turns": lambda r, n: r.with_(
        messages=({"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "ok"}, *r.messages)
    ),
    "image": lambda r, n: r.with_(
        messages=(
            {"role": "user", "content": [{"type": "text", "text": WORDS[0]}, {"type": "image_url", "image_url": {"url": f"data:{n}"}}]},
        )
    ),
    "name": lambda r, n: r.with_(messages=({**r.messages[-1], "name": f"n{n}"},)),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(CHANGES)), st.integers(0, 999), st.sampled_from(WORDS), st.sampled_from(WORDS))
def test_nothing_around_the_question_may_differ(what: str, number: int, first: str, second: str) -> None:
    assert ask_both(ask_for(first), CHANGES[what](ask_for(second), number)) == 2


WHO = st.fixed_dictionaries({name: st.sampled_from(["", "a", "b"]) for name in ("tenant", "team", "user", "session")})


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(["tenant", "team", "user", "session"])), WHO, WHO, st.sampled_from(WORDS))
def test_an_answer_is_shared_exactly_by_those_whom_the_recipe_lets_share(
    scope: set[str], one: dict[str, str], other: dict[str, str], second: str
) -> None:
    def asks(who: dict[str, str], text: str) -> Request:
        tags = {name: value for name, value in who.items() if name != "session" and value}
        return ask_for(text).with_(tags=tags, session=who["session"] or None)

    shared = all(one[name] == other[name] for name in scope)
    assert ask_both(asks(one, WORDS[0]), asks(other, second), a_cache(scope=tuple(sorted(scope)))) == (1 if shared else 2)


@pytest.mark.parametrize(
    "last",
    [
        {"role": "tool", "tool_call_id": "1", "content": "the result is 5 today"},
        {"role": "assistant", "content": "Let me see, the result is"},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "user", "content": "word " * 400},
        {"role": "user", "content": "\ud800 when do you open"},
        {"role": "user", "content": "when\x00 do you open"},
        {"role": "user", "content": ""},
        {"role": "user", "content": None},
    ],
)
def test_what_cannot_be_read_by_meaning_is_matched_exactly(last: dict[str, Any]) -> None:
    request, cache = Request("m", (last,)), a_cache()
    assert ask_both(request, request, cache) == 1
    assert cache.store.figures().with_vector == 0  # type: ignore[attr-defined]


def test_text_parts_are_read_and_a_megabyte_is_no_problem() -> None:
    parts = Request("m", ({"role": "user", "content": [{"type": "text", "text": "When do you open on Sunday?"}]},))
    assert ask_both(parts, parts.with_(messages=({"role": "user", "content": [{"type": "text", "text": WORDS[1]}]},))) == 1
    big = ask_for("x" * 1_000_000)
    assert ask_both(big, big) == 1


def test_a_slow_embedding_is_a_miss_and_the_answer_is_kept_by_key() -> None:
    gate = threading.Event()

    def slow(texts: Any) -> Any:
        gate.wait(5)
        return of_letters(texts)

    cache = a_cache(embeddings=Embeddings(lambda: FunctionEmbedder("slow", slow, SIZE), limit_seconds=0.01))
    try:
        assert ask_both(ask_for(WORDS[0]), ask_for("what is the weather like"), cache) == 2
        assert ask_both(ask_for(WORDS[0]), ask_for(WORDS[0]), cache) == 0
    finally:
        gate.set()


def test_a_store_that_fails_costs_a_hit_and_never_the_request(tmp_path: Path) -> None:
    class Full(AnswerFile):
        def put(self, answer: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    cache, model = a_cache(Full(tmp_path / "a.sqlite")), FakeModel([reply_with("At nine.")])
    answer, ctx = send(ask_for(WORDS[0]), model, cache)
    assert (answer.text, len(model.calls)) == ("At nine.", 1)
    assert ctx.decisions[-1].action == "stood_down"


def test_shadow_asks_compares_and_stores() -> None:
    cache, model = a_cache(), FakeModel([reply_with("At nine."), reply_with("At nine!"), reply_with("At ten.")])
    for text in ("When do you open on Sunday?", "When do you open on a Sunday?", "When do you open on the Sunday?"):
        _, ctx = send(ask_for(text), model, (cache, "shadow"))
    assert len(model.calls) == 3
    assert [d.action for d in ctx.decisions] == ["hit", "compared"]
    assert "something else" in ctx.decisions[-1].why
    assert cache.store.figures().entries == 3  # type: ignore[attr-defined]


def test_audited_hits_are_asked_again_and_a_cache_that_is_often_wrong_stands_down() -> None:
    cache = a_cache(audit_percent=100.0)
    model = FakeModel([reply_with("At nine."), reply_with("At nine."), *[reply_with(f"Number {n}.") for n in range(50)]])
    send(ask_for(WORDS[0]), model, cache)
    _, ctx = send(ask_for("When do you open on a Sunday?"), model, cache)
    assert len(model.calls) == 2
    assert [d.action for d in ctx.decisions] == ["audited", "compared"]
    assert cache.meaning is not None
    look = cache.look(cache.place(ask_for("When do you open on the Sunday?")), 1.0)
    assert look is not None
    for _ in range(3):
        cache.meaning.audited(look, right=False)
    _, ctx = send(ask_for("When do you open on the Sunday?"), model, cache)
    assert "stands down" in ctx.decisions[-1].why


def test_a_stand_down_outlives_the_process_and_other_processes_hear_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    first, model = a_cache(AnswerFile(path), audit_percent=100.0), FakeModel([reply_with(f"Number {n}.") for n in range(50)])
    other = a_cache(AnswerFile(path))
    send(ask_for(WORDS[0]), model, first)
    assert send(ask_for("When do you open on a Sunday?"), FakeModel([reply_with("x")]), other)[1].decisions[-1].action == "hit"
    assert first.meaning is not None
    look = first.look(first.place(ask_for("When do you open on the Sunday?")), 1.0)
    assert look is not None
    for _ in range(3):
        first.meaning.audited(look, right=False)
    send(ask_for("a question that is kept"), model, first)
    after_restart = a_cache(AnswerFile(path))
    _, ctx = send(ask_for("When do you open on one Sunday?"), model, after_restart)
    assert "stands down" in ctx.decisions[-1].why
    for number in range(30):
        send(ask_for(f"question number {number}"), model, other)
    assert "stands down" in send(ask_for("When do you open on any Sunday?"), model, other)[1].decisions[-1].why


def test_rejected_hits_of_a_fitted_rule_raise_the_bar_for_all() -> None:
    store, embeddings = MemoryAnswers(), letters()
    embeddings.ready()
    calibration = fitted_for(embeddings)
    caches = [Cache(store, meaning=Meaning(embeddings, calibration=calibration, audit_percent=0)) for _ in range(2)]
    model = FakeModel([reply_with("Open the menu.")])
    for number in range(40):
        send(ask_for(f"how do i reset my password variant{number}x"), model, (caches[0], "shadow"))
    bar = caches[1].meaning.evidence.bar  # type: ignore[union-attr]
    _, ctx = send(ask_for("how do i reset my password variant99x"), model, caches[0])
    assert ctx.decisions[-1].action == "hit"
    assert "sure" in ctx.decisions[-1].why
    assert caches[0].reject(ctx.id)
    for number in range(30):
        send(ask_for(f"something else altogether {number}"), model, caches[1])
    found = caches[1].meaning.evidence  # type: ignore[union-attr]
    assert found.found_wrong == 1  # type: ignore[union-attr]
    assert found.bar is None or bar is None or found.bar > bar  # type: ignore[union-attr]


def fitted_for(embeddings: Embeddings) -> Any:
    topics = ["reset my password", "close my account", "order a new card", "change my address", "see my balance"]
    texts = [f"how do i {topics[n % 5]} variant{n}x" for n in range(700)]
    vectors = embeddings.embed_many(texts)
    samples = [Sample(text, vector, topics[n % 5]) for n, (text, vector) in enumerate(zip(texts, vectors, strict=True))]
    return fit(samples, embedder=embeddings.fingerprint)


def test_a_calibration_is_used_with_its_own_model_only() -> None:
    calibration = fitted_for(SHARED)
    assert calibration is not None
    meaning = Meaning(SHARED, calibration=calibration)
    assert meaning.rule() == replace(calibration.rule, threshold=meaning.rule().threshold)  # type: ignore[union-attr]
    other = letters(name="another")
    assert other.ready()
    assert type(Meaning(other, calibration=calibration).rule()).__name__ == "ColdStart"


def test_identical_cold_requests_of_many_threads_make_one_call() -> None:
    cache, calls = a_cache(), []

    def model(call: Call) -> Reply:
        calls.append(call)
        time.sleep(0.2)
        return reply_with("At nine.")

    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(send(ask_for(WORDS[0]), model, cache)[0].text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["At nine."] * 8
    assert len(calls) == 1


def test_when_the_first_of_them_fails_the_others_ask_themselves() -> None:
    cache, lock, calls = a_cache(), threading.Lock(), []

    def model(call: Call) -> Reply:
        with lock:
            calls.append(call)
            first = len(calls) == 1
        time.sleep(0.1)
        if first:
            raise ConnectionError("gone")
        return reply_with("At nine.")

    answers: list[str] = []

    def ask() -> None:
        try:
            answers.append(send(ask_for(WORDS[0]), model, cache)[0].text)
        except ConnectionError:
            answers.append("failed")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["At nine."] * 3 + ["failed"]


async def asend(request: Request, calls: list[Call], cache: Cache, answer: str = "At nine.", takes_seconds: float = 0.02) -> str:
    """Drive one request as an async door does."""

    async def model(call: Call) -> Reply:
        calls.append(call)
        await asyncio.sleep(takes_seconds)
        return reply_with(answer)

    ctx = Context()
    ctx.ahead = partial(cache.ahead, request)
    return (await adrive(compose([(cache, "on")], ctx)(request), ctx, model)).text


async def test_identical_cold_requests_of_many_tasks_make_one_call() -> None:
    cache, calls = a_cache(), []
    answers = await asyncio.gather(*(asend(ask_for("a question nobody asked before"), calls, cache) for _ in range(6)))
    assert (len(calls), set(answers)) == (1, {"At nine."})


async def test_a_slow_store_is_read_off_the_event_loop_and_each_thing_once(tmp_path: Path) -> None:
    reads: list[str] = []

    class Slow(AnswerFile):
        """Answers no read before the event loop has moved on."""

        def waits(self, name: str) -> None:
            reads.append(name)
            if gate is not None:
                assert gate.wait(60), "the event loop stood still"

        def get(self, key: str, now_seconds: float) -> Any:
            self.waits("get")
            return super().get(key, now_seconds)

        def near(self, *args: Any) -> Any:
            self.waits("near")
            return super().near(*args)

        def at_row(self, row: int, now_seconds: float) -> Any:
            self.waits("at_row")
            return super().at_row(row, now_seconds)

    gate: threading.Event | None = None
    cache, calls = a_cache(Slow(tmp_path / "a.sqlite")), list[Call]()
    await asend(ask_for(WORDS[0]), calls, cache)
    reads.clear()
    gate = threading.Event()

    async def the_loop_goes_on() -> None:
        await asyncio.sleep(0.01)
        gate.set()

    answers = await asyncio.gather(asend(ask_for(WORDS[0]), calls, cache), asend(ask_for(WORDS[1]), calls, cache), the_loop_goes_on())
    assert answers[:2] == ["At nine.", "At nine."]
    assert len(calls) == 1
    assert sorted(reads) == ["at_row", "get", "get", "near"]


async def test_the_embedding_never_blocks_the_event_loop_and_is_batched() -> None:
    batches: list[int] = []
    gate = threading.Event()

    def slow(texts: Any) -> Any:
        assert gate.wait(60), "the event loop stood still"
        batches.append(len(texts))
        return of_letters(texts)

    cache = a_cache(embeddings=Embeddings(lambda: FunctionEmbedder("slow", slow, SIZE), limit_seconds=60))
    calls: list[Call] = []

    async def the_loop_goes_on() -> None:
        while cache.meaning is not None and len(cache.meaning.embeddings._known) < 20:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.001)
        gate.set()

    await asyncio.gather(the_loop_goes_on(), *(asend(ask_for(f"question {n} of twenty"), calls, cache) for n in range(20)))
    assert (len(calls), sum(batches)) == (20, 20)
    assert len(batches) <= 4


async def test_an_embedding_that_is_late_is_a_miss_for_an_async_host_at_once() -> None:
    gate = threading.Event()

    def slow(texts: Any) -> Any:
        gate.wait(60)
        return of_letters(texts)

    embeddings = Embeddings(lambda: FunctionEmbedder("slow", slow, SIZE), limit_seconds=0.05)
    cache, calls = a_cache(embeddings=embeddings), []
    try:
        assert await asend(ask_for(WORDS[0]), calls, cache, takes_seconds=0) == "At nine."
        assert not gate.is_set()
        assert embeddings.counts.too_slow >= 1
        assert cache.store.figures().with_vector == 0  # type: ignore[attr-defined]
    finally:
        gate.set()


async def test_what_goes_wrong_while_preparing_costs_nobody_the_request(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(MemoryAnswers):
        def get(self, key: str, now_seconds: float) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

    calls: list[Call] = []
    assert await asend(ask_for(WORDS[0]), calls, a_cache(Gone())) == "At nine."
    assert "was not prepared" in caplog.text


def test_a_row_made_by_another_process_is_found_by_meaning(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    model = FakeModel([reply_with("At nine.")])
    send(ask_for(WORDS[0]), model, a_cache(AnswerFile(path)))
    send(ask_for("When do you open on a Sunday?"), model, a_cache(AnswerFile(path)))
    assert len(model.calls) == 1
