"""What the `frugal batch` commands set up and print."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import typer

from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus, NewRow
from frugal_plugins.batch.bodies import Wording
from frugal_plugins.batch.planning import plan_rows
from frugal_plugins.batch.postgres_store import open_store
from frugal_plugins.batch.stopping import wait_for_worker
from frugal_plugins.cli.batch_output import writer
from frugal_plugins.cli.batch_tables import batch_bar, figures, plan_figures, plan_table, status_table
from frugal_plugins.cli.failures import FAILED, INTERRUPTED
from frugal_plugins.cli.lines import EVERYTHING, InputLines
from frugal_plugins.cli.options import dollars
from frugal_plugins.cli.provider import environment, needs_sandbox, pointed_at
from frugal_plugins.cli.screen import note, result
from frugal_plugins.cli.watched import WatchedRecipe
from frugal_plugins.errors import InputError
from frugal_plugins.postgres import is_postgres
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money
from frugal_plugins.told import read_told


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of a job."""

    store: str = "frugal-batch.sqlite"
    job: str | None = None
    live: bool = False
    window_hours: float | None = None
    deadline_lane: str | None = None
    max_usd: str | None = None
    most_rows: int = 50_000
    skip_bad: bool = False

    def settings(self, recipe: Recipe) -> BatchSettings:
        """The recipe's `batch:` section, and what the options say instead."""
        said = BatchSettings.of(recipe)
        lane = cast("Literal['realtime', 'flex', 'none']", self.deadline_lane or said.deadline_lane)
        hours = said.window_hours if self.window_hours is None else self.window_hours
        most_usd = dollars(self.max_usd) or said.max_usd
        return replace(said, window_hours=hours, deadline_lane=lane, max_usd=most_usd, most_rows=self.most_rows)


def plan_file(recipe_source: str, source: str, wishes: Wishes, *, as_json: bool) -> None:
    """Print a plan."""
    recipe = WatchedRecipe.rehearse(recipe_source)
    with ExitStack() as keys:
        keys.enter_context(_any_keys())
        plan = plan_rows(recipe, _rows(recipe, _input(recipe, source), wishes), wishes.settings(recipe), Wording(), time.time())
    result(plan_figures(plan), lambda: plan_table(plan), as_json=as_json)
    for row, why in list(plan.refused.items())[:5]:
        note(f"row {row + 1}: {why}")


def submit_file(recipe_source: str, source: str, wishes: Wishes, *, as_json: bool) -> None:
    """Add a job; hand it in, or rehearse it to its end."""
    if wishes.live:
        recipe = Recipe.load(recipe_source, clock=time.time)
        lines = _input(recipe, source)
        jobs = BatchJobs(recipe, wishes.store, wishes.settings(recipe), sleep=time.sleep)
        try:
            job = jobs.add(_rows(recipe, lines, wishes), wishes.job, source=recipe_source)
            status = jobs.submit(job)
        finally:
            recipe.close()
            jobs.close()
        _report(status, as_json=as_json)
        note(f"Wait for the answers with: frugal batch watch {job} --store {wishes.store}")
        return
    _report(_rehearse(recipe_source, source, wishes), as_json=as_json)


def show_status(store: str, job: str | None, *, as_json: bool) -> None:
    """Print one job, or all."""
    with _reading(store) as jobs:
        if job is not None:
            _report(jobs.status(job), as_json=as_json, leave=False)
            return
        found = [jobs.status(row["id"]) for row in jobs.store.all("SELECT id FROM jobs ORDER BY created")]
    columns = ("job", "state", "rows", "done", "failed", "spent")
    rows = [(one.job, one.state, f"{one.rows:,}", f"{one.done:,}", f"{one.failed:,}", money(one.spent_usd)) for one in found]
    result({"jobs": [figures(one) for one in found]}, lambda: table(f"jobs in {store}", columns, rows), as_json=as_json)


def watch_job(store: str, job: str, max_usd: str | None, *, as_json: bool) -> None:
    """Run a job to its end."""
    with _job(store, job) as jobs:
        if max_usd is not None:
            jobs.resume(job, dollars(max_usd))
        try:
            with batch_bar(jobs.status(job).rows) as show:
                status = jobs.run(job, show)
        except KeyboardInterrupt as stopped:
            note("frugal: stopped. What was handed in goes on at the provider; run the same command again to wait for it.")
            raise typer.Exit(INTERRUPTED) from stopped
    _report(status, as_json=as_json)


def work_on_jobs(recipe_source: str, store: str, *, as_json: bool) -> None:
    """Run every open job of a recipe."""
    _exists(store)
    recipe = Recipe.load(recipe_source, clock=time.time)
    jobs = BatchJobs(recipe, store, sleep=time.sleep)
    try:
        done = jobs.work()
    finally:
        recipe.close()
        jobs.close()
    words = ("job", "state", "rows", "done", "failed", "spent")
    rows = [(one.job, one.state, f"{one.rows:,}", f"{one.done:,}", f"{one.failed:,}", money(one.spent_usd)) for one in done]
    result({"jobs": [figures(one) for one in done]}, lambda: table(f"jobs of '{recipe.name}' worked on here", words, rows), as_json=as_json)
    if any(one.failed or one.state != "done" for one in done):
        raise typer.Exit(FAILED)


def cancel_job(store: str, job: str, *, as_json: bool) -> None:
    """Cancel a job, in whichever process it is worked on."""
    _exists(store)
    kept = open_store(store)
    asked = f"frugal: whoever works on '{job}' has been asked to stop it; waiting for that. Ctrl-C ends the waiting, not the request."
    try:
        was, source = kept.ask_to_stop(job), kept.job(job)["source"]
        over = wait_for_worker(kept, job, time.sleep, lambda: note(asked))
        if not over and not source:
            again = f"nobody works on '{job}' now, and only the program that began it knows its recipe"
            raise InputError(f"{again}; run that once more: it stops the job, keeps what was answered, and asks nothing further")
    except KeyboardInterrupt as stopped:
        note(f"frugal: the request stays in {store}: whoever works on '{job}', now or later, stops it.")
        raise typer.Exit(INTERRUPTED) from stopped
    finally:
        kept.close()
    with _reading(store) if over else _job(store, job) as jobs:
        status = jobs.status(job) if over else jobs.cancel(job)
    _report(status, as_json=as_json, leave=False)
    if was not in ("open", "held", "cancelling"):
        note(f"frugal: '{job}' was {was} before; nothing was left to cancel")


def reconcile_job(store: str, job: str, *, as_json: bool) -> None:
    """Look up what may have been handed in."""
    with _job(store, job) as jobs:
        status = jobs.reconcile(job)
    _report(status, as_json=as_json, leave=False)


def forget_job(store: str, job: str, *, as_json: bool) -> None:
    """Remove a job that is over."""
    _exists(store)
    kept = open_store(store)
    try:
        if kept.job(job)["state"] in ("open", "cancelling"):
            raise InputError(f"job '{job}' is under way; cancel it first, or watch it to its end")
        kept.forget(job)
    finally:
        kept.close()
    result({"forgotten": job}, lambda: f"'{job}' is removed from {store}", as_json=as_json)


def write_results(store: str, job: str, output: Path, *, as_json: bool) -> None:
    """Write the rows of a job to a file, whole or not at all."""
    counts = {"rows": 0, "answered": 0, "failed": 0, "under_way": 0}
    with _reading(store) as jobs, writer(output) as write:
        for row in jobs.results(job):
            write(row)
            counts["rows"] += 1
            counts["answered" if row.reply is not None else "failed" if row.error is not None else "under_way"] += 1
    words = [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()]
    result({**counts, "output": str(output)}, lambda: table(f"results of {job}", ("", ""), words), as_json=as_json)
    if counts["failed"] or counts["under_way"]:
        raise typer.Exit(FAILED)


def _input(recipe: Recipe, source: str) -> InputLines:
    """The lines of a file. For a recipe whose model embeds, a plain text is a document."""
    usual = recipe.settings.tiers[recipe.settings.baseline].models[0]
    return InputLines(source, EVERYTHING, documents="embed" in usual)


def _rehearse(recipe_source: str, source: str, wishes: Wishes) -> JobStatus:
    """The whole job at a provider on this machine, where a day passes at once."""
    needs_sandbox()
    from frugal_plugins.sandbox import Sandbox, VirtualClock

    clock = VirtualClock(time.time())
    if is_postgres(wishes.store):
        raise InputError("a rehearsal keeps its made-up answers in a file of its own; name a file with --store, or add --live")
    named = Path(wishes.store)
    store = named.with_name(f"{named.stem}-sandbox{named.suffix}")
    with Sandbox(clock=clock) as sandbox, pointed_at(sandbox):
        recipe = WatchedRecipe.rehearse(recipe_source, clock=clock.now)
        jobs = BatchJobs(recipe, store, wishes.settings(recipe), sleep=clock.advance)
        try:
            job = jobs.add(_rows(recipe, _input(recipe, source), wishes), wishes.job, source=recipe_source)
            with batch_bar(jobs.status(job).rows) as show:
                status = jobs.run(job, show)
        finally:
            recipe.close()
            jobs.close()
    note(f"A rehearsal with made-up answers, in {store}. For real batches add --live.")
    return status


@contextmanager
def _job(store: str, job: str) -> Iterator[BatchJobs]:
    """The jobs of a store, with the recipe a job was made with."""
    _exists(store)
    look = open_store(store)
    try:
        source = look.job(job)["source"]
    finally:
        look.close()
    recipe = Recipe.load(source, clock=time.time)
    jobs = BatchJobs(recipe, store, sleep=time.sleep)
    try:
        yield jobs
    finally:
        recipe.close()
        jobs.close()


@contextmanager
def _any_keys() -> Iterator[None]:
    """A plan calls nobody: it needs no keys to know where rows would go."""
    names = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "MISTRAL_API_KEY")
    with environment({name: os.environ.get(name) or "not needed" for name in names}):
        yield


def _exists(store: str) -> None:
    if not is_postgres(store) and not Path(store).exists():
        raise InputError(f"{store} does not exist; name the store the job was submitted to with --store")


@contextmanager
def _reading(store: str) -> Iterator[BatchJobs]:
    """The jobs of a store, for commands that only read: through a recipe nothing is sent with."""
    _exists(store)
    said = {"recipe": "reading", "tiers": {"none": {"models": ["openai/gpt-4o-mini"]}}, "ledger": {"path": "off"}}
    jobs = BatchJobs(Recipe.load(said), store)
    try:
        yield jobs
    finally:
        jobs.close()


def _rows(recipe: Recipe, lines: InputLines, wishes: Wishes) -> Iterator[NewRow]:
    for line in lines:
        if line.bad is None:
            yield NewRow(line.request(recipe.name), line.custom_id, read_told({"frugal": line.frugal}))
        elif not wishes.skip_bad:
            raise InputError(f"{line.bad}. Correct the line, or leave it out with --skip-bad-lines.", file=lines.source, line=line.number)
        else:
            note(f"{lines.source}:{line.number}: left out: {line.bad}")


def _report(status: JobStatus, *, as_json: bool, leave: bool = True) -> None:
    result(figures(status), lambda: status_table(status), as_json=as_json)
    if status.why and status.over:
        note(f"frugal: {status.why}")
    elif leave and status.failed:
        note(f"frugal: {status.failed:,} rows have an error instead of an answer; see frugal batch results")
    if leave and (status.failed or status.state in ("held", "cancelled")):
        raise typer.Exit(FAILED)
