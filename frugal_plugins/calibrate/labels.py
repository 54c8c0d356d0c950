"""Labels people already have, from a JSON Lines file: who answered what, and how well."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from frugal_plugins.calibrate.fit import FEWEST_ROWS
from frugal_plugins.calibrate.report import TooFewLabels
from frugal_plugins.errors import InputError
from frugal_plugins.prices import bare_name

_LONGEST_LINE_BYTES: Final = 8_000_000


def read_labels(path: str | Path, models: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a file, their scores and outputs under the recipe's names for the models.

    A row is `{"prompt": text, "scores": {model: 0 to 1}, "outputs": {model: text}}`; `outputs` may be missing, `correct` is
    read as `scores` and `question` as `prompt`. Models the recipe does not have are left out.
    Raises InputError naming file and line.
    """
    names = {bare_name(model): model for model in reversed(models)}
    place = Path(path)
    rows: list[dict[str, Any]] = []
    try:
        with place.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    rows.append(_row(raw, names, str(path), number))
    except OSError as error:
        raise InputError(f"the labels cannot be read ({error.strerror}); check the path", file=str(path)) from error
    if not rows:
        raise InputError("there are no labels in this file; give one JSON object a line", file=str(path))
    return rows


def models_with_enough(rows: Iterable[Iterable[str]], models: Sequence[str], kept: str) -> list[str]:
    """The largest choice of models for which enough rows know all of them, most labelled first; always with `kept`.

    `rows` says of each row which models it knows. Raises TooFewLabels when the reference and one other have not enough in common.
    """
    known = [frozenset(row) for row in rows]
    with_kept = [row for row in known if kept in row]
    order = sorted((m for m in models if m != kept), key=lambda m: (-sum(m in row for row in with_kept), models.index(m)))
    chosen: list[str] = []
    for model in order:
        left = [row for row in with_kept if model in row]
        if len(left) >= FEWEST_ROWS:
            chosen.append(model)
            with_kept = left
    if not chosen:
        counts = ", ".join(f"{bare_name(model)} {sum(model in row for row in known)}" for model in (*order, kept)) or "none"
        raise TooFewLabels(
            f"{FEWEST_ROWS} requests with a verdict on {bare_name(kept)} and on one cheaper model are needed; there are: {counts}. "
            "The router stays with its cold start. Collect feedback, or label a sample with frugal calibrate --judge."
        )
    return [model for model in models if model in chosen or model == kept]


def _row(raw: bytes, names: Mapping[str, str], file: str, number: int) -> dict[str, Any]:
    if len(raw) > _LONGEST_LINE_BYTES:
        raise InputError(f"the line is longer than {_LONGEST_LINE_BYTES:,} bytes; split it", file=file, line=number)
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise InputError(f"the line is not JSON ({error}); correct it or take it out", file=file, line=number) from error
    if not isinstance(body, Mapping):
        raise InputError("the line is not a JSON object; write one object a line", file=file, line=number)
    prompt = body.get("prompt") or body.get("question")
    scores = body.get("scores") or body.get("correct")
    if not isinstance(prompt, str) or not isinstance(scores, Mapping):
        raise InputError('a row needs "prompt" (text) and "scores" (a number from 0 to 1 for each model)', file=file, line=number)
    said = body.get("outputs")
    outputs = {names[bare_name(m)]: text for m, text in said.items() if bare_name(m) in names} if isinstance(said, Mapping) else {}
    return {"prompt": prompt, "scores": dict(_scores(scores, names, file, number)), "outputs": outputs}


def _scores(scores: Mapping[str, Any], names: Mapping[str, str], file: str, number: int) -> Iterator[tuple[str, float]]:
    for model, score in scores.items():
        name = names.get(bare_name(model))
        if name is None or score is None:
            continue
        if isinstance(score, str) or not 0 <= float(score) <= 1:
            raise InputError(f"the score of {model} is {score!r}; write true, false, or a number from 0 to 1", file=file, line=number)
        yield name, float(score)
