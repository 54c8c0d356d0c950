"""`frugal shorten` and `frugal prewarm` and their options. What they do is imported when one is run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly


class Level(str, Enum):  # noqa: UP042 - the value is what is typed
    """How far the rules go."""

    FORMAT = "format"
    PHRASES = "phrases"
    SENTENCES = "sentences"


class Answers(str, Enum):  # noqa: UP042
    """Who answers."""

    SANDBOX = "sandbox"
    LIVE = "live"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(plainly(shorten))
    app.command()(plainly(prewarm))


def shorten(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Prompts: text files, or request bodies as .json.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model the prompt is sent to: its tokens and prices.")] = "openai/gpt-4o",
    requests_per_month: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How often the prompt is sent: dollars a month.")
    ] = None,
    level: Annotated[
        Level, typer.Option(help="format: layout only. phrases: also boilerplate. sentences: also what is said twice.")
    ] = Level.SENTENCES,
    keep_schemas: Annotated[bool, typer.Option("--keep-schemas", help="Leave JSON Schemas spelled out in the prompt as they are.")] = False,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Also have the recipe's cheapest model rewrite it as concise bullets.")
    ] = False,
    eval: Annotated[  # noqa: A002
        Path | None, typer.Option(metavar="FILE", help='Inputs, JSONL {"input": ..., "expected": ...}: asked with both prompts.')
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="RECIPE", help="Whose cheapest tier rewrites.")] = "support",
    provider: Annotated[
        Answers, typer.Option(help="For --rewrite and --eval. sandbox: made-up answers, free. live: real ones, with your keys.")
    ] = Answers.SANDBOX,
    recorded: Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded answers for the sandbox, JSONL.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Overwrite the files. Without it nothing is written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")] = False,
) -> None:
    """Make prompt files shorter, and say what that saves and what was kept.

    Rules first: layout, boilerplate, sentences said twice, schemas in short notation; never code, numbers, ids, quotations,
    placeholders, negations or modal words. With --rewrite a cheap model then writes concise bullets, section by section; a section
    that lost or invented anything is left to the rules. Prints a diff. Leaves with 1, writing nothing, when an eval got worse.
    """
    from frugal_plugins.cli.shorten_command import Wishes, shorten_files

    live = provider is Answers.LIVE
    wishes = Wishes(model, level.value, not keep_schemas, rewrite, eval, recipe, live, recorded, requests_per_month, write)
    shorten_files(files, wishes, as_json=as_json)


def prewarm(
    request: Annotated[str, typer.Argument(metavar="REQUEST.json", help="One of the requests: a chat completion body; - is stdin.")],
    recipe: Annotated[str, typer.Option("--recipe", "-r", metavar="RECIPE", help="The recipe they go through.")] = "support",
    concurrent: Annotated[int, typer.Option(min=1, metavar="N", help="Requests that start before the first is answered.")] = 1,
    in_minutes: Annotated[float, typer.Option(min=0, metavar="MINUTES", help="When they start; until then the front is kept warm.")] = 0.0,
    likely_percent: Annotated[float, typer.Option(min=0, max=100, metavar="PERCENT", help="How likely they come at all.")] = 100.0,
    warm: Annotated[bool, typer.Option("--warm", help="The front is in the cache already and only to be kept there.")] = False,
    provider: Annotated[
        Answers | None, typer.Option(help="Send it: sandbox for a rehearsal, live with your keys. Without it only the decision is printed.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Send it although it does not pay, for the time it saves.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")] = False,
) -> None:
    """Say whether it pays to write a prompt's front to the provider's cache before many requests need it, and do it when told.

    The front is what the recipe would send: tools and developer's prompt, with breakpoints where the provider wants them. With
    --in-minutes it is touched until then; Ctrl-C ends that.
    """
    from frugal_plugins.cli.prewarm_command import Wishes, prewarm_request

    live = None if provider is None else provider is Answers.LIVE
    wishes = Wishes(recipe, concurrent, in_minutes * 60, likely_percent / 100, warm, live, anyway)
    prewarm_request(request, wishes, as_json=as_json)
