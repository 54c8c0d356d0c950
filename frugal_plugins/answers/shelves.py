"""The indexes of a process: one for each partition in use, filled from rows when first asked for, dropped when memory is short."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from frugal_plugins.answers.index import VectorIndex

Rows = Iterable[tuple[int, bytes]]


@dataclass(slots=True)
class Shelf:
    """One partition's index, the last row it has seen, and a lock for both."""

    index: VectorIndex
    last_row: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, rows: Rows) -> None:
        """Add rows (number, vector as 16-bit floats) that are newer than the last one seen."""
        import numpy as np

        new = [(row, blob) for row, blob in rows if row > self.last_row and len(blob) == 2 * self.index.dimensions]
        if new:
            self.index.add([row for row, _ in new], np.frombuffer(b"".join(blob for _, blob in new), dtype=np.float16))
            self.last_row = max(row for row, _ in new)


class Shelves:
    """Shelves by partition, at most `max_vectors` vectors together (about 0.8 kB each for 384 dimensions)."""

    def __init__(self, max_vectors: int = 1_000_000) -> None:
        self.max_vectors = max_vectors
        self._shelves: OrderedDict[tuple[str, str], Shelf] = OrderedDict()
        self._lock = threading.Lock()

    def shelf(self, partition: str, embedder: str, dimensions: int) -> Shelf:
        """The shelf of a partition, empty when it was not in use."""
        with self._lock:
            name = (partition, embedder)
            found = self._shelves.get(name)
            if found is None or found.index.worn or found.index.dimensions != dimensions:
                found = self._shelves[name] = Shelf(VectorIndex(dimensions))
            self._shelves.move_to_end(name)
            held = sum(len(shelf.index) for shelf in self._shelves.values())
            while held > self.max_vectors and len(self._shelves) > 1:
                _, dropped = self._shelves.popitem(last=False)
                held -= len(dropped.index)
            return found

    def search(self, shelf: Shelf, vector: Any, count: int, newer: Callable[[int], Rows]) -> tuple[list[int], list[float], Any]:
        """Bring a shelf up to date with the rows newer than it has seen, then search it."""
        with shelf.lock:
            shelf.fill(newer(shelf.last_row))
            return shelf.index.search(vector, count)

    def clear(self) -> None:
        """Drop all; they fill again from rows."""
        with self._lock:
            self._shelves.clear()


def as_bytes(vector: Any) -> bytes | None:
    """A vector as it is kept in a row: 16-bit floats."""
    if vector is None:
        return None
    import numpy as np

    kept: bytes = np.asarray(vector, dtype=np.float16).tobytes()
    return kept


def as_vector(blob: bytes | None) -> Any:
    """A row's vector as 32-bit floats."""
    if blob is None:
        return None
    import numpy as np

    return np.frombuffer(blob, dtype=np.float16).astype(np.float32)
