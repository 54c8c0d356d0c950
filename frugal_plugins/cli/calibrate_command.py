"""`frugal calibrate`: fit the router on what became of requests, and say what that is worth."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Group, RenderableType

from frugal_plugins.calibrate.fit import CONFIDENCE, Outcomes
from frugal_plugins.calibrate.gather import from_labels, from_store
from frugal_plugins.calibrate.labels import models_with_enough, read_labels
from frugal_plugins.calibrate.report import Line, Report, calibrate
from frugal_plugins.cli.failures import BAD_INPUT, FAILED
from frugal_plugins.cli.lines import InputLines
from frugal_plugins.cli.provider import demand_keys, load_litellm, needs_sandbox, pointed_at
from frugal_plugins.cli.screen import line, note, result, write_text
from frugal_plugins.cli.watched import WatchedRecipe
from frugal_plugins.errors import InputError
from frugal_plugins.learned.artifact import write_ladder
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.outcomes import OutcomeFile
from frugal_plugins.prices import bare_name
from frugal_plugins.recipe.build import judge_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.text import table

if TYPE_CHECKING:
    from frugal_plugins.cli.labelling import Labelled


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `frugal calibrate`."""

    outcomes: Path | None = None
    labels: Path | None = None
    output: Path | None = None
    models: tuple[str, ...] = ()
    confidence: float = CONFIDENCE
    judge: int | None = None
    requests: str | None = None
    live: bool = False
    max_usd: Decimal | None = None
    yes: bool = False
    html: Path | None = None


def calibrate_recipe(source: str, wishes: Wishes, *, as_json: bool) -> None:
    """Label if asked to, fit, write, and print. Leaves with 2 when there is too little to learn from."""
    recipe = WatchedRecipe.load(source) if wishes.live or wishes.judge is None else WatchedRecipe.rehearse(source)
    try:
        store = _store(recipe, wishes)
        labelled = _label(recipe, store, wishes) if wishes.judge is not None and store is not None else None
        data = _rows(recipe, store, wishes)
        note(f"Fitting on {len(data):,} labelled requests ...")
        report = calibrate(data, confidence=wishes.confidence)
        output = wishes.output or Path(f"{recipe.name}-ladder.json")
        write_ladder(report.ladder, output, report=report.as_dict())
    finally:
        recipe.close()
    heard = {} if store is None or wishes.labels is not None else store.counts()
    if wishes.html is not None:
        from frugal_plugins.calibrate.page import calibration_page

        write_text(wishes.html, calibration_page(report, recipe.name, bare_name(_models(recipe, wishes)[1]), heard))
    payload = {**report.as_dict(), "models": [m.name for m in report.ladder.models], "output": str(output), "verdicts": heard}
    if labelled is not None:
        payload["labelled"] = _figures(labelled)
    result(payload, lambda: _text(report, recipe, output, labelled), as_json=as_json)
    if labelled is not None and labelled.stopped is not None:
        note(f"frugal: labelling stopped: {labelled.stopped.rstrip('.')}.")
        raise typer.Exit(FAILED)


def _store(recipe: Recipe, wishes: Wishes) -> OutcomeFile | None:
    """The file of outcomes: named, or the recipe's; made-up labels of the sandbox go to one of their own."""
    named = wishes.outcomes or (Path(recipe.outcomes.store.path) if recipe.outcomes is not None else None)
    if wishes.labels is not None:
        return None
    if named is None:
        raise InputError(
            f"the recipe '{recipe.name}' keeps no outcomes. Write route: {{outcomes: frugal-outcomes.sqlite}} into it and let it run, "
            "name a file with --outcomes, or give labels with --labels"
        )
    if wishes.judge is not None and not wishes.live:
        named = named.with_name(f"{named.stem}-sandbox{named.suffix}")
    if wishes.judge is None and not named.is_file():
        raise InputError("the store of outcomes is not there yet; let the recipe run, or label a sample with --judge", file=str(named))
    return OutcomeFile(named)


def _rows(recipe: Recipe, store: OutcomeFile | None, wishes: Wishes) -> Outcomes:
    models, kept = _models(recipe, wishes)
    if wishes.labels is not None:
        rows = read_labels(wishes.labels, models)
        chosen = list(wishes.models) or models_with_enough((row["scores"] for row in rows), models, kept)
        return from_labels(rows, chosen, kept, recipe.prices)
    assert store is not None
    store.compare_with(kept, recipe.clock())
    judged = store.judged(FINGERPRINT)
    chosen = list(wishes.models) or models_with_enough(([m for m in row.good if m in row.answers] for row in judged), models, kept)
    return from_store(judged, chosen, kept, recipe.prices)


def _models(recipe: Recipe, wishes: Wishes) -> tuple[list[str], str]:
    """The models in question, and the one whose quality is to be kept: the first of the baseline tier."""
    of_tiers = list(dict.fromkeys(model for tier in recipe.tiers for model in tier.models))
    unknown = [model for model in wishes.models if model not in of_tiers]
    if unknown:
        raise InputError(f"{unknown[0]} is in no tier of '{recipe.name}'; its models are {', '.join(of_tiers)}")
    kept = recipe.settings.tiers[recipe.settings.baseline].models[0]
    return list(wishes.models) or of_tiers, kept


def _label(recipe: WatchedRecipe, store: OutcomeFile, wishes: Wishes) -> Labelled:
    if wishes.requests is None:
        raise InputError("the store keeps no text, so --judge needs the requests: name a file of them with --requests")
    _, kept = _models(recipe, wishes)
    firsts = [tier.models[0] for tier in recipe.tiers]
    chosen = [*(m for m in (wishes.models or firsts[: firsts.index(kept)]) if m != kept), kept]
    judge = judge_of(recipe.settings)
    load_litellm()
    from frugal_plugins.cli.labelling import label, pairs_to_label, price

    pairs = pairs_to_label(InputLines(wishes.requests), store, chosen, wishes.judge or 0)
    usd = price(pairs, judge, recipe)
    requests = len({pair.prompt for pair in pairs})
    cost = "an unknown sum (a model has no price)" if usd is None else f"about ${usd:.4f}"
    note(f"To ask: {len(pairs):,} answers to {requests:,} requests from {words(chosen)}, each judged by {bare_name(judge)}: {cost}.")
    if pairs and wishes.live:
        demand_keys([*chosen, judge])
        agreed(yes=wishes.yes)
    with _provider(wishes):
        return asyncio.run(label(pairs, judge, recipe, store, wishes.max_usd))


def agreed(*, yes: bool) -> None:
    """Nothing is paid before somebody said yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("this costs money; add --yes to agree to the price, or --provider sandbox to rehearse. Nothing was sent")
    if not typer.confirm("Go on?", err=True):
        note("Nothing was sent.")
        raise typer.Exit(BAD_INPUT)


@contextmanager
def _provider(wishes: Wishes) -> Iterator[None]:
    if wishes.live:
        yield
        return
    needs_sandbox()
    from frugal_plugins.sandbox import Sandbox

    with Sandbox() as sandbox, pointed_at(sandbox):
        yield


def _figures(labelled: Labelled) -> dict[str, Any]:
    names = ("pairs", "judged", "unclear", "failed", "stopped")
    return {**{name: getattr(labelled, name) for name in names}, "usd": str(labelled.usd)}


def _text(report: Report, recipe: Recipe, output: Path, labelled: Labelled | None) -> RenderableType:
    rows = [_row(one) for one in report.lines]
    title = f"frugal calibrate with '{recipe.name}': {report.rows:,} labelled requests, held out"
    heads = ("keep", "saves", "keeps in fact", "over the best single model", "over chance", "over prompt length")
    parts: list[RenderableType] = [table(title, heads, rows)]
    parts.append(line(f"Models, cheapest first: {words([m.name for m in report.ladder.models])}"))
    if report.dropped:
        parts.append(line(f"Left out, since another is both cheaper and better: {words(report.dropped)}"))
    if labelled is not None:
        done = f"{labelled.judged:,} judged, {labelled.unclear:,} unclear, {labelled.failed:,} failed"
        parts.append(line(f"Labelled now: {done}; ${labelled.usd:.4f}"))
    parts.append(line(f"Written: {output}. To use it: route: {{learned: {output}, keep_quality_percent: 95}}"))
    return Group(*parts)


def words(models: Sequence[str]) -> str:
    """Models as a person reads them."""
    return ", ".join(bare_name(model) for model in models)


def _row(one: Line) -> Sequence[str]:
    low, high = one.saving_interval
    least, most = one.kept_interval
    under, over = one.over_single_interval
    return (
        f"{one.keep_percent:g} %",
        f"{one.saving_percent:.1f} % [{low:.1f}, {high:.1f}]",
        f"{one.kept_percent:.1f} % [{least:.1f}, {most:.1f}]",
        f"{one.over_single_points:+.1f} points [{under:+.1f}, {over:+.1f}]",
        f"{one.over_random_points:+.1f}",
        f"{one.over_length_points:+.1f}",
    )
