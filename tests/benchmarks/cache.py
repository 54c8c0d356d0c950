"""The semantic cache, measured: `python -m tests.benchmarks.cache --data DIR --json`.

Streams are replayed in three orders: the first 30 % is shadow traffic with known answers, the last 70 % is measured.
Only misses are stored. Ten random thirds of each stream show what the budget is worth on thinner traffic that was not looked at,
three more what happens when a third of the answers is asked for only after the shadow phase.
Nothing is fitted on the pairs. Data: banking77 (PolyAI, CC BY 4.0), clinc150 (CC BY 3.0), fow-cache (CC BY 4.0), or files of the same form.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Any

from frugal_plugins.answers import MemoryAnswers
from frugal_plugins.embedding.embed import Embeddings
from frugal_plugins.embedding.weights import open_embedder
from frugal_plugins.meaning.consensus import ColdStart
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache
from tests.benchmarks import cache_quality as quality
from tests.benchmarks import cache_speed
from tests.benchmarks.common import arguments, print_result, rows

THIN = 3_000


def measure_streams(found: dict[str, list[quality.Stream]], *, quick: bool) -> dict[str, Any]:
    """Streams as they are, thin, with a fourth of "same answer" misjudged, and before any calibration."""
    result: dict[str, Any] = {"streams": {}, "streams_thin": {}, "streams_noise_25": {}, "streams_thirds": {}, "streams_unseen": {}}
    result["cold_start"] = {}
    for name, orders in found.items():
        result["streams"][name] = quality.summed([quality.replay_calibrated(one) for one in orders])
        say(name, result["streams"][name])
        result["streams_noise_25"][name] = quality.summed([quality.replay_calibrated(one, 0.25) for one in orders[:2]])
        thin = [quality.thinned(one, THIN) for one in orders]
        result["streams_thin"][name] = {"requests": THIN, **quality.summed([quality.replay_calibrated(one) for one in thin])}
        if not quick:
            thirds = [quality.part(orders[0], 3, seed) for seed in range(quality.PARTS)]
            late = [quality.part(orders[0], 3, seed, unseen=True) for seed in range(3)]
            result["streams_thirds"][name] = quality.summed([quality.replay_calibrated(one) for one in thirds])
            result["streams_unseen"][name] = quality.summed([quality.replay_calibrated(one) for one in late])
            say(name, result["streams_thirds"][name], result["streams_unseen"][name])
        cold = orders[0] if not quick else thin[0]
        ours, bare = quality.replay_fixed(cold, ColdStart()), quality.replay_fixed(cold, quality.BareCosine())
        result["cold_start"][name] = {"hit": ours[0], "wrong": ours[1], "cosine_95_hit": bare[0], "cosine_95_wrong": bare[1]}
        say(name, result["streams_noise_25"][name], result["streams_thin"][name], result["cold_start"][name])
    return result


def isolation_hits(embeddings: Embeddings, tries: int = 300) -> int:
    """The same question with one thing around it changed: how often was it answered from the other one's entry."""
    dice, hits = random.Random(0), 0
    base = Request(
        "m", ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "How do I reset my password?"}), {"temperature": 0}
    )
    for number in range(tries):
        cache = Cache(MemoryAnswers(), meaning=Meaning(embeddings))
        cache.keep(base, Reply({"role": "assistant", "content": "In settings."}, "m"), 1.0)
        tool = {"type": "function", "function": {"name": f"f{number}"}}
        turns = ({"role": "user", "content": f"{number}"}, {"role": "assistant", "content": "ok"})
        others = [
            base.with_(tags={"tenant": f"t{number}"}),
            base.with_(tags={"namespace": f"n{number}"}),
            base.with_(scope=(f"key {number}",)),
            base.with_(model=f"m{number}"),
            base.with_(endpoint="responses"),
            base.with_params(temperature=dice.random() + 0.1),
            base.with_params(max_tokens=number + 1),
            base.with_params(tools=[tool]),
            base.with_(messages=({"role": "system", "content": f"Be brief {number}."}, base.messages[1])),
            base.with_(messages=(base.messages[0], *turns, base.messages[1])),
        ]
        other = dice.choice(others)
        words = dice.choice(["How do I reset my password?", "how can I reset my password", "How do I reset a password?"])
        other = other.with_(messages=(*other.messages[:-1], {"role": "user", "content": words}))
        hits += cache.find(other, 2.0)[0] is not None
    return hits


def main() -> None:
    args = arguments(__doc__ or "")
    folder = args.data / "cache"
    embeddings = Embeddings(open_embedder, limit_seconds=5.0)
    if not embeddings.ready():
        sys.exit(f"no embedding model: {embeddings.refused}")
    started = time.perf_counter()
    seeds = quality.SEEDS[:1] if args.quick else quality.SEEDS
    found = quality.streams(folder, embeddings, most=3_000 if args.quick else None, seeds=seeds)
    result: dict[str, Any] = {
        "embedder": embeddings.fingerprint,
        "data": str(folder),
        "left_out": [],
        **measure_streams(found, quick=args.quick),
    }
    result["pairs"] = quality.pairs(folder, embeddings)
    conversations = quality.conversations_wrong(folder, embeddings)
    result |= {"conversations_wrong": conversations["wrong"], "conversations": conversations, "isolation_hits": isolation_hits(embeddings)}
    say(result["pairs"], conversations)
    texts = [question for orders in found.values() for question in orders[0].questions]
    questions = [row["a"] for path in sorted(folder.glob("pairs_*")) for row in rows(path)] or texts[:300]
    import numpy as np

    vectors = np.vstack([orders[0].vectors for orders in found.values()])
    sizes = (1_000, 10_000) if args.quick else (1_000, 10_000, 100_000, 1_000_000)
    result |= cache_speed.speed(texts, vectors, questions, embeddings, sizes)
    result["peers"] = cache_speed.peers(texts, vectors, questions[:100], embeddings, result)
    if args.quick:
        result["left_out"] = [
            "rows after the first 3,000 of a stream",
            "two of three orders",
            "thirds and unseen answers",
            "100,000 and 1,000,000 entries",
        ]
    result["seconds"] = round(time.perf_counter() - started, 1)
    print_result(result, args.json)


def say(*what: Any) -> None:
    print(*what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
