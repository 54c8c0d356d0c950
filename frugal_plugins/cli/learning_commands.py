"""`frugal calibrate`, `frugal feedback` and their options. What they do is imported when one is run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly
from frugal_plugins.cli.options import dollars

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


class Provider(str, Enum):  # noqa: UP042 - the value is what is typed
    """Who answers and judges."""

    SANDBOX = "sandbox"
    LIVE = "live"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(plainly(calibrate))
    app.command()(plainly(feedback))


def calibrate(
    recipe: RecipeName,
    cache: Annotated[bool, typer.Option("--cache", help="Fit the cache's search by meaning instead of the router.")] = False,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Labels you have, JSONL: prompt, scores, outputs by model.")] = None,
    outcomes: Annotated[Path | None, typer.Option(metavar="FILE", help="The store of outcomes; else the recipe's route.outcomes.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="What is written; else RECIPE-ladder.json.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these models of the tiers; may be repeated.")] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.99, help="How sure held-out rows must be that a target is kept.")] = 0.65,
    judge: Annotated[int | None, typer.Option(min=1, metavar="N", help="First let the recipe's judge label N requests of a file.")] = None,
    requests: Annotated[str | None, typer.Option(metavar="FILE", help="The requests to label, as for `frugal run`.")] = None,
    provider: Annotated[Provider, typer.Option(help="Who answers and judges. sandbox: made-up labels, to rehearse.")] = Provider.SANDBOX,
    max_usd: Annotated[str | None, typer.Option(metavar="USD", help="Stop labelling when this is spent.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the price of the labels.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page with a plot.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the router on outcomes of your own traffic, and say on held-out requests what that is worth. With --cache: the cache.

    Reads verdicts from the recipe's store of outcomes (feedback, checks, judges, control traffic), or labels from a file. Needs 200
    requests with a verdict for each model; below that the router keeps its cold start. What is written is named by `route.learned`.
    With --cache it does what `frugal cache calibrate` does; labels are then questions with their answers.
    """
    if cache:
        from frugal_plugins.cli.calibrate_cache import calibrate_cache

        calibrate_cache(recipe, labels, output, as_json=as_json)
        return
    from frugal_plugins.cli.calibrate_command import Wishes, calibrate_recipe

    wishes = Wishes(
        outcomes, labels, output, tuple(model or ()), confidence, judge, requests, provider is Provider.LIVE, dollars(max_usd), yes, html
    )
    calibrate_recipe(recipe, wishes, as_json=as_json)


def feedback(
    recipe: RecipeName,
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id: x-frugal-id, or frugal.id of the answer.")],
    good: Annotated[bool, typer.Option("--good/--bad", help="What you say of its answer.")],
    source: Annotated[str, typer.Option(metavar="VOICE", help="Who says so: user, gold, judge, check or control.")] = "user",
    as_json: AsJson = False,
) -> None:
    """Say whether an answer was good: for the ledger, for the router to learn from, and so that a bad stored answer is not served again."""
    from frugal_plugins.cli.feedback_command import give_feedback

    give_feedback(recipe, request_id, good, source, as_json=as_json)
