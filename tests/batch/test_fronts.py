"""Prompts that begin alike: one row goes ahead and fills the cache, the others read it, and nothing is marked where that loses."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from frugal_plugins import Request
from frugal_plugins.batch import BatchSettings, NewRow
from frugal_plugins.batch.fronts import front_of, marked
from tests.batch.scene import Scene, rows_of

MakeScene = Callable[..., Scene]
HAIKU = "anthropic/claude-haiku-4-5"
HANDBOOK = " ".join(f"Rule {n}: keep shelf {n} free of dust and water." for n in range(600))


def long_rows(count: int, *, families: int = 1, **params: Any) -> list[NewRow]:
    """Questions about long handbooks, dealt out so that neighbours never share one."""
    rows = []
    for n in range(count):
        system = {"role": "system", "content": f"Handbook {n % families}. {HANDBOOK}"}
        asked = {"role": "user", "content": f"What does rule {n} say?"}
        rows.append(NewRow(Request("night", (system, asked), {"max_tokens": 20, **params}), f"q{n}"))
    return rows


def cost(scene: Scene, rows: list[NewRow], job: str) -> Decimal:
    before = scene.sandbox.invoice().total_usd
    status, found = scene.run(rows, job)
    assert [row.name for row in found] == [row.name for row in rows]
    assert status.done == len(rows)
    return scene.sandbox.invoice().total_usd - before


def test_a_shared_front_is_written_once_and_read_by_the_others_for_a_tenth(scene: MakeScene) -> None:
    plain = cost(scene("anthropic", settings=BatchSettings(share_fronts=False)), long_rows(24, families=2), "plain")
    one = scene("anthropic")
    shared = cost(one, long_rows(24, families=2), "shared")
    used = [line.usage for line in one.sandbox.invoice().lines[24:]]
    assert sum(usage.cache_write_1h_tokens > 0 for usage in used) == 2, "one row of each front went ahead"
    assert sum(usage.cache_read_tokens > 0 for usage in used) == 22
    assert shared < plain * Decimal("0.4")
    assert one.books_agree()


def test_the_row_ahead_is_a_batch_of_its_own_and_the_others_follow_when_it_has_ended(scene: MakeScene) -> None:
    one = scene("anthropic")
    jobs = one.jobs()
    jobs.add(long_rows(12, families=2), "one")
    assert [batch["rows"] for batch in jobs.submit("one").batches] == [2]
    one.clock.advance(900)
    jobs.step("one")
    assert [batch["rows"] for batch in jobs.status("one").batches] == [2, 10]
    jobs.run("one")
    marks = [request.body for request in one.sandbox.requests() if request.method == "POST" and request.path.endswith("/batches")]
    asked = [row["params"]["system"][-1]["cache_control"] for body in marks for row in body["requests"]]
    assert asked == [{"type": "ephemeral", "ttl": "1h"}] * 12
    names = [row["params"]["system"][0]["text"][:10] for row in marks[1]["requests"]]
    assert names == sorted(names, key=names.index), "rows with one front stand side by side"
    one.close(jobs)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (long_rows(3), "three rows do not pay for the write"),
        (rows_of(12), "no front at all"),
        (long_rows(12, families=12), "every front is another"),
    ],
    ids=["few", "short", "different"],
)
def test_nothing_is_marked_where_it_does_not_pay(scene: MakeScene, rows: list[NewRow], why: str) -> None:
    one = scene("anthropic")
    status, _ = one.run(rows)
    assert len(status.batches) == 1, why
    assert not any(line.usage.cache_write_tokens for line in one.sandbox.invoice().lines)
    assert one.books_agree()


def test_marks_of_the_caller_are_left_alone(scene: MakeScene) -> None:
    one = scene("anthropic")
    rows = []
    for row in long_rows(8):
        system = {"role": "system", "content": [{"type": "text", "text": HANDBOOK, "cache_control": {"type": "ephemeral"}}]}
        rows.append(NewRow(row.request.with_(messages=(system, row.request.messages[1])), row.name))
    status, _ = one.run(rows)
    assert len(status.batches) == 1
    assert not any(line.usage.cache_write_1h_tokens for line in one.sandbox.invoice().lines)
    assert one.books_agree()


def test_no_row_goes_ahead_when_the_others_could_come_too_late(scene: MakeScene) -> None:
    one = scene("anthropic", settings=BatchSettings(window_hours=3))
    status, _ = one.run(long_rows(12))
    assert [batch["rows"] for batch in status.batches] == [12]


def test_a_row_ahead_that_is_stuck_does_not_make_the_others_late(scene: MakeScene) -> None:
    one = scene("anthropic", settings=BatchSettings(window_hours=24))
    one.fault("batch_slow", hold_seconds=80_000)
    status, found = one.run(long_rows(12))
    assert all(row.reply is not None for row in found)
    assert [line.lane for line in one.sandbox.invoice().lines].count("batch") == 11 + (status.late_rows == {})
    assert one.books_agree()


def test_a_front_that_misses_the_cache_is_not_marked_again_in_this_store(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this store has seen that marks are seldom read, a job is sent plainly."""
    one = scene("anthropic")
    cost(one, long_rows(24), "warm")
    jobs = one.jobs()
    with jobs.store.writing() as db:
        db.execute('UPDATE calls SET reply = replace(reply, \'"cache_read_tokens":\', \'"cache_read_tokens":0,"x":\')')
    cold = jobs.store.one("SELECT reply FROM calls WHERE marked_tokens > 0 LIMIT 1")
    assert cold is not None
    one.close(jobs)
    status, _ = one.run([NewRow(row.request.with_params(top_k=3), row.name) for row in long_rows(24)], "after")
    assert [batch["rows"] for batch in status.batches] == [24]


def test_killed_between_the_row_ahead_and_the_others_nothing_is_paid_twice(scene: MakeScene) -> None:
    one = scene("anthropic")
    jobs = one.jobs()
    jobs.add(long_rows(10), "one")
    for _ in range(60):  # a fresh process for every step
        wait = jobs.step("one")
        one.close(jobs)
        jobs = one.jobs()
        if wait is None:
            break
        one.clock.advance(wait)
    assert jobs.status("one").done == 10
    assert len(one.sandbox.invoice().lines) == 10
    one.close(jobs)
    assert one.books_agree()


def test_the_ledger_says_what_the_shared_front_saved(scene: MakeScene) -> None:
    import sqlite3

    one = scene("anthropic")
    one.run(long_rows(12))
    db = sqlite3.connect(one.folder / "ledger.sqlite")
    by = dict(db.execute("SELECT technique, sum(picousd) FROM savings GROUP BY technique"))
    db.close()
    assert by["prompt_cache"] > 0
    assert by["batch"] > 0


def test_documents_before_the_question_are_the_front_when_the_conversation_carries_them() -> None:
    def counted(_mark: str, text: str, _model: str) -> int:
        return len(text) // 4

    def body(question: str) -> dict[str, Any]:
        blocks = [{"type": "text", "text": HANDBOOK}, {"type": "text", "text": question}]
        return {"model": "m", "messages": [{"role": "user", "content": blocks}]}

    one, other = (front_of(body(text), HANDBOOK, HAIKU, counted) for text in ("first?", "second?"))
    assert one == other
    assert one.whole is not None
    assert one.head is None
    made = marked(body("first?"), "whole", "1h")
    assert made["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert "cache_control" not in made["messages"][0]["content"][1]
    turns = {
        "messages": [{"role": "user", "content": HANDBOOK}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "?"}]
    }
    assert marked(turns, "whole", "1h")["messages"][1]["content"][0]["cache_control"]["ttl"] == "1h"
    assert "cache_control" not in str(turns), "what was stored is not touched"
