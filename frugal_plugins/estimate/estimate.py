"""An estimate from beginning to end: read, price, look for leaks, replay."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.estimate.cells import read_cells, spread_tasks, visible
from frugal_plugins.estimate.intake import Intake, database, load, load_rows
from frugal_plugins.estimate.leaks import Leak, leaks
from frugal_plugins.estimate.near import near_repeats
from frugal_plugins.estimate.notes import Note, notes
from frugal_plugins.estimate.plan import Plan, fitted_plan, plan_of
from frugal_plugins.estimate.price_table import PriceTable
from frugal_plugins.estimate.replay import Pile, piles
from frugal_plugins.estimate.row import Row, Unusable, counted
from frugal_plugins.estimate.savings import Savings, savings_of
from frugal_plugins.estimate.spend import Spend, prepare, today
from frugal_plugins.prices import PriceBook, load_price_list
from frugal_plugins.recipe.settings import RecipeSettings
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from frugal_plugins.estimate.workers import Workers

_ROUND_TO_TOKENS: Final = 10


@dataclass(frozen=True, slots=True)
class Numbers:
    """A few numbers instead of logs: what one model is asked in a month."""

    model: str
    requests_per_month: int
    input_tokens: int
    output_tokens: int
    cached_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an estimate found.

    Attributes:
        plan: the recipe it assumes.
        notes: what is missing or odd and what that makes uncertain.
        piles: what the page's sliders recompute.
    """

    spend: Spend
    leaks: tuple[Leak, ...]
    savings: Savings
    plan: Plan
    intake: Intake
    notes: tuple[Note, ...]
    piles: tuple[Pile, ...]
    at_seconds: float

    @property
    def month_factor(self) -> float | None:
        """Observed dollars times this is a month; None where no row has a time."""
        return self.spend.month_factor


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where an estimate runs when one machine is not enough.

    Attributes:
        folder: where to spill, and where workers leave what they read; all of them must see it. None: the temporary folder.
        engine: the address of a database that adds up instead of DuckDB here, as Ibis takes it (`postgresql://...`).
        workers: the address of a Dask scheduler whose workers read the files (`tcp://...`), or a number of processes to start.
    """

    folder: str | None = None
    engine: str | None = None
    workers: str | None = None


def estimate_logs(
    paths: Sequence[Path | str],
    *,
    recipe: RecipeSettings | None = None,
    now_seconds: float | None = None,
    elsewhere: Elsewhere | None = None,
    similarity: float | None = None,
) -> Estimate:
    """Estimate from files of logs, or from `postgresql://...`: a LiteLLM proxy's own table of spend logs.

    Args:
        recipe: what is planned; without it tiers and budgets are fitted to the traffic.
        elsewhere: other folders, databases and workers than this machine's own.
        similarity: also take questions for near repeats that the cache by meaning would answer at this cosine; slow, and needs its
            embedding model. None: only questions of the same words.

    Raises InputError for a file without a usable record, MissingExtra when duckdb (or what `elsewhere` needs) is not installed.
    """
    load_price_list()
    where = elsewhere or Elsewhere()
    with ExitStack() as open_ones:
        db, spill = open_ones.enter_context(database(where.folder))
        readers = _readers(where.workers, open_ones)
        intake = load(paths, db, spill, readers, questions=similarity is not None)
        if similarity is not None:
            intake.by_meaning = near_repeats(db, spill, similarity, readers)
        if intake.unread:
            spread_tasks(db)
        return _estimate(_engine(where.engine, db, spill, open_ones), intake, recipe, now_seconds, None)


def _readers(workers: str | None, open_ones: ExitStack) -> Workers | None:
    if workers is None:
        return None
    from frugal_plugins.estimate.workers import dask_workers

    return open_ones.enter_context(dask_workers(workers))


def _engine(engine: str | None, db: DuckDBPyConnection, spill: Path, open_ones: ExitStack) -> Any:
    """The database that adds up: DuckDB here, or the same rows and the same SQL somewhere else."""
    if engine is None:
        return db
    from frugal_plugins.estimate.engines import move, warehouse

    other = open_ones.enter_context(warehouse(engine))
    move(db, other, spill)
    return other


def estimate_numbers(numbers: Sequence[Numbers], *, recipe: RecipeSettings | None = None, now_seconds: float | None = None) -> Estimate:
    """Estimate from a few numbers for each model."""
    load_price_list()
    rows = [_row(each) for each in numbers]
    with database() as (db, spill):
        load_rows(rows, db, spill)
        intake = Intake(formats=Counter({"a few numbers": len(rows)}), rows=len(rows))
        return _estimate(db, intake, recipe, now_seconds, True)


def _row(each: Numbers) -> Row:
    paid = each.requests_per_month * each.input_tokens
    row = Row(None, each.model, requests=each.requests_per_month)
    usage = Usage(paid, round(paid * each.cached_percent / 100), output_tokens=each.requests_per_month * each.output_tokens)
    try:
        return counted(row, usage)
    except Unusable as why:
        raise InputError(f"these numbers cannot be: {why}") from None


def _estimate(
    db: DuckDBPyConnection, intake: Intake, recipe: RecipeSettings | None, now_seconds: float | None, monthly: bool | None
) -> Estimate:
    now = time.time() if now_seconds is None else now_seconds
    book = PriceBook()
    own = plan_of(recipe, book) if recipe is not None else None
    table = PriceTable(own.prices if own is not None else book, now)
    prepare(db, table)
    spend = today(db, table)
    if monthly:
        spend = replace(spend, declared_month=spend.usd)
    plan = own or _with_budgets(db, fitted_plan(list(spend.by_model), book))
    seen = visible(db)
    cells = read_cells(db, plan, seen)
    uncapped, prefix = _uncapped(db)
    timed = piles(cells, table, plan, blocks=True)
    return Estimate(
        spend=spend,
        leaks=tuple(leaks(cells, table, uncapped, prefix)),
        savings=savings_of(timed, seen, cells),
        plan=plan,
        intake=intake,
        notes=tuple(notes(intake, spend, seen)),
        piles=tuple(piles(cells, table, plan, blocks=False)),
        at_seconds=now,
    )


def _with_budgets(db: DuckDBPyConnection, plan: Plan) -> Plan:
    """Budgets that fit: where one answer in twenty is longer than the usual budget, the budget grows; a verdict's stays."""
    rows = db.execute(
        "SELECT task, percentile_disc(0.95) WITHIN GROUP (ORDER BY output_tokens - reasoning_tokens), count(*) FROM logs "
        "WHERE task <> '' AND requests = 1 AND NOT stored_answer GROUP BY task"
    ).fetchall()
    longest = {task: int(tokens) for task, tokens, _ in rows}
    return replace(plan, budgets={task: _budget(task, usual, longest) for task, usual in plan.budgets.items()})


def _budget(task: str, usual: int, longest: Mapping[str, int]) -> int:
    wanted = longest.get(task, 0)
    return usual if task == "yes_no" or wanted <= usual else -(-wanted // _ROUND_TO_TOKENS) * _ROUND_TO_TOKENS


def _uncapped(db: DuckDBPyConnection) -> tuple[int, int]:
    """Requests with a text and no limit on the answer, and the tokens of system prompts, tools and schemas paid in full."""
    found = db.execute(
        "SELECT count(*) FILTER (turns > 0 AND bounded_tokens IS NULL), "
        "coalesce(sum(greatest(0, prefix_tokens - cache_read_tokens)), 0) FROM logs WHERE NOT stored_answer"
    ).fetchall()[0]
    return int(found[0]), int(found[1])


def decimal(usd: float) -> Decimal:
    """An estimated figure for `report.words.money`."""
    return Decimal(repr(round(usd, 9)))
