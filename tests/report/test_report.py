"""Reports: the figures of a ledger as text, JSON and a page that asks nobody for anything."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from frugal_plugins import Usage
from frugal_plugins.cli.app import app
from frugal_plugins.cli.report_command import since_seconds
from frugal_plugins.errors import InputError
from frugal_plugins.report import evidence as evidence_module
from frugal_plugins.report.charts import charts
from frugal_plugins.report.evidence import BilledCall, Evidence, WrongAnswer, read_evidence, reconcile
from frugal_plugins.report.page import html_page
from frugal_plugins.report.text import report, table
from frugal_plugins.report.words import did, exact, money, percent, plain_model

SMALL, LARGE = Decimal("0.0012"), Decimal("0.012")
"""1,000 tokens in and 100 out at 1/2 and 10/20 dollars per million."""


def changed(evidence: Evidence, **fields: Any) -> Evidence:
    from dataclasses import replace

    return replace(evidence, **fields)


def in_a_terminal(evidence: Evidence, **how: Any) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report(evidence, **how))
    return console.export_text()


def test_the_figures_are_the_ledgers(ledger: Path) -> None:
    evidence = read_evidence(ledger)
    assert evidence.summary.requests == 3
    assert evidence.summary.baseline_usd == 3 * LARGE
    assert evidence.summary.actual_usd == SMALL + LARGE
    assert evidence.models_before == {"openai/large": (3, 3 * LARGE)}
    assert evidence.models_after == {"openai/large": (1, LARGE), "openai/small": (1, SMALL)}


def test_each_request_says_why_it_went_where_it_went(ledger: Path) -> None:
    document, hit, first = read_evidence(ledger).rows
    assert (first.path, hit.path, document.path) == ("openai/large → openai/small", "openai/large → stored answer", "openai/large")
    assert any("yes_no (declared) needs cheap" in why for why in first.decisions)
    assert any("the same request was answered 1 h ago" in why for why in hit.decisions)
    assert hit.saved_usd == LARGE


def test_only_the_time_that_was_asked_for(ledger: Path) -> None:
    assert read_evidence(ledger, since_seconds=1_750_000_000 + 80_000).summary.requests == 1


def test_text_has_the_dollars_the_reasons_and_no_markup_of_its_own(ledger: Path) -> None:
    text = in_a_terminal(read_evidence(ledger), requests=True)
    assert "$0.03600" in text
    assert "63.3 %" in text
    assert "stored answer" in text
    assert "yes_no (declared) needs cheap" in text


def test_a_reason_with_brackets_is_printed_as_it_is(ledger: Path) -> None:
    with sqlite3.connect(ledger) as db:
        db.execute("UPDATE decisions SET why = '[red]not markup[/red]'")
    assert "[red]not markup[/red]" in in_a_terminal(read_evidence(ledger), requests=True)


BILL = [BilledCall("resp-1", "small", 1000, 100, SMALL), BilledCall("resp-2", "large", 1000, 100, LARGE)]


def test_the_invoice_and_the_ledger_agree_call_by_call(ledger: Path) -> None:
    checked = reconcile(ledger, BILL)
    assert checked.agrees
    assert (checked.ledger_calls, checked.invoice_lines) == (2, 2)


def test_a_call_whose_id_the_host_hides_is_matched_by_what_it_was(ledger: Path) -> None:
    assert reconcile(ledger, [BilledCall("another", "small", 1000, 100, SMALL), BILL[1]]).agrees


@pytest.mark.parametrize(
    ("bill", "what"),
    [
        ([BILL[0]], "only_ledger"),
        ([*BILL, BilledCall("resp-3", "large", 5, 5, LARGE)], "only_invoice"),
        ([BILL[0], BilledCall("resp-2", "large", 1000, 100, LARGE * 2)], "differing"),
        ([BILL[1], BILL[1]], "only_ledger"),
    ],
)
def test_what_does_not_agree_is_named(ledger: Path, bill: list[BilledCall], what: str) -> None:
    checked = reconcile(ledger, bill)
    assert not checked.agrees
    assert getattr(checked, what)
    page = html_page(changed(read_evidence(ledger), reconciliation=checked))
    assert "The ledger and the invoice differ" in page
    assert getattr(checked, what)[0] in page


def test_two_errors_that_cancel_out_are_still_found(ledger: Path) -> None:
    swapped = [BilledCall("resp-1", "small", 1000, 100, LARGE), BilledCall("resp-2", "large", 1000, 100, SMALL)]
    checked = reconcile(ledger, swapped)
    assert checked.difference_usd == 0
    assert not checked.agrees


class Seen(HTMLParser):
    """What a browser would load, and the outline a screen reader would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.loads += [str(found[name]) for name in ("src", "href", "data", "action", "poster") if found.get(name)]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def test_the_page_loads_nothing_and_forbids_loading(ledger: Path) -> None:
    page = html_page(read_evidence(ledger))
    seen = Seen(page)
    assert set(seen.loads) == {"#content", "#search"}
    policy = next(attrs["content"] for tag, attrs in seen.tags if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-\S+' 'sha256-\S+'$", policy)


def test_what_comes_from_a_request_cannot_become_markup(shop: Callable[..., Any]) -> None:
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    evil = {"models": ["openai/large"]}
    one = shop(tiers={"cheap": {"models": ["openai/small"]}, "dear": evil}, ledger={"keep_text": True})
    one.ask(attack, task="yes_no", model=f"openai/{attack}")
    assert one.recipe.ledger.flush()
    found = read_evidence(one.path, title=attack)
    found = changed(found, wrong_answers=(WrongAnswer(attack, attack, attack, attack),), models_before={attack: (1, SMALL)})
    page = html_page(found)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert [tag for tag, attrs in Seen(page).tags if tag == "script"] == ["script"] * 3


def test_prompts_are_on_the_page_only_when_the_ledger_kept_them(ledger: Path, shop: Callable[..., Any], tmp_path: Path) -> None:
    listed = html_page(read_evidence(ledger)).partition('<table class="requests"')[2]
    assert "this" not in listed.partition("</table>")[0]
    (tmp_path / "ledger.sqlite").unlink()
    kept = shop(ledger={"keep_text": True})
    kept.ask("Is <b>this</b> a yes?", task="yes_no")
    assert kept.recipe.ledger.flush()
    assert "Is &lt;b&gt;this&lt;/b&gt; a yes?" in html_page(read_evidence(kept.path))


def test_every_plot_has_words_and_a_table(ledger: Path) -> None:
    made = charts(read_evidence(ledger))
    assert [chart.id for chart in made] == ["waterfall", "models", "tasks", "days"]
    page = html_page(read_evidence(ledger))
    seen = Seen(page)
    for chart in made:
        label = next(attrs["aria-label"] for _, attrs in seen.tags if attrs.get("id") == f"plot-{chart.id}")
        assert label is not None
        assert chart.spoken in label
        assert all(len(row) == len(chart.columns) for row in chart.rows)
    assert seen.count("caption") == seen.count("table") == len(made) + 2, "also what was measured, and the requests"
    assert seen.count("h1") == 1
    assert seen.count("label") == seen.count("input") == 1


def test_the_steps_of_the_waterfall_end_at_what_was_paid(ledger: Path) -> None:
    bars = charts(read_evidence(ledger))[0].figure["data"][0]
    floor = bars["y"][0]
    for base, height, text in zip(bars["base"][1:-1], bars["y"][1:-1], bars["text"][1:-1], strict=True):
        assert text.startswith("-")
        assert base + height == pytest.approx(floor)
        floor = base
    assert floor == pytest.approx(bars["y"][-1])


def test_a_long_ledger_lists_the_latest_and_counts_all(shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_module, "MOST_ROWS", 5)
    day = shop()
    for number in range(8):
        day.now += 60
        day.ask(f"Number {number}?", task="yes_no")
    assert day.recipe.ledger.flush()
    found = read_evidence(day.path)
    assert len(found.rows) == 5
    assert found.summary.requests == 8
    assert "The latest 5 of 8 requests." in html_page(found)


def test_an_empty_ledger_has_a_page_too(shop: Callable[..., Any]) -> None:
    empty = shop()
    empty.recipe.ledger.open().close()
    page = html_page(read_evidence(empty.path))
    assert "no requests yet" in page
    assert "$0.00" in page


def test_measured_and_estimated_baselines_are_told_apart(shop: Callable[..., Any]) -> None:
    day = shop()
    day.ask("One?", task="yes_no", known=Usage(input_tokens=1000, output_tokens=300))
    day.ask("Two?", task="yes_no")
    assert day.recipe.ledger.flush()
    assert "1 measured, 1 estimated" in html_page(read_evidence(day.path))


def test_the_command_as_json_and_as_page(ledger: Path, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["report", "--ledger", str(ledger), "--html", str(tmp_path / "page.html"), "--json", "--requests"])
    said = json.loads(ran.stdout)
    assert said["saved_percent"] == pytest.approx(63.33)
    assert said["techniques"]["cache"]["actions"]["hit"] == 1
    assert [row["outcome"] for row in said["request_rows"]] == ["answered", "hit", "answered"]
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_since_takes_a_span_or_a_date() -> None:
    assert since_seconds("7d", now_seconds=1_000_000) == 1_000_000 - 7 * 86_400
    assert since_seconds("2025-06-15") == 1_749_945_600
    assert since_seconds(None) is None
    with pytest.raises(InputError, match="7d, 12h"):
        since_seconds("yesterday")


@pytest.mark.parametrize(
    ("usd", "shown"),
    [("0", "$0.00"), ("0.00000001", "$0.00000001000"), ("1.5", "$1.5000"), ("1234.5", "$1,234.50"), ("-0.02", "-$0.02000")],
)
def test_money_never_rounds_to_nothing(usd: str, shown: str) -> None:
    assert money(Decimal(usd)) == shown


def test_figures_in_words() -> None:
    assert exact(Decimal("1.0100")) == "$1.01"
    assert percent(None) == "-"
    assert (plain_model("openai/gpt-4o"), plain_model("azure/gpt-4o"), plain_model("gpt-4o")) == ("gpt-4o", "azure/gpt-4o", "gpt-4o")


def test_no_figure_is_folded_however_narrow_the_terminal(ledger: Path) -> None:
    """Half of "$0.00002820" on the next line would be read as another figure."""
    made = table(
        "t", ("a long name of a column", "before", "calls after"), [("claude-sonnet-4-5", "$0.00002820", 12), ("x", "-$0.003285", 3)]
    )
    for width in (60, 40, 32):
        shown = StringIO()
        Console(file=shown, width=width).print(made)
        assert "$0.00002820" in shown.getvalue()
        assert "-$0.003285" in shown.getvalue()


def test_what_a_recipe_in_shadow_only_said_is_not_told_as_done(shop: Callable[..., Any]) -> None:
    opened = shop(mode="shadow")
    for text in ("Is it open?", "Is it open?", "Is it shut?"):
        opened.ask(text, task="yes_no")
    opened.ask("Write it.", task="document")  # left where it is: nothing would have been done
    opened.recipe.ledger.flush()
    lines = {line.technique: line for line in read_evidence(opened.path).summary.techniques}
    assert lines["route"].actions == {"would cheap": 3, "would left": 1}
    assert lines["route"].would == 3
    assert lines["cache"].actions == {"would stored": 3, "would hit": 1}
    assert lines["cache"].would == 1
    text = in_a_terminal(read_evidence(opened.path))
    assert "would cheap 3, would left 1" in text


def test_the_part_of_a_saving_that_is_nobodys_says_so() -> None:
    assert did("other", ()) == "what no technique decided"
    assert did("cap", ()) == "-"
    assert did("cap", ("set 3", "retry 1")) == "set 3, retry 1"
