"""The tables of a job store, for SQLite and for PostgreSQL, and the steps from an older version to this one."""

from __future__ import annotations

import re
from typing import Final

VERSION: Final = 2
APPLICATION: Final = 0x46527542  # "FRuB"

TABLES: Final = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, recipe TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL, why TEXT,
  rows BIGINT NOT NULL, source TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rows (
  job TEXT NOT NULL, n BIGINT NOT NULL, name TEXT, request TEXT NOT NULL, state TEXT NOT NULL, result TEXT, error TEXT,
  PRIMARY KEY (job, n)
);
CREATE INDEX IF NOT EXISTS rows_state ON rows (job, state, n);
CREATE TABLE IF NOT EXISTS calls (
  job TEXT NOT NULL, row BIGINT NOT NULL, n BIGINT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, lane TEXT NOT NULL,
  body TEXT, bytes BIGINT NOT NULL, tokens BIGINT NOT NULL, digest TEXT, state TEXT NOT NULL, attempts BIGINT NOT NULL DEFAULT 0,
  batch BIGINT, leader_row BIGINT, leader_n BIGINT, worst_picousd BIGINT, picousd BIGINT, reply TEXT, raw TEXT, error TEXT,
  endpoint TEXT NOT NULL DEFAULT 'chat', inputs BIGINT NOT NULL DEFAULT 1, place BIGINT,
  front TEXT, front_tokens BIGINT, head TEXT, head_tokens BIGINT, mark TEXT, marked_tokens BIGINT NOT NULL DEFAULT 0,
  took_seconds DOUBLE PRECISION,
  PRIMARY KEY (job, row, n)
);
CREATE INDEX IF NOT EXISTS calls_in_state ON calls (job, state, row, n);
CREATE INDEX IF NOT EXISTS calls_in_batch ON calls (batch, place) WHERE batch IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_mark ON calls (job, mark, row, n) WHERE mark IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_digest ON calls (job, digest) WHERE digest IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_leader ON calls (job, leader_row, leader_n) WHERE leader_row IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_took ON calls (took_seconds) WHERE took_seconds IS NOT NULL;
CREATE TABLE IF NOT EXISTS lost (
  job TEXT NOT NULL, row BIGINT NOT NULL, n BIGINT NOT NULL, batch BIGINT NOT NULL, usage TEXT NOT NULL, picousd BIGINT,
  estimated BIGINT NOT NULL, PRIMARY KEY (job, row, n, batch)
);
CREATE TABLE IF NOT EXISTS batches (
  id {serial}, job TEXT NOT NULL, tag TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, model TEXT NOT NULL,
  state TEXT NOT NULL, rows BIGINT NOT NULL, tokens BIGINT NOT NULL, intent_at DOUBLE PRECISION NOT NULL,
  not_before DOUBLE PRECISION NOT NULL DEFAULT 0, file_id TEXT, provider_id TEXT, status TEXT, shown TEXT,
  submitted_at DOUBLE PRECISION, ended_at DOUBLE PRECISION, absent_since DOUBLE PRECISION, tries BIGINT NOT NULL DEFAULT 0, why TEXT,
  endpoint TEXT NOT NULL DEFAULT 'chat'
);
CREATE INDEX IF NOT EXISTS batches_job ON batches (job, state);
"""

SQLITE: Final = (
    TABLES.replace("{serial}", "INTEGER PRIMARY KEY AUTOINCREMENT").replace("BIGINT", "INTEGER").replace("DOUBLE PRECISION", "REAL")
)

LEASES: Final = "CREATE TABLE IF NOT EXISTS leases (job TEXT PRIMARY KEY, worker TEXT NOT NULL, until TIMESTAMPTZ NOT NULL);"

POSTGRES: Final = (
    re.sub(r"\brow\b", '"row"', TABLES.replace("{serial}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"))
    + LEASES
    + "CREATE TABLE IF NOT EXISTS store_version (version BIGINT NOT NULL);"
)

FROM_1_TO_2: Final = (
    "ALTER TABLE calls ADD COLUMN endpoint TEXT NOT NULL DEFAULT 'chat'",
    "ALTER TABLE calls ADD COLUMN inputs INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE calls ADD COLUMN place INTEGER",
    "ALTER TABLE calls ADD COLUMN front TEXT",
    "ALTER TABLE calls ADD COLUMN front_tokens INTEGER",
    "ALTER TABLE calls ADD COLUMN head TEXT",
    "ALTER TABLE calls ADD COLUMN head_tokens INTEGER",
    "ALTER TABLE calls ADD COLUMN mark TEXT",
    "ALTER TABLE calls ADD COLUMN marked_tokens INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE calls ADD COLUMN took_seconds REAL",
    "UPDATE calls SET place = row * 1000 + n WHERE batch IS NOT NULL",
    "DROP INDEX IF EXISTS calls_state",
    "DROP INDEX IF EXISTS calls_batch",
    "CREATE INDEX IF NOT EXISTS calls_in_state ON calls (job, state, row, n)",
    "CREATE INDEX IF NOT EXISTS calls_in_batch ON calls (batch, place) WHERE batch IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS calls_mark ON calls (job, mark, row, n) WHERE mark IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS calls_took ON calls (took_seconds) WHERE took_seconds IS NOT NULL",
    "ALTER TABLE batches ADD COLUMN endpoint TEXT NOT NULL DEFAULT 'chat'",
)
"""Version 1 knew chat completions only, one lane for each model, and no shared fronts."""
