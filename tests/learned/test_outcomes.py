"""The store of outcomes keeps numbers and verdicts, never text."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from frugal_plugins.errors import LedgerError
from frugal_plugins.learned.outcomes import Answered, OutcomeFile, said

ROW = np.arange(4, dtype=float)


@pytest.fixture
def store(tmp_path: Path) -> OutcomeFile:
    return OutcomeFile(tmp_path / "outcomes.sqlite")


def seen(store: OutcomeFile, request: str = "r1", model: str = "cheap", prompt: str = "p1", at: float = 1.0, text: str = "42") -> None:
    store.saw_prompt(prompt, ROW, "e1", "question", at)
    store.answered(Answered(request, model, prompt, 100, 5, len(text), "0.0001", said(text), at))


def test_a_verdict_finds_its_answer_and_an_unknown_request_is_said_to_be_unknown(store: OutcomeFile) -> None:
    seen(store)
    assert store.verdict("r1", True, voice="user", at_seconds=2.0)
    assert not store.verdict("nobody", True, voice="user", at_seconds=2.0)
    judged = store.judged("e1")
    assert judged[0].good == {"cheap": 1.0}
    assert judged[0].features.tolist() == ROW.tolist()


def test_without_a_model_the_verdict_is_on_the_answer_the_caller_got(store: OutcomeFile) -> None:
    seen(store, model="cheap", at=1.0)
    seen(store, model="dear", at=2.0)
    store.verdict("r1", False, voice="user", at_seconds=3.0)
    assert store.judged("e1")[0].good == {"dear": 0.0}


def test_the_most_trusted_voice_wins_and_equals_that_contradict_count_by_their_share(store: OutcomeFile) -> None:
    seen(store)
    store.verdict("r1", True, voice="check", at_seconds=2.0)
    store.verdict("r1", False, voice="user", at_seconds=3.0)
    assert store.judged("e1")[0].good == {"cheap": 0.0}
    store.verdict("r1", True, voice="user", at_seconds=4.0)
    assert store.judged("e1")[0].good == {"cheap": 0.5}
    assert store.counts() == {"check": 1, "user": 2}


def test_prompts_read_with_another_embedding_are_left_out(store: OutcomeFile) -> None:
    seen(store)
    store.verdict("r1", True, voice="gold", at_seconds=2.0)
    assert store.judged("e2") == []


def test_no_text_reaches_the_disk_and_the_file_is_ones_own(store: OutcomeFile) -> None:
    seen(store, text="The answer is Rumpelstiltskin")
    store.close()
    assert b"Rumpelstiltskin" not in store.path.read_bytes()
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_answers_that_say_the_same_have_the_same_fingerprint() -> None:
    assert said("The answer is 42.") == said('{"answer": "42 apples"}')
    assert said("42") != said("43")


@pytest.mark.parametrize("mark", [2, -1, float("nan")])
def test_a_verdict_out_of_range_is_refused(store: OutcomeFile, mark: float) -> None:
    seen(store)
    with pytest.raises(ValueError, match="from 0 to 1"):
        store.verdict("r1", mark, voice="user", at_seconds=2.0)


def test_a_file_that_is_something_else_is_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear Anna, " * 100)
    with pytest.raises(LedgerError, match=r"letter\.txt"):
        OutcomeFile(other).counts()
    assert other.read_text().startswith("Dear Anna")


def test_old_outcomes_are_forgotten_whole(store: OutcomeFile) -> None:
    seen(store, at=1.0)
    seen(store, request="r2", prompt="p2", at=10.0)
    store.verdict("r1", True, voice="user", at_seconds=2.0)
    store.verdict("r2", True, voice="user", at_seconds=11.0)
    assert store.forget_before(5.0) == 1
    assert [row.prompt for row in store.judged("e1")] == ["p2"]
    assert store.counts() == {"user": 1}
