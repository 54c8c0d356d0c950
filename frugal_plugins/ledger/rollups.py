"""Sums by hour and by day beside the rows, kept in the same transaction, so that a page over ten million rows adds up a few hundred.

New rows are added in `adding.py`; here the sums are written, read for a period, and made again from the rows.
"""

from __future__ import annotations

from typing import Final

_SUMS: Final = (
    "requests, priced, hits, errors, input_tokens, cache_read_tokens, output_tokens, baseline_picousd, actual_picousd, saved_picousd, "
    "spent_picousd"
)
_KEY: Final = "dimension, hour_seconds, value, recipe, basis"
_DECISION_KEY: Final = "hour_seconds, technique, action, mode, recipe"
GROUP: Final = "CASE WHEN r.held_out IS NULL THEN r.grp ELSE 'without ' || r.held_out END"
"""A request's group in words: control, treated, or treated without one technique."""

_PAIR: Final = "r.baseline_picousd IS NOT NULL AND r.actual_picousd IS NOT NULL"

COLUMNS_OF_SUMS: Final = {
    "rollups": f"{_KEY}, {_SUMS}",
    "day_rollups": f"{_KEY}, {_SUMS}",
    "decision_rollups": f"{_DECISION_KEY}, decisions",
    "day_decision_rollups": f"{_DECISION_KEY}, decisions",
}
"""The tables of sums and their columns. In those by day `hour_seconds` is the day's first hour."""

HOUR_IN_SQLITE: Final = "CAST(r.at_seconds AS INTEGER) / 3600 * 3600"
HOUR_IN_POSTGRES: Final = "CAST(floor(r.at_seconds / 3600) AS BIGINT) * 3600"

_BY_REQUEST: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT d.name, {hour} AS hour_seconds,
       CASE d.name WHEN 'all' THEN '' WHEN 'task' THEN r.task WHEN 'asked_model' THEN r.model_baseline WHEN 'group' THEN {group}
                   WHEN 'outcome' THEN r.outcome WHEN 'host' THEN r.host WHEN 'recipe' THEN r.recipe
                   WHEN 'team' THEN coalesce(r.team, '') ELSE coalesce(r.feature, '') END AS value,
       r.recipe, r.basis, count(*), sum(CASE WHEN {pair} THEN 1 ELSE 0 END), sum(CASE WHEN r.outcome = 'hit' THEN 1 ELSE 0 END),
       sum(CASE WHEN r.outcome = 'error' THEN 1 ELSE 0 END), sum(r.input_tokens), sum(r.cache_read_tokens), sum(r.output_tokens),
       sum(CASE WHEN {pair} THEN r.baseline_picousd ELSE 0 END), sum(CASE WHEN {pair} THEN r.actual_picousd ELSE 0 END),
       sum(CASE WHEN {pair} THEN r.baseline_picousd - r.actual_picousd ELSE 0 END),
       sum(coalesce(r.actual_picousd, (SELECT sum(c.picousd) FROM calls c WHERE c.request_id = r.id), 0))
FROM requests r, (SELECT 'all' AS name UNION ALL SELECT 'task' UNION ALL SELECT 'asked_model' UNION ALL SELECT 'group'
  UNION ALL SELECT 'outcome' UNION ALL SELECT 'host' UNION ALL SELECT 'recipe' UNION ALL SELECT 'team' UNION ALL SELECT 'feature') d
WHERE r.at_seconds >= {edge} GROUP BY 1, 2, 3, 4, 5
"""

_BY_CALL: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT 'model', {hour} AS hour_seconds, c.model, r.recipe, CASE WHEN c.picousd IS NULL THEN 'unpriced' ELSE 'paid' END,
       count(*), count(c.picousd), 0, sum(CASE WHEN c.error IS NULL THEN 0 ELSE 1 END), sum(c.input_tokens), sum(c.cache_read_tokens),
       sum(c.output_tokens), 0, 0, 0, coalesce(sum(c.picousd), 0)
FROM calls c JOIN requests r ON r.id = c.request_id WHERE r.at_seconds >= {edge} GROUP BY 1, 2, 3, 4, 5
"""

_BY_TECHNIQUE: Final = """
INSERT INTO rollups ({key}, {sums})
SELECT CASE WHEN s.basis = 'shadow' THEN 'shadow' ELSE 'technique' END, {hour} AS hour_seconds, s.technique, r.recipe,
       s.basis, count(*), count(*), 0, 0, 0, 0, 0, 0, 0, sum(s.picousd), 0
FROM savings s JOIN requests r ON r.id = s.request_id WHERE r.at_seconds >= {edge} GROUP BY 1, 2, 3, 4, 5
"""

_BY_DECISION: Final = """
INSERT INTO decision_rollups ({decision_key}, decisions)
SELECT {hour} AS hour_seconds, d.technique, d.action, d.mode, r.recipe, count(*)
FROM decisions d JOIN requests r ON r.id = d.request_id WHERE r.at_seconds >= {edge} GROUP BY 1, 2, 3, 4, 5
"""

_DAYS: Final = """
INSERT INTO day_rollups ({key}, {sums})
SELECT dimension, hour_seconds / 86400 * 86400, value, recipe, basis, {added} FROM rollups WHERE hour_seconds >= {edge}
GROUP BY 1, 2, 3, 4, 5
"""

_DECISION_DAYS: Final = """
INSERT INTO day_decision_rollups ({decision_key}, decisions)
SELECT hour_seconds / 86400 * 86400, technique, action, mode, recipe, sum(decisions) FROM decision_rollups WHERE hour_seconds >= {edge}
GROUP BY 1, 2, 3, 4, 5
"""


def rebuild(hour: str, *, since_seconds: float | None = None) -> list[str]:
    """What to run to make the sums again from the rows, where the rows are still there."""
    edge = 0 if since_seconds is None else int(since_seconds // 3600 * 3600)
    words = {"key": _KEY, "sums": _SUMS, "hour": hour, "edge": edge, "pair": _PAIR, "group": GROUP, "decision_key": _DECISION_KEY}
    emptied = [f"DELETE FROM {table} WHERE hour_seconds >= {edge}" for table in ("rollups", "decision_rollups")]
    return [*emptied, *(one.format(**words) for one in (_BY_REQUEST, _BY_CALL, _BY_TECHNIQUE, _BY_DECISION)), *make_days(edge)]


def make_days(edge_seconds: int = 0) -> list[str]:
    """What to run to make the sums by day again from those by hour, from the day of that moment on."""
    edge = edge_seconds // 86_400 * 86_400
    added = ", ".join(f"sum({name})" for name in _SUMS.split(", "))
    words = {"key": _KEY, "sums": _SUMS, "decision_key": _DECISION_KEY, "added": added, "edge": edge}
    emptied = [f"DELETE FROM {table} WHERE hour_seconds >= {edge}" for table in ("day_rollups", "day_decision_rollups")]
    return [*emptied, *(one.format(**words) for one in (_DAYS, _DECISION_DAYS))]


def add_to(table: str, values: str) -> str:
    """The statement that adds rows of sums to a table: `values` is `VALUES (...)` or a query."""
    decided = table.endswith("decision_rollups")
    key, sums = (_DECISION_KEY, "decisions") if decided else (_KEY, _SUMS)
    add = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums.split(", "))
    return f"INSERT INTO {table} ({key}, {sums}) {values} ON CONFLICT ({key}) DO UPDATE SET {add}"


def within(table: str, since_seconds: int, until_seconds: int, where: str = "1 = 1") -> str:
    """The sums of whole hours as a table to select from: whole days from the sums by day, what is left at both ends by the hour."""
    first, last = -(-since_seconds // 86_400) * 86_400, until_seconds // 86_400 * 86_400
    parts = [(table, since_seconds, until_seconds)]
    if first < last:
        ends = [(table, since_seconds, first), (table, last, until_seconds)]
        parts = [(f"day_{table}", first, last), *(one for one in ends if one[1] < one[2])]
    selected = [
        f"SELECT {COLUMNS_OF_SUMS[table]} FROM {of} WHERE hour_seconds >= {start} AND hour_seconds < {end} AND {where}"
        for of, start, end in parts
    ]
    return f"({' UNION ALL '.join(selected)}) sums"
