"""Every store keeps the same promises: memory, one SQLite file, PostgreSQL."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_plugins.answers import (
    AnswerFile,
    MemoryAnswers,
    NearAnswers,
    PostgresAnswers,
    Served,
    StoredAnswer,
    forget_labelled,
    forget_matching,
    re_embed,
)
from frugal_plugins.usage import Usage
from tests.meanings import of_letters

NAMES = iter(range(10_000))


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> NearAnswers:
    if request.param == "memory":
        return MemoryAnswers()
    if request.param == "file":
        return AnswerFile(tmp_path / "answers.sqlite")
    return PostgresAnswers(request.getfixturevalue("postgres"), dimensions=256, table=f"answers_{next(NAMES)}")


def unit(text: str) -> Any:
    vector = np.asarray(of_letters([text])[0], dtype=np.float32)
    return vector / np.linalg.norm(vector)


def answer(
    question: str, text: str = "yes", *, partition: str = "p", owner: str = "o", until: float = 100.0, embedder: str = "e"
) -> StoredAnswer:
    return StoredAnswer(
        f"{partition}/{question}", {"role": "assistant", "content": text}, "m", Usage(7, output_tokens=3), 1.0, until, owner, partition,
        question, text, embedder, unit(question),
    )  # fmt: skip


def near(store: NearAnswers, question: str, *, partition: str = "p", embedder: str = "e", now: float = 2.0) -> list[str]:
    return [found.question for found in store.near(partition, embedder, unit(question), 8, now)]


def test_near_questions_of_a_partition_come_nearest_first(store: NearAnswers) -> None:
    for question in ("when do you open", "when do you close", "is it raining"):
        store.put(answer(question))
    store.put(answer("when do you open now", partition="other"))
    found = store.near("p", "e", unit("when do you open?"), 2, 2.0)
    assert [one.question for one in found] == ["when do you open", "when do you close"]
    assert found[0].cosine > 0.98
    kept = store.at_row(found[0].row, 2.0)
    assert kept is not None
    assert (kept.message["content"], kept.usage.output_tokens, kept.question) == ("yes", 3, "when do you open")


def test_what_is_over_dropped_or_of_another_model_is_not_near(store: NearAnswers) -> None:
    store.put(answer("when do you open", until=10.0))
    store.put(answer("when do you open?"))
    store.put(answer("when do you open!", embedder="another"))
    assert near(store, "when do you open", now=11.0) == ["when do you open?"]
    assert store.drop("p/when do you open?")
    assert not store.drop("p/when do you open?")
    assert near(store, "when do you open", now=11.0) == []
    assert store.get("p/when do you open!", 11.0) is not None


def test_an_answer_given_anew_replaces_the_old_one(store: NearAnswers) -> None:
    store.put(answer("when", "old"))
    assert near(store, "when") == ["when"]
    store.put(answer("when", "new"))
    found = store.near("p", "e", unit("when"), 8, 2.0)
    assert [one.answer for one in found] == ["new"]


def test_forgetting_by_owner_and_by_words(store: NearAnswers) -> None:
    for owner, question in (("a", "my IBAN is DE12"), ("a", "when"), ("b", "why"), ("b", "the iban again")):
        store.put(answer(question, owner=owner))
    assert forget_matching(store, "iban") == 2
    assert forget_matching(store, "  ") == 0
    assert store.forget("a") == 1
    assert [one.question for one in store.every()] == ["why"]
    assert store.forget() == 1


def test_a_change_of_model_is_noticed_and_can_be_migrated(store: NearAnswers) -> None:
    for question in ("when do you open", "where are you"):
        store.put(answer(question, embedder="old"))
    assert store.figures("new").not_searchable == 2
    assert re_embed(store, "new", lambda texts: [unit(text) for text in texts]) == 2
    assert store.figures("new").not_searchable == 0
    assert near(store, "when do you open?", embedder="new")[0] == "when do you open"
    assert store.figures("new").entries == store.figures().with_vector == 2


def test_odd_texts_are_kept_as_they_are(store: NearAnswers) -> None:
    for text in ("", "a\x00b", "half \ud800 character", "x" * 1_000_000, "مرحبا"):
        one = StoredAnswer(f"key {len(text)} {text[:1]!r}", {"role": "assistant", "content": text}, "m", Usage(), 1.0, 9.0, question=text)
        store.put(one)
        kept = store.get(one.key, 2.0)
        assert kept is not None
        assert (kept.message["content"], kept.question) == (text, text)


def test_hits_are_remembered_latest_first_and_go_with_their_answer(store: NearAnswers) -> None:
    store.put(answer("when", owner="a"))
    store.put(answer("why", owner="b"))
    for number, (key, owner) in enumerate((("p/when", "a"), ("p/why", "b"), ("p/when", "a"))):
        store.note_served(Served(f"id {number}", key, float(number), owner, "when\x00\ud800?", 0.97, 140))
    assert [one.id for one in store.latest_served(2)] == ["id 2", "id 1"]
    found = store.served("id 0")
    assert found is not None
    assert (found.key, found.asked, found.degree, store.served("nobody")) == ("p/when", "when\x00\ud800?", 140, None)
    store.drop("p/when")
    assert [one.id for one in store.latest_served(9)] == ["id 1"]
    store.forget("b")
    assert store.latest_served(9) == []


def test_answers_are_forgotten_by_whom_they_were_made_for(store: NearAnswers) -> None:
    for name, labels in (("one", {"tenant": "acme", "user": "ann"}), ("two", {"tenant": "acme"}), ("three", {})):
        store.put(replace(answer(name), labels=labels))
    assert forget_labelled(store, {}) == 0
    assert forget_labelled(store, {"tenant": "acme", "user": "ann"}) == 1
    assert forget_labelled(store, {"tenant": "acme"}) == 1
    assert [one.question for one in store.every()] == ["three"]


def test_what_is_learned_adds_up(store: NearAnswers) -> None:
    assert store.count("rule", {}) == {}
    assert store.count("rule", {"hits": 2, "wrong 140": 1}) == {"hits": 2, "wrong 140": 1}
    assert store.count("rule", {"hits": 1}) == {"hits": 3, "wrong 140": 1}
    assert store.count("another", {"hits": 1}) == {"hits": 1}


def test_a_store_made_before_labels_is_opened_and_used(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    AnswerFile(path).put(answer("when"))
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE entries DROP COLUMN labels")
    again = AnswerFile(path)
    assert [one.labels for one in again.every()] == [{}]
    again.put(replace(answer("why"), labels={"tenant": "acme"}))
    assert forget_labelled(again, {"tenant": "acme"}) == 1


def test_a_full_disk_refuses_the_answer_and_the_store_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = AnswerFile(path)
    store.put(answer("when"))
    store._connection().execute(f"PRAGMA max_page_count = {store._connection().execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put(answer("why", "x" * 500_000))
    assert store.get("p/when", 2.0) is not None
    assert near(AnswerFile(path), "when") == ["when"]
    assert store.set_aside == []


def test_two_openings_of_one_file_see_each_others_answers(tmp_path: Path) -> None:
    one, other = AnswerFile(tmp_path / "a.sqlite"), AnswerFile(tmp_path / "a.sqlite")
    one.put(answer("when do you open"))
    assert near(other, "when do you open?") == ["when do you open"]
    other.put(answer("when do you close"))
    assert near(one, "when do you close?")[0] == "when do you close"
    one.forget()
    assert near(other, "when do you open?") == []


def test_threads_may_write_and_read_one_store_at_once(store: NearAnswers) -> None:
    failed: list[BaseException] = []

    def work(name: int) -> None:
        for number in range(25):
            store.put(answer(f"thread {name} question {number}"))
            found = near(store, f"thread {name} question {number}")
            if f"thread {name} question {number}" not in found:
                failed.append(AssertionError(found))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert store.figures().entries == 100


WRITER = """
import sys
from frugal_plugins.answers import AnswerFile
from tests.answers.test_stores import answer
store = AnswerFile(sys.argv[1])
for number in range(100_000):
    store.put(answer(f"{sys.argv[2]} {number}"))
    print(number, flush=True)
"""


def test_killed_processes_lose_no_answer_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for name in ("left", "right")
    ]
    said: dict[str, int] = {}
    for name, writer in zip(("left", "right"), writers, strict=True):
        assert writer.stdout is not None
        for _ in range(40):
            said[name] = int(writer.stdout.readline())
    for name, writer in zip(("left", "right"), writers, strict=True):
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.stdout is not None
        rest = [int(line) for line in writer.stdout.read().split() if line.strip()]
        said[name] = max([said[name], *rest[:-1]])
        writer.wait()
    store = AnswerFile(path)
    for name, last in said.items():
        for number in range(last + 1):
            assert store.get(f"p/{name} {number}", 2.0) is not None
        assert near(store, f"{name} {last}")


def test_a_damaged_store_is_set_aside_named_and_rebuilt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.sqlite"
    store = AnswerFile(path)
    for number in range(300):
        store.put(answer(f"question {number}"))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * (size // 4))
    again = AnswerFile(path)
    kept = [one.question for one in again.every()]
    assert len(again.set_aside) == 1
    assert again.set_aside[0].exists()
    assert str(again.set_aside[0]) in caplog.text
    assert kept
    again.put(answer("a new question"))
    assert near(again, "a new question")[0] == "a new question"


def test_a_store_cut_short_is_rebuilt_too(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = AnswerFile(path)
    for number in range(300):
        store.put(answer(f"question {number}"))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)
    again = AnswerFile(path)
    again.put(answer("a new question"))
    assert near(again, "a new question")[0] == "a new question"


def test_a_server_that_is_gone_makes_misses_and_comes_back_by_itself(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresAnswers(postgres, dimensions=256, table="answers_gone")
    store.put(answer("when"))
    store._server.close()
    store._server.dsn = "host=/nowhere dbname=postgres"
    assert store.get("p/when", 2.0) is None
    assert near(store, "when") == []
    assert store.unavailable == 2
    store._server.dsn, store._server._closed_until = postgres, 0.0
    assert near(store, "when") == ["when"]
