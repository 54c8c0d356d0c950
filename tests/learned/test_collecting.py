"""What became of requests is kept off the caller's path, as numbers and verdicts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins import Recipe, Reply
from frugal_plugins.errors import InputError
from frugal_plugins.flow import Attempt, Call, Context
from frugal_plugins.learned.collecting import OutcomeLog, Over, prompt_key
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.outcomes import Judged, OutcomeFile
from frugal_plugins.prices import PriceBook
from frugal_plugins.told import read_told
from tests.support import ask_for, reply_with

MINI, STRONG = "openai/gpt-4o-mini", "openai/gpt-4o"


@pytest.fixture
def log(tmp_path: Path) -> OutcomeLog:
    return OutcomeLog(OutcomeFile(tmp_path / "outcomes.sqlite"), PriceBook(), [MINI, STRONG])


def over(*answers: tuple[str, str], text: str = "What is 6 times 7?", id: str = "r1", **params: Any) -> Over:  # noqa: A002
    request = ask_for(text, **params)
    ctx = Context(id=id)
    ctx.attempts = [Attempt(Call(request.with_(model=model)), reply_with(said, model=model)) for model, said in answers]
    return Over(request, ctx, ctx.attempts[-1].reply if answers else reply_with("stored"), 1000.0)


def judged(log: OutcomeLog) -> list[Judged]:
    assert log.flush()
    return log.store.judged(FINGERPRINT)


def test_a_verdict_reaches_the_answer_of_a_request_that_came_before_it(log: OutcomeLog) -> None:
    log.record(over((MINI, "42")))
    assert log.verdict("r1", True, voice="user", at_seconds=1001.0)
    (row,) = judged(log)
    assert row.good == {MINI: 1.0}
    assert row.prompt == prompt_key(ask_for("What is 6 times 7?"))


def test_answers_are_kept_under_the_tiers_names_whatever_the_caller_wrote(log: OutcomeLog) -> None:
    log.record(over(("gpt-4o", "42")))
    log.verdict("r1", False, voice="user", at_seconds=1001.0)
    assert judged(log)[0].good == {STRONG: 0.0}


def test_the_free_checks_speak_when_an_answer_is_no_good(log: OutcomeLog) -> None:
    log.record(over((MINI, ""), (STRONG, "42")))
    assert judged(log)[0].good == {MINI: 0.0}


def test_without_a_model_a_verdict_is_on_what_the_caller_got_even_when_another_was_asked_later(log: OutcomeLog) -> None:
    one = over((MINI, "42"), (STRONG, "41"))
    log.record(Over(one.request, one.ctx, one.ctx.attempts[0].reply, one.at_seconds))
    log.verdict("r1", True, voice="user", at_seconds=1001.0)
    assert judged(log)[0].good == {MINI: 1.0}


@pytest.mark.parametrize("params", [{"tools": [{"type": "function"}]}, {"n": 2}])
def test_requests_the_router_would_not_decide_about_are_not_kept(log: OutcomeLog, params: dict[str, Any]) -> None:
    log.record(over((MINI, "42"), **params))
    assert not log.verdict("r1", True, voice="user", at_seconds=1001.0)


def test_control_traffic_judges_answers_that_can_be_compared(log: OutcomeLog) -> None:
    log.record(over((MINI, "The answer is 42."), id="cheap"))
    log.record(over((STRONG, "42"), id="control"))
    log.record(over((MINI, "7"), text="What is 5 plus 3?", id="cheap2"))
    log.record(over((STRONG, "8"), text="What is 5 plus 3?", id="control2"))
    assert log.flush()
    assert log.store.compare_with(STRONG, 2000.0) == 2
    assert sorted((row.good[MINI], row.good[STRONG]) for row in judged(log)) == [(0.0, 1.0), (1.0, 1.0)]
    assert log.store.compare_with(STRONG, 2001.0) == 0


def test_a_file_that_cannot_be_written_loses_rows_and_says_so_and_traffic_goes_on(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("not a database, and long enough to be read as one" * 50)
    log = OutcomeLog(OutcomeFile(tmp_path / "other.txt"), PriceBook(), [MINI])
    log.record(over((MINI, "42")))
    assert log.flush()
    assert log.lost == 1


def recipe(tmp_path: Path, **sections: Any) -> Recipe:
    return Recipe.load(
        {
            "recipe": "own",
            "tiers": {"simple": {"models": [MINI]}, "standard": {"models": [STRONG]}},
            "tasks": {"yes_no": {"tier": "simple"}},
            "route": {"outcomes": str(tmp_path / "outcomes.sqlite")},
            "cache": {},
            "ledger": {"path": str(tmp_path / "ledger.sqlite")},
            **sections,
        }
    )


def through(recipe: Recipe, text: str, answer: str) -> tuple[str, Reply]:
    from frugal_plugins.drivers import drive

    flow, ctx = recipe.flow(ask_for(text))
    return ctx.id, drive(flow, ctx, lambda call: reply_with(answer, model=call.request.model))


def test_feedback_reaches_the_ledger_the_router_and_the_cache(tmp_path: Path) -> None:
    own = recipe(tmp_path)
    first, _ = through(own, "Is Rome in Italy? Answer yes or no.", "No.")
    again, reply = through(own, "Is Rome in Italy? Answer yes or no.", "unused")
    assert reply.saved is not None
    heard = own.feedback(again, good=False)
    assert heard.answer_rejected
    assert own.feedback(first, good=False).in_outcomes
    _, fresh = through(own, "Is Rome in Italy? Answer yes or no.", "Yes.")
    assert fresh.saved is None
    own.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM feedback").fetchone() == (2,)


def test_a_verdict_that_is_none_is_refused(tmp_path: Path) -> None:
    own = recipe(tmp_path)
    with pytest.raises(InputError, match="from 0 to 1"):
        own.feedback("x", 7)
    with pytest.raises(InputError, match="nobody who can give a verdict"):
        own.feedback("x", True, source="somebody")  # type: ignore[arg-type]
    assert not own.feedback("unknown", True).in_outcomes
    own.close()


@pytest.mark.parametrize(("word", "percent"), [("economy", 90.0), ("balanced", 95.0), ("high", 99.0), (97, 97)])
def test_the_quality_knob_takes_words(tmp_path: Path, word: Any, percent: float) -> None:
    route = recipe(tmp_path, route={"keep_quality_percent": word}).settings.route
    assert route is not None
    assert route.keep_quality_percent == percent


@pytest.mark.parametrize("good", [True, 0.25])
def test_feedback_may_come_along_with_the_next_request(tmp_path: Path, good: float) -> None:
    own = recipe(tmp_path)
    first, _ = through(own, "Is Rome in Italy? Answer yes or no.", "Yes.")
    told = read_told({"frugal": {"feedback": {"id": first, "good": good}}})
    own.flow(ask_for("And Oslo?"), told=told)
    own.close()
    assert [row.good for row in OutcomeFile(tmp_path / "outcomes.sqlite").judged(FINGERPRINT)] == [{MINI: float(good)}]
    with sqlite3.connect(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.execute("SELECT count(*) FROM feedback").fetchone() == (1,)


@pytest.mark.parametrize("said", ["good", {"id": "x"}, {"id": "x", "good": 3}, {"id": 7, "good": True}])
def test_feedback_nobody_understands_is_left_out(said: Any) -> None:
    assert read_told({"frugal": {"feedback": said}}).feedback is None
