"""Having a model judge a sample of answers once the callers have them, so that quality is compared and not only hoped for."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from frugal_plugins.flow import Call, Context, Flow, Next, afterwards
from frugal_plugins.learned.judging import judge_request, read_verdict
from frugal_plugins.ledger.file import Ledger
from frugal_plugins.ledger.settle import SAMPLE_JUDGE
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply, Request

_DAY: Final = 86_400


@dataclass(slots=True)
class SampleJudge:
    """Judges a share of the answers. Its calls are booked under its own name; nobody waits for it, and nothing changes by it.

    Args:
        model: who judges; it needs a price, or nobody would know what the judging costs.
        percent, control_percent: shares of treated answers, and of those that went untouched or without one technique.
        usd_per_day: when so much is spent, the rest of the day is not judged.
    """

    model: str
    prices: PriceBook
    clock: Callable[[], float]
    percent: float
    control_percent: float
    usd_per_day: Decimal
    _day: int = 0
    _spent_usd: Decimal = Decimal(0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def looks_at(self, rest: Next, ctx: Context, ledger: Ledger) -> Next:
        """The way on, with a look at the answer afterwards where it was drawn and somebody can do that once it is out."""

        def run(request: Request) -> Flow:
            reply = yield from rest(request)
            if ctx.later is not None and self.draws(request, reply, ctx) and self._may_spend():
                ctx.later.append(afterwards(SAMPLE_JUDGE, self._judge(request, reply, ctx, ledger), ctx))
            return reply

        return run

    def _judge(self, request: Request, reply: Reply, ctx: Context, ledger: Ledger) -> Flow:
        said = yield Call(judge_request(self.model, request, reply), purpose="judge", technique=SAMPLE_JUDGE)
        with self._lock:
            self._spent_usd += self.prices.cost(self.model, said.usage) or 0
        self.hear(said, ctx, ledger)
        return said

    def draws(self, request: Request, reply: Reply, ctx: Context) -> bool:
        """Whether this answer is one of the sample."""
        return self._drawn(ctx) and _can_be_judged(request, reply)

    def sets_aside(self, usd: Decimal) -> bool:
        """Count a judgement that is asked for now and paid for later, where there is money for it today."""
        with self._lock:
            self._turn_the_day()
            if self._spent_usd + usd > self.usd_per_day:
                return False
            self._spent_usd += usd
            return True

    def hear(self, said: Reply, ctx: Context, ledger: Ledger) -> None:
        """Write down what the judge found."""
        good = read_verdict(said)
        if good is None:
            ctx.note(SAMPLE_JUDGE, "unclear", f"{self.model} said neither good nor bad")
        else:
            ctx.note(SAMPLE_JUDGE, "good" if good else "bad", f"{self.model} judged it, as one of a sample")
            ledger.feedback(ctx.id, good, SAMPLE_JUDGE)

    def _drawn(self, ctx: Context) -> bool:
        share = self.percent if ctx.group == "treated" and ctx.held_out is None else self.control_percent
        drawn = hashlib.sha256(f"{SAMPLE_JUDGE} {ctx.id}".encode()).digest()
        return 100 * int.from_bytes(drawn[:4]) / 2**32 < share

    def _may_spend(self) -> bool:
        """Whether there is money left today, and a price to count it by."""
        with self._lock:
            self._turn_the_day()
            return self._spent_usd < self.usd_per_day and self.prices.rates(self.model) is not None

    def _turn_the_day(self) -> None:
        today = int(self.clock() // _DAY)
        if today != self._day:
            self._day, self._spent_usd = today, Decimal(0)


def _can_be_judged(request: Request, reply: Reply) -> bool:
    """Whether it is a whole answer in words."""
    return (
        request.endpoint != "embeddings" and reply.finish != "closed" and not reply.message.get("tool_calls") and bool(reply.text.strip())
    )
