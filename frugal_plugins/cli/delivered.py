"""The output of `frugal run`: answers that are on the disk stay there, and a later run goes on behind them.

Two files. The output has one line for each finished request, written whole and synced. The journal beside it has a line for
each request before it is sent, so that after a crash it is known which ones may have been paid without an answer on disk.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from frugal_plugins.cli.lines import Line
from frugal_plugins.errors import InputError


class Delivered:
    """The finished requests of a run, old and new.

    Attributes:
        done: digest of each finished line by its number.
        maybe_paid: lines that an earlier run had sent when it was cut off, without an answer on disk.

    Raises:
        InputError: the output is not one of ours, or another run is writing to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._output = _open(path)
        self.resumable = stat.S_ISREG(os.fstat(self._output.fileno()).st_mode)
        self.journal_path = path.with_name(f"{path.name}.journal")
        self.done: dict[int, str] = {}
        self.maybe_paid: frozenset[int] = frozenset()
        self._journal: IO[bytes] | None = None
        self._end = 0
        if self.resumable:
            self._resume()

    def sent(self, line: Line) -> None:
        """Write down that a request is about to be sent."""
        self._note({"sent": line.number, "input": line.digest})

    def back(self, line: Line) -> None:
        """Write down that the provider refused it, so nothing was paid."""
        self._note({"back": line.number})

    def write(self, line: Line, record: Mapping[str, Any]) -> None:
        """Add a finished request, synced to the disk. Raises OSError, with nothing half-written, when the disk is full."""
        named = {"custom_id": line.custom_id} if line.custom_id is not None else {}
        data = _jsonl({"line": line.number, "input": line.digest, **named, **record})
        try:
            _write(self._output, data)
        except OSError:
            if self.resumable:
                os.ftruncate(self._output.fileno(), self._end)
                self._output.seek(self._end)
            raise
        self._end += len(data)
        self.done[line.number] = line.digest

    def close(self, *, complete: bool) -> None:
        """Close both files; a complete run needs its journal no more."""
        self._output.close()
        if self._journal is not None:
            if complete:
                self.journal_path.unlink(missing_ok=True)
            self._journal.close()

    def __enter__(self) -> Delivered:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(complete=False)

    def _resume(self) -> None:
        self._journal = _open(self.journal_path)
        _lock(self._journal, self.path)
        self._end = self._read_output()
        os.ftruncate(self._output.fileno(), self._end)
        self._output.seek(self._end)
        sent: set[int] = set()
        for record, _ in _whole_lines(self._journal):
            sent.discard(record.get("back", 0))
            if "sent" in record:
                sent.add(record["sent"])
        self.maybe_paid = frozenset(sent - self.done.keys())
        self._journal.seek(0, os.SEEK_END)

    def _read_output(self) -> int:
        """Take in what is there; returns where the last whole line ends."""
        whole = 0
        for record, end in _whole_lines(self._output, name=self.path):
            whole = end
            if not isinstance(record.get("line"), int) or not isinstance(record.get("input"), str):
                raise _foreign(self.path)
            self.done[record["line"]] = record["input"]
        return whole

    def _note(self, record: Mapping[str, Any]) -> None:
        if self._journal is not None:
            _write(self._journal, _jsonl(record))


def _open(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); check the folder, or name another file") from error


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        os.fsync(file.fileno())


def _whole_lines(file: IO[bytes], *, name: Path | None = None) -> Iterator[tuple[dict[str, Any], int]]:
    """The records of a file and where each ends. A last line without its line end was cut off and is left out."""
    end = 0
    with os.fdopen(os.dup(file.fileno()), "rb") as reader:
        reader.seek(0)
        for raw in reader:
            if not raw.endswith(b"\n"):
                return
            end += len(raw)
            try:
                record = json.loads(raw)
            except ValueError:
                record = None
            if isinstance(record, dict):
                yield record, end
            elif name is not None:
                raise _foreign(name)


def _foreign(path: Path) -> InputError:
    return InputError(f"{path} exists and was not written by frugal run; name another --output, or move that file away")


def _jsonl(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "surrogatepass") + b"\n"


def _lock(file: IO[bytes], output: Path) -> None:
    """One run at a time: two would pay for the same requests."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"another frugal run is writing to {output}; wait until it is done, or name another --output") from error
