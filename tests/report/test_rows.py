"""A figure of a report leads to its rows: typed in a terminal, clicked on the page."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frugal_plugins.cli.app import app
from frugal_plugins.report.evidence import read_evidence
from frugal_plugins.report.page import html_page
from tests.chromium import CONTRAST, DESK, PATIENCE_MS, PHONE, chromium, too_wide


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["report", *words])
    return done.exit_code, done.stdout, done.stderr


def test_the_rows_behind_a_figure_are_typed_for(ledger: Path) -> None:
    code, out, _ = run("--ledger", str(ledger), "--rows", "technique=cache", "--rows", "outcome=hit", "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert row["outcome"] == "hit"
    assert row["saved_by_usd"].keys() == {"cache"}
    assert row["why"][0]["technique"] == "cache"
    assert "Is <b>this</b>" not in out
    _, out, _ = run("--ledger", str(ledger), "--rows", "task=document")
    assert out.startswith("1 rows with task=document.")
    _, out, _ = run("--ledger", str(ledger), "--rows", "task=yes_no", "--most", "1", "--json")
    assert json.loads(out)["cut_at"] == 1


def test_a_name_no_row_has_is_refused_with_the_nearest_one(ledger: Path) -> None:
    for said in ("tecnique=cache", "technique"):
        code, _, err = run("--ledger", str(ledger), "--rows", said)
        assert code == 2
        assert "is not NAME=VALUE" in err
    assert "Did you mean technique=cache?" in run("--ledger", str(ledger), "--rows", "tecnique=cache")[2]


@pytest.fixture
def page(ledger: Path, tmp_path: Path) -> Path:
    made = tmp_path / "report.html"
    made.write_text(html_page(read_evidence(ledger)), encoding="utf-8")
    return made


def test_a_name_in_a_table_is_clicked_and_its_rows_are_shown(page: Path) -> None:
    with chromium() as browser:
        for size, scheme in ((DESK, "light"), (PHONE, "dark")):
            opened = browser.new_context(viewport=size, color_scheme=scheme).new_page()  # type: ignore[arg-type]
            opened.set_default_timeout(PATIENCE_MS)
            wrong: list[str] = []
            opened.on("console", lambda message, into=wrong: into.append(message.text) if message.type == "error" else None)
            opened.on("pageerror", lambda error, into=wrong: into.append(str(error)))
            opened.goto(page.as_uri())
            assert too_wide(opened) <= 0
            assert opened.evaluate(CONTRAST) == []
            opened.get_by_text("Spend by task: the same as a table").click()
            opened.get_by_role("link", name="document").click()
            assert opened.locator("#found").inner_text() == "1 of 3 shown"
            assert opened.locator(".requests tbody tr:visible").count() == 1
            assert wrong == []
            opened.context.close()


def test_a_models_rows_are_found_by_the_name_the_report_shows(ledger: Path) -> None:
    with sqlite3.connect(ledger) as db:
        db.execute("UPDATE calls SET model = 'openai/gpt-4o' WHERE request_id = (SELECT min(request_id) FROM calls)")
    for name in ("gpt-4o", "openai/gpt-4o"):
        assert run("--ledger", str(ledger), "--rows", f"model={name}")[1].startswith("1 rows with")
    assert run("--ledger", str(ledger), "--rows", "model=azure/gpt-4o")[1].startswith("0 rows with")


def test_a_value_no_row_has_is_answered_with_the_nearest_one(ledger: Path) -> None:
    said = run("--ledger", str(ledger), "--rows", "technique=cach", "--rows", "outcome=hit")[1]
    assert said.startswith("0 rows with technique=cach, outcome=hit.")
    assert "Did you mean technique=cache?" in said
    assert "Did you mean" not in run("--ledger", str(ledger), "--rows", "team=zebra")[1]


def test_a_part_that_no_technique_decided_leads_to_its_rows_too(ledger: Path) -> None:
    with sqlite3.connect(ledger) as db:
        db.execute("INSERT INTO savings SELECT id, 'other', -1000000, 'untouched' FROM requests LIMIT 1")
    assert run("--ledger", str(ledger), "--rows", "technique=other")[1].startswith("1 rows with technique=other.")
