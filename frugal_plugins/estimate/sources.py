"""Opening a file of logs: compressed or not, JSON lines, a JSON document, or a table; in whole or a stretch of it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

from frugal_plugins.errors import InputError
from frugal_plugins.estimate.row import Unusable

Kind = Literal["sqlite", "lines", "document", "table"]
Record = Mapping[str, Any] | Unusable

_SQLITE: Final = b"SQLite format 3\0"
_PEEK_BYTES: Final = 65_536
_AROUND: Final = " \t\r\n[],\ufeff"
"""What may stand around the objects of a list that has one on each line."""

_BETWEEN: Final = (b"", b"[", b"]", b",")
_LARGEST_DOCUMENT_BYTES: Final = 400_000_000
_LARGEST_LINE_BYTES: Final = 64_000_000
_BOMS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass(frozen=True, slots=True)
class Source:
    """A file and what it looks like from outside."""

    path: Path
    kind: Kind
    encoding: str
    packed: bool
    header: tuple[str, ...] = ()

    @property
    def divisible(self) -> bool:
        """Whether a stretch of its bytes can be read on its own."""
        return self.kind in ("lines", "table") and not self.packed and self.encoding == "utf-8"


def look_at(path: Path) -> Source:
    """What a file is. Raises InputError for one that is missing, empty, or in a form nobody can read."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the files in it, for example {path}/*.jsonl")
    try:
        with path.open("rb") as file:
            head = file.read(_PEEK_BYTES)
        packed = head[:2] == b"\x1f\x8b"
        if packed:
            with gzip.open(path, "rb") as unpacked:
                head = unpacked.read(_PEEK_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions"
        ) from error
    if head.startswith(_SQLITE):
        return Source(path, "sqlite", "", packed)
    encoding = next((name for mark, name in _BOMS if head.startswith(mark)), _plain_encoding(head))
    text = head.decode(encoding, "replace").lstrip("\ufeff \r\n\t")
    if not text:
        raise InputError(f"{path} is empty; export it again, or name another file")
    if ("\0" in text[:2000] and text[0] not in "[{") or text.startswith(("PK\x03", "PAR1")):
        raise InputError(f"{path} is neither text nor a ledger; unpack it, or export it as JSON lines or CSV")
    if text[0] in "[{":
        return Source(path, "lines" if _is_lines(text, whole=len(head) < _PEEK_BYTES) else "document", encoding, packed)
    header = tuple(name.strip() for name in next(csv.reader([text.splitlines()[0]])))
    apart = next((word for mark, word in ((";", "semicolons"), ("\t", "tabs")) if len(header) == 1 and mark in header[0]), None)
    if apart:
        raise InputError(f"{path}: its columns are separated by {apart}; export it with commas")
    return Source(path, "table", encoding, packed, header)


def _plain_encoding(head: bytes) -> str:
    zeros = head[:200]
    if zeros[1::2].count(0) > len(zeros) // 4:
        return "utf-16-le"
    return "utf-16-be" if zeros[::2].count(0) > len(zeros) // 4 else "utf-8"


def _is_lines(text: str, *, whole: bool) -> bool:
    """Whether each line is an object of its own, if need be inside one pair of brackets and with commas between."""
    lines = text.splitlines()
    if text[0] == "[":
        return _is_listed(lines)
    if len(lines[0].strip()) < 2:
        return False
    try:
        first = json.loads(lines[0])
    except ValueError:
        return len(lines) > 1 and lines[0].rstrip(", \t").endswith("}") and lines[1].lstrip().startswith("{")
    alone = whole and not any(line.strip() for line in lines[1:])
    return isinstance(first, dict) and not (alone and isinstance(first.get("data"), list))


def _is_listed(lines: list[str]) -> bool:
    first = next((bare for line in lines if (bare := line.strip(_AROUND))), "")
    try:
        found = json.loads(first)
    except ValueError:
        return False
    return isinstance(found, dict) and not isinstance(found.get("data"), list)


def cuts(source: Source, parts: int) -> list[tuple[int, int]]:
    """Stretches of about equal size that start and end between two records."""
    size = source.path.stat().st_size
    if parts < 2 or not source.divisible:
        return [(0, size)]
    places = [0]
    with source.path.open("rb") as file:
        for part in range(1, parts):
            place = _between(file, places[-1], size * part // parts, quoted=source.kind == "table")
            if places[-1] < place < size:
                places.append(place)
    return list(zip(places, [*places[1:], size], strict=True))


def _between(file: BinaryIO, start: int, wanted: int, *, quoted: bool) -> int:
    """The first line end after `wanted` that is not inside quotes: one with an even number of quote marks before it."""
    marks = 0
    if quoted:
        file.seek(start)
        left = wanted - start
        while left > 0 and (chunk := file.read(min(left, 1 << 24))):
            marks += chunk.count(b'"')
            left -= len(chunk)
    file.seek(wanted)
    while line := file.readline():
        marks += line.count(b'"') if quoted else 0
        if marks % 2 == 0:
            return file.tell()
    return file.tell()


def records(source: Source, start: int = 0, end: int | None = None) -> Iterator[tuple[int, Record]]:
    """Every record with its line (from the start of the stretch), or why that line cannot be used."""
    if source.kind == "document":
        yield from _document(source)
    elif source.kind == "table":
        yield from _table(source, start, end)
    else:
        for number, line in enumerate(_lines(source, start, end), start=1):
            if line.strip() not in _BETWEEN:
                yield number, _parsed(line)


def _open(source: Source) -> BinaryIO:
    return cast("BinaryIO", gzip.open(source.path, "rb")) if source.packed else source.path.open("rb")


def _lines(source: Source, start: int, end: int | None) -> Iterator[bytes]:
    with _open(source) as file:
        if source.encoding.startswith("utf-16"):
            for text in io.TextIOWrapper(file, source.encoding, errors="replace"):
                yield text.encode()
            return
        file.seek(start)
        left = (end if end is not None else 1 << 62) - start
        while left > 0:
            line = file.readline(_LARGEST_LINE_BYTES)
            if not line:
                return
            left -= len(line)
            yield line


def _parsed(line: bytes) -> Record:
    try:
        found = json.loads(line)
    except UnicodeDecodeError:
        return _parsed(line.decode("cp1252", "replace").encode())
    except (ValueError, RecursionError):
        bare = line.strip(_AROUND.encode())
        if bare.startswith(b"{") and len(bare) < len(line.strip()):
            return _parsed(bare)
        return Unusable("it is not a whole JSON object (a half line?); remove it or write it again")
    return found if isinstance(found, dict) else Unusable("it is JSON, but not an object; each line is one object in braces")


def _document(source: Source) -> Iterator[tuple[int, Record]]:
    if source.path.stat().st_size > _LARGEST_DOCUMENT_BYTES:
        raise InputError(f"{source.path} is one JSON document too large to hold; write one object a line: jq -c '.[]' FILE > FILE.jsonl")
    with _open(source) as file:
        text = file.read().decode(source.encoding, "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"this JSON document ends or breaks here ({error}); export it again", file=str(source.path), line=line) from None
    for number, record in enumerate(_flat(found), start=1):
        yield number, record if isinstance(record, dict) else Unusable("this item is not an object; each item is one object in braces")


def _flat(found: Any) -> Iterator[Any]:
    """The records of a document: a list, `{"data": [...]}`, or pages of those; a single object is one record."""
    if isinstance(found, list):
        for one in found:
            yield from _flat(one) if isinstance(one, dict) and isinstance(one.get("data"), list) else [one]
    elif isinstance(found, dict) and isinstance(found.get("data"), list):
        yield from found["data"]
    else:
        yield found


def _table(source: Source, start: int, end: int | None) -> Iterator[tuple[int, Record]]:
    header, width = source.header, len(source.header)
    lines = (_text(line, source.encoding) for line in _lines(source, start, end))
    reader = csv.reader(lines)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, Unusable(f"it is not a line of this table ({error}); export it again")
            continue
        if not cells or (start == 0 and reader.line_num == 1):
            continue
        if len(cells) != width:
            yield reader.line_num, Unusable(f"it has {len(cells)} columns, the table has {width}; export it again or remove it")
        else:
            yield reader.line_num, dict(zip(header, cells, strict=True))


def _text(line: bytes, encoding: str) -> str:
    try:
        text = line.decode("utf-8" if encoding != "utf-8-sig" else "utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("cp1252", "replace")
    return text.replace("\0", "")
