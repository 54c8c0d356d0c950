"""The ledger's tables. Money is whole picodollars (1e-12 USD), so that sums are exact; the views show dollars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.ledger.settle import Entry, Settled
from frugal_plugins.request import fingerprint, text_of

VERSION: Final = 1
PICO: Final = Decimal(10) ** 12

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
  id TEXT PRIMARY KEY, at_seconds REAL NOT NULL, recipe TEXT NOT NULL, host TEXT NOT NULL, endpoint TEXT NOT NULL,
  grp TEXT NOT NULL, mode TEXT NOT NULL, task TEXT NOT NULL, task_source TEXT NOT NULL,
  tenant_hash TEXT, session_hash TEXT, team TEXT, request_hash TEXT NOT NULL, stream INTEGER NOT NULL,
  model_asked TEXT NOT NULL, model_baseline TEXT NOT NULL, model_answered TEXT, outcome TEXT NOT NULL, finish_reason TEXT, error TEXT,
  input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
  actual_picousd INTEGER, baseline_picousd INTEGER, basis TEXT NOT NULL, price_source TEXT, price_date TEXT, text TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_at ON requests (at_seconds);
CREATE TABLE IF NOT EXISTS calls (
  request_id TEXT NOT NULL, n INTEGER NOT NULL, purpose TEXT NOT NULL, technique TEXT, replaced_by TEXT,
  model TEXT NOT NULL, lane TEXT NOT NULL,
  provider_id TEXT, error TEXT, finish_reason TEXT,
  input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, picousd INTEGER,
  PRIMARY KEY (request_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decisions (
  request_id TEXT NOT NULL, n INTEGER NOT NULL, technique TEXT NOT NULL, action TEXT NOT NULL, why TEXT NOT NULL, mode TEXT NOT NULL,
  tokens_before INTEGER, tokens_after INTEGER, PRIMARY KEY (request_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS savings (
  request_id TEXT NOT NULL, technique TEXT NOT NULL, picousd INTEGER NOT NULL, basis TEXT NOT NULL, PRIMARY KEY (request_id, technique)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS losses (at_seconds REAL NOT NULL, rows INTEGER NOT NULL, why TEXT NOT NULL);
CREATE VIEW IF NOT EXISTS requests_usd AS
  SELECT *, actual_picousd / 1e12 AS actual_usd, baseline_picousd / 1e12 AS baseline_usd,
         (baseline_picousd - actual_picousd) / 1e12 AS saved_usd, datetime(at_seconds, 'unixepoch') AS at_utc FROM requests;
CREATE VIEW IF NOT EXISTS savings_usd AS SELECT *, picousd / 1e12 AS saved_usd FROM savings;
CREATE VIEW IF NOT EXISTS calls_usd AS SELECT *, picousd / 1e12 AS usd FROM calls;
"""


def pico(usd: Decimal | None) -> int | None:
    """Dollars as whole picodollars; list prices come out exact."""
    return None if usd is None else int((usd * PICO).to_integral_value())


def usd(picousd: int | None) -> Decimal | None:
    """Picodollars as dollars."""
    return None if picousd is None else Decimal(picousd) / PICO


def statements(entry: Entry, settled: Settled, *, keep_text: bool) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The inserts for one request, in the order of the tables."""
    request, ctx, reply = entry.request, entry.ctx, entry.reply
    task = ctx.task(request)
    last = settled.paid[-1] if settled.paid else None
    rates = next((paid.rates for paid in settled.paid if paid.rates is not None), None)
    usage = [sum(getattr(paid.usage, name) for paid in settled.paid) for name in _COUNTS]
    tenant = request.tags.get("tenant")
    yield _insert("requests", 32), (
        ctx.id, entry.at.timestamp(), ctx.recipe, ctx.host, request.endpoint, ctx.group, ctx.mode, task.name, task.source,
        fingerprint(tenant)[:16] if tenant else None, fingerprint(request.session)[:16] if request.session else None,
        request.tags.get("team"), fingerprint([request.model, request.messages, request.params]), int(request.stream),
        request.model, entry.baseline_model, last.model if last else (reply.model if reply else None), settled.outcome,
        reply.finish if reply else None, entry.error, *usage, pico(settled.actual_usd), pico(settled.baseline_usd), settled.basis,
        rates.source if rates else None, rates.as_of.isoformat() if rates else None, _text(entry) if keep_text else None,
    )  # fmt: skip
    for n, paid in enumerate(settled.paid):
        attempt, answer = paid.attempt, paid.attempt.reply
        yield _insert("calls", 17), (
            ctx.id, n, attempt.call.purpose, attempt.call.technique, attempt.replaced_by, paid.model, answer.lane if answer else "standard",
            answer.id if answer else None, attempt.error, answer.finish if answer else None,
            *(getattr(paid.usage, name) for name in _COUNTS), pico(paid.usd),
        )  # fmt: skip
    for n, decision in enumerate(ctx.decisions):
        yield _insert("decisions", 8), (
            ctx.id, n, decision.technique, decision.action, decision.why, decision.mode, decision.tokens_before, decision.tokens_after
        )  # fmt: skip
    for technique, saved in settled.saved_usd.items():
        yield _insert("savings", 4), (ctx.id, technique, pico(saved), settled.basis)


_COUNTS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def _insert(table: str, columns: int) -> str:
    return f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * columns)})"


def _text(entry: Entry) -> str:
    """What was asked and answered, kept only when the recipe says `keep_text: true`."""
    asked = [{"role": message.get("role"), "content": text_of(message)} for message in entry.request.messages]
    return json.dumps({"asked": asked, "answered": entry.reply.text if entry.reply else None}, ensure_ascii=False)
