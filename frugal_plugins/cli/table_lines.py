"""CSV and Parquet as input: each row of the table becomes the JSON line it stands for.

Columns: `messages`, `input`, `body` or `frugal` (JSON, or nested in Parquet), `prompt` (one user message), `system`, `text` (a
document to embed), `custom_id` or `id`, `model`, and any parameter (`max_tokens`, `temperature`, ...). Empty cells are left out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError, MissingExtra

TABLES: Final = (".csv", ".parquet")
_JSON: Final = ("messages", "body", "frugal", "tools", "response_format", "tool_choice", "stop")
_TEXTS: Final = frozenset({"custom_id", "id", "model", "text", "prompt", "system", "input", "url", "user", "instructions", "task"})
_TAKE: Final = 1000


def table_lines(path: Path, texts: Iterable[str] = ()) -> Iterator[bytes]:
    """The rows as JSON lines; `texts` are columns whose cells stay as they are written.

    Raises InputError for a file that cannot be read, or without a usable column.
    """
    rows = _csv(path, _TEXTS.union(texts)) if path.suffix.lower() == ".csv" else _parquet(path)
    for row in rows:
        yield json.dumps(_line(row), ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in row.items() if name and value not in (None, "")}
    for name in _JSON:
        if isinstance(said.get(name), str) and said[name].lstrip()[:1] in ("[", "{"):
            try:
                said[name] = json.loads(said[name])
            except ValueError:
                continue  # the line's own check names the field
    said = with_messages(said)
    if "id" in said and "custom_id" not in said:
        said["custom_id"] = str(said.pop("id"))
    if "task" in said:
        said["frugal"] = {"task": said.pop("task"), **(said["frugal"] if isinstance(said.get("frugal"), dict) else {})}
    return said


def with_messages(said: dict[str, Any]) -> dict[str, Any]:
    """A row's `prompt`, and its `system` where there is one, as the messages they stand for."""
    if not isinstance(said.get("prompt"), str) or "messages" in said:
        return said
    system = [{"role": "system", "content": said["system"]}] if "system" in said else []
    asked = [*system, {"role": "user", "content": said["prompt"]}]
    return {name: value for name, value in said.items() if name not in ("prompt", "system")} | {"messages": asked}


def _csv(path: Path, texts: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(1 << 28)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check(reader.fieldnames or (), path)
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(
                        f"the row has not as many cells as the header ({len(reader.fieldnames or ())})",
                        file=str(path),
                        line=reader.line_num,
                    )
                yield {name: value if name in texts else _number(value) for name, value in row.items()}
    except OSError as error:
        raise InputError(f"the input cannot be read ({error.strerror}); check the path", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8; save it as UTF-8", file=str(path)) from error
    except csv.Error as error:
        raise InputError(f"the file is not CSV ({error})", file=str(path)) from error


def _number(value: str) -> Any:
    """A cell of a parameter as the number or truth it stands for; other texts stay."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, (int, float, bool)) else value


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    if find_spec("duckdb") is None:
        raise MissingExtra("duckdb", "estimate")
    import duckdb

    if not path.exists():
        raise InputError("the input cannot be read (no such file); check the path", file=str(path))
    try:
        with duckdb.connect() as db:
            found = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [column[0] for column in found.description or ()]
            _check(names, path)
            while rows := found.fetchmany(_TAKE):
                yield from (dict(zip(names, row, strict=True)) for row in rows)
    except duckdb.Error as error:
        raise InputError(f"the file is not Parquet ({str(error).splitlines()[0][:200]})", file=str(path)) from error


def _check(names: Any, path: Path) -> None:
    if not {"messages", "prompt", "input", "text", "body"} & set(names):
        raise InputError("there is no column 'prompt', 'messages', 'text', 'input' or 'body'; name one of the columns so", file=str(path))
