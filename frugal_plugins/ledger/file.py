"""The ledger a recipe writes into, off the caller's path."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from frugal_plugins.errors import FrugalError, LedgerError
from frugal_plugins.ledger.rows import Batch, plain, rows_of
from frugal_plugins.ledger.settle import Entry, Settled, settled_once
from frugal_plugins.ledger.sqlite import SqliteBook, open_ledger
from frugal_plugins.ledger.telling import tell
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prices import load_price_list

__all__ = ["Ledger", "open_ledger"]

_log = logging.getLogger("frugal_plugins.ledger")

HELD_PATH: Final = "frugal-ledger-held.sqlite"

_BATCH: Final = 1_000
_ENOUGH_SEEN: Final = 10
_LINGER_SECONDS: Final = 0.25
_RETRY_SECONDS: Final = 0.25
_GIVE_UP_SECONDS: Final = 10.0


class Book(Protocol):
    """Where batches are written."""

    @property
    def place(self) -> str:
        """Fit to be shown."""

    def write(self, batch: Batch) -> None:
        """In one transaction. Rows that are there already change nothing."""

    def idle(self) -> None:
        """There is nothing to write for a moment."""

    def close(self) -> None:
        """Let go."""

    def forget(self) -> None:
        """Drop what belongs to the parent process."""


class _Feedback(tuple[str, str, int, float]):
    """What somebody said of an answer, as a row."""

    __slots__ = ()


def _open_book(path: Path | str, held_path: Path, held_rows: int) -> Book:
    if isinstance(path, Path):
        return SqliteBook(path)
    from frugal_plugins.ledger.held import HeldRows
    from frugal_plugins.ledger.postgres import PostgresBook

    return PostgresBook(path, HeldRows(held_path, held_rows))


_Item = Entry | _Feedback | threading.Event


class Ledger:
    """Keeps one row for each request, call and decision in a SQLite file (WAL, mode 0600) or in PostgreSQL.

    `record` never blocks and never raises: rows wait in a bounded queue and a writer thread prices and stores them. When the
    queue is full or the file cannot be written (disk full, locked for long), rows are lost, counted in `lost`, said in the
    log, and traffic goes on. While a PostgreSQL server is gone, rows wait in a local file. `flush` waits until everything
    recorded so far is on disk, there or here; it also runs at exit.

    Args:
        path: the file, its folder must exist, it is created on first use; or `postgresql://user:password@host/database`.
        keep_text: also keep prompts and answers in plain text. Off unless you turn it on.
        queue_rows: how many requests may wait in memory to be written.
        held_path: for PostgreSQL, the local file rows wait in while it is gone.
        held_rows: how many may wait there.

    Raises:
        LedgerError: from `flush` and readers, when the file is not a ledger or was written by a newer version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep_text: bool = False,
        queue_rows: int = 10_000,
        held_path: str | os.PathLike[str] = HELD_PATH,
        held_rows: int = 1_000_000,
    ) -> None:
        self.source = os.fspath(path)
        self.path: Path | str = self.source if is_postgres(path) else Path(path)
        self.keep_text = keep_text
        self.lost = 0
        self.written = 0
        self._most = queue_rows
        # SimpleQueue may be entered again by the same thread: a stream the garbage collector closes books itself in the middle of a put.
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._unsaid = 0
        self._book = _open_book(self.path, Path(held_path), held_rows)
        self._usual: dict[str, tuple[int, int]] = {}
        self.observers: Sequence[Callable[[Entry, Settled], None]] = ()
        self._after: Callable[[], None] | None = None

    def record(self, entry: Entry) -> None:
        """Hand a finished request in. Returns at once."""
        self._hand_in(entry)

    def feedback(self, id: str, good: bool, source: str = "caller") -> None:  # noqa: A002 - it is the request's id
        """Say whether the answer to a request was good. Returns at once; the last word of each source counts.

        Args:
            id: the request's id, as in the ledger and in `x-frugal-id`.
            source: who says so: `caller`, `judge`, `dashboard`, or a name of your own.
        """
        self._hand_in(_Feedback((plain(id), plain(source) or "caller", int(good), time.time())))

    def after_writing(self, then: Callable[[], None]) -> None:
        """What the writer does after each batch and when it is idle; it must not raise."""
        self._after = then

    def flush(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until all that was recorded is on disk; False when it took longer than that."""
        if self._writer is None and self._queue.empty():
            return True
        if self._writer is None or self._pid != os.getpid() or not self._writer.is_alive():
            self._start()
        reached = threading.Event()
        self._queue.put(reached)
        self._hurry.set()
        return reached.wait(timeout_seconds)

    def close(self) -> None:
        """Flush and stop the writer."""
        self.flush()
        self._closing.set()
        self._hurry.set()
        writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join(timeout=5.0)
        atexit.unregister(self.close)

    def usual_output(self, task: str) -> float | None:
        """How many tokens untouched answers of this kind have on average; None until the control group has enough of them."""
        seen, tokens = self._usual.get(task, (0, 0))
        return tokens / seen if seen >= _ENOUGH_SEEN else None

    def open(self) -> sqlite3.Connection:
        """A connection to the file, its tables made if they are missing. The caller closes it."""
        if not isinstance(self.path, Path):
            raise LedgerError(f"{self.place} is no file; read it with frugal_plugins.ledger.open_reader")
        return open_ledger(self.path)

    @property
    def place(self) -> str:
        """Where rows go, fit to be shown: without a password."""
        return self._book.place

    def _hand_in(self, item: _Item) -> None:
        if self._writer is None or self._pid != os.getpid() or not self._writer.is_alive():
            self._start()
        if self._queue.qsize() >= self._most:
            self._lose(1, "the queue is full")
        else:
            self._queue.put(item)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():  # a fork: the parent's thread and rows stay with the parent
                self._queue, self._pid, self._writer = queue.SimpleQueue(), os.getpid(), None
                self._book.forget()
            if self._writer is None or not self._writer.is_alive():
                load_price_list()
                self._closing.clear()
                self._writer = threading.Thread(target=self._write_on, name="frugal-ledger", daemon=True)
                self._writer.start()
                atexit.unregister(self.close)
                atexit.register(self.close)

    def _write_on(self) -> None:
        try:
            self._write_until_closed()
        finally:
            self._book.close()

    def _write_until_closed(self) -> None:
        while not (self._closing.is_set() and self._queue.empty()):
            entries: list[Entry | _Feedback] = []
            waiting: list[threading.Event] = []
            try:
                self._sort(self._queue.get(timeout=0.5), entries, waiting)
                if self._queue.qsize() < _BATCH:
                    self._hurry.wait(_LINGER_SECONDS)  # a short wait makes one transaction of many requests
                    self._hurry.clear()
                while len(entries) < _BATCH:
                    self._sort(self._queue.get_nowait(), entries, waiting)
            except queue.Empty:
                if not entries and not waiting:
                    self._book.idle()
            if entries:
                self._store(entries)
            if self._after is not None:
                self._after()
            for reached in waiting:
                reached.set()

    def _sort(self, item: _Item, entries: list[Entry | _Feedback], waiting: list[threading.Event]) -> None:
        if isinstance(item, threading.Event):
            waiting.append(item)
        else:
            entries.append(item)

    def _store(self, entries: list[Entry | _Feedback]) -> None:
        """Write a batch, trying again while the file is locked or full, for a bounded time."""
        until = time.monotonic() + _GIVE_UP_SECONDS
        batch = self._batch(entries)
        while True:
            try:
                batch.losses = [(time.time(), self._unsaid, "queue full or file not writable")] if self._unsaid else []
                self._book.write(batch)
            except (sqlite3.Error, FrugalError, OSError) as error:
                self._book.close()
                hopeless = isinstance(error, FrugalError) or time.monotonic() > until or self._queue.qsize() >= self._most
                if hopeless or self._closing.wait(_RETRY_SECONDS):
                    self._lose(len(entries), f"{self.place} cannot be written: {error}")
                    return
            else:
                self._unsaid -= batch.losses[0][1] if batch.losses else 0
                self.written += len(entries)
                return

    def _batch(self, entries: list[Entry | _Feedback]) -> Batch:
        batch = Batch()
        for entry in entries:
            if isinstance(entry, _Feedback):
                batch.feedback.append(tuple(entry))
                continue
            settled = settled_once(entry)
            tell(self.observers, entry, settled)
            if entry.ctx.group == "control" and entry.reply is not None and settled.outcome == "answered":
                task = entry.ctx.task(entry.request).name
                seen, tokens = self._usual.get(task, (0, 0))
                self._usual[task] = (seen + 1, tokens + entry.reply.usage.output_tokens)
            batch.requests.append(rows_of(entry, settled, keep_text=self.keep_text))
        return batch

    def _lose(self, rows: int, why: str) -> None:
        first = not self._unsaid
        self.lost += rows
        self._unsaid += rows
        if first:
            _log.warning(
                "%d ledger rows lost so far: %s. Traffic goes on; free the disk or the file, or raise ledger.queue_rows.", self.lost, why
            )
