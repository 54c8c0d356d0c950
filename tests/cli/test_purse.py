"""Money that is set aside: many requests in flight, never more than may be spent."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from pathlib import Path

import pytest

from frugal_plugins import Recipe
from frugal_plugins.cli.lines import Line
from frugal_plugins.cli.purse import Purse
from frugal_plugins.sandbox import Sandbox
from tests.cli.conftest import Cli, environment, read_lines, requests, write_lines

MODELS = {"recipe": "plain", "tiers": {"one": {"models": ["openai/gpt-4o-mini"]}}, "ledger": {"path": "off"}}


def purse(most_usd: str | None) -> Purse:
    return Purse(None if most_usd is None else Decimal(most_usd), Recipe.load(MODELS))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_the_limit_is_never_crossed_and_many_are_in_flight(seed: int) -> None:
    dice, most = random.Random(seed), []

    async def go() -> tuple[Purse, int]:
        mine, stop, flying, refused = purse("1"), asyncio.Event(), [0], [0]

        async def one(worst: Decimal, cost: Decimal) -> None:
            if not await mine.take(worst, stop):
                refused[0] += 1
                return
            flying[0] += 1
            most.append(flying[0])
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
                assert mine.spent_usd + mine._held_usd <= 1
            flying[0] -= 1
            await mine.settle(worst, cost)

        made = [Decimal(dice.randrange(1, 200)) / 1000 for _ in range(60)]
        await asyncio.gather(*(one(worst, worst * dice.randrange(0, 11) / 10) for worst in made))
        return mine, refused[0]

    mine, refused = asyncio.run(go())
    assert max(most) > 2
    assert mine._held_usd == 0
    assert Decimal("0.7") < mine.spent_usd <= 1
    assert refused


def test_one_that_fits_only_when_others_are_back_waits_for_them_and_stops_with_the_run() -> None:
    async def go() -> list[bool]:
        mine, stop = purse("1"), asyncio.Event()
        assert await mine.take(Decimal("0.8"), stop)
        second = asyncio.create_task(mine.take(Decimal("0.5"), stop))
        await asyncio.sleep(0)
        assert not second.done()
        await mine.settle(Decimal("0.8"), Decimal("0.1"))
        third = asyncio.create_task(mine.take(Decimal("0.9"), stop))
        found = [await second]
        stop.set()
        await mine.wake()
        return [*found, await third, await purse(None).take(Decimal(99), asyncio.Event())]

    assert asyncio.run(go()) == [True, False, True]


def test_a_request_that_may_be_asked_of_a_dearer_model_too_sets_both_aside() -> None:
    tiers = {"small": {"models": ["openai/gpt-4o-mini"]}, "large": {"models": ["openai/gpt-4o"]}}
    said = {**MODELS, "tiers": tiers, "baseline": "large", "tasks": {"yes_no": {"tier": "small", "output_tokens": 5}}}
    line = Line(1, "", messages=({"role": "user", "content": "Is it open?"},), params={"max_tokens": 10}, frugal={"task": "yes_no"})
    costs = {}
    for name, route in {
        "alone": {"escalate": False}, "escalated": {"escalate": True}, "judged": {"escalate": True, "judge_answers": True},
    }.items():  # fmt: skip
        costs[name] = Purse(Decimal(1), Recipe.load({**said, "route": route})).worst_usd(line, "rows")
    assert costs["alone"] * 10 < costs["escalated"] < costs["judged"]


@pytest.mark.parametrize("fault", ["accepted_error", "accepted_disconnect"])
def test_what_is_billed_without_an_answer_counts_as_spent(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from frugal_plugins.sandbox.faults import Fault

    write_lines(folder / "in.jsonl", requests(30, model="gpt-4o"))
    with Sandbox() as sandbox:
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("frugal_plugins.cli.run.backoff_seconds", lambda _attempt: 0.01)
        sandbox.faults.add(Fault(fault, endpoint="chat", probability=0.4, times=40))  # type: ignore[arg-type]
        said = cli.json(
            "run", "recipe.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--provider", "live", "--max-usd", "0.004", code=1,
        )  # fmt: skip
        assert "could cross --max-usd" in said["stopped"]
        assert 0 < sandbox.invoice().total_usd <= Decimal("0.004")
        lines = len(sandbox.invoice().lines)
        answered = [one for one in read_lines(folder / "out.jsonl") if "response" in one]
        assert 0 < len(answered) < lines, "some were billed in vain, and were counted"


def test_answers_thrown_away_for_those_of_a_dearer_model_stay_within_the_limit(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "up.yaml").write_text(
        "recipe: up\nbaseline: large\nroute: {}\nledger: {path: ledger.sqlite}\n"
        "tiers:\n  small: {models: [openai/gpt-4o-mini]}\n  large: {models: [openai/gpt-4o]}\n"
        "tasks:\n  yes_no: {tier: small, output_tokens: 40}\n"
    )
    lines = requests(20, model=None)
    for one in lines:
        one["frugal"] = {"task": "yes_no"}
    write_lines(folder / "in.jsonl", lines)
    asked = [one["body"]["messages"][0]["content"] for one in lines]
    with Sandbox() as sandbox:
        for name, value in environment(sandbox.url).items():
            monkeypatch.setenv(name, value)
        for user in asked:
            sandbox.record({"user": user, "outputs": {"gpt-4o-mini": "I'm sorry, but I can't help with that.", "gpt-4o": "On the third."}})
        said = cli.json("run", "up.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--provider", "live", "--max-usd", "0.0015", code=1)
        assert 0 < said["answered"] < 20
        by = sandbox.invoice().by_model()
        assert set(by) == {"gpt-4o-mini", "gpt-4o"}, "the answers were escalated"
        assert sandbox.invoice().total_usd <= Decimal("0.0015")
