"""The ledger against what providers report: to the cent and the token, with the rows that differ."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.errors import InputError
from frugal_plugins.ledger.invoices import read_report
from frugal_plugins.ledger.reading import open_db
from frugal_plugins.ledger.verify import Verified, verify
from frugal_plugins.usage import Usage
from tests.ledger.test_rollups import NOON, booked, written

DAY = 86_400
START = int(NOON.timestamp()) // DAY * DAY


def saved(tmp_path: Path, document: Any, name: str = "invoice.json") -> Path:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def compared(ledger: Path, invoice: Path) -> Verified:
    db = open_db(ledger)
    try:
        return verify(db, read_report(invoice))
    finally:
        db.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    claude = "anthropic/claude-haiku-4-5"
    return written(
        tmp_path / "l.sqlite",
        booked("a"),
        booked("b", hours=1),
        booked("c", hours=24),
        booked("d", model=claude, usage=Usage(1000, 300, 100, 200, 50)),
        booked("hit", hit=True),
    )


def openai_usage(*days: dict[str, Any]) -> dict[str, Any]:
    data = [{"start_time": START + n * DAY, "end_time": START + (n + 1) * DAY, "results": [day]} for n, day in enumerate(days)]
    return {"object": "page", "data": data, "has_more": False}


def result(requests: int, **more: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result", "model": "gpt-4o-mini-2024-07-18", "num_model_requests": requests,
        "input_tokens": 1000 * requests, "input_cached_tokens": 200 * requests, "output_tokens": 100 * requests, "batch": False, **more,
    }  # fmt: skip


def test_openais_usage_agrees_to_the_token(ledger: Path, tmp_path: Path) -> None:
    found = compared(ledger, saved(tmp_path, openai_usage(result(2), result(1))))
    assert found.agrees, found.rows
    assert (found.compared, found.ledger["input_tokens"], found.provider["output_tokens"]) == (2, 3000, 300)


def test_what_differs_is_named_by_day_model_and_count(ledger: Path, tmp_path: Path) -> None:
    found = compared(ledger, saved(tmp_path, openai_usage(result(2, output_tokens=999), result(1, model="o3-mini"))))
    assert [(row.where, row.what, row.ledger, row.provider) for row in found.rows] == [
        ("2026-11-22, gpt-4o-mini, standard", "output_tokens", 200, 999),
        ("2026-11-23, gpt-4o-mini, standard", "input_tokens", 1000, None),
        ("2026-11-23, gpt-4o-mini, standard", "cache_read_tokens", 200, None),
        ("2026-11-23, gpt-4o-mini, standard", "output_tokens", 100, None),
        ("2026-11-23, o3-mini, standard", "input_tokens", None, 1000),
        ("2026-11-23, o3-mini, standard", "cache_read_tokens", None, 200),
        ("2026-11-23, o3-mini, standard", "output_tokens", None, 100),
    ]


def test_openais_costs_agree_to_the_cent(tmp_path: Path) -> None:
    big = Usage(10_000_000, 2_000_000, output_tokens=1_000_000)  # 1.2 + 0.15 + 0.6 dollars
    ledger = written(tmp_path / "l.sqlite", booked("a", usage=big), booked("b", usage=big, model="anthropic/claude-haiku-4-5"))

    def bucket(value: float) -> dict[str, Any]:
        parts = (("input", 1.2), ("cached input", 0.15), ("output", value))
        results = [{"amount": {"value": usd, "currency": "usd"}, "line_item": f"gpt-4o-mini-2024-07-18, {name}"} for name, usd in parts]
        return {"start_time": START, "end_time": START + DAY, "results": results}

    assert compared(ledger, saved(tmp_path, {"data": [bucket(0.6)]})).agrees
    found = compared(ledger, saved(tmp_path, {"data": [bucket(0.61)]}))
    assert [(row.ledger, row.provider) for row in found.rows] == [(Decimal("1.95"), Decimal("1.96"))]


def test_anthropics_two_reports(ledger: Path, tmp_path: Path) -> None:
    day = {"starting_at": "2026-11-22T00:00:00Z", "ending_at": "2026-11-23T00:00:00Z"}
    usage = {
        "model": "claude-haiku-4-5-20251001", "service_tier": "standard", "uncached_input_tokens": 400, "cache_read_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}, "output_tokens": 50,
    }  # fmt: skip
    assert compared(ledger, saved(tmp_path, {"data": [{**day, "results": [usage]}]})).agrees
    cost = {"model": "claude-haiku-4-5-20251001", "amount": "0.1205", "currency": "USD", "cost_type": "tokens"}
    found = compared(ledger, saved(tmp_path, {"data": [{**day, "results": [cost]}]}))
    assert found.agrees, found.rows
    assert not compared(ledger, saved(tmp_path, {"data": [{**day, "results": [{**cost, "amount": "250"}]}]})).agrees


def test_the_sandboxes_invoice_is_compared_call_by_call(ledger: Path, tmp_path: Path) -> None:
    def call(name: str, usd: str, **usage: int) -> dict[str, Any]:
        whole = {"input_tokens": 1000, "cache_read_tokens": 200, "output_tokens": 100, **usage}
        return {"id": name, "model": "gpt-4o-mini", "lane": "standard", "usage": whole, "usd": usd}

    right = [call(f"x{n}", "0.000195") for n in range(3)]
    claude = {**call("y", "0.001205", input_tokens=1000, cache_read_tokens=300, output_tokens=50), "model": "claude-haiku-4-5"}
    claude["usage"] |= {"cache_write_5m_tokens": 100, "cache_write_1h_tokens": 200}
    found = compared(ledger, saved(tmp_path, {"total_usd": "0", "lines": [*right, claude]}))
    assert found.agrees, found.rows
    dear = compared(ledger, saved(tmp_path, {"lines": [*right[:2], call("x9", "0.5"), claude]}))
    assert [(row.ledger, row.provider) for row in dear.rows] == [(Decimal("0.000195"), None), (None, Decimal("0.5"))]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "no invoice this program knows"),
        ("{nonsense", "line"),
        ({"data": []}, "no invoice this program knows"),
        ([{"start_time": START, "end_time": START + 60, "results": [result(1)]}], "whole hours"),
        ([{"start_time": START, "end_time": START + DAY, "results": [result(1, model=None)]}], "group_by=model"),
        ([{"start_time": START, "end_time": START + DAY, "results": [result(-1)]}], "negative"),
        ([{"start_time": START, "end_time": START + DAY, "results": [result(1, input_tokens="many")]}], "cannot be used"),
        ([{"start_time": START, "results": [result(1)]}], "no start and end"),
    ],
)
def test_bad_invoices_are_refused_by_name(ledger: Path, tmp_path: Path, document: Any, words: str) -> None:
    with pytest.raises(InputError, match=words if words != "line" else r"invoice\.json:1: is not JSON") as raised:
        compared(ledger, saved(tmp_path, document))
    assert "invoice.json" in str(raised.value)
