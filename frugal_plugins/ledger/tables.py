"""The ledger's tables, for SQLite and PostgreSQL.

Money is whole picodollars (1e-12 USD), so that sums are exact; the views show dollars.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

VERSION: Final = 3
PICO: Final = Decimal(10) ** 12

_SUMS: Final = """\
CREATE TABLE IF NOT EXISTS {by}rollups (
  dimension TEXT NOT NULL, hour_seconds INTEGER NOT NULL, value TEXT NOT NULL, recipe TEXT NOT NULL, basis TEXT NOT NULL,
  requests INTEGER NOT NULL, priced INTEGER NOT NULL, hits INTEGER NOT NULL, errors INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  baseline_picousd INTEGER NOT NULL, actual_picousd INTEGER NOT NULL, saved_picousd INTEGER NOT NULL, spent_picousd INTEGER NOT NULL,
  PRIMARY KEY (dimension, hour_seconds, value, recipe, basis)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {by}decision_rollups (
  hour_seconds INTEGER NOT NULL, technique TEXT NOT NULL, action TEXT NOT NULL, mode TEXT NOT NULL, recipe TEXT NOT NULL,
  decisions INTEGER NOT NULL, PRIMARY KEY (hour_seconds, technique, action, mode, recipe)
) WITHOUT ROWID;
"""
"""By hour, and once more by day."""

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS requests (
  id TEXT PRIMARY KEY, at_seconds REAL NOT NULL, recipe TEXT NOT NULL, host TEXT NOT NULL, endpoint TEXT NOT NULL,
  grp TEXT NOT NULL, mode TEXT NOT NULL, task TEXT NOT NULL, task_source TEXT NOT NULL,
  tenant_hash TEXT, session_hash TEXT, team TEXT, request_hash TEXT NOT NULL, stream INTEGER NOT NULL,
  model_asked TEXT NOT NULL, model_baseline TEXT NOT NULL, model_answered TEXT, outcome TEXT NOT NULL, finish_reason TEXT, error TEXT,
  input_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL,
  cache_write_1h_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
  actual_picousd INTEGER, baseline_picousd INTEGER, basis TEXT NOT NULL, price_source TEXT, price_date TEXT, text TEXT,
  feature TEXT, user_hash TEXT, answer_key TEXT, schema_valid INTEGER, retries INTEGER NOT NULL DEFAULT 0,
  held_out TEXT, judge_picousd INTEGER NOT NULL DEFAULT 0
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
CREATE TABLE IF NOT EXISTS feedback (
  request_id TEXT NOT NULL, source TEXT NOT NULL, good INTEGER NOT NULL, at_seconds REAL NOT NULL, PRIMARY KEY (request_id, source)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alerts (
  name TEXT NOT NULL, period_seconds INTEGER NOT NULL, what TEXT NOT NULL, at_seconds REAL NOT NULL, picousd INTEGER NOT NULL,
  limit_picousd INTEGER NOT NULL, PRIMARY KEY (name, what, period_seconds)
) WITHOUT ROWID;
{_SUMS.format(by="")}\
{_SUMS.format(by="day_")}\
CREATE TABLE IF NOT EXISTS kept_since (at_seconds REAL NOT NULL);
"""

INDEXES: Final = """
CREATE INDEX IF NOT EXISTS requests_control ON requests (at_seconds) WHERE grp = 'control';
CREATE INDEX IF NOT EXISTS requests_held_out ON requests (at_seconds) WHERE held_out IS NOT NULL;
CREATE INDEX IF NOT EXISTS requests_hit ON requests (at_seconds) WHERE outcome = 'hit';
"""

_VIEWS: Final = """
CREATE VIEW requests_usd AS
  SELECT *, actual_picousd / 1e12 AS actual_usd, baseline_picousd / 1e12 AS baseline_usd,
         (baseline_picousd - actual_picousd) / 1e12 AS saved_usd, {utc} AS at_utc FROM requests;
CREATE VIEW savings_usd AS SELECT *, picousd / 1e12 AS saved_usd FROM savings;
CREATE VIEW calls_usd AS SELECT *, picousd / 1e12 AS usd FROM calls;
"""

FROM_1: Final = """
ALTER TABLE requests ADD COLUMN feature TEXT;
ALTER TABLE requests ADD COLUMN user_hash TEXT;
ALTER TABLE requests ADD COLUMN answer_key TEXT;
ALTER TABLE requests ADD COLUMN schema_valid INTEGER;
ALTER TABLE requests ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
"""
"""What a file of version 1 lacks in tables it has already. Tables that are new come with SCHEMA."""

FROM_2: Final = """
ALTER TABLE requests ADD COLUMN held_out TEXT;
ALTER TABLE requests ADD COLUMN judge_picousd INTEGER NOT NULL DEFAULT 0;
DROP VIEW IF EXISTS requests_usd;
DROP VIEW IF EXISTS savings_usd;
DROP VIEW IF EXISTS calls_usd;
"""
"""The same of version 2."""

_SQLITE_UTC: Final = "datetime(at_seconds, 'unixepoch')"
_POSTGRES_UTC: Final = "to_timestamp(at_seconds) AT TIME ZONE 'UTC'"
_POSTGRES_WORDS: Final = ((r"\bINTEGER\b", "BIGINT"), (r"\bREAL\b", "DOUBLE PRECISION"), (r" WITHOUT ROWID", ""))


def for_sqlite(sql: str) -> list[str]:
    """The statements of a script, one by one."""
    return [one.strip() for one in sql.split(";\n") if one.strip()]


def views_for_sqlite() -> list[str]:
    """The views in dollars."""
    return for_sqlite(_VIEWS.format(utc=_SQLITE_UTC))


def for_postgres() -> list[str]:
    """Everything PostgreSQL needs, in its own words."""
    sql = SCHEMA + INDEXES + _VIEWS.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").format(utc=_POSTGRES_UTC)
    for pattern, word in _POSTGRES_WORDS:
        sql = re.sub(pattern, word, sql)
    return for_sqlite(sql)


def column_kinds(table: str) -> dict[str, str]:
    """PostgreSQL's type of every column of a table."""
    made = re.search(rf"CREATE TABLE IF NOT EXISTS {table} \((.*?)\)(?: WITHOUT ROWID)?;\n", SCHEMA, re.DOTALL)
    assert made is not None
    kinds = {"TEXT": "text", "INTEGER": "bigint", "REAL": "double precision"}
    return {name: kinds[kind] for name, kind in re.findall(r"(\w+) (TEXT|INTEGER|REAL)\b", made[1])}


def pico(usd: Decimal | None) -> int | None:
    """Dollars as whole picodollars; list prices come out exact."""
    return None if usd is None else int((usd * PICO).to_integral_value())


def usd(picousd: int | None) -> Decimal | None:
    """Picodollars as dollars."""
    return None if picousd is None else Decimal(picousd) / PICO
