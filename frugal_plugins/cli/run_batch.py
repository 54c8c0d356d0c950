"""`frugal run --lane batch`: the same files as `frugal run`, answered through the providers' batches at half the price.

The job lives in a file beside the output, named like it. Each run takes up where the last one stopped; when every line has its
answer in the output, the job's file is removed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.batch import BatchJobs, BatchSettings, JobStatus, NewRow, RowResult
from frugal_plugins.batch.stopping import CANCELLED
from frugal_plugins.cli.batch_output import response_of, told_of
from frugal_plugins.cli.batch_tables import batch_bar
from frugal_plugins.cli.delivered import Delivered
from frugal_plugins.cli.lines import EVERYTHING, InputLines, Line, RequestLines
from frugal_plugins.cli.provider import needs_sandbox, pointed_at
from frugal_plugins.cli.sandbox_command import recorded_file
from frugal_plugins.cli.tally import Tally
from frugal_plugins.cli.watched import RecipeSource, WatchedRecipe
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.ledger.settle import Entry, settle
from frugal_plugins.recipe.settings import parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.told import read_told


@dataclass(frozen=True, slots=True)
class BatchWishes:
    """The options of a run that matter to a batch."""

    live: bool = False
    skip_bad: bool = False
    max_usd: Decimal | None = None
    limit: int | None = None
    recorded: Path | None = None


def input_lines(recipe_source: str, source: str) -> InputLines:
    """The input of a run; for a recipe whose model embeds, a plain text is a document."""
    settings = parse(read_recipe(recipe_source))
    return InputLines(source, EVERYTHING, documents="embed" in settings.tiers[settings.baseline].models[0])


def run_in_batches(recipe_source: RecipeSource, lines: RequestLines, output: Delivered, tally: Tally, wishes: BatchWishes) -> WatchedRecipe:
    """Run every line that has no answer yet through batches; what came of it is in `tally` and in the output."""
    with ExitStack() as around:
        clock, sleep = _time(around, wishes)
        recipe = WatchedRecipe.load(recipe_source, clock=clock) if wishes.live else WatchedRecipe.rehearse(recipe_source, clock=clock)
        around.callback(recipe.close)
        store = _store_of(output.path)
        jobs = BatchJobs(recipe, store, _settings(recipe, wishes), clock=clock, sleep=sleep, heard=lambda entry: _count(tally, entry))
        around.callback(jobs.close)
        try:
            job = _job(jobs, lines, output, tally, wishes)
            if job is not None:
                _run(jobs, job, output, tally)
        except KeyboardInterrupt:
            tally.interrupted = True
            tally.stopped = "interrupted; batches that were handed in go on at the provider"
        except FrugalError as error:
            tally.error = error
    if tally.stopped is None and tally.error is None:
        for name in (store, *(Path(f"{store}{end}") for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
    return recipe


def hand_in(recipe_source: RecipeSource, lines: RequestLines, path: Path, wishes: BatchWishes) -> Decimal:
    """Hand the batches of a run in and wait for nothing; `run_in_batches` goes on from there. For real batches only.

    Returns what they have cost and could still cost at worst.
    """
    with Delivered(path) as output, ExitStack() as around:
        recipe = WatchedRecipe.load(recipe_source, clock=time.time)
        around.callback(recipe.close)
        jobs = BatchJobs(recipe, _store_of(path), _settings(recipe, wishes), clock=time.time, sleep=time.sleep)
        around.callback(jobs.close)
        job = _job(jobs, lines, output, Tally(), wishes)
        if job is None:
            return Decimal(0)
        jobs.submit(job)
        return jobs.committed_usd(job)


def _settings(recipe: WatchedRecipe, wishes: BatchWishes) -> BatchSettings:
    said = BatchSettings.of(recipe)
    return replace(said, max_usd=wishes.max_usd or said.max_usd)


def _store_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.batch.sqlite")


def _time(around: ExitStack, wishes: BatchWishes) -> tuple[Callable[[], float], Callable[[float], None]]:
    """The clock and how to wait: the real ones, or those of a provider on this machine where a day passes at once."""
    if wishes.live:
        return time.time, time.sleep
    needs_sandbox()
    from frugal_plugins.sandbox import Sandbox, VirtualClock

    clock = VirtualClock(time.time())
    sandbox = around.enter_context(Sandbox(clock=clock, recorded=recorded_file(wishes.recorded)))
    around.enter_context(pointed_at(sandbox))
    return clock.now, clock.advance


def _job(jobs: BatchJobs, lines: RequestLines, output: Delivered, tally: Tally, wishes: BatchWishes) -> str | None:
    """The job of an earlier run that was broken off, or a new one for the lines without an answer; None when there are none."""
    known = jobs.store.one("SELECT id, state FROM jobs ORDER BY created DESC LIMIT 1")
    if known is not None and known["state"] == "cancelled":
        _clear(jobs, known["id"], lines, output, tally)
        known = None
    if known is not None:
        if jobs.store.job(known["id"])["state"] == "held" or wishes.max_usd is not None:
            jobs.resume(known["id"], wishes.max_usd)
        _same_input(jobs, known["id"], lines)
        return str(known["id"])
    rows = list(_peek(_rows(jobs, lines, output, tally, wishes)))
    if not rows:
        return None
    first, rest = rows[0]
    return jobs.add(_chain(first, rest))


def _clear(jobs: BatchJobs, job: str, lines: RequestLines, output: Delivered, tally: Tally) -> None:
    """Deliver what is left of a job that was cancelled, and remove it: the rest is asked in a new one."""
    _same_input(jobs, job, lines)
    _run(jobs, job, output, tally)
    jobs.store.forget(job)
    tally.already, tally.stopped, tally.spent_usd = 0, None, Decimal(0)


def _peek(rows: Iterator[NewRow]) -> Iterator[tuple[NewRow, Iterator[NewRow]]]:
    for first in rows:
        yield first, rows
        return


def _chain(first: NewRow, rest: Iterator[NewRow]) -> Iterator[NewRow]:
    yield first
    yield from rest


def _rows(jobs: BatchJobs, lines: RequestLines, output: Delivered, tally: Tally, wishes: BatchWishes) -> Iterator[NewRow]:
    for number, line in enumerate(lines):
        if wishes.limit is not None and number >= wishes.limit:
            return
        known = output.done.get(line.number)
        if known is not None and known != line.digest:
            raise _changed(lines, line.number, output.path)
        if known is not None:
            tally.already += 1
        elif line.bad is None:
            yield NewRow(line.request(jobs.recipe.name), _name(line), read_told({"frugal": line.frugal}))
        elif not wishes.skip_bad:
            raise line.problem(lines.source)
        else:
            tally.bad_lines += 1
            output.write(line, {"error": {"type": "BadLine", "message": line.bad, "status": None}})


def _name(line: Line) -> str:
    """How a row of the job names its line: by number and text, so that a changed input is noticed."""
    return json.dumps([line.number, line.digest, line.custom_id])


def _line(row: RowResult) -> Line:
    number, digest, custom_id = json.loads(row.name or "[]")
    return Line(number, digest, custom_id)


def _same_input(jobs: BatchJobs, job: str, lines: RequestLines) -> None:
    """The rows of a job under way must still be lines of the input, or answers would stand beside the wrong questions."""
    digests = {line.number: line.digest for line in lines}
    for row in jobs.results(job):
        line = _line(row)
        if digests.get(line.number) != line.digest:
            raise _changed(lines, line.number, Path(jobs.store.path))


def _changed(lines: RequestLines, number: int, held_by: Path) -> InputError:
    words = f"this line is not the one that {held_by} has an answer for or is waiting for; the input has changed since. "
    return InputError(words + "Restore the input, or name another --output to start over.", file=lines.source, line=number)


def _run(jobs: BatchJobs, job: str, output: Delivered, tally: Tally) -> None:
    """Work on the job to its end, writing answers to the output as they come."""
    next_row = 0

    def deliver() -> None:
        """Everything that is finished, in order; the first row under way ends it until the end of the job."""
        nonlocal next_row
        for row in jobs.results(job, after=next_row - 1):
            line = _line(row)
            if row.reply is None and row.error is None:
                break
            if row.error == CANCELLED:  # for a later run to ask
                continue
            if line.number in output.done:
                tally.already += line.number not in counted
            else:
                output.write(line, _record(row))
                tally.answered += row.reply is not None
                tally.failed += row.reply is None
            counted.add(line.number)
            next_row = row.n + 1

    counted: set[int] = set()
    with batch_bar(tally.total, tally.already) as show:

        def watch(status: JobStatus) -> None:
            deliver()
            show(status)

        status = jobs.run(job, watch)
        deliver()
        show(status)
    tally.spent_usd = status.spent_usd
    if status.state in ("held", "cancelled"):
        tally.stopped, tally.out_of_money = status.why, status.state == "held"


def _record(row: RowResult) -> dict[str, Any]:
    if row.reply is None:
        return {"error": {"type": "RowFailed", "message": row.error, "status": None}, "frugal": told_of(row)}
    return {"response": response_of(row.reply, row.endpoint), "frugal": told_of(row)}


def _count(tally: Tally, entry: Entry) -> None:
    settled = settle(entry)
    if settled.actual_usd is not None:
        tally.actual_usd += settled.actual_usd
        tally.baseline_usd += settled.actual_usd if settled.baseline_usd is None else settled.baseline_usd
