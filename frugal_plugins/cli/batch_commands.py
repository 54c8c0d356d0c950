"""`frugal batch` and its options. What the commands do is imported when one is run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly

batch_app = typer.Typer(
    name="batch",
    help="Send work that can wait through the providers' batches, at half the price. A job survives crashes; nothing is paid twice.",
    no_args_is_help=True,
)

_STORE = "frugal-batch.sqlite"

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name, as `submit` printed it.")]
Input = Annotated[str, typer.Option("--input", "-i", metavar="FILE", help="Requests or documents: JSON lines, CSV or Parquet.")]
Store = Annotated[
    str,
    typer.Option(
        "--store", metavar="FILE", envvar="FRUGAL_BATCH_STORE", help="Where jobs are kept: a file, or postgresql://... for several workers."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Window = Annotated[float | None, typer.Option(min=0.1, metavar="HOURS", help="When all must be there; else the recipe's, or 24.")]
MaxUsd = Annotated[str | None, typer.Option(metavar="USD", help="Stop before the job could cost more.")]
MostRows = Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="Rows in one provider batch at most.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-lines", help="Leave out lines that cannot be used, instead of stopping there.")]


class DeadlineLane(str, Enum):  # noqa: UP042 - the value is what is typed
    """What fills in what is not there in time."""

    REALTIME = "realtime"
    FLEX = "flex"
    NONE = "none"


Late = Annotated[
    DeadlineLane | None,
    typer.Option(help="What answers the rest before the deadline; else the recipe's, or realtime."),
]


@batch_app.command()
@plainly
def plan(
    recipe: RecipeName,
    input: Input,  # noqa: A002
    window_hours: Window = None,
    most_rows: MostRows = 50_000,
    skip_bad_lines: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Say what a job would become and cost at most, with and without the batch. Nothing is sent or written."""
    from frugal_plugins.cli.batch_work import Wishes, plan_file

    plan_file(recipe, input, Wishes(window_hours=window_hours, most_rows=most_rows, skip_bad=skip_bad_lines), as_json=as_json)


@batch_app.command()
@plainly
def submit(
    recipe: RecipeName,
    input: Input,  # noqa: A002
    job: Annotated[str | None, typer.Option(metavar="JOB", help="A name for the job; made up without one.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Real batches, with your keys. Without it a rehearsal on this machine, free.")
    ] = False,
    store: Store = _STORE,
    window_hours: Window = None,
    deadline_lane: Late = None,
    max_usd: MaxUsd = None,
    most_rows: MostRows = 50_000,
    skip_bad_lines: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Write a job down and hand its batches in.

    Without --live the whole job is rehearsed at a provider on this machine, in seconds and for free, in a store and ledger of
    their own (NAME-sandbox.sqlite). With it, `frugal batch watch JOB` waits for the answers.
    """
    from frugal_plugins.cli.batch_work import Wishes, submit_file

    wishes = Wishes(store, job, live, window_hours, deadline_lane.value if deadline_lane else None, max_usd, most_rows, skip_bad_lines)
    submit_file(recipe, input, wishes, as_json=as_json)


@batch_app.command()
@plainly
def status(job: Annotated[str | None, typer.Argument(metavar="JOB")] = None, store: Store = _STORE, as_json: AsJson = False) -> None:
    """Say how far a job is, or list all jobs."""
    from frugal_plugins.cli.batch_work import show_status

    show_status(store, job, as_json=as_json)


@batch_app.command()
@plainly
def watch(
    job: JobName,
    store: Store = _STORE,
    max_usd: MaxUsd = None,
    as_json: AsJson = False,
) -> None:
    """Work on a job until it is over: submit, wait, harvest, ask again what got lost. Ctrl-C stops; run it again to go on.

    --max-usd lets a job go on that was held at its limit. Leaves with 1 when rows failed or the job is held.
    """
    from frugal_plugins.cli.batch_work import watch_job

    watch_job(store, job, max_usd, as_json=as_json)


@batch_app.command()
@plainly
def work(
    recipe: RecipeName,
    store: Store = _STORE,
    as_json: AsJson = False,
) -> None:
    """Work on every open job of a recipe that nobody else works on, until there is none. Start several on one PostgreSQL store."""
    from frugal_plugins.cli.batch_work import work_on_jobs

    work_on_jobs(recipe, store, as_json=as_json)


@batch_app.command()
@plainly
def results(
    job: JobName,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where they go: .jsonl, .csv or .parquet.")],
    store: Store = _STORE,
    as_json: AsJson = False,
) -> None:
    """Write every row in the order of the input, with its answer or its error. Rows under way have neither."""
    from frugal_plugins.cli.batch_work import write_results

    write_results(store, job, output, as_json=as_json)


@batch_app.command()
@plainly
def cancel(job: JobName, store: Store = _STORE, as_json: AsJson = False) -> None:
    """Stop a job: its batches are cancelled, and what they had done is kept. Waits until the provider has stopped.

    Where another process works on the job, that one is asked to stop it. Ctrl-C ends the waiting, not the request.
    """
    from frugal_plugins.cli.batch_work import cancel_job

    cancel_job(store, job, as_json=as_json)


@batch_app.command()
@plainly
def reconcile(job: JobName, store: Store = _STORE, as_json: AsJson = False) -> None:
    """Look up batches that were handed in without an answer. `watch` does so by itself."""
    from frugal_plugins.cli.batch_work import reconcile_job

    reconcile_job(store, job, as_json=as_json)


@batch_app.command()
@plainly
def forget(job: JobName, store: Store = _STORE, as_json: AsJson = False) -> None:
    """Remove a job that is over, with its prompts and answers, from the store."""
    from frugal_plugins.cli.batch_work import forget_job

    forget_job(store, job, as_json=as_json)
