"""`frugal evaluate` and its options. What it does is imported when it is run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly
from frugal_plugins.cli.options import dollars


class Provider(str, Enum):  # noqa: UP042 - the value is what is typed
    """Who answers."""

    SANDBOX = "sandbox"
    LIVE = "live"


class EvaluationLane(str, Enum):  # noqa: UP042
    """Which price class answers."""

    REALTIME = "realtime"
    BATCH = "batch"


class How(str, Enum):  # noqa: UP042
    """How an answer is compared."""

    AUTO = "auto"
    EXACT = "exact"
    NORMALISED = "normalised"
    JSON = "json"
    CONTAINS = "contains"
    JUDGE = "judge"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(plainly(evaluate))


def evaluate(
    input: Annotated[str, typer.Option("--input", "-i", metavar="FILE", help="Rows with a right answer: JSON lines, CSV, Parquet.")],  # noqa: A002
    candidates: Annotated[list[str] | None, typer.Argument(metavar="[CANDIDATE]", help="Recipes, or models: openai/gpt-4o.")] = None,
    expected: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The field of a row with the right answer; else 'expected'.")
    ] = None,
    compare: Annotated[How | None, typer.Option(help="How; auto is json for an object, else normalised.")] = None,
    field: Annotated[list[str] | None, typer.Option(metavar="NAME", help="With json: only this field; may be repeated.")] = None,
    judge: Annotated[str | None, typer.Option(metavar="MODEL", help="Let this model judge the answers; its price is said first.")] = None,
    lane: Annotated[EvaluationLane | None, typer.Option(help="realtime: at once. batch: within hours, at half the price.")] = None,
    provider: Annotated[Provider, typer.Option(help="sandbox: made-up answers, free. live: real ones, with your keys.")] = Provider.SANDBOX,
    minimum: Annotated[float | None, typer.Option(min=0, max=100, metavar="PERCENT", help="Leave with 1 below this score.")] = None,
    most_drop: Annotated[
        float | None, typer.Option(min=0, max=100, metavar="POINTS", help="Leave with 1 when the first is worse than another by more.")
    ] = None,
    answers: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Score answers that are there, of run or batch results.")
    ] = None,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where answers and verdicts are kept.")] = Path("frugal-evaluation"),
    verdicts: Annotated[Path | None, typer.Option(metavar="FILE", help="Each row's verdicts; else FOLDER/verdicts.jsonl.")] = None,
    max_usd: Annotated[str | None, typer.Option(metavar="USD", help="Stop before this evaluation could cost more, judge included.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N rows.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight at most, in real time.")] = 8,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Leave out rows that cannot be used.")] = False,
    recorded: Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded answers for the sandbox, JSONL.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the judge's price.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")] = False,
) -> None:
    """Ask rows whose right answer is known, and score the answers: of a recipe, of a model, or of several side by side.

    A row is a line of `frugal run` with one field more, the right answer, beside the body or in its metadata; or the variables of the
    recipe's pipeline with it. Answers are asked anew, never taken from the recipe's cache. Scores come with a 95 % range, by model,
    task and JSON field. The same command goes on where it stopped. Leaves with 1 when a score is below --minimum, or the first
    candidate is worse than --most-drop allows.
    """
    from frugal_plugins.cli.evaluate_command import Options, evaluate_files
    from frugal_plugins.cli.run_command import Wishes

    options = Options(
        expected, compare and compare.value, tuple(field or ()), judge, lane and lane.value, minimum, most_drop, tuple(answers or ()),
        folder, verdicts, yes,
    )  # fmt: skip
    wishes = Wishes(provider is Provider.LIVE, concurrency, skip_bad_lines, dollars(max_usd), limit, recorded)
    evaluate_files(list(candidates or ()), input, options, wishes, as_json=as_json)
