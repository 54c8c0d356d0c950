"""`frugal calibrate --cache` and `frugal cache calibrate`: fit the search by meaning, and the shadow report."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from frugal_plugins.cached import Shadow, read_labels, samples_of, shadow
from frugal_plugins.cli.cache_open import open_store, recipe_with_cache
from frugal_plugins.cli.cache_work import progress_bar
from frugal_plugins.cli.failures import FAILED
from frugal_plugins.cli.screen import line, result, write_text
from frugal_plugins.embedding.embed import Embeddings
from frugal_plugins.errors import InputError
from frugal_plugins.meaning.calibration import Sample, as_json_text

_AT_ONCE: Final = 64


def calibrate_cache(recipe: str, labels: Path | None, output: Path | None, *, pairs: int = 10, as_json: bool) -> None:
    """Fit on the recipe's shadow traffic, or on labelled questions, write the rule, and report.

    Leaves with 1 when nothing could be fitted; the report is printed all the same.
    """
    loaded, cache = recipe_with_cache(recipe)
    said, meaning = loaded.settings.cache, cache.meaning
    if meaning is None or said is None or said.similarity is None:
        raise InputError(f"recipe {loaded.name} does not search by meaning; write 'similarity: 0.95' in its cache section first")
    meaning.embeddings.embedder  # noqa: B018 - opens the model, or says why it cannot
    with progress_bar(as_json=as_json) as show:
        task = show.add_task("reading", total=None)
        samples = _labelled(labels, meaning.embeddings, lambda done, of: show.update(task, completed=done, total=of)) if labels else None
        if samples is None:
            opened = open_store(recipe, None)
            samples = samples_of(opened.store, meaning.embeddings.fingerprint)
            opened.answered()
        show.update(task, description="comparing", completed=0, total=len(samples))
        found = shadow(
            samples, meaning.embeddings.fingerprint, similarity=float(said.similarity), max_wrong_percent=float(said.max_wrong_percent),
            made_at_seconds=time.time(), most_pairs=pairs, progress=lambda done, of: show.update(task, completed=done, total=of),
        )  # fmt: skip
    written = output or Path(said.calibration or f"{loaded.name}-cache.json")
    if found.calibration is not None:
        write_text(written, as_json_text(found.calibration))
    payload = _payload(found, written, str(labels) if labels else said.path)
    result(payload, lambda: _report(found, written, said.calibration), as_json=as_json)
    if found.calibration is None:
        raise typer.Exit(FAILED)


def _labelled(labels: Path, embeddings: Embeddings, progress: Any) -> list[Sample]:
    """Labelled questions with their vectors; those that do not fit the model are left out."""
    rows, samples = read_labels(labels), []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        for (question, answer, partition), vector in zip(part, embeddings.embed_many([row[0] for row in part]), strict=True):
            if vector is not None:
                samples.append(Sample(question, vector, answer, partition))
        progress(start + len(part), len(rows))
    return samples


def _payload(found: Shadow, written: Path, source: str | None) -> dict[str, Any]:
    fitted = found.calibration
    return {
        "source": source,
        "questions": found.questions,
        "answers": found.answers,
        "before": {"hit_percent": found.cold_hit_percent, "wrong_percent": found.cold_wrong_percent},
        "calibrated": None if fitted is None else {
            "hit_percent": round(fitted.expected_hit_percent, 2),
            "wrong_percent": round(fitted.expected_wrong_percent, 2),
            "wrong_at_most_percent": round(fitted.wrong_at_most_percent, 2),
            "max_wrong_percent": fitted.max_wrong_percent,
            "guards_lifted": list(fitted.rule.lifted),
            "file": str(written),
        },
        "refusal": found.refusal,
        "suggested_similarity": found.suggested_similarity,
        "pairs": [asdict(pair) for pair in found.pairs],
    }  # fmt: skip


def _report(found: Shadow, written: Path, named: str | None) -> RenderableType:
    rows = [
        line(f"{found.questions} questions with {found.answers} different answers"),
        line(
            f"rule before calibration   {found.cold_hit_percent:6.2f} % answered from the store, {found.cold_wrong_percent:.2f} % wrongly"
        ),
    ]
    fitted = found.calibration
    if fitted is not None:
        rows += [
            line(
                f"fitted rule               {fitted.expected_hit_percent:6.2f} % answered, {fitted.expected_wrong_percent:.2f} % wrongly"
                f" (at most {fitted.wrong_at_most_percent:.2f} % with its margin; the budget is {fitted.max_wrong_percent} %)"
            ),
            line(f"guards this traffic showed to be harmless: {', '.join(fitted.rule.lifted) or 'none'}"),
        ]
    floor = "none below 1 keeps the budget" if found.suggested_similarity is None else f"{found.suggested_similarity:.2f}"
    rows.append(line(f"one bare cosine, if you want only that: {floor}"))
    rows += _pairs(found)
    if fitted is None:
        rows.append(line(f"Nothing was written: {found.refusal}", "bold"))
    else:
        rows.append(
            line(
                f"Written to {written}."
                + ("" if named else f" Put 'calibration: {json.dumps(str(written))}' into the recipe's cache section.")
            )
        )
    return Group(*rows)


def _pairs(found: Shadow) -> list[Text]:
    rows = [line("Look at these, nearest to the bar first:")] if found.pairs else []
    for pair in found.pairs:
        kind = ("would be served" if pair.served else "near miss") + (", right" if pair.right else ", WRONG ANSWER")
        objections = f", guards: {', '.join(pair.conflicts)}" if pair.conflicts else ""
        rows += [line(f"  {kind} ({pair.sure:.3f}{objections})"), line(f"    {pair.asked[:150]!r}"), line(f"    {pair.stored[:150]!r}")]
    return rows
