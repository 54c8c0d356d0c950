"""Writes what became of requests into the store of outcomes, off the caller's path."""

from __future__ import annotations

import atexit
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from frugal_plugins.errors import LedgerError
from frugal_plugins.flow import Attempt, Context
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.outcomes import Answered, OutcomeFile, Voice, said
from frugal_plugins.learned.verify import look
from frugal_plugins.prices import PriceBook, bare_name
from frugal_plugins.request import Reply, Request, fingerprint

_log = logging.getLogger("frugal_plugins.outcomes")

_JUST_BEFORE_SECONDS: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Over:
    """A request that is over: what was asked, what happened, what the caller got."""

    request: Request
    ctx: Context
    reply: Reply | None
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict that came along with another request."""

    request_id: str
    good: float
    at_seconds: float


class OutcomeLog:
    """Keeps what the router can learn from: for each answer its model, size and cost, and the verdict of the free checks.

    `record` never blocks and never raises. When the queue is full or the file cannot be written, rows are lost, counted in
    `lost`, said in the log, and traffic goes on. Kept are requests with a question in words: no tools, one choice.

    Args:
        store: the file.
        prices: what answers cost.
        names: the models of the recipe's tiers, under whose names answers are kept, whatever the caller wrote.
        most_waiting: how many requests may wait to be written.
    """

    def __init__(self, store: OutcomeFile, prices: PriceBook, names: Sequence[str], *, most_waiting: int = 2_000) -> None:
        self.store = store
        self.prices = prices
        self.lost = 0
        self._names: Mapping[str, str] = {bare_name(name): name for name in reversed(names)}
        self._most = most_waiting
        self._queue: queue.SimpleQueue[Over | Said | threading.Event | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()

    def record(self, over: Over) -> None:
        """Hand in a request that is over. Returns at once."""
        if over.reply is None or over.ctx.group == "bypassed" or not can_be_learned_from(over.request):
            return
        if self._queue.qsize() >= self._most:
            self._lose("the queue is full")
            return
        self._start()
        self._queue.put(over)

    def heard(self, said: Said) -> None:
        """Take a verdict without waiting; one on an unknown request is dropped."""
        self._start()
        self._queue.put(said)

    def verdict(self, request_id: str, good: bool | float, *, voice: Voice, at_seconds: float, model: str | None = None) -> bool:
        """Say whether an answer was good; False when no such request is known. Waits for what was recorded before it."""
        self.flush()
        name = None if model is None else self._names.get(bare_name(model), model)
        return self.store.verdict(request_id, good, voice=voice, at_seconds=at_seconds, model=name)

    def flush(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until all that was recorded is written; False when that took longer."""
        if self._writer is None:
            return True
        self._start()
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(timeout_seconds)

    def close(self) -> None:
        """Write what waits and stop."""
        if self._writer is not None and self._writer.is_alive():
            self._queue.put(None)
            self._writer.join(timeout=10.0)
        atexit.unregister(self.close)

    def _start(self) -> None:
        if self._writer is not None and self._writer.is_alive():
            return
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write_on, name="frugal-outcomes", daemon=True)
                self._writer.start()
                atexit.register(self.close)

    def _write_on(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                if isinstance(item, Said):
                    self.store.verdict(item.request_id, item.good, voice="user", at_seconds=item.at_seconds)
                else:
                    self._write(item)
            except (LedgerError, sqlite3.Error, OSError) as error:
                self._lose(str(error))
        self.store.close()

    def _write(self, over: Over) -> None:
        from frugal_plugins.learned.features import prompt_features, routed_text

        prompt = prompt_key(over.request)
        features = prompt_features([routed_text(over.request)])[0]
        self.store.saw_prompt(prompt, features, FINGERPRINT, over.ctx.task(over.request).name, over.at_seconds)
        for answer, attempt, reply in self._answers(over, prompt):
            self.store.answered(answer)
            if not look(attempt.call.request, reply).good:
                self.store.verdict(answer.request, False, voice="check", at_seconds=over.at_seconds, model=answer.model)

    def _answers(self, over: Over, prompt: str) -> Iterator[tuple[Answered, Attempt, Reply]]:
        """The answers that were bought; the one the caller got counts as the last."""
        for attempt in over.ctx.attempts:
            reply = attempt.reply
            if attempt.call.purpose != "answer" or reply is None or reply.finish == "closed":
                continue
            asked = attempt.call.request.model
            usd = self.prices.cost(reply.billed_as or asked, reply.usage)
            served = over.reply is not None and (reply is over.reply or (reply.raw is not None and reply.raw is over.reply.raw))
            at = over.at_seconds if served else over.at_seconds - _JUST_BEFORE_SECONDS
            text, usage = reply.text, reply.usage
            row = Answered(
                request=over.ctx.id,
                model=self._names.get(bare_name(asked), asked),
                prompt=prompt,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                chars=len(text),
                usd=None if usd is None else str(usd),
                says=said(text),
                at_seconds=at,
            )
            yield row, attempt, reply

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self.lost & (self.lost - 1) == 0:
            _log.warning("%d outcomes were not kept (%s); traffic goes on, the router learns less.", self.lost, why)


def prompt_key(request: Request) -> str:
    """One name for a prompt, the same whichever model is asked it. A hash, no text."""
    return fingerprint([request.messages, request.params.get("response_format")])


def can_be_learned_from(request: Request) -> bool:
    """Whether the router could decide about such a request: a question in words, no tools, one choice."""
    params = request.params
    return not params.get("tools") and not params.get("functions") and (params.get("n") or 1) == 1 and bool(request.last_user_text.strip())
