"""What a person does with the store: calibrate on it, look at pairs, import, forget a wrong answer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from frugal_plugins.answers import MemoryAnswers
from frugal_plugins.cached import calibrate, described, hits, import_gptcache, read_labels, samples_of, shadow, stats, suggested_similarity
from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.techniques.cache import Cache
from tests.meanings import letters
from tests.support import FakeModel, ask_for, reply_with, send

SHARED_NAME = "function:letters:256"
TOPICS = ["reset my password", "close my account", "order a new card", "change my address", "see my balance"]


def filled(count: int) -> Cache:
    cache = Cache(MemoryAnswers(), meaning=Meaning(letters()))
    for number in range(count):
        topic = TOPICS[number % 5]
        send(ask_for(f"how do i {topic} variant{number}x"), FakeModel([reply_with(f"To {topic}, open the menu.")]), (cache, "shadow"))
    return cache


def test_shadow_traffic_becomes_a_calibration_and_pairs_to_look_at() -> None:
    cache = filled(520)
    store, fingerprint = cache.store, cache.meaning.embeddings.fingerprint  # type: ignore[union-attr]
    samples = samples_of(store, fingerprint)  # type: ignore[arg-type]
    found = shadow(samples, fingerprint)
    assert found.calibration is not None
    assert (found.calibration.questions, found.answers, found.refusal) == (520, 5, None)
    assert found.calibration.expected_hit_percent > 80
    assert found.cold_hit_percent < found.calibration.expected_hit_percent
    assert found.pairs
    assert all(pair.asked.startswith("how do i") for pair in found.pairs)
    assert found.suggested_similarity == suggested_similarity(samples)
    assert found.suggested_similarity is not None
    assert 0.7 <= found.suggested_similarity < 1
    assert stats(store, "another model")["not_searchable"] == 520  # type: ignore[arg-type]


def test_too_little_traffic_is_said_and_still_shown() -> None:
    with pytest.raises(FrugalError, match="are too few, 500 are needed"):
        calibrate([], "e")
    cache = filled(40)
    found = shadow(samples_of(cache.store, SHARED_NAME), SHARED_NAME)  # type: ignore[arg-type]
    assert found.calibration is None
    assert "40 questions" in (found.refusal or "")
    assert found.cold_hit_percent == 0  # every wording has a name of its own, which a guard minds
    assert {(pair.served, pair.right, "entities" in pair.conflicts) for pair in found.pairs} == {(False, True, True)}


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "is not JSON"), ("[1]", "not a JSON object"), ('{"question": "a"}', "no question and answer"), ("\xff", "UTF-8")],
)
def test_labels_that_cannot_be_used_are_named_with_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b'{"text": "When?", "intent": "Hours "}\n\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(FrugalError, match=words) as raised:
        read_labels(path)
    assert str(raised.value).startswith(f"{path}:3:" if words != "UTF-8" else f"{path}:")


def test_a_gptcache_is_taken_over_with_the_model_it_is_said_to_belong_to(tmp_path: Path) -> None:
    path = tmp_path / "sqlite.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE gptcache_question (id INTEGER PRIMARY KEY, question TEXT, deleted INTEGER)")
        db.execute("CREATE TABLE gptcache_answer (id INTEGER PRIMARY KEY, question_id INTEGER, answer TEXT, answer_type INTEGER)")
        db.executemany("INSERT INTO gptcache_question VALUES (?, ?, ?)", [(1, "When do you open?", 0), (2, "Gone?", -1), (3, "Where?", 0)])
        db.executemany("INSERT INTO gptcache_answer VALUES (?, ?, ?, 0)", [(1, 1, "At nine."), (2, 2, "x"), (3, 3, "In Oslo.")])
    cache = Cache(MemoryAnswers(), meaning=Meaning(letters()))
    assert import_gptcache(path, cache, model="gpt-4o", now_seconds=1.0) == (2, 0)
    model = FakeModel([reply_with("asked")])
    answer, _ = send(ask_for("When do you open"), model, cache, clock=lambda: 2.0)
    assert answer.text == "At nine."
    assert send(ask_for("When do you open", model="other"), model, cache, clock=lambda: 2.0)[0].text == "asked"
    with pytest.raises(FrugalError, match="not a GPTCache"):
        import_gptcache(tmp_path / "nothing.db", cache, model="m", now_seconds=1.0)


def test_a_wrong_answer_is_dropped_when_a_person_names_the_request_it_was_served_to() -> None:
    cache, model = Cache(MemoryAnswers(), meaning=Meaning(letters())), FakeModel([reply_with("Wrong."), reply_with("Right.")])
    send(ask_for("When do you open on Sunday?"), model, cache, clock=lambda: 1.0)
    again = ask_for("When do you open on a Sunday?")
    _, ctx = send(again, model, cache, clock=lambda: 1.5)
    (hit,) = hits(cache.store, 5)  # type: ignore[arg-type]
    assert (hit["id"], hit["asked"], hit["stored_question"]) == (ctx.id, again.last_user_text, "When do you open on Sunday?")
    assert cache.reject(ctx.id)
    assert not cache.reject(ctx.id)
    assert list(hits(cache.store, 5)) == []  # type: ignore[arg-type]
    assert send(again, model, cache, clock=lambda: 3.0)[0].text == "Right."
    (kept,) = cache.store.every()  # type: ignore[attr-defined]
    assert described(kept)["answer"] == "Right."
