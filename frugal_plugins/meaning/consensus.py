"""Whether a stored answer fits a new question: what the nearest stored questions agree on, and what the guards say.

Two ways to decide. `ColdStart` knows nothing about your traffic: it asks for equal wording and near vectors and turns down
whatever a guard or a neighbour with another answer speaks against. `Calibrated` was fitted on your own shadow traffic
(questions whose real answers are known) and keeps a stated share of wrong answers, with a margin that widens when there is
little to learn from. It goes far below a cosine of 0.95 because it looks at all near questions and not only at the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from frugal_plugins.meaning.guards import Difference, compare

NEIGHBOURS: Final = 32
"""How many stored questions are looked at."""
FEATURES: Final = (
    "cosine", "cosine_4", "margin", "share_8", "share", "weighted_share", "odds", "softmax_share",
    "centre", "centre_margin", "cosine_2", "cosine_8", "cosine_last", "first_is_best",
    "second_apart", "apart_from_rival", "mean_apart", "nearest_three_apart",
    "neighbours_right", "neighbours_share", "mine_share", "mine_right",
    "overlap", "same_words", "only_asked", "only_stored", "conflicts", "question", "scope", "length_apart", "length",
)  # fmt: skip
VETOES: Final = ("numbers", "dates", "units", "negation", "antonyms", "entities")
"""Guards that turn a hit down until the traffic itself has shown that such a difference does not change the answer."""
_NOTHING_NEAR: Final = 0.3
_SHARPNESS: Final = 20.0
_CONTESTED: Final = 0.15
_NO_DOUBT: Final = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Near:
    """A stored question near the one asked: its row, the cosine, and which answer it has (equal `answer`, equal answer)."""

    row: int
    cosine: float
    answer: str
    question: str
    vector: Any = field(compare=False, repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The answer the neighbours favour, the row that carries it best, and how strongly they favour it."""

    near: Near
    features: tuple[float, ...]
    difference: Difference


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to serve, from which row, and why, in words that hold no prompt text.

    Attributes:
        probability: that the favoured answer is right; None when a guard turned it down or nothing was weighed.
        would_be: the row that was favoured and not served.
    """

    near: Near | None
    why: str
    probability: float | None = None
    would_be: Near | None = None

    @property
    def hit(self) -> bool:
        """Whether the stored answer is served."""
        return self.near is not None


class Rule(Protocol):
    """Decides about one question and its neighbours, nearest first."""

    def decide(self, question: str, neighbours: Sequence[Near]) -> Verdict:
        """Serve one of them, or not."""


def candidate(question: str, neighbours: Sequence[Near]) -> Candidate:
    """Find the answer most of the nearness speaks for. Needs at least one neighbour; their vectors sharpen it."""
    near, votes = _votes(neighbours)
    difference = compare(question, near.question)
    names = difference.conflicts
    wording = (
        difference.overlap, float(difference.same_words), float(len(difference.left)), float(len(difference.right)), float(len(names)),
        float("question" in names), float("scope" in names), abs(len(question) - len(near.question)) / 100, len(question) / 100,
    )  # fmt: skip
    return Candidate(near, votes + wording, difference)


def _votes(neighbours: Sequence[Near]) -> tuple[Near, tuple[float, ...]]:
    """The favoured neighbour, and what speaks for it in the vectors."""
    import numpy as np

    cosines = np.fromiter((near.cosine for near in neighbours), np.float64, len(neighbours))
    group, member = _groups(neighbours)
    vectors = _table(neighbours)
    weights = np.exp(_SHARPNESS * (cosines - cosines[0]))
    votes = member @ weights
    best = int(votes.argmax())
    mine = group == best
    rival = int(np.where(np.arange(len(votes)) == best, -1.0, votes).argmax())
    second = float(votes[rival]) if rival != best else 0.0
    lengths = member.sum(axis=1) if vectors is None else np.linalg.norm(member @ vectors, axis=1)
    centres = (member @ cosines) / np.maximum(lengths, 1e-9)
    other_centre = max((float(v) for i, v in enumerate(centres) if i != best), default=0.2)
    top = float(cosines[mine][0])
    rest = cosines[~mine]
    lean = np.maximum(0.0, cosines - _NOTHING_NEAR) ** 3
    features = (
        top, top**4, top - (float(rest[0]) if rest.size else _NOTHING_NEAR), float(mine[:8].mean()), float(mine.mean()),
        float(lean[mine].sum() / max(1e-9, lean.sum())), math.log((votes[best] + 0.05) / (second + 0.05)),
        float(votes[best] / weights.sum()), float(centres[best]), float(centres[best]) - other_centre,
        float(cosines[min(1, len(cosines) - 1)]), float(cosines[min(7, len(cosines) - 1)]), float(cosines[-1]), float(mine[0]),
        *_apart(cosines[mine], cosines[group == rival] if rival != best else np.array([_NOTHING_NEAR])),
        *(_NO_DOUBT if vectors is None else _tried(group, member, mine, weights, vectors)),
    )  # fmt: skip
    return neighbours[int(np.flatnonzero(mine)[0])], features


def _groups(neighbours: Sequence[Near]) -> tuple[Any, Any]:
    """The number of each neighbour's answer, and a table of answers by neighbours with a 1 where they belong together."""
    import numpy as np

    codes: dict[str, int] = {}
    group = np.fromiter((codes.setdefault(near.answer, len(codes)) for near in neighbours), np.intp, len(neighbours))
    member = np.zeros((len(codes), len(neighbours)))
    member[group, np.arange(len(neighbours))] = 1.0
    return group, member


def _table(neighbours: Sequence[Near]) -> Any:
    import numpy as np

    if any(near.vector is None for near in neighbours):
        return None
    return np.asarray([near.vector for near in neighbours], dtype=np.float32)


def _apart(mine: Any, rival: Any) -> tuple[float, float, float, float]:
    """How far the favoured answer's questions are ahead of those of the next best answer."""
    second = float(mine[1] - rival[0]) if len(mine) > 1 else 0.0
    return second, float(mine[0] - rival.mean()), float(mine.mean() - rival.mean()), float(mine[:3].mean() - rival[:3].mean())


def _tried(group: Any, member: Any, mine: Any, weights: Any, vectors: Any) -> tuple[float, float, float, float]:
    """How well this corner of the store answers its own questions: each neighbour is asked of the others."""
    import numpy as np

    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    nearness = np.exp(_SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
    np.fill_diagonal(nearness, 0.0)
    votes = nearness @ member.T
    right = votes.argmax(axis=1) == group
    share = votes[np.arange(len(group)), group] / np.maximum(votes.sum(axis=1), 1e-9)
    near = weights / weights.sum()
    own = float((near * share * mine).sum() / max(1e-9, float((near * mine).sum())))
    return float((near * right).sum()), float((near * share).sum()), own, float(right[mine].mean())


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The rule before anything is known about the traffic.

    Serves a neighbour that no guard speaks against, at `similarity` minus 0.05 when the wording differs and minus 0.15 when
    both have the same carrying words, and only when no question with another answer is nearly as close. On published pairs and
    streams it gives more hits and fewer wrong answers than a bare cosine above `similarity`.
    """

    similarity: float = 0.95
    look_at: int = 4

    def decide(self, question: str, neighbours: Sequence[Near]) -> Verdict:
        """Serve the nearest acceptable neighbour."""
        lowest, why = self.similarity - 0.15, "no similar question is stored"
        for near in neighbours[: self.look_at]:
            if near.cosine < lowest:
                break
            difference = compare(question, near.question)
            why = self._objection(near, difference, neighbours)
            if not why:
                return Verdict(near, f"a similar question was answered (cosine {near.cosine:.3f}, no guard objects)")
        would_be = neighbours[0] if neighbours and neighbours[0].cosine >= lowest else None
        return Verdict(None, why, would_be=would_be)

    def _objection(self, near: Near, difference: Difference, neighbours: Sequence[Near]) -> str:
        if difference.conflicts:
            return f"a similar question differs in {', '.join(difference.conflicts)}"
        if near.cosine < self.similarity - 0.05 and not difference.same_words:
            return f"the nearest question is not similar enough (cosine {near.cosine:.3f})"
        rival = next((other.cosine for other in neighbours if other.answer != near.answer), -1.0)
        return "a question with another answer is nearly as close" if rival > near.cosine - _CONTESTED else ""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The rule fitted on shadow traffic; made by `calibration.fit`, kept as JSON.

    Attributes:
        embedder: the fingerprint of the embedding model it was fitted with; it is not used with another.
        threshold: the least probability that is served.
        lifted: guards that the traffic has shown to be harmless; the others still veto.
    """

    embedder: str
    weights: tuple[float, ...]
    bias: float
    threshold: float
    lifted: tuple[str, ...] = ()

    def probability(self, features: Sequence[float]) -> float:
        """How probable it is that the candidate's answer is the right one."""
        total = self.bias + sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, total))))

    def decide(self, question: str, neighbours: Sequence[Near]) -> Verdict:
        """Serve the favoured answer when it is probable enough and no guard that still stands objects."""
        if not neighbours:
            return Verdict(None, "no question is stored here yet")
        found = candidate(question, neighbours)
        probability = self.probability(found.features)
        standing = [name for name in found.difference.conflicts if name in VETOES and name not in self.lifted]
        if standing:
            return Verdict(None, f"a similar question differs in {', '.join(standing)}", None, found.near)
        if probability < self.threshold:
            return Verdict(None, f"not sure enough ({probability:.3f} of {self.threshold:.3f} needed)", probability, found.near)
        return Verdict(found.near, f"similar questions have this answer ({probability:.3f} sure)", probability)
