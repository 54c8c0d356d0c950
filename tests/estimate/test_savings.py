"""What each technique would save: the arithmetic a person can follow, nothing counted twice, and the prediction against what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugal_plugins.estimate import Estimate, Numbers, estimate_numbers
from frugal_plugins.estimate.replay import FLOW, HIGH, LIKELY, LOW, OFF, alone, together, total
from frugal_plugins.estimate.savings import Saving
from frugal_plugins.recipe.settings import parse
from frugal_plugins.recipe.source import read_recipe
from tests.estimate.conftest import NOW_SECONDS, Write, chat, estimated
from tests.estimate.half_months import halves, prediction, write_logs

GPT_4O_USD = (1000 * 2.5 + 100 * 10) / 1e6
SUPPORT = "You are a customer support assistant. " + "Rule: be kind and exact. " * 400


def part(found: Estimate, name: str) -> Saving:
    return next(saving for saving in found.savings.techniques if saving.name == name)


def leak(found: Estimate, name: str) -> tuple[int, float]:
    return next(((one.requests, one.usd) for one in found.leaks if one.name == name), (0, 0.0))


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Estimate:
    first, second = halves()
    return estimated(write_logs([*first, *second], tmp_path_factory.mktemp("month") / "month.jsonl"))


@pytest.mark.parametrize("strength", [LOW, LIKELY, HIGH])
def test_the_parts_sum_to_the_whole_and_the_whole_is_less_than_its_parts_alone(month: Estimate, strength: object) -> None:
    found, s = month.piles, strength
    combined = together(found, s)  # type: ignore[arg-type]
    assert sum(combined.values()) == pytest.approx(total(found, OFF) - total(found, s))  # type: ignore[arg-type]
    assert sum(alone(found, s).values()) > sum(combined.values())  # type: ignore[arg-type]
    assert total(found, OFF) == pytest.approx(float(month.spend.usd))


def test_ranges_are_ranges_and_all_of_them_are_explained(month: Estimate) -> None:
    assert [saving.name for saving in month.savings.techniques] == list(FLOW)
    assert sorted(saving.rank for saving in month.savings.techniques) == list(range(1, 8))
    for saving in month.savings.techniques:
        for found in (saving.alone, saving.combined):
            assert found.low <= found.likely <= found.high <= month.savings.before
        assert saving.driver
        assert saving.risk
    assert month.savings.by_rank()[0].name == "route"


def test_only_repeats_within_the_time_and_the_tenant_count(lines: Write) -> None:
    at, day = 1_793_500_000, 86_400
    records = [
        chat("Do you ship to Norway?", at=at, frugal={"tenant": "a"}),
        chat("Do you ship to Norway?", at=at + 60, frugal={"tenant": "a"}),
        chat("Do you ship to Norway?", at=at + 120, frugal={"tenant": "b"}),
        chat("Hi, do you ship to norway please", at=at + 180, frugal={"tenant": "a"}),
        chat("Do you ship to Norway?", at=at + 3 * day, frugal={"tenant": "a"}),
        chat("Do you ship to Norway?", at=at + 3 * day, frugal={"tenant": "a"}, params={"n": 2}),
    ]
    found = estimated(lines(records))
    assert leak(found, "exact repeats") == (1, pytest.approx(GPT_4O_USD))
    assert leak(found, "near repeats") == (1, pytest.approx(GPT_4O_USD))
    assert together(found.piles, LIKELY)["cache"] == pytest.approx(GPT_4O_USD * 1.95)
    assert together(found.piles, LOW)["cache"] == pytest.approx(GPT_4O_USD * 1.4)


def test_route_follows_the_recipe_and_leaves_unknown_work_alone(lines: Write) -> None:
    records = [chat(f"Answer yes or no: is {n} even?", at=1_793_500_000 + n) for n in range(4)]
    records += [chat(f"Tell me about number {n}", at=1_793_600_000 + n) for n in range(3)]
    found = estimated(lines(records))
    cheaper = (1000 * 0.15 + 100 * 0.60) / 1e6
    assert leak(found, "simple work on dear models")[0] == 4
    assert alone(found.piles, HIGH)["route"] == pytest.approx(4 * (GPT_4O_USD - (1000 * 0.15 + 90 * 0.60) / 1e6))
    assert alone(found.piles, LIKELY)["route"] == pytest.approx(4 * 0.95 * (GPT_4O_USD - cheaper))


def test_tools_and_dear_tasks_do_not_move(lines: Write) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    records = [
        chat("Is it? yes or no", params={"tools": tools}),
        chat("x", frugal={"task": "reasoning"}),
        chat("y", frugal={"task": "code"}),
    ]
    assert part(estimated(lines(records)), "route").combined.high == 0


def test_a_verdict_that_talks_on_is_capped_and_a_tight_budget_costs(lines: Write) -> None:
    records = [chat(f"yes or no? {n}", at=1_793_500_000 + n, frugal={"task": "yes_no"}) for n in range(3)]
    found = estimated(lines(records))
    assert leak(found, "words after a verdict") == (3, pytest.approx(3 * 95 * 10 / 1e6))
    assert alone(found.piles, HIGH)["cap"] == pytest.approx(3 * 95 * 10 / 1e6)
    support = parse(read_recipe("support"))
    long = [chat(f"Extract {n}", at=1_793_500_000 + n, prompt=100, output=60, frugal={"task": "extraction"}) for n in range(5)]
    tight = estimated(lines(long, "long.jsonl"), recipe=support)
    assert part(tight, "cap").combined.low < 0


def test_an_own_limit_leaves_nothing_to_cap(lines: Write) -> None:
    records = [chat("yes or no?", output=5, frugal={"task": "yes_no"}, params={"max_tokens": 5})]
    found = estimated(lines(records))
    assert part(found, "cap").combined.high == 0
    assert leak(found, "uncapped outputs") == (0, 0.0)


def test_cold_prefixes_at_anthropic_and_at_openai(lines: Write) -> None:
    records = [chat(f"q{n}", at=1_793_500_000 + 60 * n, model="claude-sonnet-4-5", prompt=4000, system=SUPPORT) for n in range(10)]
    found = estimated(lines(records))
    count, usd = leak(found, "cold prefixes")
    assert count == 9
    assert 9 * 3500 * 3 / 1e6 < usd < 9 * 4000 * 3 / 1e6
    likely = alone(found.piles, LIKELY)["prompt_cache"]
    warm = usd / 3 * 1e6
    assert likely == pytest.approx(0.85 * (warm * (3 - 0.3) - warm / 9 * 0.75) / 1e6, rel=1e-3)
    apart = [chat(f"q{n}", at=1_793_500_000 + 600 * n, model="claude-sonnet-4-5", prompt=4000, system=SUPPORT) for n in range(10)]
    assert leak(estimated(lines(apart, "apart.jsonl")), "cold prefixes") == (0, 0.0)
    warm_already = [chat(f"q{n}", at=1_793_500_000 + 60 * n, prompt=4000, cached=3968 if n else 0, system=SUPPORT) for n in range(5)]
    assert leak(estimated(lines(warm_already, "warm.jsonl")), "cold prefixes")[1] < 0.001


def test_long_conversations_grow(lines: Write) -> None:
    turns: list[dict[str, str]] = []
    records = []
    for n in range(9):
        records.append(
            chat(f"turn {n} " + "word " * 80, at=1_793_500_000 + 30 * n, prompt=200 + 400 * n, earlier=list(turns), frugal={"session": "s"})
        )
        turns += [{"role": "user", "content": f"turn {n} " + "word " * 80}, {"role": "assistant", "content": "answer " * 200}]
    found = estimated(lines(records))
    assert leak(found, "growing histories")[0] == 6
    assert 0 < part(found, "history").combined.likely < leak(found, "growing histories")[1]


def test_work_that_waits_costs_half_and_marked_work_is_surer(lines: Write) -> None:
    marked = [chat(f"q{n}", at=1_793_500_000 + n, frugal={"team": "nightly", "task": "drafting"}) for n in range(3)]
    found = estimated(lines(marked))
    assert alone(found.piles, LIKELY)["batch"] == pytest.approx(3 * GPT_4O_USD / 2)
    judged = [chat(f"Summarize the text {n}", at=1_793_500_000 + n) for n in range(3)]
    guessed = estimated(lines(judged, "judged.jsonl"))
    assert alone(guessed.piles, LOW)["batch"] == 0
    assert alone(guessed.piles, HIGH)["batch"] == pytest.approx(3 * GPT_4O_USD / 2)
    streamed = [chat("Summarize it", params={"stream": True})]
    assert part(estimated(lines(streamed, "streamed.jsonl")), "batch").combined.high == 0


def test_shortening_acts_on_what_is_not_cached(lines: Write) -> None:
    found = estimated(lines([chat(cached=600)]))
    assert alone(found.piles, HIGH)["shorten"] == pytest.approx(0.10 * 400 * 2.5 / 1e6)


def test_a_few_numbers_are_enough_and_say_what_they_hide() -> None:
    found = estimate_numbers(
        [Numbers("gpt-4o", 30_000, 1000, 100), Numbers("gpt-4o-mini", 70_000, 1000, 100, 50.0)], now_seconds=NOW_SECONDS
    )
    assert float(found.spend.usd) == pytest.approx(30_000 * GPT_4O_USD + 70_000 * (500 * 0.15 + 500 * 0.075 + 100 * 0.6) / 1e6)
    assert found.spend.month_usd == found.spend.usd
    assert not part(found, "cache").visible
    short = estimate_numbers([Numbers("gpt-4o", 30_000, 1000, 20)], now_seconds=NOW_SECONDS)
    assert part(short, "route").combined.low == 0
    assert part(short, "route").combined.likely > 0


@pytest.mark.parametrize("recipe", ["support"])
def test_what_the_first_half_predicts_the_second_half_does(recipe: str, tmp_path: Path) -> None:
    found = prediction(recipe, tmp_path)
    measured = {name: one for name, one in found.items() if one["measured"] is not None}
    assert set(measured) == {"cache", "route", "cap", "history", "shorten", "prompt_cache"}
    assert all(one["inside"] for one in measured.values()), measured
    assert measured["route"]["low"] > 25
    assert measured["route"]["high"] - measured["route"]["low"] < 35


def test_tool_results_in_json_are_seen_as_something_history_can_shorten(lines: Write) -> None:
    result = json.dumps([{"id": n, "city": "Oslo", "state": "open"} for n in range(80)])
    asked = [{"role": "assistant", "content": None, "tool_calls": []}, {"role": "tool", "tool_call_id": "c", "content": result}]
    plain = estimated(lines([chat(f"q{n}", prompt=3000) for n in range(20)]))
    agents = [chat(f"q{n}", prompt=3000) for n in range(20)]
    for one in agents:
        one["request"]["messages"] += asked
    found = estimated(lines(agents, "agents.jsonl"))
    assert part(plain, "history").combined.high == 0
    saved = part(found, "history").combined
    assert 0 < saved.low < saved.likely < saved.high < 0.3 * found.savings.before
