"""Measured savings: right on data whose truth is known, honest about chance, and never mixed with estimates."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from frugal_plugins.ledger import Ledger, Period, open_reader
from frugal_plugins.ledger.measured import Measured, measure
from frugal_plugins.report.evidence import read_evidence
from frugal_plugins.report.figures import evidence_figures
from tests.ledger.test_rollups import NOON, booked, written

CENT = 10**10


class Traffic:
    """Writes plain rows: conversations with a kind of work, a group and a price for each request."""

    def __init__(self, path: Path) -> None:
        Ledger(path).open().close()
        self.path, self.n = path, 0
        self.db = sqlite3.connect(path)

    def add(
        self, group: str, picousd: int, *, task: str = "chat", session: str | None = None, technique: str = "route", **more: object
    ) -> None:
        self.n += 1
        columns = {
            "id": f"r{self.n}", "at_seconds": NOON.timestamp(), "recipe": "shop", "host": "core", "endpoint": "chat", "grp": group,
            "mode": "on", "task": task, "task_source": "declared", "session_hash": session, "request_hash": "h", "stream": 0,
            "model_asked": "m", "model_baseline": "m", "outcome": "answered", "finish_reason": "stop", "input_tokens": 1,
            "cache_read_tokens": 0, "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "output_tokens": 1, "reasoning_tokens": 0,
            "actual_picousd": picousd, "baseline_picousd": picousd, "basis": "estimated", **more,
        }  # fmt: skip
        self.db.execute(f"INSERT INTO requests ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", list(columns.values()))
        if group == "treated":
            self.db.execute("INSERT INTO savings VALUES (?, ?, 1, 'estimated')", (f"r{self.n}", technique))

    def measured(self) -> Measured:
        from frugal_plugins.ledger.rollups import HOUR_IN_SQLITE, rebuild

        self.db.commit()
        with open_reader(self.path) as reader:
            reader.db.change(rebuild(HOUR_IN_SQLITE))
            return measure(reader.db, Period())


def test_a_known_saving_lies_in_its_range_and_kinds_of_work_are_compared_each_with_itself(tmp_path: Path) -> None:
    traffic, dice = Traffic(tmp_path / "l.sqlite"), random.Random(8)
    for n in range(3000):
        # dear work is half of the treated traffic and a fifth of the control traffic: pooled means would show a false saving
        control = n % 10 == 0
        dear = dice.random() < (0.2 if control else 0.5)
        cost = (10 if dear else 1) * CENT * dice.lognormvariate(0, 0.25)
        traffic.add("control" if control else "treated", round(cost * (1 if control else 0.6)), task="dear" if dear else "plain")
    found = traffic.measured()
    assert found.saving is not None
    assert found.saving.low_percent is not None
    assert found.saving.high_percent is not None
    assert found.saving.low_percent < 40 < found.saving.high_percent
    assert 30 < found.saving.low_percent < found.saving.high_percent < 50
    assert found.by_technique["route"].requests == found.saving.requests == 2700
    assert (found.control_requests, found.covered_percent, found.words) == (300, 100.0, ())


def test_conversations_vary_not_requests(tmp_path: Path) -> None:
    spans = {}
    for kind in ("conversations", "singles"):
        traffic, dice = Traffic(tmp_path / f"{kind}.sqlite"), random.Random(1)
        for n in range(200):
            cost = round(CENT * dice.lognormvariate(0, 1))
            for turn in range(20):
                name = f"s{n}" if kind == "conversations" else f"s{n}-{turn}"
                traffic.add("control" if n % 2 else "treated", cost, session=name)
        saving = traffic.measured().saving
        assert saving is not None
        assert saving.low_usd is not None
        assert saving.high_usd is not None
        spans[kind] = saving.high_usd - saving.low_usd
    assert spans["conversations"] / spans["singles"] == pytest.approx(20**0.5, rel=0.1), "twenty equal turns teach no more than one"


def test_techniques_that_act_together_are_not_told_apart(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "l.sqlite")
    for n in range(200):
        traffic.add("control", 10 * CENT + n, task="both")
        traffic.add("treated", 5 * CENT + n, task="both", technique="cache" if n % 2 else "route")
        traffic.add("control", 10 * CENT + n, task="capped")
        traffic.add("treated", 8 * CENT + n, task="capped", technique="cap")
    found = traffic.measured()
    assert list(found.by_technique) == ["cap"]
    assert found.by_technique["cap"].usd == pytest.approx(200 * 0.02)
    assert found.together == ("cache", "route")
    assert found.saving is not None
    assert found.saving.usd == pytest.approx(200 * 0.05 + 200 * 0.02)


def test_worse_answers_show(tmp_path: Path) -> None:
    traffic, dice = Traffic(tmp_path / "l.sqlite"), random.Random(3)
    for n in range(1200):
        group = "control" if n % 4 == 0 else "treated"
        cut = dice.random() < (0.02 if group == "control" else 0.2)
        traffic.add(group, CENT, finish_reason="length" if cut else "stop", schema_valid=int(dice.random() < 0.9), retries=int(cut))
        traffic.db.execute("INSERT INTO feedback VALUES (?, 'caller', ?, 0)", (f"r{traffic.n}", int(not cut)))
    quality = traffic.measured().quality
    assert quality["cut_percent"].difference == pytest.approx(18, abs=4)
    assert quality["cut_percent"].sure
    assert quality["good_percent"].sure
    assert quality["good_percent"].difference < 0
    assert not quality["schema_valid_percent"].sure
    assert "judged_good_percent" not in quality


def test_too_little_control_traffic_gets_no_range_and_none_says_what_to_do(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "l.sqlite")
    for n in range(100):
        traffic.add("control" if n < 10 else "treated", CENT)
    few = traffic.measured()
    assert few.saving is not None
    assert few.saving.low_usd is None
    assert "only 10 control conversations" in few.words[0]
    none = read_evidence(written(tmp_path / "none.sqlite", booked("a"))).measured
    assert none is not None
    assert none.saving is None
    assert "control_percent" in none.words[0]


def test_the_report_keeps_measured_and_estimated_apart(tmp_path: Path) -> None:
    entries = [booked(f"c{n}", group="control", model="openai/gpt-4o") for n in range(40)] + [booked(f"t{n}") for n in range(60)]
    figures = evidence_figures(read_evidence(written(tmp_path / "l.sqlite", *entries)))
    saving = figures["control"]["saving"]
    assert saving["usd"] == pytest.approx(figures["saved_usd"]), "here the estimate is exact, and both figures stand on their own"
    assert saving["low_percent"] == pytest.approx(saving["high_percent"])
    assert figures["control"]["by_technique"]["route"]["requests"] == 60


def test_writers_do_not_wait_for_a_comparison(tmp_path: Path) -> None:
    traffic = Traffic(tmp_path / "l.sqlite")
    for n in range(100):
        traffic.add("control" if n % 2 else "treated", CENT)
    traffic.measured()
    with open_reader(traffic.path) as reader:
        traffic.db.execute("BEGIN IMMEDIATE")  # a writer in the middle of a batch
        assert measure(reader.db, Period()).control_requests == 50
        traffic.db.rollback()
