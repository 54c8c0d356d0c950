"""The cache's answers: streams with known answers, question pairs, and conversations that end in the same words."""

from __future__ import annotations

import hashlib
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugal_plugins.answers import MemoryAnswers
from frugal_plugins.answers.index import VectorIndex
from frugal_plugins.embedding.embed import Embeddings
from frugal_plugins.embedding.weights import user_cache
from frugal_plugins.meaning.calibration import Sample, fit
from frugal_plugins.meaning.consensus import NEIGHBOURS, Calibrated, ColdStart, Near, Rule
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.meaning.sureness import degree, probability_at
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache
from tests.benchmarks.common import rows

SEEDS = (3, 4, 5)
SHADOW_SHARE = 0.3
BUDGET = 0.01
PARTS = 10


@dataclass
class Stream:
    """Questions in the order they come, their vectors, and which answer each has; an out-of-scope question has one of its own."""

    questions: list[str]
    vectors: Any
    answers: list[str]

    @property
    def shadow(self) -> int:
        return int(SHADOW_SHARE * len(self.questions))


def vectors_of(texts: Sequence[str], embeddings: Embeddings) -> Any:
    """Vectors of a data set, made once for each embedding model and kept in the user's cache folder."""
    assert embeddings.ready()
    name = hashlib.sha256("\x1f".join([embeddings.fingerprint, *texts]).encode()).hexdigest()[:24]
    path = user_cache() / "benchmarks" / f"{name}.npy"
    if path.exists():
        return np.load(path)
    made = embeddings.embed_many(texts)
    width = next(len(vector) for vector in made if vector is not None)
    table = np.asarray([np.zeros(width) if vector is None else vector for vector in made], dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, table)
    return table


def streams(folder: Path, embeddings: Embeddings, *, most: int | None, seeds: Sequence[int]) -> dict[str, list[Stream]]:
    """Every stream file of a folder, in several orders."""
    found: dict[str, list[Stream]] = {}
    for path in sorted(folder.glob("stream_*.jsonl*")):
        read = list(rows(path))
        order = list(range(len(read)))
        random.Random(0).shuffle(order)
        chosen = order[:most]
        vectors = vectors_of([read[i]["text"] for i in chosen], embeddings)
        for seed in seeds:
            places = list(range(len(chosen)))
            random.Random(seed).shuffle(places)
            answers = [read[chosen[p]]["intent"] if read[chosen[p]]["intent"] != "oos" else f"oos {p}" for p in places]
            stream = Stream([read[chosen[p]]["text"] for p in places], vectors[places], answers)
            found.setdefault(path.name.removeprefix("stream_").split(".")[0], []).append(stream)
    return found


def thinned(stream: Stream, count: int) -> Stream:
    """The first part of a stream: less traffic to learn from."""
    return Stream(stream.questions[:count], stream.vectors[:count], stream.answers[:count])


def part(stream: Stream, share: int, seed: int, *, unseen: bool = False) -> Stream:
    """Every `share`-th question in an order of its own; with `unseen`, a third of the answers is asked for only after the shadow phase."""
    dice = random.Random(f"{share} {seed}")
    order = dice.sample(range(len(stream.questions)), len(stream.questions) // share)
    if unseen:
        names = sorted({stream.answers[i] for i in order if not stream.answers[i].startswith("oos ")})
        late = set(dice.sample(names, len(names) // 3))
        early, shadow = [i for i in order if stream.answers[i] not in late], int(SHADOW_SHARE * len(order))
        rest = early[shadow:] + [i for i in order if stream.answers[i] in late]
        order = early[:shadow] + dice.sample(rest, len(rest))
    return Stream([stream.questions[i] for i in order], stream.vectors[order], [stream.answers[i] for i in order])


class Replay:
    """The last 70 % of a stream, one question after the other; only misses are stored."""

    def __init__(self, stream: Stream, noise: float = 0.0) -> None:
        self.stream, self.noise, self.dice = stream, noise, random.Random(5)
        self.index = VectorIndex(stream.vectors.shape[1])
        self.index.add(range(stream.shadow), stream.vectors[: stream.shadow])
        self.hits = self.wrong = 0

    def near(self, number: int) -> list[Near]:
        stream = self.stream
        found, cosines, vectors = self.index.search(stream.vectors[number], NEIGHBOURS)
        near = [
            Near(row, cosine, stream.answers[row], stream.questions[row], own)
            for row, cosine, own in zip(found, cosines, vectors, strict=True)
        ]
        return misjudged(near, self.noise, self.dice)

    def count(self, number: int, served: Near | None) -> None:
        if served is None:
            self.index.add([number], self.stream.vectors[number : number + 1])
        else:
            self.hits += 1
            self.wrong += self.stream.answers[served.row] != self.stream.answers[number]

    @property
    def figures(self) -> tuple[float, float]:
        """Hits and wrong answers as shares of the measured requests."""
        measured = len(self.stream.questions) - self.stream.shadow
        return self.hits / measured, self.wrong / measured


def misjudged(near: list[Near], noise: float, dice: random.Random) -> list[Near]:
    """Neighbours among which "has the same answer as the first" was judged wrongly with a probability."""
    if not noise or not near:
        return near
    first = near[0].answer
    return [near[0]] + [
        replace(one, answer=(f"other {i}" if one.answer == first else first)) if dice.random() < noise else one
        for i, one in enumerate(near[1:])
    ]


def replay_fixed(stream: Stream, rule: Rule) -> tuple[float, float]:
    """With one rule from beginning to end."""
    run = Replay(stream)
    for number in range(stream.shadow, len(stream.questions)):
        run.count(number, rule.decide(stream.questions[number], run.near(number)).near)
    return run.figures


@dataclass(frozen=True)
class BareCosine:
    """What most caches do: the nearest one above a cosine."""

    similarity: float = 0.95

    def decide(self, question: str, neighbours: Sequence[Near]) -> Any:
        from frugal_plugins.meaning.consensus import Verdict

        return Verdict(neighbours[0] if neighbours and neighbours[0].cosine > self.similarity else None, "")


def replay_calibrated(stream: Stream, noise: float = 0.0) -> tuple[float, float]:
    """As the cache does it: fitted on the shadow part, the bar moved by misses; the cold start rule where too little is known."""
    samples = [Sample(q, v, a) for q, v, a in zip(stream.questions[: stream.shadow], stream.vectors, stream.answers, strict=False)]
    dice = random.Random(7)
    fitted = fit(samples, embedder="", seen=lambda near: misjudged(near, noise, dice)) if noise else fit(samples, embedder="")
    if fitted is None:
        return replay_fixed(stream, ColdStart())
    run, evidence = Replay(stream, noise), fitted.evidence()
    for number in range(stream.shadow, len(stream.questions)):
        near = run.near(number)
        bar = evidence.bar
        rule: Calibrated = replace(fitted.rule, threshold=2.0 if bar is None else probability_at(bar))
        verdict = rule.decide(stream.questions[number], near)
        run.count(number, verdict.near)
        if verdict.near is not None:
            evidence.served(degree(verdict.probability or 0.0))
        else:
            right = verdict.would_be is not None and stream.answers[verdict.would_be.row] == stream.answers[number]
            evidence.labelled_miss(None if verdict.probability is None else degree(verdict.probability), right)
    return run.figures


def summed(figures: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Mean over the orders, and the worst order's wrong share."""
    return {
        "hit": round(statistics.mean(hit for hit, _ in figures), 4),
        "wrong": round(statistics.mean(wrong for _, wrong in figures), 5),
        "wrong_worst_order": round(max(wrong for _, wrong in figures), 5),
        "runs": len(figures),
        "over_budget": sum(wrong > BUDGET for _, wrong in figures),
    }


def pairs(folder: Path, embeddings: Embeddings) -> dict[str, Any]:
    """Question pairs with the cold start rule: nothing is fitted on them."""
    kept = [row for path in sorted(folder.glob("pairs_*.jsonl*")) for row in rows(path)]
    if not kept:
        return {"hit": None, "trap_wrong": None, "by_category": {}}
    one, other = vectors_of([row["a"] for row in kept], embeddings), vectors_of([row["b"] for row in kept], embeddings)
    found: dict[str, Any] = {}
    for name, rule in (("", ColdStart()), ("cosine_95_", BareCosine())):
        served = []
        for row, a, b in zip(kept, one, other, strict=True):
            near = Near(0, float(a @ b), "stored", row["a"], a)
            served.append(rule.decide(row["b"], [near]).near is not None)
        for label, same in (("hit", True), ("trap_wrong", False)):
            chosen = [hit for row, hit in zip(kept, served, strict=True) if row["same_answer"] is same]
            found[name + label] = round(sum(chosen) / len(chosen), 4)
        if not name:
            kinds = sorted({row["category"] for row in kept})
            found["by_category"] = {
                k: round(statistics.mean(h for row, h in zip(kept, served, strict=True) if row["category"] == k), 4) for k in kinds
            }
    return found


def conversations_wrong(folder: Path, embeddings: Embeddings) -> dict[str, int | None]:
    """Conversations that end in the same words: how many were answered from the other one although the answer differs."""
    total = wrong = right = 0
    embeddings.limit_seconds = 5.0
    for path in sorted(folder.glob("conversations_*.jsonl*")):
        for row in rows(path):
            cache = Cache(MemoryAnswers(), meaning=Meaning(embeddings))
            first, second = (Request("m", tuple(row[side])) for side in ("a", "b"))
            cache.keep(first, Reply({"role": "assistant", "content": "The answer."}, "m"), 1.0)
            served = cache.find(second, 2.0)[0] is not None
            total += 1
            wrong += served and not row["same_answer"]
            right += served and row["same_answer"]
    return {"conversations": total, "wrong": wrong if total else None, "hits": right}
