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
PRAGMA user_version=1;
