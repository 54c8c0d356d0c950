"""Sessions outlive a process, belong to one scope, and are never overwritten by a worker that read an older one."""

from __future__ import annotations

import multiprocessing
import stat
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.errors import FrugalError
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prefix.postgres import PostgresSessions
from frugal_plugins.prefix.sessions import MemorySessions, Session, SessionFile, SessionStore, session_key
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request

NAMES = count()


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    if request.param == "memory":
        return MemorySessions()
    if request.param == "file":
        return SessionFile(tmp_path / "sessions.sqlite")
    return PostgresSessions(request.getfixturevalue("postgres"), table=f"sessions_{next(NAMES)}")


def a_session(text: str = "x", version: int = 0, until: float = 100.0, owner: str = "o") -> Session:
    return Session("k", {"summary": text, "at_seconds": 1.0}, version, until, owner)


def test_what_was_kept_comes_back_until_its_time_is_over(store: SessionStore) -> None:
    assert store.put(a_session())
    found = store.get("k", 50.0)
    assert found is not None
    assert found.data["summary"] == "x"
    assert found.version == 1
    assert store.get("k", 100.0) is None


def test_a_write_on_top_of_an_older_version_is_refused(store: SessionStore) -> None:
    assert store.put(a_session("first"))
    assert store.put(a_session("second", version=1))
    assert not store.put(a_session("late", version=1))
    found = store.get("k", 5.0)
    assert found is not None
    assert found.data["summary"] == "second"


def test_an_owners_sessions_are_forgotten_and_no_others(store: SessionStore) -> None:
    store.put(a_session(owner="a"))
    store.put(Session("other", {}, 0, 100.0, "b"))
    assert store.forget("a") == 1
    assert store.get("other", 1.0) is not None
    assert store.forget() == 1


def test_memory_is_bounded() -> None:
    store = MemorySessions(max_entries=2)
    for number in range(5):
        store.put(Session(str(number), {}, 0, 100.0))
    assert [store.get(str(number), 0.0) is not None for number in range(5)] == [False, False, False, True, True]


def test_a_file_is_private_and_a_foreign_one_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    SessionFile(tmp_path / "s.sqlite")
    assert stat.S_IMODE((tmp_path / "s.sqlite").stat().st_mode) == 0o600
    foreign = tmp_path / "letter.txt"
    foreign.write_text("Dear Anna, " * 100)
    with pytest.raises(FrugalError, match=r"letter\.txt.*Name another file"):
        SessionFile(foreign)
    assert foreign.read_text().startswith("Dear Anna")


def _count(path: str, times: int, done: Any) -> None:
    store = PostgresSessions(path, table="sessions_counted") if is_postgres(path) else SessionFile(path)
    kept = 0
    while kept < times:
        found = store.get("k", 1.0) or Session("k", {"n": 0})
        kept += store.put(Session("k", {"n": found.data["n"] + 1}, found.version, 100.0))
    done.put(kept)


@pytest.mark.parametrize("kind", ["file", "postgres"])
def test_two_processes_on_one_session_lose_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue("postgres") if kind == "postgres" else str(tmp_path / "s.sqlite")
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=_count, args=(path, 20, done)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = (PostgresSessions(path, table="sessions_counted") if kind == "postgres" else SessionFile(path)).get("k", 1.0)
    assert found is not None
    assert found.data["n"] == 40


def test_a_server_that_is_gone_sends_conversations_whole_and_comes_back(postgres: str) -> None:
    store = PostgresSessions("host=/nowhere dbname=postgres", table="sessions_gone")
    assert not store.put(a_session())
    assert store.get("k", 1.0) is None
    assert store.forget() == 0
    assert store.unavailable == 4
    store._server.dsn, store._server._closed_until = postgres, 0.0
    assert store.put(a_session())
    assert store.get("k", 1.0) is not None


def test_a_table_name_is_never_a_way_in() -> None:
    with pytest.raises(FrugalError, match="table name"):
        PostgresSessions("dbname=x", table="a; DROP TABLE b")


def test_a_recipe_may_name_a_server(postgres: str) -> None:
    said = {"recipe": "r", "tiers": {"only": {"models": ["openai/gpt-4o"]}}, "history": {"path": postgres}, "ledger": "off"}
    (history,) = (step for step, _ in Recipe.load(said).steps if step.name == "history")
    assert isinstance(history.store, PostgresSessions)  # type: ignore[attr-defined]
    assert history.store.put(a_session())  # type: ignore[attr-defined]


def messages(*texts: str) -> tuple[dict[str, str], ...]:
    return tuple({"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts))


def test_a_conversation_without_a_name_is_known_by_how_it_began() -> None:
    one = Request("m", messages("Hi", "Hello Anna", "My order?", "Which?", "4711"))
    longer = one.with_(messages=(*one.messages, *messages("a", "b")))
    other = one.with_(messages=messages("Hi", "Hello Bert", "My order?", "Which?", "4711"))
    assert session_key(one, "history") == session_key(longer, "history")
    assert session_key(one, "history") != session_key(other, "history")


def test_scopes_tenants_and_techniques_never_share_a_name() -> None:
    one = Request("m", messages("Hi"), session="s1")
    keys = {
        session_key(one, "history"),
        session_key(one, "prompt_cache"),
        session_key(one.with_(scope=("key-2",)), "history"),
        session_key(one.with_(tags={"tenant": "b"}), "history"),
        session_key(one.with_(session="s2"), "history"),
    }
    assert len(keys) == 5
