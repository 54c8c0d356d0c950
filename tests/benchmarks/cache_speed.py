"""The cache's speed: lookups with the embedding at several sizes, inserts, start-up, memory, beside a bare floor and GPTCache."""

from __future__ import annotations

import importlib.util
import logging
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frugal_plugins.answers import AnswerFile, StoredAnswer
from frugal_plugins.embedding.embed import Embeddings
from frugal_plugins.meaning.search import Meaning
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache
from frugal_plugins.usage import Usage

ANSWER = {"role": "assistant", "content": "It takes three to five working days. " * 12}
SYSTEM = {"role": "system", "content": "You are the support desk of a bank."}


def ask(text: str, **params: Any) -> Request:
    return Request("gpt-4o-mini", (SYSTEM, {"role": "user", "content": text}), params)


def grown(texts: Sequence[str], vectors: Any, count: int) -> tuple[list[str], Any]:
    """As many entries as asked: the real ones, then the same with a little noise and a number behind the text."""
    dice = np.random.default_rng(0)
    places = np.arange(count) % len(texts)
    table = vectors[places].astype(np.float32)
    table[len(texts) :] += dice.normal(0, 0.03, table[len(texts) :].shape).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return [texts[p] if i < len(texts) else f"{texts[p]} ({i})" for i, p in enumerate(places)], table


def filled(path: Path, cache: Cache, texts: Sequence[str], vectors: Any, fingerprint: str) -> float:
    """Put entries into a store in transactions of 1,000; inserts a second."""
    store = AnswerFile(path, max_entries=10_000_000)
    place, usage = cache.place(ask("x")), Usage(200, output_tokens=100)
    started = time.perf_counter()
    for start in range(0, len(texts), 1000):
        store.put_many(
            [
                StoredAnswer(
                    f"{i}", ANSWER, "m", usage, 1.0, 1e12, place.owner, place.partition, texts[i], f"g{i % 200}", fingerprint, vectors[i]
                )
                for i in range(start, min(len(texts), start + 1000))
            ]
        )
    return len(texts) / (time.perf_counter() - started)


def timed(run: Callable[[str], object], questions: Sequence[str]) -> dict[str, float]:
    for question in questions[:20]:
        run(f"{question} ")
    took = []
    for question in questions:
        started = time.perf_counter()
        run(question)
        took.append((time.perf_counter() - started) * 1e3)
    ranked = np.percentile(took, [50, 99])
    return {"p50": round(float(ranked[0]), 4), "p99": round(float(ranked[1]), 4)}


def speed(texts: Sequence[str], vectors: Any, questions: Sequence[str], embeddings: Embeddings, sizes: Sequence[int]) -> dict[str, Any]:
    """Everything that is measured in time, for each number of entries."""
    found: dict[str, Any] = {"latency_ms": {}, "latency_without_embedding_ms": {}, "floor_ms": {}, "start_up_s": {}, "bytes_per_entry": {}}
    for size in sizes:
        fresh = Embeddings(lambda: embeddings.embedder, limit_seconds=5.0)  # remembers no vector of the size before
        assert fresh.ready()
        with tempfile.TemporaryDirectory() as folder:
            found_size = _one_size(Path(folder), *grown(texts, vectors, size), questions, fresh)
        for name, value in found_size.items():
            if isinstance(found.get(name), dict):
                found[name][str(size)] = value
            else:
                found[name] = value
    return found


def _one_size(folder: Path, texts: Sequence[str], vectors: Any, questions: Sequence[str], embeddings: Embeddings) -> dict[str, Any]:
    path = folder / "answers.sqlite"
    cache = Cache(AnswerFile(path), meaning=Meaning(embeddings))
    inserts = filled(path, cache, texts, vectors, embeddings.fingerprint)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    cache.find(ask("a first question"), 2.0)
    start_up = time.perf_counter() - started
    grew = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    whole = timed(lambda question: cache.find(ask(question), 2.0), questions)
    without = timed(lambda question: cache.find(ask(question), 2.0), questions)  # the same texts: their vectors are remembered
    cache.keep(ask("an exact question"), Reply(ANSWER, "m"), 2.0)
    exact = []
    for _ in range(500):
        started = time.perf_counter()
        cache.find(ask("an exact question"), 3.0)
        exact.append((time.perf_counter() - started) * 1e3)
    return {
        "latency_ms": whole, "latency_without_embedding_ms": without, "start_up_s": round(start_up, 3), "inserts_per_s": round(inserts),
        "exact_ms_p50": round(statistics.median(exact), 4), "floor_ms": _floor(texts, vectors, questions, embeddings),
        "bytes_per_entry": {"memory": round(grew / len(texts)), "disk": round(path.stat().st_size / len(texts))},
    }  # fmt: skip


def _floor(texts: Sequence[str], vectors: Any, questions: Sequence[str], embeddings: Embeddings) -> dict[str, float]:
    """The least anyone can do: the same embedder without thread or time limit, a flat FAISS index, one row from SQLite, no decision."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    rows = sqlite3.connect(":memory:")
    rows.execute("CREATE TABLE a (row INTEGER PRIMARY KEY, text TEXT)")
    rows.executemany("INSERT INTO a VALUES (?, ?)", enumerate(texts))

    def look(question: str) -> object:
        vector = embeddings.embed_many([question])[0]
        _, near = index.search(np.asarray([vector], dtype=np.float32), 1)
        return rows.execute("SELECT text FROM a WHERE row = ?", (int(near[0][0]),)).fetchone()

    return timed(look, questions)


def peers(texts: Sequence[str], vectors: Any, questions: Sequence[str], embeddings: Embeddings, ours: dict[str, Any]) -> dict[str, Any]:
    """Other caches in the same run, and how many times longer they take at the median; None where one is not installed."""
    at = "10000"
    floor, found = ours["floor_ms"].get(at), ours["latency_ms"].get(at)
    theirs = gptcache(texts, vectors, questions, embeddings, 10_000)
    exact = langchain_in_memory()
    return {
        "faiss_sqlite_floor": None if floor is None else {"entries": at, **floor, "times_ours": _times(floor["p50"], found["p50"])},
        "gptcache": None if theirs is None else {"entries": at, **theirs[at], "times_ours": _times(theirs[at]["p50"], found["p50"])},
        "langchain_in_memory_exact": None if exact is None else {**exact, "times_ours": _times(exact["p50"], exact["ours_p50"])},
    }


def _times(theirs: float, ours: float) -> float:
    return round(theirs / ours, 4)


def langchain_in_memory() -> dict[str, float] | None:
    """LangChain's own cache, which knows equal prompts only, beside ours in the same slot: one hit among 1,000 entries."""
    if importlib.util.find_spec("langchain_core") is None:
        return None
    from langchain_core.caches import InMemoryCache
    from langchain_core.load import dumps
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.outputs import ChatGeneration

    from frugal_plugins.answers import MemoryAnswers
    from frugal_plugins.langchain import FaissSemanticCache

    found: dict[str, float] = {}
    for name, cache in (("", InMemoryCache()), ("ours_", FaissSemanticCache(Cache(MemoryAnswers())))):
        prompts = [dumps([HumanMessage(f"question number {n}")]) for n in range(1000)]
        for prompt in prompts:
            message = AIMessage(ANSWER["content"], response_metadata={"finish_reason": "stop"})
            cache.update(prompt, "model", [ChatGeneration(message=message)])
        assert cache.lookup(prompts[5], "model") is not None
        found |= {f"{name}{key}": value for key, value in timed(lambda prompt, c=cache: c.lookup(prompt, "model"), prompts[:500]).items()}
    return found


def gptcache(texts: Sequence[str], vectors: Any, questions: Sequence[str], embeddings: Embeddings, size: int) -> dict[str, Any] | None:
    """GPTCache with its SQLite and FAISS stores and the same embedder; None when it is not installed."""
    if importlib.util.find_spec("gptcache") is None:
        return None
    logging.disable(logging.WARNING)
    from gptcache.adapter.api import get, put
    from gptcache.core import Cache as GptCache
    from gptcache.manager import CacheBase, VectorBase, get_data_manager
    from gptcache.processor.pre import get_prompt
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    with tempfile.TemporaryDirectory() as folder:
        data = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///{folder}/gpt.db"),
            VectorBase("faiss", dimension=vectors.shape[1], index_path=f"{folder}/gpt.faiss"),
        )
        cache = GptCache()
        cache.init(
            pre_embedding_func=get_prompt, embedding_func=lambda text, **_: embeddings.embed_many([text])[0], data_manager=data,
            similarity_evaluation=SearchDistanceEvaluation(),
        )  # fmt: skip
        names, table = grown(texts, vectors, size)
        data.import_data(names, [ANSWER["content"]] * size, list(table), [None] * size)
        took = timed(lambda question: get(question, cache_obj=cache), questions)
        put("one more question", "yes", cache_obj=cache)
    logging.disable(logging.NOTSET)
    return {str(size): took}
