"""Handing rows on and letting them go."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frugal_plugins.cli.app import app
from frugal_plugins.ledger import Period, open_reader, summarize
from frugal_plugins.ledger.keeping import make_sums_again, prune
from tests.ledger.test_rollups import NOON, booked, written

HOUR = 3600


def test_pruned_rows_are_gone_and_their_sums_stay(tmp_path: Path) -> None:
    path = written(tmp_path / "l.sqlite", *(booked(f"r{h}", hours=h) for h in range(10)))
    before = summarize(path)
    with open_reader(path) as reader:
        assert prune(reader.db, NOON.timestamp() + 4 * HOUR + 1800) == 4
        assert prune(reader.db, NOON.timestamp()) == 0
        assert [one.id for one in reader.latest(20)] == ["r9", "r8", "r7", "r6", "r5", "r4"]
        assert reader.calls("r0") == ()
        assert make_sums_again(reader.db) is True
    assert summarize(path) == before


def test_sums_that_are_wrong_are_found_and_made_right(tmp_path: Path) -> None:
    path = written(tmp_path / "l.sqlite", booked("a"))
    with open_reader(path) as reader:
        reader.db.change(["UPDATE rollups SET requests = 7"])
        assert make_sums_again(reader.db) is False
        assert reader.total(Period()).requests == 1


def frugal(*words: str, code: int = 0) -> dict[str, object]:
    done = CliRunner().invoke(app, ["ledger", *words, "--json"])
    assert done.exit_code == code, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_exports_run_no_formula_hold_exact_dollars_and_are_the_owners(tmp_path: Path) -> None:
    ledger = str(written(tmp_path / "l.sqlite", booked("a", team="=cmd|' /C calc'!A0", feature="@SUM(1)"), booked("b", hours=2)))
    out = tmp_path / "rows.csv"
    assert frugal("export", str(out), "--ledger", ledger)["rows"] == 2
    assert out.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(out.open()))
    assert (rows[0]["team"], rows[0]["feature"], rows[0]["actual_usd"], "text" in rows[0]) == (
        "'=cmd|' /C calc'!A0",
        "'@SUM(1)",
        "0.000195",
        False,
    )
    for table in ("calls", "decisions", "savings", "feedback", "rollups"):
        frugal("export", str(tmp_path / f"{table}.csv"), "--table", table, "--ledger", ledger)
    assert frugal("export", str(out), "--ledger", ledger, "--since", "2026-11-22T13:00:00")["rows"] == 1
    assert "has to end in" in str(frugal("export", str(tmp_path / "x.txt"), "--ledger", ledger, code=2)["error"])


def test_parquet_holds_the_same_rows_with_types(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    ledger = str(written(tmp_path / "l.sqlite", booked("a", team='red "and", blue'), booked("b", model="nobody/knows")))
    out = tmp_path / "it's rows.parquet"
    frugal("export", str(out), "--ledger", ledger)
    assert out.stat().st_mode & 0o777 == 0o600
    found = duckdb.read_parquet(str(out)).order("id").project("id, team, actual_usd, input_tokens, typeof(actual_usd)").fetchall()
    assert [(row[0], row[1], row[3]) for row in found] == [("a", 'red "and", blue', 1000), ("b", None, 1000)]
    assert (str(found[0][2]), found[1][2], found[0][4]) == ("0.000195000000", None, "DECIMAL(28,12)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it's rows.parquet", "l.sqlite"]


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    ledger = str(written(tmp_path / "l.sqlite", booked("a"), booked("b", hours=48)))
    assert frugal("rollup", "--ledger", ledger) == {"were_right": True}
    assert frugal("prune", "--before", "2026-11-23", "--compact", "--ledger", ledger)["requests_gone"] == 1
    usage = {"model": "gpt-4o-mini", "input_tokens": 1, "output_tokens": 1}
    invoice = tmp_path / "usage.json"
    invoice.write_text(json.dumps([{"start_time": 1795392000, "end_time": 1795478400, "results": [usage]}]))
    found = frugal("verify", str(invoice), "--ledger", ledger, code=1)
    assert found["agrees"] is False
    plain = CliRunner().invoke(app, ["ledger", "verify", str(invoice), "--ledger", ledger])
    assert "they differ" in plain.output
    assert "no ledger at" in str(frugal("rollup", "--ledger", str(tmp_path / "none"), code=2)["error"])
