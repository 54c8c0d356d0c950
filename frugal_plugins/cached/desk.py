"""What a person does with a store of answers: look into it, and take over another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from frugal_plugins.answers import NearAnswers, StoredAnswer
from frugal_plugins.answers.stored import SERVED_AT_MOST
from frugal_plugins.cached.shadow import unheard
from frugal_plugins.errors import FrugalError
from frugal_plugins.meaning.sureness import probability_at
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.cache import Cache

_SHOWN_CHARS: Final = 200
_AT_ONCE: Final = 64


def described(answer: StoredAnswer) -> dict[str, Any]:
    """One entry as `frugal cache list` shows it: no vector, the question and the answer's beginning."""
    return {
        "key": answer.key,
        "labels": dict(answer.labels),
        "model": answer.model,
        "question": answer.question[:_SHOWN_CHARS],
        "answer": _beginning(answer),
        "at_seconds": answer.at_seconds,
        "until_seconds": answer.until_seconds,
        "searchable": answer.vector is not None,
    }


def hits(store: NearAnswers, count: int, *, by_meaning: bool = False) -> Iterator[dict[str, Any]]:
    """Hits to look at, latest first: what was asked, which question's answer was served, and how near they were."""
    shown = 0
    for served in store.latest_served(SERVED_AT_MOST):
        answer = store.get(served.key, 0.0) if served.asked or not by_meaning else None
        if answer is None or shown >= count:
            continue
        shown += 1
        yield {
            "id": served.id,
            "at_seconds": served.at_seconds,
            "asked": served.asked[:_SHOWN_CHARS],
            "stored_question": answer.question[:_SHOWN_CHARS],
            "answer": _beginning(answer),
            "cosine": served.cosine,
            "sure_percent": None if served.degree is None else round(100 * probability_at(served.degree), 2),
            "key": served.key,
        }


def stats(store: NearAnswers, embedder: str = "") -> dict[str, Any]:
    """The figures of a store as `frugal cache stats` prints them."""
    served = store.latest_served(SERVED_AT_MOST)
    return {**asdict(store.figures(embedder)), "hits_remembered": len(served), "hits_by_meaning": sum(bool(one.asked) for one in served)}


def questions_of_gptcache(path: str | Path) -> list[tuple[str, str]]:
    """The questions and answers in the SQLite file of a GPTCache, oldest first."""
    query = (
        "SELECT q.question, a.answer FROM gptcache_question q JOIN gptcache_answer a ON a.question_id = q.id"
        " WHERE coalesce(q.deleted, 0) = 0 ORDER BY q.id"
    )
    try:
        with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as source:
            return [(str(question), str(answer)) for question, answer in source.execute(query)]
    except sqlite3.Error as error:
        raise FrugalError(
            f"{path} is not a GPTCache SQLite store: {error}. Name the file that its data manager calls sqlite.db."
        ) from error


def import_gptcache(
    path: str | Path,
    cache: Cache,
    *,
    model: str,
    now_seconds: float,
    system: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    scope: tuple[str, ...] = (),
    progress: Callable[[int, int], None] = unheard,
) -> tuple[int, int]:
    """Take over the SQLite file of a GPTCache (its FAISS file is not needed: questions are embedded anew).

    GPTCache does not keep which model, system prompt, parameters or tenant an answer belongs to: say them, they become part of
    the key. Says how many answers were taken and how many were left out because they are empty.
    """
    rows = questions_of_gptcache(path)
    head = () if system is None else ({"role": "system", "content": system},)
    meaning, taken = cache.meaning, 0
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        if meaning is not None:
            meaning.embeddings.know([question for question, _ in part if meaning.readable(question)])
        for question, answer in part:
            request = Request(model, (*head, {"role": "user", "content": question}), dict(params or {}), dict(tags or {}), scope)
            taken += cache.keep(request, Reply({"role": "assistant", "content": answer}, model), now_seconds) is None
        progress(start + len(part), len(rows))
    return taken, len(rows) - taken


def _beginning(answer: StoredAnswer) -> str:
    text = answer.message.get("content")
    return text[:_SHOWN_CHARS] if isinstance(text, str) else ""
