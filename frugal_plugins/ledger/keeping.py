"""Looking after a ledger: letting old rows go, making the sums again, handing rows on."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.ledger.reader import Period
from frugal_plugins.ledger.reading import Db
from frugal_plugins.ledger.rollups import rebuild
from frugal_plugins.ledger.rows import COLUMNS, plain
from frugal_plugins.ledger.tables import column_kinds, usd

Table = Literal["requests", "calls", "decisions", "savings", "feedback", "rollups"]
TABLES: Final = ("requests", "calls", "decisions", "savings", "feedback", "rollups")
_CHUNK: Final = 2_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "|", "%")
_ROLLUPS: Final = (
    "dimension, hour_seconds, value, recipe, basis, requests, priced, hits, errors, input_tokens, cache_read_tokens, output_tokens, "
    "baseline_picousd, actual_picousd, saved_picousd, spent_picousd"
)


def prune(db: Db, before_seconds: float, seen: Callable[[int], None] = lambda _gone: None) -> int:
    """Let go of the rows of whole hours before then, a few at a time so that writers go on; the hourly sums stay.

    Says how many requests went. Interrupted, it has let go of some hours' rows and can simply be run again.
    """
    edge = int(before_seconds // 3600 * 3600)
    oldest = f"SELECT id FROM requests WHERE at_seconds < :edge ORDER BY at_seconds, id LIMIT {_CHUNK}"
    if edge > kept_since(db):
        db.change(["INSERT INTO kept_since VALUES (:edge)"], edge=edge)
    statements = [f"DELETE FROM {table} WHERE request_id IN ({oldest})" for table in ("calls", "decisions", "savings", "feedback")]
    gone = 0
    while changed := db.change([*statements, f"DELETE FROM requests WHERE id IN ({oldest})"], edge=edge):
        gone += changed
        seen(gone)
    return gone


def kept_since(db: Db) -> float:
    """From when on the rows are there; 0 when none were ever let go."""
    return float(db.rows("SELECT coalesce(max(at_seconds), 0) FROM kept_since")[0][0])


def make_sums_again(db: Db) -> bool:
    """Make the hourly sums of all hours whose rows are there; says whether they were what the rows say already."""
    edge = kept_since(db)
    before = _sums(db, edge)
    db.change(rebuild(db.hour, since_seconds=edge))
    return _sums(db, edge) == before


def _sums(db: Db, edge: float) -> list[Any]:
    return [
        db.rows(f"SELECT * FROM {table} WHERE hour_seconds >= :edge ORDER BY 1, 2, 3, 4, 5", edge=from_edge)
        for table, from_edge in (("rollups", edge), ("decision_rollups", edge), ("day_rollups", 0), ("day_decision_rollups", 0))
    ]


def export(db: Db, table: Table, period: Period, path: Path, *, with_text: bool = False) -> int:
    """Write a table as `.csv`, or as `.parquet` with the estimate extra. The file is for its owner only (0600).

    Dollars are exact decimals, in columns that end in `_usd`. Says how many rows were written.
    """
    columns = [name for name in (_ROLLUPS if table == "rollups" else COLUMNS[table]).split(", ") if with_text or name != "text"]
    if path.suffix == ".csv":
        return _write_csv(path, columns, _rows(db, table, columns, period))
    if path.suffix == ".parquet":
        return _write_parquet(path, table, columns, _rows(db, table, columns, period))
    raise InputError(f"{path} has to end in .csv or .parquet")


def _rows(db: Db, table: Table, columns: list[str], period: Period) -> Iterator[list[Any]]:
    edges = {"since": period.since_seconds or 0, "until": 2**50 if period.until_seconds is None else period.until_seconds}
    listed = ", ".join(f"t.{name}" for name in columns)
    if table == "requests":
        sql = f"SELECT {listed} FROM requests t WHERE t.at_seconds >= :since AND t.at_seconds < :until ORDER BY t.at_seconds, t.id"
    elif table == "rollups":
        sql = f"SELECT {listed} FROM rollups t WHERE t.hour_seconds >= :since AND t.hour_seconds < :until ORDER BY 1, 2, 3, 4, 5"
    else:
        sql = (
            f"SELECT {listed} FROM {table} t JOIN requests r ON r.id = t.request_id WHERE r.at_seconds >= :since AND r.at_seconds < :until "
            "ORDER BY r.at_seconds, 1, 2"
        )
    money = [name.endswith("picousd") for name in columns]
    for row in db.each(sql, **edges):
        yield [usd(value) if is_money else value for value, is_money in zip(row, money, strict=True)]


def _name(column: str) -> str:
    return column.replace("picousd", "usd")


def cell(value: Any) -> str:
    """A value for a spreadsheet: text that would be run as a formula is marked as text.

    >>> cell("=1+1")
    "'=1+1"
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        said = plain(value, len(value))
        return f"'{said}" if said.startswith(_FORMULA) else said
    return "" if value is None else str(value)


def _as_it_is(value: Any) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _write_csv(path: Path, columns: list[str], rows: Iterator[list[Any]], write: Callable[[Any], str] = cell) -> int:
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it, for example {path / 'rows.csv'}")
    beside = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with _private(beside) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([_name(column) for column in columns])
            for row in rows:
                writer.writerow(map(write, row))
                count += 1
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); free the disk or name another file") from error
    finally:
        beside.unlink(missing_ok=True)
    return count


def _write_parquet(path: Path, table: Table, columns: list[str], rows: Iterator[list[Any]]) -> int:
    """By way of a CSV in a private folder beside it, typed and squeezed by DuckDB."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("duckdb", "estimate") from error
    kinds = column_kinds(table)
    listed = ", ".join(f"'{_name(name)}': '{_duckdb_type(name, kinds[name])}'" for name in columns)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".frugal-") as private, duckdb.connect() as db:
            raw, made = Path(private, "rows.csv"), Path(private, "rows.parquet")
            count = _write_csv(raw, columns, rows, _as_it_is)
            db.execute(
                f"COPY (SELECT * FROM read_csv(?, header = true, columns = {{{listed}}}, delim = ',', quote = '\"', escape = '\"', "
                f"new_line = '\\n', nullstr = '')) TO '{_quoted(made)}' (FORMAT parquet, COMPRESSION zstd)",
                [str(raw)],
            )
            made.chmod(0o600)
            made.replace(path)
    except (duckdb.Error, OSError) as error:
        raise InputError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); free the disk or name another file"
        ) from error
    return count


def _duckdb_type(name: str, kind: str) -> str:
    return "DECIMAL(28, 12)" if name.endswith("picousd") else {"text": "VARCHAR", "bigint": "BIGINT"}.get(kind, "DOUBLE")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _private(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb"), encoding="utf-8", newline="")
