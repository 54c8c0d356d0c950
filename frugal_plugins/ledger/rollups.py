"""Hourly sums beside the rows, kept in the same transaction, so that a page over ten million rows adds up a few thousand.

One piece of SQL makes them, for a batch of new rows (`fresh` holds their ids) and for a whole ledger again (`rebuild`).
"""

from __future__ import annotations

from typing import Final

_SUMS: Final = (
    "requests, priced, hits, errors, input_tokens, cache_read_tokens, output_tokens, baseline_picousd, actual_picousd, saved_picousd, "
    "spent_picousd"
)
_KEY: Final = "dimension, hour_seconds, value, recipe, basis"
_ADD: Final = ", ".join(f"{name} = rollups.{name} + excluded.{name}" for name in _SUMS.split(", "))
_PAIR: Final = "r.baseline_picousd IS NOT NULL AND r.actual_picousd IS NOT NULL"

HOUR_IN_SQLITE: Final = "CAST(r.at_seconds AS INTEGER) / 3600 * 3600"
HOUR_IN_POSTGRES: Final = "CAST(floor(r.at_seconds / 3600) AS BIGINT) * 3600"

_BY_REQUEST: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT d.name, {hour} AS hour_seconds,
       CASE d.name WHEN 'all' THEN '' WHEN 'task' THEN r.task WHEN 'asked_model' THEN r.model_baseline WHEN 'group' THEN r.grp
                   WHEN 'outcome' THEN r.outcome WHEN 'host' THEN r.host WHEN 'recipe' THEN r.recipe
                   WHEN 'team' THEN coalesce(r.team, '') ELSE coalesce(r.feature, '') END AS value,
       r.recipe, r.basis, count(*), sum(CASE WHEN {pair} THEN 1 ELSE 0 END), sum(CASE WHEN r.outcome = 'hit' THEN 1 ELSE 0 END),
       sum(CASE WHEN r.outcome = 'error' THEN 1 ELSE 0 END), sum(r.input_tokens), sum(r.cache_read_tokens), sum(r.output_tokens),
       sum(CASE WHEN {pair} THEN r.baseline_picousd ELSE 0 END), sum(CASE WHEN {pair} THEN r.actual_picousd ELSE 0 END),
       sum(CASE WHEN {pair} THEN r.baseline_picousd - r.actual_picousd ELSE 0 END),
       sum(coalesce(r.actual_picousd, (SELECT sum(c.picousd) FROM calls c WHERE c.request_id = r.id), 0))
FROM requests r, (SELECT 'all' AS name UNION ALL SELECT 'task' UNION ALL SELECT 'asked_model' UNION ALL SELECT 'group'
  UNION ALL SELECT 'outcome' UNION ALL SELECT 'host' UNION ALL SELECT 'recipe' UNION ALL SELECT 'team' UNION ALL SELECT 'feature') d
WHERE {which} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT ({key}) DO UPDATE SET {add}
"""

_BY_CALL: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT 'model', {hour} AS hour_seconds, c.model, r.recipe, CASE WHEN c.picousd IS NULL THEN 'unpriced' ELSE 'paid' END,
       count(*), count(c.picousd), 0, sum(CASE WHEN c.error IS NULL THEN 0 ELSE 1 END), sum(c.input_tokens), sum(c.cache_read_tokens),
       sum(c.output_tokens), 0, 0, 0, coalesce(sum(c.picousd), 0)
FROM calls c JOIN requests r ON r.id = c.request_id WHERE {which} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT ({key}) DO UPDATE SET {add}
"""

_BY_TECHNIQUE: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT CASE WHEN s.basis = 'shadow' THEN 'shadow' ELSE 'technique' END, {hour} AS hour_seconds, s.technique, r.recipe,
       s.basis, count(*), count(*), 0, 0, 0, 0, 0, 0, 0, sum(s.picousd), 0
FROM savings s JOIN requests r ON r.id = s.request_id WHERE {which} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT ({key}) DO UPDATE SET {add}
"""

_BY_DECISION: Final = """
INSERT INTO decision_rollups (hour_seconds, technique, action, mode, recipe, decisions)
SELECT {hour} AS hour_seconds, d.technique, d.action, d.mode, r.recipe, count(*)
FROM decisions d JOIN requests r ON r.id = d.request_id WHERE {which} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (hour_seconds, technique, action, mode, recipe) DO UPDATE SET decisions = decision_rollups.decisions + excluded.decisions
"""


def add_fresh(hour: str) -> list[str]:
    """What to run after new rows were inserted and their ids are in `fresh`.

    Sorted by key, so that writers side by side do not lock each other out.
    """
    return _statements(hour, "r.id IN (SELECT id FROM fresh)")


def rebuild(hour: str, *, since_seconds: float | None = None) -> list[str]:
    """What to run to make the sums again from the rows, where the rows are still there."""
    edge = 0 if since_seconds is None else int(since_seconds // 3600 * 3600)
    emptied = [f"DELETE FROM rollups WHERE hour_seconds >= {edge}", f"DELETE FROM decision_rollups WHERE hour_seconds >= {edge}"]
    return [*emptied, *_statements(hour, f"r.at_seconds >= {edge}")]


def _statements(hour: str, which: str) -> list[str]:
    words = {"key": _KEY, "sums": _SUMS, "hour": hour, "which": which, "add": _ADD, "pair": _PAIR}
    return [one.format(**words) for one in (_BY_REQUEST, _BY_CALL, _BY_TECHNIQUE, _BY_DECISION)]
