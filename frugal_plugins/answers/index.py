"""An index of unit vectors in memory. It holds nothing that is not in the rows, so losing it loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

_EXACT_UNTIL: Final = 2_000
_FLAT_UNTIL: Final = 200_000
_ENOUGH_BITS: Final = 256
_SHORTLIST: Final = 8
_LEAST_SHORTLIST: Final = 256


@lru_cache(maxsize=1)
def _wide() -> Any:
    """Every 16-bit float as a 32-bit one: looking them up is twice as fast as converting them."""
    import numpy as np

    return np.arange(65_536, dtype=np.uint16).view(np.float16).astype(np.float32)


class VectorIndex:
    """Finds the rows whose vectors have the highest cosine.

    Up to 2,000 vectors every cosine is computed. Above, FAISS compares one bit of each dimension (a flat scan to 200,000
    vectors, inverted lists beyond) and the best 256 are ranked by their true cosine: neighbours above 0.6 are found as surely
    as by a full scan, nothing has to be trained or saved, and an insert costs microseconds.

    Short vectors (under 256 dimensions) have too few bits and are always compared in full.
    Vectors are kept as 16-bit floats, 2 bytes a dimension, and one bit a dimension for FAISS.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._size = 0
        self._rows: Any = None
        self._vectors: Any = None
        self._bits: Any = None
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return self._size - len(self._gone)

    @property
    def worn(self) -> bool:
        """Whether so many rows are gone that rebuilding pays."""
        return len(self._gone) > 64 and len(self._gone) * 4 > self._size

    def add(self, rows: Sequence[int], vectors: Any) -> None:
        """Add unit vectors, one for each row number."""
        import numpy as np

        if not len(rows):
            return
        new = np.asarray(vectors, dtype=np.float16).reshape(len(rows), self.dimensions)
        self._grow(self._size + len(rows))
        self._vectors[self._size : self._size + len(rows)] = new
        self._rows[self._size : self._size + len(rows)] = rows
        self._size += len(rows)
        self._index_bits(new)

    def forget(self, rows: Sequence[int]) -> None:
        """Leave rows out of later searches."""
        self._gone.update(rows)

    def search(self, vector: Any, count: int) -> tuple[list[int], list[float], Any]:
        """Row numbers, cosines and vectors of the nearest, nearest first."""
        import numpy as np

        asked = np.asarray(vector, dtype=np.float32)
        if not self._size:
            return [], [], np.zeros((0, self.dimensions), np.float32)
        places = self._shortlist(asked, count + min(len(self._gone), count))
        if self._gone:
            places = places[[int(row) not in self._gone for row in self._rows[places]]]
        near = np.take(_wide(), self._vectors[places].view(np.uint16)) if len(places) else np.zeros((0, self.dimensions), np.float32)
        cosines = near @ asked
        order = np.argsort(-cosines, kind="stable")[:count]
        return self._rows[places[order]].tolist(), np.minimum(cosines[order], 1.0).tolist(), near[order]

    def _shortlist(self, asked: Any, count: int) -> Any:
        import numpy as np

        if self._bits is None:
            return np.arange(self._size)
        wanted = min(self._size, max(_LEAST_SHORTLIST, _SHORTLIST * count))
        _, places = self._bits.search(np.packbits(asked > 0)[None], wanted)
        return places[0][places[0] >= 0]

    def _grow(self, needed: int) -> None:
        import numpy as np

        room = 0 if self._rows is None else len(self._rows)
        if needed <= room:
            return
        room = max(needed, room * 3 // 2, 64)
        rows, vectors = np.zeros(room, np.int64), np.zeros((room, self.dimensions), np.float16)
        if self._rows is not None:
            rows[: self._size], vectors[: self._size] = self._rows[: self._size], self._vectors[: self._size]
        self._rows, self._vectors = rows, vectors

    def _index_bits(self, new: Any) -> None:
        import numpy as np

        if self.dimensions % 8 or self.dimensions < _ENOUGH_BITS or self._size <= _EXACT_UNTIL:
            return
        listed = self._bits is not None and hasattr(self._bits, "nlist")
        if self._bits is None or (not listed and self._size > _FLAT_UNTIL):
            self._bits = self._made(np.packbits(self._vectors[: self._size] > 0, axis=1))
        else:
            self._bits.add(np.packbits(new > 0, axis=1))

    def _made(self, codes: Any) -> Any:
        import faiss
        import numpy as np

        bits: Any

        if len(codes) <= _FLAT_UNTIL:
            bits = faiss.IndexBinaryFlat(self.dimensions)
        else:
            coarse: Any = faiss.IndexBinaryFlat(self.dimensions)
            bits = faiss.IndexBinaryIVF(coarse, self.dimensions, 1024)
            bits.own_fields = True
            coarse.this.disown()
            bits.nprobe = 48
            bits.train(codes[np.random.default_rng(0).permutation(len(codes))[:60_000]])
        bits.add(codes)
        return bits
