"""Rows into cells: DuckDB looks at every row once and adds up what each technique could act on, for rows that share their prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.estimate.plan import Plan
from frugal_plugins.estimate.row import COLUMNS
from frugal_plugins.models import always_thinks
from frugal_plugins.prices import provider_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BLOCKS: Final = 10
"""Stretches of the observed time; how much they differ says how far the next one may."""

WARM_SECONDS: Final = 300
PREFIX_TOKENS: Final = 1_024
KEPT_TURNS: Final = 2
EVERY_TURNS: Final = 5
SUMMARY_TOKENS: Final = 150
SUMMARY_SHARE: Final = 0.3
"""Of what it stands for: the length of a short conversation's summary, which costs nothing to renew while nothing is cached."""
RESULTS_SHARE: Final = 0.3
"""Of a tool's JSON result: what the shorter notation saves (31.9 % on recorded agents, tests/benchmarks/history.py)."""
SHORT_ANSWER_TOKENS: Final = 60
SMALLEST_LARGER_TOKENS: Final = 256
ROOM: Final = 1.25
"""How much longer another model's answer to the same question may be."""


@dataclass(slots=True)
class Cell:
    """Rows alike in everything a price or a choice depends on, added up. Token sums are floats: savings are estimates.

    Attributes:
        block: which tenth of the observed time.
        rates: the number of today's rates.
        source: how the kind of work is known: declared, rules, shape (small answers without text), or "" for not at all.
        target: the model `route` would take; "" where the request stays.
        repeat: 0 for none, 1 the very same request, 2 the same but for politeness, 3 the same words.
        warm_tokens: plain input that a prompt cache could have held; cold_tokens: what would have to be written first.
        cut_tokens, cut_read_tokens: earlier turns a summary would replace, the second part of them already cached.
        verdict_tokens: words after a one-word answer; runaway_tokens: output beyond the largest budget.
        again_tokens, again_input_tokens: what a tight cap would have asked for a second time.
        first_tokens, first_input_tokens: the first answer of each kind at a tight budget, which is asked again before `cap` has
            learned that this kind needs more room.
        prose_tokens: plain input of work whose wording may be shortened.
        cuts, warms, verdicts, runaways: the rows that have such tokens.
    """

    block: int
    rates: int
    model: str
    lane: str
    task: str
    source: str
    target: str
    repeat: int
    can_wait: int
    requests: int
    fresh: float
    read: float
    write: float
    write_1h: float
    out: float
    reasoning: float
    warm_tokens: float
    cold_tokens: float
    cut_tokens: float
    cut_read_tokens: float
    cuts: int
    verdict_tokens: float
    runaway_tokens: float
    again_tokens: float
    again_input_tokens: float
    prose_tokens: float
    first_tokens: float
    first_input_tokens: float
    warms: int
    verdicts: int
    runaways: int
    growns: int


_DIMENSIONS: Final = 9
_COUNTS: Final = frozenset({"requests", "cuts", "warms", "verdicts", "runaways", "growns"})
_SUMS: Final = tuple(field.name for field in fields(Cell))[_DIMENSIONS:]


@dataclass(frozen=True, slots=True)
class Visible:
    """What the logs let one see."""

    repeats: bool
    prefixes: bool
    sessions: bool
    tasks: bool
    singles: bool


def visible(db: DuckDBPyConnection) -> Visible:
    """Which features any row has."""
    found = db.execute(
        "SELECT count(exact), count(*) FILTER (prefix IS NOT NULL), count(*) FILTER (session IS NOT NULL), "
        "count(*) FILTER (task <> ''), count(*) FILTER (requests = 1) FROM logs"
    ).fetchall()[0]
    return Visible(*(bool(count) for count in found))


def read_cells(db: DuckDBPyConnection, plan: Plan, seen: Visible) -> list[Cell]:
    """Every priced row in some cell."""
    _routes(db, plan)
    _budgets(db, plan)
    return [Cell(*_plain(row)) for row in db.execute(_query(plan, seen)).fetchall()]


def spread_tasks(db: DuckDBPyConnection) -> None:
    """Rows the rules did not read take the task that nine in ten of the rows with their system prompt have."""
    db.execute(
        """
        CREATE TABLE usual AS SELECT prefix, task FROM (
          SELECT prefix, task, count(*) AS n, sum(count(*)) OVER (PARTITION BY prefix) AS all_n
          FROM logs WHERE task_source IN ('rules', 'unknown') AND prefix IS NOT NULL GROUP BY prefix, task) WHERE n >= 0.9 * all_n;
        UPDATE lines SET task = usual.task, task_source = CASE WHEN usual.task = 'unknown' THEN 'unknown' ELSE 'rules' END
          FROM usual WHERE lines.task_source = 'unread' AND lines.prefix = usual.prefix;
        UPDATE lines SET task = 'unknown', task_source = 'unknown' WHERE task_source = 'unread';
        """
    )


def _plain(row: Sequence[Any]) -> Iterator[Any]:
    for name, value in zip(Cell.__dataclass_fields__, row, strict=True):
        yield value if name not in _SUMS else int(value) if name in _COUNTS else float(value or 0)


def _routes(db: DuckDBPyConnection, plan: Plan) -> None:
    """Ask `route` once for every mix of model, task and needs."""
    mixes = db.execute("SELECT DISTINCT model, task, needs FROM logs WHERE NOT stored_answer").fetchall()
    db.execute("CREATE TEMP TABLE routes (model VARCHAR, task VARCHAR, needs VARCHAR, target VARCHAR, tier INTEGER, thinks BOOLEAN)")
    rows = []
    for model, task, needs in mixes:
        target = plan.target(model, task or "classification", needs) if task != "unknown" else None
        rows.append((model, task, needs, target or "", plan.rank(target or model), always_thinks(target or model)))
    _insert(db, "routes", rows)


def _budgets(db: DuckDBPyConnection, plan: Plan) -> None:
    db.execute("CREATE TEMP TABLE budgets (task VARCHAR, budget BIGINT)")
    _insert(db, "budgets", list(plan.budgets.items()))
    db.execute("CREATE TEMP TABLE explicit (model VARCHAR)")
    models = [model for (model,) in db.execute("SELECT DISTINCT model FROM logs").fetchall()]
    _insert(db, "explicit", [(model,) for model in models if provider_of(model) in ("anthropic", "bedrock") or "claude" in model])


def _insert(db: DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), 500):
        part = rows[start : start + 500]
        marks = ", ".join(f"({', '.join('?' * len(part[0]))})" for _ in part)
        db.execute(f"INSERT INTO {table} VALUES {marks}", [value for row in part for value in row])


def _query(plan: Plan, seen: Visible) -> str:
    steps = [f"base AS (SELECT *, {_block()} AS block FROM priced WHERE rates IS NOT NULL AND NOT stored_answer)", *_repeats(plan, seen)]
    steps += [*_warmth(seen), *_growth(seen), *_choices(plan), _potentials(plan, seen)]
    dimensions = "block, rates, model, lane, task, source, target, repeat, can_wait"
    sums = {
        "requests": "requests", "fresh": "fresh_tokens", "read": "cache_read_tokens", "write": "cache_write_5m_tokens",
        "write_1h": "cache_write_1h_tokens", "out": "output_tokens", "reasoning": "reasoning_tokens",
    }  # fmt: skip
    added = ", ".join(f"sum({sums.get(name, name)}) AS {name}" for name in _SUMS)
    # Each step is used once, so that only the columns somebody asks for travel through the sorting.
    steps = [step.replace(" AS (", " AS NOT MATERIALIZED (", 1) for step in steps]
    return f"WITH {', '.join(steps)} SELECT {dimensions}, {added} FROM potentials GROUP BY {dimensions} ORDER BY {dimensions}"


def _block() -> str:
    span = "(SELECT min(at_seconds) AS first, greatest(max(at_seconds) - min(at_seconds), 1) AS span FROM logs)"
    return (
        f"coalesce(least({BLOCKS - 1}, CAST(floor((at_seconds - (SELECT first FROM {span})) / (SELECT span FROM {span}) * {BLOCKS}) "
        "AS INTEGER)), 0)"
    )


def _repeats(plan: Plan, seen: Visible) -> list[str]:
    """An answer is kept from its first request on; when it has expired, the next request makes a new one."""
    if not seen.repeats:
        return ["repeated AS (SELECT *, 0 AS repeat FROM base)"]
    keys = ("exact", "canonical", "near")
    firsts = ", ".join(f"min(at_seconds) OVER (PARTITION BY {key}) AS first_{key}" for key in keys)
    again = ", ".join(
        f"row_number() OVER (PARTITION BY {key}, floor((at_seconds - first_{key}) / {plan.ttl_seconds}) ORDER BY at_seconds) > 1 "
        f"AS again_{key}"
        for key in keys
    )
    alike = 2 if plan.canonical else 3
    repeat = f"CASE WHEN again_exact THEN 1 WHEN again_canonical THEN {alike} WHEN again_near THEN 3 ELSE 0 END AS repeat"
    columns = ", ".join((*COLUMNS, "rates", "block"))
    return [
        f"firsts AS (SELECT *, {firsts} FROM base WHERE exact IS NOT NULL AND at_seconds IS NOT NULL)",
        f"agains AS (SELECT *, {again} FROM firsts)",
        (
            f"repeated AS (SELECT {columns}, {repeat} FROM agains "
            f"UNION ALL SELECT {columns}, 0 AS repeat FROM base WHERE exact IS NULL OR at_seconds IS NULL)"
        ),
    ]


def _warmth(seen: Visible) -> list[str]:
    """What an earlier request within five minutes left warm: its system prompt, or in a conversation all it had read."""
    long = f"prefix IS NOT NULL AND prefix_tokens >= {PREFIX_TOKENS}"
    by_prefix, by_session = "(PARTITION BY tenant, model, prefix ORDER BY at_seconds)", "(PARTITION BY session, model ORDER BY at_seconds)"
    shared, opened, grown = "0", "0", "0"
    if seen.prefixes:
        shared = f"CASE WHEN {long} AND at_seconds - lag(at_seconds) OVER {by_prefix} <= {WARM_SECONDS} THEN prefix_tokens ELSE 0 END"
        opened = f"CASE WHEN {long} AND lead(at_seconds) OVER {by_prefix} - at_seconds <= {WARM_SECONDS} THEN prefix_tokens ELSE 0 END"
    if seen.sessions:
        grown = (
            f"CASE WHEN session IS NOT NULL AND at_seconds - lag(at_seconds) OVER {by_session} <= {WARM_SECONDS} "
            f"AND lag(input_tokens) OVER {by_session} BETWEEN {PREFIX_TOKENS} AND input_tokens "
            f"THEN lag(input_tokens) OVER {by_session} ELSE 0 END"
        )
    return [f"warmed AS (SELECT *, greatest({shared}, {grown}) AS held_tokens, {opened} AS opened_tokens FROM repeated)"]


def _growth(seen: Visible) -> list[str]:
    """Earlier turns: as the text has them, or as the input of a session grows."""
    if not seen.sessions:
        return ["grown AS (SELECT *, history_tokens AS earlier_tokens, turns AS turn FROM warmed)"]
    window = "(PARTITION BY session ORDER BY at_seconds)"
    earlier = f"greatest(0, input_tokens - first_value(input_tokens) OVER {window})"
    kept = f"CASE WHEN turns > 0 THEN history_tokens WHEN session IS NULL THEN 0 ELSE {earlier} END AS earlier_tokens"
    turn = f"CASE WHEN turns > 0 THEN turns WHEN session IS NULL THEN 0 ELSE row_number() OVER {window} END AS turn"
    return [f"grown AS (SELECT *, {kept}, {turn} FROM warmed)"]


def _choices(plan: Plan) -> list[str]:
    """Where `route` would go, unless the conversation needs a better model; and what the task's budget is."""
    shape = f"g.task_source = '' AND g.requests > 0 AND g.output_tokens <= {SHORT_ANSWER_TOKENS} * g.requests"
    known = "g.task_source IN ('declared', 'rules')"
    return [
        f"""held AS (SELECT g.session, max(r.tier) AS tier FROM base g JOIN routes r USING (model, task, needs)
          WHERE g.session IS NOT NULL AND {str(plan.sticky).lower()} GROUP BY g.session HAVING min(r.tier) < max(r.tier))""",
        f"""chosen AS (SELECT g.*, b.budget,
          CASE WHEN {known} THEN g.task_source WHEN {shape} THEN 'shape' ELSE '' END AS source,
          CASE WHEN r.target = '' OR r.tier < h.tier OR NOT ({known} OR {shape}) THEN '' ELSE r.target END AS target,
          CASE WHEN r.thinks THEN {plan.reasoning_tokens} ELSE 0 END AS thinking
          FROM grown g LEFT JOIN routes r USING (model, task, needs) LEFT JOIN budgets b USING (task)
          LEFT JOIN held h ON g.session = h.session)""",
    ]


def _potentials(plan: Plan, seen: Visible) -> str:
    factor = plan.retry_factor
    said = "greatest(0, output_tokens - CASE WHEN thinking = 0 THEN reasoning_tokens ELSE 0 END)"
    large = f"(greatest(budget * {factor}, {SMALLEST_LARGER_TOKENS}) + thinking)"
    larger = f"(greatest(budget * {factor * factor}, {SMALLEST_LARGER_TOKENS}) + thinking)"
    free = "budget IS NOT NULL AND requests = 1 AND (bounded_tokens IS NULL OR bounded_tokens > {})"
    over = f"{free.format(large)} AND task <> 'yes_no' AND {said} > {large} AND {factor} > 1"
    short = "input_tokens * 0.25 <= 2 * budget"
    expected = f"{said} * CASE WHEN target <> '' THEN {ROOM} ELSE 1 END"
    tight = f"{free.format('budget')} AND task <> 'yes_no' AND {factor} > 1 AND {short} AND {expected} > budget + thinking"
    first = f"({tight}) AND row_number() OVER (PARTITION BY task, {tight} ORDER BY at_seconds) = 1" if seen.tasks else "false"
    replaced = f"earlier_tokens * (1 - {KEPT_TURNS}.0 / (turn - 1))"
    cut = f"""CASE WHEN cache_read_tokens = 0 AND turn > {KEPT_TURNS + 1} THEN least({replaced} * {1 - SUMMARY_SHARE}, fresh_tokens)
      WHEN turn > {EVERY_TURNS} THEN least(greatest(0, {replaced} - {SUMMARY_TOKENS}), fresh_tokens + cache_read_tokens) ELSE 0 END"""
    summed = f"({cut}) > 0"
    cut = f"least({cut} + {RESULTS_SHARE} * tool_tokens, fresh_tokens + cache_read_tokens)"
    missing = "least(fresh_tokens, greatest(0, held_tokens - cache_read_tokens))"
    written = "cache_write_5m_tokens - cache_write_1h_tokens"
    opened = f"least(fresh_tokens, greatest(0, opened_tokens - {written}))"
    opened = f"CASE WHEN held_tokens = 0 AND model IN (SELECT model FROM explicit) THEN {opened} ELSE 0 END"
    kept = "CASE WHEN input_tokens > 0 THEN cache_read_tokens / input_tokens ELSE 0 END"
    return f"""looked AS (SELECT *, {missing} AS warm_tokens, {opened} AS cold_tokens, {cut} AS cut_tokens,
      least(cache_read_tokens, ({cut}) * {kept}) AS cut_read_tokens, CASE WHEN {summed} THEN 1 ELSE 0 END AS cuts,
      CASE WHEN ({cut}) > 0 THEN 1 ELSE 0 END AS growns,
      CASE WHEN {free.format("budget")} AND task = 'yes_no' THEN greatest(0, {said} - budget - thinking) ELSE 0 END AS verdict_tokens,
      CASE WHEN {over} THEN greatest(0, {said} - {larger}) ELSE 0 END AS runaway_tokens,
      CASE WHEN {over} THEN {large} ELSE 0 END AS again_tokens, CASE WHEN {over} THEN input_tokens ELSE 0 END AS again_input_tokens,
      CASE WHEN {first} THEN budget + thinking ELSE 0 END AS first_tokens,
      CASE WHEN {first} THEN input_tokens ELSE 0 END AS first_input_tokens,
      CASE WHEN task = 'code' THEN 0 ELSE fresh_tokens END AS prose_tokens FROM chosen),
      potentials AS (SELECT *, (warm_tokens > 0)::INTEGER AS warms, (verdict_tokens > 0)::INTEGER AS verdicts,
      (runaway_tokens > 0)::INTEGER AS runaways FROM looked)"""
