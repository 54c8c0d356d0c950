"""A fitted ladder as a JSON file: small, readable without code, and refused by name where it does not fit."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.errors import RecipeError
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.ladder import Ladder, Model, Point, Step
from frugal_plugins.learned.smoother import Block, Smoother

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

FORMAT: Final = "frugal-ladder/2"
MOST_BYTES: Final = 5_000_000
_MOST_NUMBERS: Final = 4_000_000


def write_ladder(ladder: Ladder, path: str | os.PathLike[str], *, report: Mapping[str, Any] | None = None) -> Path:
    """Write a ladder, with the report of what it came to on held-out rows. The file is replaced whole or not at all."""
    body = {
        "format": FORMAT,
        "embedding": ladder.embedding,
        "rows": ladder.rows,
        "least_alike": ladder.least_alike,
        "models": [asdict(model) for model in ladder.models],
        "votes": list(ladder.votes),
        "points": [asdict(point) for point in ladder.points],
        "report": dict(report or {}),
        "worth": _packed(ladder.worth),
        "prompt": _smoother_out(ladder.prompt),
        "steps": [{"held": list(step.held), "onward": list(step.onward), "sees": _smoother_out(step.sees)} for step in ladder.steps],
    }
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.write_text(json.dumps(body), encoding="utf-8")
    part.replace(target)
    return target


def read_ladder(path: str | os.PathLike[str], *, models: frozenset[str] | None = None) -> Ladder:
    """Read a ladder.

    Raises RecipeError where the file is not one, was fitted with another embedding, or names a model that is not among
    `models` (those of the recipe's tiers).
    """
    place = Path(path)
    try:
        if place.stat().st_size > MOST_BYTES:
            raise RecipeError(f"{place} is larger than {MOST_BYTES} bytes and not a fitted ladder; run frugal calibrate to make one")
        body = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read {place}: {error}; run frugal calibrate to make it") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise RecipeError(f"{place} is not a fitted ladder of this version ({FORMAT}); run frugal calibrate to make one")
    if body.get("embedding") != FINGERPRINT:
        fitted = body.get("embedding")
        raise RecipeError(f"{place} was fitted with the embedding {fitted!r}, not {FINGERPRINT!r}; run frugal calibrate again")
    try:
        ladder = _ladder_in(body)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RecipeError(f"{place} is damaged ({type(error).__name__}); run frugal calibrate again") from error
    foreign = sorted(model.name for model in ladder.models if models is not None and model.name not in models)
    if foreign:
        raise RecipeError(f"{place} was fitted for {foreign[0]}, which is in no tier of this recipe; add it or run frugal calibrate again")
    return ladder


def _ladder_in(body: Mapping[str, Any]) -> Ladder:
    ladder = Ladder(
        models=tuple(Model(**model) for model in body["models"]),
        votes=_places(body["votes"]),
        worth=_unpacked(body["worth"]),
        prompt=_smoother_in(body["prompt"]),
        steps=tuple(Step(_places(step["held"]), _places(step["onward"]), _smoother_in(step["sees"])) for step in body["steps"]),
        points=tuple(Point(**point) for point in body["points"]),
        embedding=body["embedding"],
        rows=int(body["rows"]),
        least_alike=float(body["least_alike"]),
    )
    places = {place for step in ladder.steps for place in (*step.held, *step.onward)} | set(ladder.votes)
    whole = ladder.points and ladder.models and ladder.steps and not ladder.steps[0].held
    if not whole or not places <= set(range(len(ladder.models))):
        raise ValueError("its parts do not belong together")
    return ladder


def _places(body: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(place) for place in body)


def _smoother_out(smoother: Smoother) -> dict[str, Any]:
    return {
        "blocks": [asdict(block) for block in smoother.blocks],
        **{name: _packed(getattr(smoother, name)) for name in ("centre", "scale", "landmarks", "weights", "offset")},
    }


def _smoother_in(body: Mapping[str, Any]) -> Smoother:
    arrays = {name: _unpacked(body[name]) for name in ("centre", "scale", "landmarks", "weights", "offset")}
    return Smoother(blocks=tuple(Block(**block) for block in body["blocks"]), **arrays)


def _packed(values: Matrix) -> dict[str, Any]:
    import numpy as np

    kind = "<f2" if values.size > 100_000 else "<f4"
    data = base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")
    return {"shape": list(values.shape), "kind": kind, "data": data}


def _unpacked(body: Mapping[str, Any]) -> Matrix:
    import numpy as np

    shape = tuple(int(side) for side in body["shape"])
    if body["kind"] not in ("<f2", "<f4") or int(np.prod(shape)) > _MOST_NUMBERS:
        raise ValueError("its numbers have another shape")
    values: Matrix = np.frombuffer(base64.b64decode(body["data"], validate=True), dtype=body["kind"]).reshape(shape).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("its numbers are not finite")
    return values
