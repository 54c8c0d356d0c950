"""Another database does the adding up: the same SQL, put into its words through Ibis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.estimate.row import TYPES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Found:
    """The rows of one statement."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All of them."""
        return self._rows


class Warehouse:
    """Takes DuckDB's SQL and runs it on whatever Ibis is connected to. Everything it makes is temporary.

    Args:
        backend: an Ibis backend (`ibis.connect(url)`), for a database with window functions.
    """

    def __init__(self, backend: Any) -> None:
        import sqlglot

        self.backend = backend
        self._sqlglot = sqlglot

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Found:
        """Run a script and return the rows of its last statement."""
        rows: list[tuple[Any, ...]] = []
        left = list(values)
        for statement in self._sqlglot.parse(sql, read="duckdb"):
            if statement is None:
                continue
            whole = statement.transform(lambda node: self._sqlglot.exp.convert(left.pop(0)) if _is_mark(node) else node)
            rows = self._run(whole.sql(dialect=self.backend.dialect))
        return Found(rows)

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.backend.raw_sql(sql)
        rows = cursor.fetchall() if getattr(cursor, "description", None) else []
        cursor.close()
        return [tuple(row) for row in rows]

    def take(self, parquet: Path) -> None:
        """Load rows as the temporary table `logs`."""
        from pyarrow import parquet as files

        self.backend.create_table("logs", files.read_table(parquet), temp=True)


def _is_mark(node: Any) -> bool:
    return type(node).__name__ == "Placeholder"


@contextmanager
def warehouse(url: str) -> Iterator[Warehouse]:
    """Connect to a database by its address, for example `postgresql://user@host/name`.

    Raises MissingExtra when ibis is not installed, InputError when the address is none that Ibis knows or nobody answers there.
    """
    try:
        import ibis
    except ImportError as error:
        raise MissingExtra("ibis-framework", "scale") from error
    try:
        backend = ibis.connect(url)
    except (ImportError, ValueError, OSError, ibis.common.exceptions.IbisError, *_refusals()) as error:
        shown = url.rsplit("@", maxsplit=1)[-1]
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"--engine {shown}: {said}; check the address, and that its Ibis backend is installed") from error
    try:
        yield Warehouse(backend)
    finally:
        backend.disconnect()


def _refusals() -> tuple[type[Exception], ...]:
    try:
        import psycopg
    except ImportError:
        return ()
    return (psycopg.Error,)


def move(db: DuckDBPyConnection, to: Warehouse, folder: Path) -> None:
    """Hand the rows over, as one Parquet file."""
    parquet = folder / "rows.parquet"
    columns = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in TYPES.items())
    db.execute(f"COPY (SELECT {columns} FROM logs) TO '{parquet}' (FORMAT parquet)")
    to.take(parquet)
    parquet.unlink()
