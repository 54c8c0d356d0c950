"""Regression that is smooth, shrunken and honest: a Gaussian process on landmarks, and its error on rows it did not see.

What a fit says of each of its own rows with that row left out has a closed form (the diagonal of the hat matrix); everything
that is chosen (thresholds, the models of a ladder) is chosen on those. Up to `MOST_LANDMARKS` rows the process is exact,
beyond it is projected onto that many of them (Nystroem).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

MOST_LANDMARKS: Final = 600
_CLIP: Final = 4.0
_LARGEST_LEVERAGE: Final = 0.99
_JITTER: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Block:
    """Some neighbouring columns that are looked at together, and how wide their bumps are.

    Attributes:
        width: the kernel is exp(-distance^2 / (2 width^2)), with distance^2 divided by the number of columns where `scaled`.
        scaled: columns are standardised one by one; otherwise each row is centred and brought to length 1.
    """

    columns: int
    width: float
    scaled: bool


@dataclass(frozen=True, slots=True)
class Smoother:
    """A fitted regression; call it with rows to get predictions (rows x targets).

    `landmarks` are rows already brought to scale; `weights` has one line for each and one column for each target.
    """

    blocks: tuple[Block, ...]
    centre: Matrix
    scale: Matrix
    landmarks: Matrix
    weights: Matrix
    offset: Matrix
    _squares: Matrix = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Keep what every prediction would work out again."""
        object.__setattr__(self, "_squares", _squares(self.blocks, self.landmarks))

    def __call__(self, rows: Matrix) -> Matrix:
        """Predict; `rows` is (n, columns)."""
        return self.said(self.likeness(rows))

    def likeness(self, rows: Matrix) -> Matrix:
        """How alike each row and each landmark are, from 0 to 1."""
        return _kernel(self.blocks, _scaled(self.blocks, self.centre, self.scale, rows), self.landmarks, self._squares)

    def said(self, likeness: Matrix) -> Matrix:
        """What is predicted for rows that are so much like the landmarks."""
        predicted: Matrix = self.offset + likeness @ self.weights
        return predicted

    def only(self, targets: Matrix) -> Smoother:
        """Some of the targets."""
        return replace(self, weights=self.weights[:, targets], offset=self.offset[targets])

    def beside(self, other: Smoother) -> Smoother:
        """Both in one: this one's targets, then the other's, which must have been fitted on the same rows with the same seed."""
        import numpy as np

        weights, offset = np.hstack([self.weights, other.weights]), np.concatenate([self.offset, other.offset])
        return replace(self, weights=weights, offset=offset)


def fit_smoother(
    rows: Matrix, targets: Matrix, blocks: tuple[Block, ...], *, noise: float = 2.0, most: int = MOST_LANDMARKS, seed: int = 0
) -> tuple[Smoother, Matrix]:
    """Fit, and say what each row would have been predicted without itself.

    `noise` is the variance of a target around its mean in units of the kernel: larger shrinks more towards the mean.
    """
    import numpy as np

    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1.0)
    offset = targets.mean(axis=0)
    seen = _scaled(blocks, centre, scale, rows)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:most]
    landmarks = seen[np.sort(chosen)]
    near = _kernel(blocks, seen, landmarks)
    among = _kernel(blocks, landmarks, landmarks) + _JITTER * np.eye(len(landmarks))
    back = np.linalg.solve(near.T @ near + noise * among, near.T)
    weights = back @ (targets - offset)
    leverage = np.minimum(_LARGEST_LEVERAGE, np.einsum("ij,ji->i", near, back) + 1 / len(rows))
    left_out = targets - (targets - offset - near @ weights) / (1 - leverage)[:, None]
    return Smoother(blocks, centre, scale, landmarks, weights, offset), left_out


def _scaled(blocks: tuple[Block, ...], centre: Matrix, scale: Matrix, rows: Matrix) -> Matrix:
    """Rows as the kernel reads them: distances between them are in units of each block's width."""
    import numpy as np

    parts = []
    for block, cut in zip(blocks, _cuts(blocks), strict=True):
        values = rows[:, cut] - centre[cut]
        if block.scaled:
            parts.append(np.clip(values / scale[cut], -_CLIP, _CLIP) / (block.width * np.sqrt(block.columns)))
        else:
            parts.append(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9) / block.width)
    return np.hstack(parts)


def _kernel(blocks: tuple[Block, ...], one: Matrix, other: Matrix, squares: Matrix | None = None) -> Matrix:
    """How near rows are to each other: the mean of the blocks' kernels, 1 for the same row. `squares` are those of `other`."""
    import numpy as np

    total: Matrix = np.zeros((len(one), len(other)))
    ours, theirs = _squares(blocks, one), _squares(blocks, other) if squares is None else squares
    for number, cut in enumerate(_cuts(blocks)):
        apart = ours[number][:, None] + theirs[number][None] - 2 * one[:, cut] @ other[:, cut].T
        total += np.exp(-0.5 * np.maximum(apart, 0)) / len(blocks)
    return total


def _squares(blocks: tuple[Block, ...], rows: Matrix) -> Matrix:
    """The squared length of each row in each block (blocks x rows)."""
    import numpy as np

    return np.stack([(rows[:, cut] ** 2).sum(axis=1) for cut in _cuts(blocks)])


def _cuts(blocks: tuple[Block, ...]) -> list[slice]:
    """Which columns each block has."""
    ends = list(accumulate(block.columns for block in blocks))
    return [slice(end - block.columns, end) for end, block in zip(ends, blocks, strict=True)]
