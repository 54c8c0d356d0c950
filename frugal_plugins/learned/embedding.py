"""A sentence embedding without a network: one learned vector for each word piece, weighted and averaged.

The table was made once from the word pieces of all-MiniLM-L6-v2 (Apache-2.0); see `numbers/ORIGIN.md`. For routing it does
as well as the model itself at a hundredth of its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.learned.pieces import Pieces
from frugal_plugins.learned.surface import ends

if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[Any, np.dtype[np.float32]]

NUMBERS: Final = Path(__file__).with_name("numbers")
DIMENSIONS: Final = 128
FINGERPRINT: Final = "static-minilm-128+surface+cues/1"
"""Names what is read of a prompt; an artifact fitted on another one is refused."""


class StaticEmbedding:
    """Turns text into a vector of DIMENSIONS numbers of length 1 (or all 0 for text without a known word)."""

    def __init__(self, vocabulary: list[str], table: Vector) -> None:
        self.pieces = Pieces(vocabulary)
        self.table = table

    def __call__(self, text: str) -> Vector:
        """The embedding of a text; a long one is read at both ends."""
        return self.pooled(self.pieces(ends(text)))

    def pooled(self, numbers: Sequence[int]) -> Vector:
        """The embedding of some pieces."""
        import numpy as np

        total: Vector = self.table[list(numbers)].sum(axis=0) if numbers else np.zeros(self.table.shape[1], dtype=np.float32)
        length = float(np.sqrt(total.dot(total)))
        return total / np.float32(length) if length > 0 else total


@lru_cache(maxsize=1)
def static_embedding() -> StaticEmbedding:
    """The table that ships with the package, read on first use (about 4 MB)."""
    import numpy as np

    with np.load(NUMBERS / "static_minilm.npz", allow_pickle=False) as kept:
        table = kept["table"].astype(np.float32) * kept["scale"].astype(np.float32)[:, None]
        vocabulary = bytes(kept["vocabulary"]).decode("utf-8").split("\n")
    return StaticEmbedding(vocabulary, table)
