"""What the neighbours agree on decides, the budget holds on traffic that was not seen, and the bar moves with what is learned."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.calibration import LEAST_QUESTIONS, Calibration, Sample, fit, load, save
from frugal_plugins.meaning.consensus import ColdStart, Near, candidate
from frugal_plugins.meaning.evidence import Evidence
from frugal_plugins.meaning.sureness import DEGREES, degree, probability_at


def near(cosine: float, answer: str, question: str = "how do i open an account", row: int = 0) -> Near:
    return Near(row, cosine, answer, question, np.array([cosine, (1 - cosine**2) ** 0.5], dtype=np.float32))


def test_the_answer_most_neighbours_have_wins_over_the_very_nearest() -> None:
    found = candidate("how do i open an account", [near(0.9, "odd one", row=1), *[near(0.89, "common", row=n) for n in range(2, 9)]])
    assert (found.near.answer, found.near.row) == ("common", 2)


@pytest.mark.parametrize(
    ("question", "stored", "cosine", "hit"),
    [
        ("How do I open an account?", "how do i open an account", 0.82, True),
        ("How do I open an account?", "how do i open an account", 0.79, False),
        ("Which papers do I need for an account?", "What documents are needed to get an account?", 0.91, False),
        ("Is the shop open on Sunday?", "Is the shop open on Monday?", 0.99, False),
    ],
)
def test_the_cold_start_rule_asks_for_nearness_and_equal_meaning(question: str, stored: str, cosine: float, hit: bool) -> None:
    assert ColdStart().decide(question, [near(cosine, "a", stored)]).hit is hit


def test_the_cold_start_rule_turns_down_what_a_near_question_with_another_answer_contests() -> None:
    same = near(0.97, "a", "how do i open an account")
    assert ColdStart().decide("How do I open an account?", [same, near(0.7, "b", row=2)]).hit
    assert not ColdStart().decide("How do I open an account?", [same, near(0.9, "b", row=2)]).hit
    assert ColdStart().decide("How do I open an account?", [same, near(0.9, "a", row=2)]).hit


def traffic(count: int, answers: int = 30, spread: float = 0.75, seed: int = 0) -> list[Sample]:
    """Questions around answers that overlap a little, and some that belong to none."""
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(answers, 48))
    samples = []
    for number in range(count):
        one = int(dice.integers(0, answers))
        alone = dice.random() < 0.08
        vector = dice.normal(size=48) if alone else centres[one] + dice.normal(scale=spread, size=48)
        vector /= np.linalg.norm(vector)
        samples.append(
            Sample(f"question about topic{one if not alone else ''}", vector.astype(np.float32), f"alone {number}" if alone else f"{one}")
        )
    return samples


def judged(calibration: Calibration, samples: list[Sample], stored: list[Sample]) -> tuple[float, float]:
    table = np.asarray([s.vector for s in stored])
    hits = wrong = 0
    for sample in samples:
        cosines = table @ sample.vector
        order = np.argsort(-cosines)[:32]
        found = calibration.rule.decide(
            sample.question, [Near(int(i), float(cosines[i]), stored[i].answer, stored[i].question, table[i]) for i in order]
        )
        hits += found.hit
        wrong += found.near is not None and found.near.answer != sample.answer
    return hits / len(samples), wrong / len(samples)


@pytest.mark.parametrize("count", [600, 2500])
def test_the_budget_holds_on_traffic_that_was_not_seen(count: int) -> None:
    shadow = traffic(count)
    fitted = fit(shadow, embedder="e")
    assert fitted is not None
    hit, wrong = judged(fitted, traffic(1500, seed=1), shadow)
    assert hit > 0.4
    assert wrong <= 0.01
    assert fitted.expected_wrong_percent <= fitted.wrong_at_most_percent <= 1.0


def test_a_wider_budget_gives_more_hits() -> None:
    shadow = traffic(1200)
    narrow, wide = fit(shadow, embedder="e", max_wrong_percent=0.5), fit(shadow, embedder="e", max_wrong_percent=3)
    assert narrow is not None
    assert wide is not None
    assert narrow.expected_hit_percent < wide.expected_hit_percent


def test_nothing_is_fitted_on_too_little_or_on_hopeless_traffic() -> None:
    assert fit(traffic(LEAST_QUESTIONS - 1), embedder="e") is None
    dice = random.Random(0)
    hopeless = [replace(sample, answer=str(dice.random())) for sample in traffic(600)]
    assert fit(hopeless, embedder="e") is None


def test_partitions_never_vouch_for_each_other() -> None:
    apart = [replace(sample, partition=str(number)) for number, sample in enumerate(traffic(600))]
    assert fit(apart, embedder="e") is None


def test_a_guard_stands_until_the_traffic_has_shown_it_harmless() -> None:
    words = [f"order number {number} is late" for number in range(900)]
    harmless = [replace(sample, question=words[n]) for n, sample in enumerate(traffic(900))]
    fitted = fit(harmless, embedder="e")
    assert fitted is not None
    assert "numbers" in fitted.rule.lifted
    assert "negation" not in fitted.rule.lifted
    found = fitted.rule.decide("order number 5 is not late", [near(0.99, "a", "order number 5 is late")] * 32)
    assert "negation" in found.why


def test_a_calibration_survives_its_file_and_holds_no_text(tmp_path: Path) -> None:
    fitted = fit(traffic(700), embedder="e", made_at_seconds=5.0)
    assert fitted is not None
    save(fitted, tmp_path / "c.json")
    assert load(tmp_path / "c.json") == fitted
    assert "question" not in (tmp_path / "c.json").read_text().replace('"question"', "").replace('"questions"', "")


@pytest.mark.parametrize("written", ["", "{}", "[1]", '{"version": 1}', '{"version": 99, "features": []}'])
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path: Path, written: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(written)
    with pytest.raises(FrugalError, match=r"c\.json.*frugal calibrate --cache"):
        load(path)


def test_a_calibration_of_other_features_is_refused(tmp_path: Path) -> None:
    fitted = fit(traffic(700), embedder="e")
    assert fitted is not None
    save(fitted, tmp_path / "c.json")
    read = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**read, "features": ["another"]}))
    with pytest.raises(FrugalError, match="another version"):
        load(tmp_path / "c.json")


def an_evidence(requests: int = 1000, **known: float) -> Evidence:
    """Sureness spread evenly, and the rule's probabilities are right."""
    asked = [requests / 200 if 60 <= number < 260 else 0.0 for number in range(DEGREES)]
    return Evidence(requests, [count * (1 - probability_at(number)) for number, count in enumerate(asked)], asked, **known)  # type: ignore[arg-type]


def test_more_labelled_questions_and_a_wider_budget_lower_the_bar() -> None:
    bars = [an_evidence(requests, max_wrong_percent=percent).bar for requests, percent in ((500, 1.0), (20_000, 1.0), (20_000, 3.0))]
    assert None not in bars
    assert bars == sorted(bars, reverse=True)  # type: ignore[type-var]
    assert len(set(bars)) == 3


def test_misses_that_would_have_been_right_lower_the_bar() -> None:
    evidence = an_evidence()
    before = evidence.bar
    assert before is not None
    for number in range(4000):
        evidence.labelled_miss(before - 5 - number % 20, right=True)
    assert evidence.bar is not None
    assert evidence.bar < before


def test_misses_that_would_have_been_wrong_more_often_than_expected_raise_the_bar() -> None:
    evidence = an_evidence()
    before = evidence.bar
    assert before is not None
    for number in range(600):
        evidence.labelled_miss(before - 1 - number % 30, right=number % 3 > 0)
    assert evidence.bar is None or evidence.bar > before


def test_what_is_found_to_be_of_a_new_kind_raises_the_bar() -> None:
    asked = [5.0 if 60 <= number < 260 else 0.0 for number in range(DEGREES)]
    wrong = [count * (1 - probability_at(number)) for number, count in enumerate(asked)]
    known = Evidence(1000, wrong, asked, 1.0, [0.005 if number < 200 else 0.0 for number in range(DEGREES)])
    unaware = Evidence(1000, wrong, asked)
    usual, before = unaware.bar, known.bar
    assert usual is not None
    assert before is not None
    for evidence in (known, unaware):
        for number in range(300):
            at = usual - 1 - number % 40
            evidence.labelled_miss(at, right=(number * 7919 % 1000) / 1000 < probability_at(at) - 0.1)
    assert unaware.bar is not None
    assert known.bar is None or known.bar > max(before, unaware.bar)


def test_when_new_kinds_of_questions_would_be_too_dear_nothing_is_served_until_misses_show_that_there_are_none() -> None:
    asked = [5.0 if 60 <= number < 260 else 0.0 for number in range(DEGREES)]
    wrong = [count * (1 - probability_at(number)) for number, count in enumerate(asked)]
    evidence = Evidence(1000, wrong, asked, 1.0, [0.005 if 60 <= number < 260 else 0.0 for number in range(DEGREES)])
    careful, dice = evidence.bar, random.Random(2)
    for _ in range(3_000):
        at = dice.randrange(60, 260)
        if evidence.bar is not None and at >= evidence.bar:
            evidence.served(at)
        else:
            evidence.labelled_miss(at, dice.random() < probability_at(at))
    assert evidence.bar is not None
    assert careful is None or evidence.bar < careful - 20


def test_the_wrong_answers_served_stay_within_the_budget_and_most_of_it_is_used() -> None:
    dice, evidence, hits, wrong = random.Random(4), an_evidence(2000), 0, 0
    for _ in range(12_000):
        at = dice.randrange(60, 260)
        right = dice.random() < probability_at(at)
        if evidence.bar is not None and at >= evidence.bar:
            hits, wrong = hits + 1, wrong + (not right)
            evidence.served(at)
        else:
            evidence.labelled_miss(at, right)
    assert 0.005 < wrong / 12_000 <= 0.01
    assert hits > 7_000


def test_audits_that_find_wrong_answers_raise_the_bar_until_nothing_is_served() -> None:
    evidence = an_evidence()
    before = evidence.bar
    assert before is not None
    for _ in range(13):
        evidence.audited(before + 3, right=False)
    assert evidence.bar is None or evidence.bar > before + 3
    for _ in range(40):
        evidence.rejected(DEGREES - 1)
    assert evidence.stood_down


def test_one_wrong_answer_among_many_audits_is_no_alarm() -> None:
    evidence = an_evidence()
    before = evidence.bar
    assert before is not None
    for number in range(60):
        evidence.audited(before + 10 + number, right=number != 30)
    assert evidence.bar is not None
    assert evidence.bar <= before + 10


def test_degrees_are_the_log_odds_of_a_probability() -> None:
    for probability in (0.05, 0.5, 0.9, 0.999):
        number = degree(probability)
        assert probability_at(number) <= probability <= probability_at(number + 1) + 1e-9
    assert degree(0.0) == 0
    assert degree(1.0) == DEGREES - 1
