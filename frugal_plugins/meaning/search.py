"""The search by meaning, as every face of the cache uses it: embed the question, find the nearest, decide, and learn from the answer."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from frugal_plugins.answers.stored import NearAnswers
from frugal_plugins.embedding.embed import Embeddings
from frugal_plugins.meaning.calibration import Calibration
from frugal_plugins.meaning.consensus import NEIGHBOURS, Calibrated, ColdStart, Near, Rule, Verdict
from frugal_plugins.meaning.evidence import Evidence
from frugal_plugins.meaning.guards import same_answer
from frugal_plugins.meaning.sureness import degree, probability_at

_LONGEST_CHARS: Final = 1_500
_ODD: Final = re.compile(r"[\x00\ud800-\udfff]")
_LETTER: Final = re.compile(r"[^\W\d_]")
_ALIKE_FROM: Final = 0.5
_COMPARED: Final = 4
_EVERY: Final = 25


@dataclass(frozen=True, slots=True)
class Look:
    """One search: the question's vector, its neighbours, and the decision."""

    question: str
    vector: Any = field(repr=False)
    neighbours: tuple[Near, ...]
    verdict: Verdict


@dataclass(slots=True)
class Audits:
    """How audits of the cold start rule went; a calibrated rule has its `Evidence` instead."""

    max_wrong_percent: float = 1.0
    requests: float = 0
    hits: float = 0
    audits: float = 0
    wrong: float = 0
    _unsaid: dict[str, float] = field(default_factory=dict)
    _since: int = 0

    @property
    def exceeded(self) -> bool:
        """Whether the wrong answers found, less one standard error, are above the budget as a share of all requests."""
        if self.wrong < 2 or not self.requests:
            return False
        share = self.hits / self.requests
        rate = (self.wrong - math.sqrt(self.wrong)) / max(1, self.audits)
        return 100 * share * rate > self.max_wrong_percent

    @property
    def due(self) -> bool:
        """Whether enough was learned to tell other processes."""
        return self._since >= _EVERY

    def saw(self, *names: str) -> None:
        """Count what happened to one request."""
        self._since += _EVERY if "wrong" in names else 1
        for name in names:
            setattr(self, name, getattr(self, name) + 1)
            self._unsaid[name] = self._unsaid.get(name, 0) + 1

    def unsaid(self) -> dict[str, float]:
        """What was counted since the last time this was asked."""
        said, self._unsaid, self._since = self._unsaid, {}, 0
        return said

    def heard(self, totals: Mapping[str, float]) -> None:
        """What all processes have counted together."""
        for name in ("requests", "hits", "audits", "wrong"):
            setattr(self, name, totals.get(name, 0.0) + self._unsaid.get(name, 0.0))


@dataclass(slots=True)
class Meaning:
    """Finds answers to questions that mean the same.

    Without a calibration it decides by the cold start rule at `similarity`; with one, by the fitted rule, whose bar moves with
    what is learned from misses and audits. A calibration of another embedding model is not used.

    Args:
        similarity: the cosine above which a differently worded question may be served before anything was calibrated.
        max_wrong_percent: the budget: wrongly answered requests in a hundred.
        audit_percent: the share of hits that is asked again and compared, to keep watch over the budget.
    """

    embeddings: Embeddings
    similarity: float = 0.95
    max_wrong_percent: float = 1.0
    audit_percent: float = 1.0
    calibration: Calibration | None = None
    evidence: Evidence | None = None
    audits: Audits = field(default_factory=Audits)
    _heard: bool = False

    def __post_init__(self) -> None:
        self.audits.max_wrong_percent = self.max_wrong_percent
        if self.calibration is not None and self.evidence is None:
            self.evidence = self.calibration.evidence(self.max_wrong_percent)

    def readable(self, question: str) -> bool:
        """Whether a question may be searched by meaning: some letters, not too long, no half characters."""
        return 0 < len(question) <= _LONGEST_CHARS and _LETTER.search(question) is not None and _ODD.search(question) is None

    def look(self, store: NearAnswers, partition: str, question: str, now_seconds: float) -> Look | None:
        """Search; None when the embedding took too long, failed, or the text does not fit the model."""
        vector = self.embeddings.vector(question)
        if vector is None:
            return None
        if not self._heard:
            self._heard = True
            self.share(store)
        near = tuple(store.near(partition, self.embeddings.fingerprint, vector, NEIGHBOURS, now_seconds))
        return Look(question, vector, near, self._decide(question, near))

    def rule(self) -> Rule | None:
        """The rule in force, or None when audits found too many wrong answers."""
        fitted = self._fitted()
        if fitted is None:
            return None if self.audits.exceeded else ColdStart(self.similarity)
        assert self.evidence is not None
        bar = self.evidence.bar
        return None if bar is None else replace(fitted, threshold=probability_at(bar))

    @property
    def due(self) -> bool:
        """Whether enough was learned to `share` it."""
        return self.audits.due or (self.evidence is not None and self.evidence.due)

    def share(self, store: NearAnswers) -> None:
        """Add what was learned to what the store keeps, and go on from the whole: it outlives the process, and others know it too."""
        self.audits.heard(store.count(f"cold {self.similarity}", self.audits.unsaid()))
        if self.evidence is not None and self.calibration is not None:
            rule = self.calibration.rule
            name = f"fitted {self.calibration.made_at_seconds:.0f} {self.calibration.questions} {rule.threshold:.6f} {rule.embedder}"
            self.evidence.heard(store.count(name, self.evidence.unsaid()))

    def figures(self, store: NearAnswers) -> dict[str, Any]:
        """How the search by meaning fares over all processes: hits, audits, wrong answers found, whether it stands down."""
        self.share(store)
        fitted, evidence = self.calibration is not None, self.evidence
        if evidence is None:
            seen = self.audits
            return {
                "rule": "before calibration", "hits": int(seen.hits), "audits": int(seen.audits), "found_wrong": int(seen.wrong),
                "least_sure_percent": None, "stood_down": seen.exceeded,
            }  # fmt: skip
        bar = evidence.bar
        return {
            "rule": "fitted" if fitted else "given", "hits": evidence.hits, "audits": evidence.audits, "found_wrong": evidence.found_wrong,
            "least_sure_percent": None if bar is None else round(100 * probability_at(bar), 2), "stood_down": evidence.stood_down,
        }  # fmt: skip

    def served(self, look: Look) -> None:
        """A hit was handed out and not audited."""
        if self.evidence is not None and self._fitted() is not None and look.verdict.probability is not None:
            self.evidence.served(degree(look.verdict.probability))
        else:
            self.audits.saw("requests", "hits")

    def audited(self, look: Look, right: bool) -> None:
        """A hit was asked again."""
        if self.evidence is not None and self._fitted() is not None and look.verdict.probability is not None:
            self.evidence.audited(degree(look.verdict.probability), right)
        else:
            self.audits.saw("requests", "hits", "audits", *(() if right else ("wrong",)))

    def rejected(self, sureness: int | None) -> None:
        """A person said that the answer served was wrong; `sureness` is the degree it was served at (None: by the cold start rule)."""
        if self.evidence is not None and sureness is not None:
            self.evidence.rejected(sureness)
        else:
            self.audits.saw("audits", "wrong")

    def missed(self, look: Look, group: str) -> None:
        """A miss was answered by the model; `group` is the answer's. Tells whether the favoured answer would have been right."""
        if self.evidence is None or self._fitted() is None:
            self.audits.saw("requests")
            return
        verdict = look.verdict
        right = verdict.would_be is not None and verdict.would_be.answer == group
        self.evidence.labelled_miss(None if verdict.probability is None else degree(verdict.probability), right)

    def group(self, store: NearAnswers, neighbours: Sequence[Near], answer: str, now_seconds: float) -> str:
        """The group of an answer: that of a near question with the same answer, else one of its own."""
        own = hashlib.sha256(" ".join(answer.casefold().split()).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        seen: set[str] = set()
        for near in neighbours:
            if near.answer == own:
                return own
            if near.answer in seen or near.cosine < _ALIKE_FROM or len(seen) >= _COMPARED:
                continue
            seen.add(near.answer)
            stored = store.at_row(near.row, now_seconds)
            if stored is not None and same_answer(answer, _text(stored.message)):
                return near.answer
        return own

    def _decide(self, question: str, near: tuple[Near, ...]) -> Verdict:
        rule = self.rule()
        if rule is None:
            return Verdict(None, "search by meaning stands down: audits found more wrong answers than the budget allows")
        return rule.decide(question, near)

    def _fitted(self) -> Calibrated | None:
        calibration = self.calibration
        if calibration is None or calibration.rule.embedder != self.embeddings.fingerprint:
            return None
        return calibration.rule


def _text(message: Any) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""
