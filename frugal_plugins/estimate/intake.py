"""From files to a table: every file is read, in several processes when it is large, and DuckDB holds the rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Protocol

from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.estimate.columnar import load_spend_logs, suits
from frugal_plugins.estimate.reading import NAMED_PROBLEMS, Tally
from frugal_plugins.estimate.row import TYPES, Row
from frugal_plugins.estimate.sources import Source, cuts, look_at
from frugal_plugins.estimate.spend_table import export_spend_logs, shown
from frugal_plugins.estimate.stretch import read_into
from frugal_plugins.postgres import is_postgres

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXPECTED: Final = (
    "raw requests and responses (JSON lines with 'usage'), LiteLLM spend logs (CSV or JSON), OpenAI organization usage, Anthropic usage "
    "report, Langfuse or Helicone exports, our own ledger, or a table with model, input_tokens, output_tokens"
)
_OWN_PROCESS_BYTES: Final = 24_000_000

COLUMNAR_BYTES: Final = 4_000_000
"""From this size on spend logs without text are read by DuckDB itself."""


@dataclass(slots=True)
class Intake:
    """What was read, and what was not.

    Attributes:
        problems: the first unusable lines as `file:line: why`; `unusable` counts all.
        missing: by format, what it leaves out and what that makes uncertain.
        by_meaning: questions that mean what an earlier one means; None where nobody looked.
        left_out: records that cost nothing: failed calls, spans, empty buckets.
    """

    formats: Counter[str] = field(default_factory=Counter)
    missing: dict[str, list[list[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    by_meaning: int | None = None
    rows: int = 0
    unusable: int = 0
    left_out: int = 0
    uncounted: int = 0
    zoneless: int = 0
    overcached: int = 0
    unread: int = 0
    files: tuple[str, ...] = ()

    def add(self, path: str, tallies: Sequence[Tally]) -> None:
        """The stretches of one file, in order."""
        before = 0
        for tally in tallies:
            self.formats += tally.formats
            self.missing |= tally.missing
            for name in ("rows", "unusable", "left_out", "uncounted", "zoneless", "overcached", "unread"):
                setattr(self, name, getattr(self, name) + getattr(tally, name))
            self.problems += [f"{path}:{before + line}: {why}" for line, why in tally.problems]
            before += tally.lines
        if not any(tally.rows for tally in tallies):
            raise _nothing(path, tallies)
        del self.problems[NAMED_PROBLEMS:]


def _nothing(path: str, tallies: Sequence[Tally]) -> InputError:
    seen = next((tally.seen for tally in tallies if tally.seen), [])
    first = next((f"line {line}: {why}" for tally in tallies for line, why in tally.problems), None)
    if seen:
        return InputError(f"{path}: no format we know; its fields are {', '.join(seen)}. Expected: {EXPECTED}")
    if any(tally.left_out for tally in tallies):
        return InputError(f"{path}: every record in it cost nothing (failed calls, spans or empty buckets); export calls that succeeded")
    return InputError(f"{path}: no usable record ({first or 'no line in it'}). Expected: {EXPECTED}")


@contextmanager
def database(folder: str | None = None, memory_mb: int = 1_000) -> Iterator[tuple[DuckDBPyConnection, Path]]:
    """An empty DuckDB that spills into a folder of its own. Raises MissingExtra when duckdb is not installed."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("duckdb", "estimate") from error
    if folder is not None and not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise InputError(f"--spill {folder} is no folder that can be written to; make it, check its permissions, or name another")
    with TemporaryDirectory(prefix="frugal-estimate-", dir=folder) as spill:
        config = {"memory_limit": f"{memory_mb}MB", "temp_directory": f"{spill}/spill", "preserve_insertion_order": "false"}
        settings: dict[str, str | bool | int | float | list[str]] = {**config, "threads": str(os.cpu_count() or 1)}
        with duckdb.connect(f"{spill}/logs.duckdb", config=settings) as db:
            db.execute("SET TimeZone = 'UTC'")
            yield db, Path(spill)


class Readers(Protocol):
    """Who else may read files: workers on this machine or others."""

    def read(self, source: Source, folder: Path, number: int, *, questions: bool) -> tuple[list[Tally], list[Path]]:
        """A file as Parquet files of rows, and what its stretches came to."""


def load(
    places: Sequence[Path | str], db: DuckDBPyConnection, folder: Path, readers: Readers | None = None, *, questions: bool = False
) -> Intake:
    """Read files, or a proxy's own database, and make `logs` of them; with `questions` also `*.questions` in the folder.

    Raises InputError for one without a single usable record.
    """
    intake = Intake(files=tuple(shown(str(place)) if is_postgres(place) else str(place) for place in places))
    _make_table(db)
    parts = ["SELECT * FROM lines"]
    for number, (place, path) in enumerate(zip(places, intake.files, strict=True)):
        source = look_at(export_spend_logs(str(place), folder) if is_postgres(place) else Path(place))
        if readers is not None:
            tallies, written = readers.read(source, folder, number, questions=questions)
            intake.add(path, tallies)
            _insert_parquet(db, written)
            continue
        if source.path.stat().st_size >= COLUMNAR_BYTES and suits(source):
            tally, rows = load_spend_logs(source, db, number)
            intake.add(path, [tally])
            parts.append(rows)
            continue
        tallies, written = _read(source, folder, number, questions=questions)
        intake.add(path, tallies)
        _insert(db, written)
    db.execute(f"CREATE VIEW logs AS {' UNION ALL '.join(parts)}")
    return intake


def _make_table(db: DuckDBPyConnection) -> None:
    db.execute(f"CREATE TABLE lines ({', '.join(f'{name} {kind}' for name, kind in TYPES.items())})")


def _insert(db: DuckDBPyConnection, files: Sequence[Path]) -> None:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())
    listed = ", ".join(f"'{file}'" for file in files)
    db.execute(
        f"INSERT INTO lines SELECT * FROM read_csv([{listed}], header=false, auto_detect=false, delim='\t', quote='', escape='', "
        f"nullstr='\\N', columns={{{columns}}})"
    )
    for file in files:
        file.unlink()


def _insert_parquet(db: DuckDBPyConnection, files: Sequence[Path]) -> None:
    listed = ", ".join(f"'{file}'" for file in files)
    db.execute(f"INSERT INTO lines SELECT {', '.join(TYPES)} FROM read_parquet([{listed}])")
    for file in files:
        file.unlink()


def load_rows(rows: Sequence[Row], db: DuckDBPyConnection, folder: Path) -> None:
    """Rows made by hand (a few numbers, tests) as `logs`."""
    file = folder / "rows.tsv"
    file.write_text("".join(row.line() + "\n" for row in rows), encoding="utf-8")
    _make_table(db)
    _insert(db, [file])
    db.execute("CREATE VIEW logs AS SELECT * FROM lines")


def _read(source: Source, folder: Path, number: int, *, questions: bool) -> tuple[list[Tally], list[Path]]:
    parts = (os.cpu_count() or 1) if source.path.stat().st_size >= _OWN_PROCESS_BYTES else 1
    stretches = cuts(source, parts)
    outs = [folder / f"rows-{number}-{part}.tsv" for part in range(len(stretches))]
    asked = [out.with_suffix(".questions") if questions else None for out in outs]
    if len(stretches) > 1:
        return _in_processes(source.path, stretches, outs, asked), outs
    return [read_into(source, outs[0], *stretches[0], asked[0])], outs


def _in_processes(path: Path, stretches: Sequence[tuple[int, int]], outs: Sequence[Path], questions: Sequence[Path | None]) -> list[Tally]:
    command = [sys.executable, "-m", "frugal_plugins.estimate.stretch", str(path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [
        subprocess.Popen(  # noqa: S603 - our own module, with a file name as an argument
            [*command, str(start), str(end), str(out), *([str(asked)] if asked else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        for (start, end), out, asked in zip(stretches, outs, questions, strict=True)
    ]
    try:
        done = [process.communicate() for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
    for process, (_, said) in zip(running, done, strict=True):
        if process.returncode:
            raise InputError(
                f"{path} could not be read ({said.strip().splitlines()[-1] if said.strip() else 'the reader was ended'}); try again"
            )
    return [Tally.from_json(text) for text, _ in done]
