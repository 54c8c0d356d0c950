"""What `frugal run` sets up and prints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer
from rich.progress import TimeRemainingColumn
from rich.table import Table

from frugal_plugins.cli.delivered import Delivered
from frugal_plugins.cli.failures import BAD_INPUT, FAILED, INTERRUPTED
from frugal_plugins.cli.lines import InputLines, Line, RequestLines
from frugal_plugins.cli.progress import bar
from frugal_plugins.cli.provider import demand_keys, load_litellm, needs_sandbox, pointed_at
from frugal_plugins.cli.sandbox_command import recorded_file
from frugal_plugins.cli.screen import note, result
from frugal_plugins.cli.tally import Tally
from frugal_plugins.cli.watched import RecipeSource, WatchedRecipe
from frugal_plugins.errors import InputError
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number, percent


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a run."""

    live: bool = False
    concurrency: int = 8
    skip_bad: bool = False
    max_usd: Decimal | None = None
    limit: int | None = None
    recorded: Path | None = None
    batch: bool = False


def run_file(recipe_source: str, source: str, output: Path, wishes: Wishes, *, as_json: bool) -> None:
    """Run a file and leave with 0, 1 (some requests failed or are left), 2 (bad input) or 130 (interrupted)."""
    if wishes.batch:
        from frugal_plugins.cli.run_batch import input_lines

        lines = input_lines(recipe_source, source)
    else:
        lines = InputLines(source)
    tally, recipe = answer_lines(recipe_source, lines, output, wishes)
    result(_figures(tally, recipe, output), lambda: _table(tally, recipe), as_json=as_json)
    leave(tally, recipe, output)


def answer_lines(recipe_source: RecipeSource, lines: RequestLines, output: Path, wishes: Wishes) -> tuple[Tally, WatchedRecipe]:
    """Answer every line that has no answer in the output yet; what came of it is in the tally."""
    total = lines.count()
    tally = Tally(total=total if wishes.limit is None else min(total, wishes.limit))
    run = _in_batches if wishes.batch else _at_once
    recipe = run(recipe_source, lines, output, wishes, tally)
    return tally, recipe


def _at_once(source: RecipeSource, lines: RequestLines, output: Path, wishes: Wishes, tally: Tally) -> WatchedRecipe:
    recipe = WatchedRecipe.load(source) if wishes.live else WatchedRecipe.rehearse(source)
    load_litellm()
    with ExitStack() as open_things:
        _demand(recipe, lines, wishes)
        delivered = open_things.enter_context(Delivered(output))
        if not wishes.live:
            open_things.enter_context(_sandbox(wishes))
        if delivered.done or delivered.maybe_paid:
            note(_resumed(delivered))
        tally.asked_again = len(delivered.maybe_paid)
        try:
            asyncio.run(_run(recipe, lines, delivered, wishes, tally))
        finally:
            recipe.close()
        delivered.close(complete=_is_complete(tally, lines))
    return recipe


def _in_batches(source: RecipeSource, lines: RequestLines, output: Path, wishes: Wishes, tally: Tally) -> WatchedRecipe:
    """The same through the providers' batches."""
    from frugal_plugins.cli.run_batch import BatchWishes, run_in_batches

    with Delivered(output) as delivered:
        if not delivered.resumable:
            raise InputError(f"{output} is no file; a batch takes hours and goes on after a stop, so name a file")
        said = BatchWishes(wishes.live, wishes.skip_bad, wishes.max_usd, wishes.limit, wishes.recorded)
        recipe = run_in_batches(source, lines, delivered, tally, said)
        delivered.close(complete=_is_complete(tally, lines))
    return recipe


def _is_complete(tally: Tally, lines: RequestLines) -> bool:
    return tally.stopped is None and tally.error is None and tally.done >= lines.count()


def _demand(recipe: WatchedRecipe, lines: RequestLines, wishes: Wishes) -> None:
    """Before anything is sent: the sandbox can run, or the keys are there."""
    if not wishes.live:
        needs_sandbox()
        return
    usual = recipe.settings.tiers[recipe.settings.baseline].models[0]
    named = (line.model or recipe.name for line in lines if line.bad is None)
    demand_keys(dict.fromkeys(usual if model in recipe.own_names else model for model in named))


@contextmanager
def _sandbox(wishes: Wishes) -> Iterator[None]:
    from frugal_plugins.sandbox import Sandbox

    with Sandbox(recorded=recorded_file(wishes.recorded)) as sandbox, pointed_at(sandbox):
        yield


async def _run(recipe: WatchedRecipe, lines: RequestLines, delivered: Delivered, wishes: Wishes, tally: Tally) -> None:
    import litellm

    from frugal_plugins.cli.pace import Pace
    from frugal_plugins.cli.purse import Purse
    from frugal_plugins.cli.run import Run
    from frugal_plugins.litellm import install, uninstall

    async def ask(line: Line) -> Any:
        return await litellm.acompletion(
            **line.params,
            model=line.model or recipe.name,
            messages=[dict(message) for message in line.messages],
            metadata={"frugal": dict(line.frugal)},
            max_retries=0,
        )

    install(recipe)
    try:
        with bar(tally.total, TimeRemainingColumn()) as show:

            def told(now: Tally) -> None:
                show(now.done, f"{money(now.actual_usd)} spent, {money(now.saved_usd)} saved")

            run = Run(
                recipe, lines, delivered, ask, Pace(wishes.concurrency), Purse(wishes.max_usd, recipe), tally,
                wishes.skip_bad, wishes.limit, told, asyncio.Event(), set(),
            )  # fmt: skip
            await run.go()
    finally:
        uninstall()


def _resumed(delivered: Delivered) -> str:
    words = f"{len(delivered.done):,} requests have an answer in {delivered.path} already and are left alone."
    if delivered.maybe_paid:
        count = len(delivered.maybe_paid)
        words += f" {count:,} were in flight when the last run was cut off: they may have been paid, have no answer, and are asked again."
    return words


def _figures(tally: Tally, recipe: WatchedRecipe, output: Path) -> dict[str, Any]:
    return {
        "requests": tally.total,
        "done": tally.done,
        "already_done": tally.already,
        "answered": tally.answered,
        "failed": tally.failed,
        "bad_lines": tally.bad_lines,
        "maybe_paid": tally.asked_again,
        "retries": tally.retries,
        "baseline_usd": number(tally.baseline_usd),
        "actual_usd": number(tally.actual_usd),
        "saved_percent": tally.saved_percent,
        "stopped": tally.why_stopped,
        "output": str(output),
        "ledger": None if recipe.ledger is None else recipe.ledger.place,
        "ledger_rows_lost": 0 if recipe.ledger is None else recipe.ledger.lost,
    }


def _table(tally: Tally, recipe: WatchedRecipe) -> Table:
    rows = [
        ("requests", f"{tally.total:,}"),
        ("answered now", f"{tally.answered:,}"),
        ("answered before", f"{tally.already:,}"),
        ("failed, with the reason in the output", f"{tally.failed:,}"),
        ("lines that could not be used", f"{tally.bad_lines:,}"),
        ("left", f"{max(0, tally.total - tally.done):,}"),
        ("baseline, without the recipe", money(tally.baseline_usd)),
        ("actual, with the recipe", money(tally.actual_usd)),
        ("saved", f"{money(tally.saved_usd)} ({percent(tally.saved_percent)})"),
    ]
    if recipe.ledger is not None and recipe.ledger.lost:
        rows.append(("rows the ledger lost", f"{recipe.ledger.lost:,}: free {recipe.ledger.place} or its disk"))
    return table(f"frugal run with '{recipe.name}'", ("", ""), rows)


def leave(tally: Tally, recipe: WatchedRecipe, output: Path) -> None:
    """Say what is left to do, and choose the exit code."""
    if recipe.ledger is not None and recipe.ledger.lost:
        note(f"frugal: the ledger lost {recipe.ledger.lost:,} rows; the answers are safe, the sums of frugal report are too low by these")
    if tally.error is not None:
        note(f"frugal: {tally.error}")
        raise typer.Exit(BAD_INPUT)
    if tally.stopped is not None:
        lost = f" {tally.undelivered:,} paid answers could not be written; they are asked again." if tally.undelivered else ""
        again = "Run the same command again to go on where it stopped."
        note(f"frugal: stopped: {tally.stopped.rstrip('.')}. Everything in {output} is safe.{lost} {again}")
        raise typer.Exit(INTERRUPTED if tally.interrupted else FAILED)
    if tally.failed or tally.bad_lines:
        count = tally.failed + tally.bad_lines
        note(f"frugal: {count:,} requests have an error instead of an answer in {output}; correct them and run them as a new input")
        raise typer.Exit(FAILED)
