"""The same question is asked once, and nobody gets an answer that is not theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.answers import AnswerFile, AnswerStore, MemoryAnswers
from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.canonical import canonical_question
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache
from tests.support import FakeModel, ask_for, reply_with, send


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AnswerStore:
    return MemoryAnswers() if request.param == "memory" else AnswerFile(tmp_path / "answers.sqlite")


def ask_twice(first: Request, second: Request, cache: Cache, reply: Reply | None = None) -> tuple[int, Reply]:
    model = FakeModel([reply or reply_with("At nine.")])
    send(first, model, cache)
    answer, _ = send(second, model, cache)
    return len(model.calls), answer


def test_the_same_request_is_asked_once_and_the_second_answer_costs_nothing(store: AnswerStore) -> None:
    calls, answer = ask_twice(ask_for("When?"), ask_for("When?"), Cache(store))
    assert calls == 1
    assert answer.text == "At nine."
    assert answer.usage.input_tokens == answer.usage.output_tokens == 0
    assert answer.saved is not None
    assert answer.saved.output_tokens == 5


def test_changing_a_hit_changes_no_later_hit(store: AnswerStore) -> None:
    cache, model = Cache(store), FakeModel([reply_with("At nine.")])
    send(ask_for(), model, cache)
    first, _ = send(ask_for(), model, cache)
    first.message["content"] = "changed"  # type: ignore[index]
    second, _ = send(ask_for(), model, cache)
    assert second.text == "At nine."


base = ask_for("When do you open?", system="Be brief.", temperature=0, tools=None)
OTHERS = {
    "tenant": base.with_(tags={"tenant": "b"}),
    "scope": base.with_(scope=("key-2",)),
    "system": ask_for("When do you open?", system="Be long.", temperature=0),
    "model": base.with_(model="gpt-4o-mini"),
    "temperature": ask_for("When do you open?", system="Be brief.", temperature=1),
    "tools": ask_for("When do you open?", system="Be brief.", temperature=0, tools=[{"type": "function", "function": {"name": "f"}}]),
    "response_format": ask_for("When do you open?", system="Be brief.", temperature=0, response_format={"type": "json_object"}),
    "max_tokens": ask_for("When do you open?", system="Be brief.", temperature=0, max_tokens=5),
    "endpoint": base.with_(endpoint="responses"),
    "earlier turns": base.with_(messages=({"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, *base.messages)),
    "text": ask_for("When do you close?", system="Be brief.", temperature=0),
    "namespace": base.with_(tags={"namespace": "n2"}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_difference_in_anything_the_answer_depends_on_is_another_question(store: AnswerStore, what: str) -> None:
    calls, _ = ask_twice(base, OTHERS[what], Cache(store))
    assert calls == 2


@pytest.mark.parametrize("params", [{"user": "ann"}, {"metadata": {"a": 1}}, {"service_tier": "flex"}, {"prompt_cache_key": "k"}])
def test_who_asks_and_how_it_is_billed_is_not_part_of_the_question(params: dict[str, Any]) -> None:
    assert ask_twice(ask_for(), ask_for(**params), Cache(MemoryAnswers()))[0] == 1


def test_streamed_and_plain_requests_share_an_answer() -> None:
    assert ask_twice(ask_for(), ask_for().with_(stream=True), Cache(MemoryAnswers()))[0] == 1


@pytest.mark.parametrize(
    "reply",
    [
        reply_with("cut", finish="length"),
        reply_with("", finish="stop"),
        reply_with("no", finish="content_filter"),
        reply_with("x", finish="closed"),
        reply_with("x", finish=""),
        reply_with(None, finish="tool_calls", tool_calls=[{"id": "1"}]),
        reply_with("x", refusal="I cannot"),
        reply_with("x").with_(others=({"role": "assistant", "content": "y"},)),
    ],
)
def test_only_complete_answers_are_kept(reply: Reply) -> None:
    assert ask_twice(ask_for(), ask_for(), Cache(MemoryAnswers()), reply)[0] == 2


def test_an_answer_is_served_until_its_time_is_over(store: AnswerStore) -> None:
    now, cache, model = [1000.0], Cache(store, ttl_seconds=60), FakeModel()
    for later, calls in ((0, 1), (59, 1), (61, 2)):
        now[0] = 1000.0 + later
        send(ask_for(), model, cache, clock=lambda: now[0])
        assert len(model.calls) == calls


def test_the_callers_words_no_cache_no_store_and_ttl_are_kept() -> None:
    cache, model, now = Cache(MemoryAnswers()), FakeModel(), [0.0]
    send(ask_for().with_(tags={"no_store": "yes"}), model, cache)
    send(ask_for().with_(tags={"ttl_seconds": "10"}), model, cache, clock=lambda: now[0])
    assert len(model.calls) == 2
    send(ask_for().with_(tags={"no_cache": "yes"}), model, cache)
    assert len(model.calls) == 3


def test_several_choices_and_hot_requests_are_not_answered_from_the_store() -> None:
    assert ask_twice(ask_for(n=2), ask_for(n=2), Cache(MemoryAnswers()))[0] == 2
    hot = ask_for(temperature=1.2)
    assert ask_twice(hot, hot, Cache(MemoryAnswers(), max_temperature=0.7))[0] == 2


SAME = [
    ("When do you open?", "when do you open"),
    ("When do you open?", "  When  do you open ??  "),
    ("Hi, when do you open?", "When do you open?"),
    ("Hello there! Please, when do you open? Thanks!", "when do you open"),
]
DIFFERENT = [
    ("Do you ship to us?", "Do you ship to US?"),
    ("Can I return it?", "Can't I return it?"),
    ("Return within 30 days?", "Return within 90 days?"),
    ("Open on Sunday?", "Open on Monday?"),
    ("What does `A` do?", "What does `a` do?"),
    ("Is it 1.5?", "Is it 15?"),
    ('What is "Please"?', 'What is "please"?'),
    ("A polish for wood?", "A Polish for wood?"),
    ("Not open?", "Open?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_questions_that_differ_only_in_form_share_an_answer(one: str, other: str) -> None:
    assert ask_twice(ask_for(one), ask_for(other), Cache(MemoryAnswers()))[0] == 1
    assert ask_twice(ask_for(one), ask_for(other), Cache(MemoryAnswers(), match="exact"))[0] == 2


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_questions_that_differ_in_meaning_never_do(one: str, other: str) -> None:
    assert ask_twice(ask_for(one), ask_for(other), Cache(MemoryAnswers()))[0] == 2


@given(st.text(max_size=400))
def test_the_canonical_form_is_stable_and_never_empty(text: str) -> None:
    form = canonical_question(text)
    assert canonical_question(form.removeprefix("\u2248")) in (form, form.removeprefix("\u2248"))
    assert bool(form) == bool(text)


@given(
    st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=30),
    st.text(alphabet=st.characters(categories=["Nd"]), min_size=1, max_size=4),
)
def test_a_number_is_never_folded_away(word: str, number: str) -> None:
    assert number in canonical_question(f"{word} {number} days?")


def test_the_memory_store_keeps_its_bound_and_the_file_too(tmp_path: Path) -> None:
    for store in (MemoryAnswers(max_entries=5), AnswerFile(tmp_path / "a.sqlite", max_entries=5)):
        cache, model = Cache(store), FakeModel()
        for n in range(600):
            send(ask_for(f"number {n}"), model, cache, clock=lambda n=n: float(n))
        before = len(model.calls)
        send(ask_for("number 599"), model, cache, clock=lambda: 600.0)
        send(ask_for("number 1"), model, cache, clock=lambda: 600.0)
        assert len(model.calls) == before + 1


def test_all_answers_of_a_tenant_can_be_forgotten(store: AnswerStore) -> None:
    cache, model = Cache(store), FakeModel()
    for tenant in ("a", "b"):
        send(ask_for().with_(tags={"tenant": tenant}), model, cache)
    assert store.forget(cache.place(ask_for().with_(tags={"tenant": "a"})).owner) == 1
    for tenant in ("a", "b"):
        send(ask_for().with_(tags={"tenant": tenant}), model, cache)
    assert len(model.calls) == 3
    assert store.forget() == 2


def test_answers_in_a_file_outlive_the_process_and_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    assert ask_twice(ask_for(), ask_for("other"), Cache(AnswerFile(path)))[0] == 2
    assert ask_twice(ask_for(), ask_for("other"), Cache(AnswerFile(path)))[0] == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_something_else_is_refused_by_name_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 200)
    with pytest.raises(FrugalError, match=r"notes\.txt.*Name another file"):
        AnswerFile(path).get("key", 0.0)
    assert path.read_text() == "my notes " * 200
