"""`frugal run`: a file of requests through a recipe, with answers that survive whatever happens on the way."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from openai import OpenAIError

from frugal_plugins.cli.delivered import Delivered
from frugal_plugins.cli.lines import Line, RequestLines
from frugal_plugins.cli.pace import Pace, asked_to_wait, backoff_seconds, wait
from frugal_plugins.cli.purse import Purse
from frugal_plugins.cli.refusals import Verdict, error_record, may_be_paid, verdict, was_refused, what_to_do
from frugal_plugins.cli.screen import note
from frugal_plugins.cli.tally import Tally
from frugal_plugins.cli.watched import Watch, WatchedRecipe, watching
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.report.words import number

_MOST_ATTEMPTS: Final = {Verdict.SLOWER: 12, Verdict.AGAIN: 4, Verdict.STOP: 1, Verdict.ANSWER: 1}
_LEAST_FREE_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Run:
    """One run from the first line to the last.

    Args:
        ask: sends one request through the recipe and LiteLLM, and returns LiteLLM's answer.
        skip_bad: write an error for a line that cannot be used and go on, instead of stopping there.
        limit: how many requests to finish at most, those of earlier runs included.
        show: called after each finished request.
    """

    recipe: WatchedRecipe
    lines: RequestLines
    output: Delivered
    ask: Callable[[Line], Any]
    pace: Pace
    purse: Purse
    tally: Tally
    skip_bad: bool
    limit: int | None
    show: Callable[[Tally], None]
    stop: asyncio.Event
    tasks: set[asyncio.Task[None]]

    async def go(self) -> Tally:
        """Send every line that has no answer yet; returns when all are done or something stopped the run."""
        await self._watch_signals()
        try:
            for number, line in enumerate(self.lines):
                if self.stop.is_set() or (self.limit is not None and number >= self.limit):
                    break
                if not self._is_new(line):
                    continue
                await self._send(line)
        except FrugalError as error:
            self.tally.error = error
        while self.tasks:
            await asyncio.wait(self.tasks)
        self.tally.spent_usd += self.purse.spent_usd
        return self.tally

    async def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(one, self._interrupt)
            except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread: Ctrl-C then stops at once
                return

    def _interrupt(self) -> None:
        """The first Ctrl-C lets what is in flight finish; the second does not wait."""
        if self.tally.interrupted:
            for task in self.tasks:
                task.cancel()
        elif self.tasks:
            note(f"Waiting for {len(self.tasks)} requests in flight, which are being paid for. Ctrl-C again stops at once.")
        self.tally.interrupted = True
        self._halt("interrupted")

    def _is_new(self, line: Line) -> bool:
        known = self.output.done.get(line.number)
        if known is None:
            return True
        if known != line.digest:
            raise InputError(
                f"this line is not the one that {self.output.path} has an answer for; the input has changed since. "
                "Restore the input, or name another --output to start over.",
                file=self.lines.source,
                line=line.number,
            )
        self.tally.already += 1
        self.show(self.tally)
        return False

    async def _send(self, line: Line) -> None:
        """Start one request, as soon as there is room for it."""
        if line.bad is not None:
            self._bad(line)
            return
        if not await self.pace.take(self.stop):
            return
        worst = self.purse.worst_usd(line, self.lines.source)
        if self._disk_is_full():
            self._halt(f"the disk of {self.output.path} is full; free some space")
        if not await self._may_cost(line, worst):
            await self.pace.give_back()
            return
        task = asyncio.create_task(self._one(line, worst))
        self.tasks.add(task)
        task.add_done_callback(self._over)

    async def _may_cost(self, line: Line, worst: Decimal) -> bool:
        """Set the money for a request aside. Without it the run stops, unless it stops already."""
        if await self.purse.take(worst, self.stop):
            return True
        if not self.stop.is_set():
            self.tally.out_of_money = True
            self._halt(f"the next request (line {line.number}) could cross --max-usd; allow more to go on")
        return False

    def _over(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._halt(f"an unexpected {type(error).__name__}: {error}")

    async def _one(self, line: Line, worst: Decimal) -> None:
        """One request until it is answered, failed, or given back; `worst` is set aside for it."""
        watch = Watch()
        try:
            record = await self._record(line, watch, worst)
        finally:
            await self.pace.give_back()
        if record is None:
            return
        try:
            self.output.write(line, record)
        except OSError as error:
            self.tally.undelivered += 1
            self._halt(f"{self.output.path} cannot be written ({error.strerror}); free some space")
            return
        self._count(record, watch)

    async def _record(self, line: Line, watch: Watch, worst: Decimal) -> Mapping[str, Any] | None:
        """What to write for a line; None when it is to be asked again by a later run."""
        attempts = dict.fromkeys(Verdict, 0)
        answered_before = self.tally.answered
        while True:
            self.output.sent(line)
            try:
                response = await self._asked(line, watch, worst)
            except (OpenAIError, FrugalError) as error:
                say = verdict(error)
                if was_refused(error):
                    self.output.back(line)
                attempts[say] += 1
                enough = attempts[say] >= _MOST_ATTEMPTS[say] or self.stop.is_set()
                if say is Verdict.ANSWER or (say is Verdict.AGAIN and enough and self.tally.answered > answered_before):
                    return {"error": error_record(error), "frugal": _told(watch, self.recipe)}
                if enough:
                    self._halt(what_to_do(error))
                    return None
                await self._hold_back(say, attempts[say], error)
                if not await self._may_cost(line, worst):
                    return None
                continue
            self.pace.went_well()
            return {"response": response.model_dump(), "frugal": _told(watch, self.recipe)}

    async def _asked(self, line: Line, watch: Watch, worst: Decimal) -> Any:
        """One try. What was set aside for it is put back but for what was paid; all of it stays spent where nobody can tell."""
        watch.request = watch.ctx = watch.reply = None
        spent = worst
        try:
            with watching(watch):
                response = await self.ask(line)
            spent = self._paid(watch, worst)
        except (OpenAIError, FrugalError) as error:
            if not may_be_paid(error):
                spent = self._paid(watch, worst)
            raise
        finally:
            await self.purse.settle(worst, spent)
        return response

    def _paid(self, watch: Watch, worst: Decimal) -> Decimal:
        """What a request came to; the worst where a call of it has no price."""
        settled = watch.settled(self.recipe)
        if settled is None:
            return Decimal(0)
        return worst if settled.actual_usd is None else settled.actual_usd

    async def _hold_back(self, say: Verdict, attempt: int, error: Exception) -> None:
        self.tally.retries += 1
        pause = backoff_seconds(attempt)
        if say is Verdict.SLOWER:
            pause = max(pause / 2, asked_to_wait(error) or 0.0) + pause / 4
            self.pace.too_fast(pause)
        await wait(pause, self.stop)

    def _bad(self, line: Line) -> None:
        if not self.skip_bad:
            raise line.problem(self.lines.source)
        self.tally.bad_lines += 1
        try:
            self.output.write(line, {"error": {"type": "BadLine", "message": line.bad, "status": None}})
        except OSError as error:
            self._halt(f"{self.output.path} cannot be written ({error.strerror}); free some space")
        self.show(self.tally)

    def _count(self, record: Mapping[str, Any], watch: Watch) -> None:
        settled = watch.settled(self.recipe)
        if "error" in record:
            self.tally.failed += 1
        else:
            self.tally.answered += 1
        if settled is not None and settled.actual_usd is not None:
            self.tally.actual_usd += settled.actual_usd
            self.tally.baseline_usd += settled.actual_usd if settled.baseline_usd is None else settled.baseline_usd
        self.show(self.tally)

    def _disk_is_full(self) -> bool:
        return self.output.resumable and shutil.disk_usage(self.output.path.parent).free < _LEAST_FREE_BYTES

    def _halt(self, why: str) -> None:
        self.tally.stopped = self.tally.stopped or why
        self.stop.set()
        for waiting in (self.pace, self.purse):
            wake = asyncio.get_running_loop().create_task(waiting.wake())
            self.tasks.add(wake)
            wake.add_done_callback(self.tasks.discard)


def _told(watch: Watch, recipe: WatchedRecipe) -> dict[str, Any]:
    """What the recipe did and what the request cost, for the output line."""
    settled = watch.settled(recipe)
    if watch.ctx is None or settled is None:
        return {}
    reply, ctx = watch.reply, watch.ctx
    why = "; ".join(f"{d.technique} {d.action}: {d.why}" for d in ctx.decisions)
    cache = None if reply is None else "hit" if reply.saved is not None else "miss"
    return {"id": ctx.id, "model": None if reply is None else reply.model, "why": why, "cache": cache, "usd": number(settled.actual_usd)}
