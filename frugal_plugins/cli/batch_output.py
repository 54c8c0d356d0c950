"""The results of a job as JSONL, CSV or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from frugal_plugins.batch import RowResult
from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.report.words import number
from frugal_plugins.request import Endpoint, Reply

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run when a cell begins with it."""
_COLUMNS: Final = ("line", "custom_id", "answer", "error", "model", "input_tokens", "output_tokens", "usd", "part", "embedding")
_TYPES: Final = ("BIGINT", "VARCHAR", "VARCHAR", "VARCHAR", "VARCHAR", "BIGINT", "BIGINT", "DOUBLE", "BIGINT", "FLOAT[]")

Write = Callable[[RowResult], None]


@contextmanager
def writer(path: Path) -> Iterator[Write]:
    """Writes rows to a file, in the form its name asks for; whole or not at all.

    Raises InputError where it cannot be written, MissingExtra for Parquet without duckdb.
    """
    if path.suffix == ".parquet" and find_spec("duckdb") is None:
        raise MissingExtra("duckdb", "estimate")
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            kinds = {".csv": csv_writer, ".parquet": _record_writer}
            yield kinds.get(path.suffix, jsonl_writer)(file)
        if path.suffix == ".parquet":
            _to_parquet(beside)
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); free the disk or name another file") from error
    finally:
        beside.unlink(missing_ok=True)


def jsonl_writer(file: Any) -> Write:
    """Rows as lines in the shape of `frugal run`'s output."""

    def write(row: RowResult) -> None:
        said: dict[str, Any] = {"line": row.n + 1}
        if row.name is not None:
            said["custom_id"] = row.name
        if row.reply is not None:
            said |= {"response": response_of(row.reply, row.endpoint), "frugal": told_of(row)}
        elif row.error is not None:
            said["error"] = {"message": row.error}
        file.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


def csv_writer(file: Any) -> Write:
    """Rows as a table with a header; a vector is a JSON list in its cell, and a row of several texts has a line for each."""
    out = csv.writer(file)
    columns: tuple[str, ...] = ()

    def write(row: RowResult) -> None:
        nonlocal columns
        if not columns:
            columns = _COLUMNS if row.endpoint == "embeddings" else _COLUMNS[:-2]
            out.writerow(columns)
        for record in _records(row):
            vector = record["embedding"]
            cells = {**record, "embedding": None if vector is None else json.dumps(vector, separators=(",", ":"))}
            out.writerow([_harmless(cells[name]) for name in columns])

    return write


def _record_writer(file: Any) -> Write:
    """Rows as the lines a Parquet file is made of."""

    def write(row: RowResult) -> None:
        for record in _records(row):
            file.write(json.dumps(record, separators=(",", ":")) + "\n")

    return write


def _to_parquet(path: Path) -> None:
    """Turn a file of records into Parquet, in its place."""
    import duckdb

    columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in zip(_COLUMNS, _TYPES, strict=True)) + "}"
    made = path.with_name(f"{path.name}.parquet")
    source, target = (str(one).replace("'", "''") for one in (path, made))
    try:
        with duckdb.connect() as db:
            read = f"read_json('{source}', format = 'newline_delimited', columns = {columns}, maximum_object_size = 268435456)"
            db.execute(f"COPY (SELECT * FROM {read}) TO '{target}' (FORMAT parquet)")
        made.replace(path)
    except duckdb.Error as error:
        raise InputError(f"{path} cannot be turned into Parquet ({str(error).splitlines()[0][:200]}); write .jsonl instead") from error
    finally:
        made.unlink(missing_ok=True)


def _records(row: RowResult) -> Iterator[dict[str, Any]]:
    """A row as flat records: one, or one for each text that was embedded."""
    reply: Reply | None = row.reply
    usage = None if reply is None else reply.usage
    record: dict[str, Any] = {
        "line": row.n + 1,
        "custom_id": row.name,
        "answer": None if reply is None or row.endpoint == "embeddings" else reply.text,
        "error": row.error,
        "model": row.frugal.get("model"),
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "usd": number(row.usd),
        "part": None,
        "embedding": None,
    }
    for part, vector in enumerate(row.vectors):
        counts = {} if part == 0 else {"input_tokens": None, "output_tokens": None, "usd": None}
        yield {**record, **counts, "part": part, "embedding": vector}
    if not row.vectors:
        yield record


def _harmless(word: Any) -> Any:
    """A cell that a spreadsheet shows and does not run."""
    return f"'{word}" if isinstance(word, str) and word.startswith(_FORMULA) else word


def told_of(row: RowResult) -> dict[str, Any]:
    """What the recipe did, and what the row cost."""
    return {**row.frugal, "usd": number(row.usd)}


def response_of(reply: Reply, endpoint: Endpoint = "chat") -> dict[str, Any]:
    """A reply in the shape of the API that was asked; for chat completions in OpenAI's, whichever provider gave it."""
    if endpoint != "chat" and isinstance(reply.raw, dict):
        return reply.raw
    usage = reply.usage
    counted: Mapping[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    messages = (reply.message, *reply.others)
    choices = [{"index": place, "message": message, "finish_reason": reply.finish} for place, message in enumerate(messages)]
    return {"id": reply.id, "object": "chat.completion", "model": reply.model, "choices": choices, "usage": counted}
