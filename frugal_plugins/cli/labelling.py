"""`frugal calibrate --judge`: asks models for answers and a judge for verdicts, and keeps both in the store of outcomes.

Each pair of a request and a model is kept the moment it is judged, so Ctrl-C loses nothing and the same command goes on.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from openai import OpenAIError
from rich.progress import TimeRemainingColumn

from frugal_plugins.cli.lines import InputLines, Line
from frugal_plugins.cli.pace import Pace, asked_to_wait, backoff_seconds, wait
from frugal_plugins.cli.progress import bar
from frugal_plugins.cli.refusals import Verdict, verdict, what_to_do
from frugal_plugins.drivers import adrive
from frugal_plugins.flow import Call, Context, Flow
from frugal_plugins.learned.collecting import can_be_learned_from, prompt_key
from frugal_plugins.learned.embedding import FINGERPRINT
from frugal_plugins.learned.features import prompt_features, routed_text
from frugal_plugins.learned.judging import judge_request, read_verdict
from frugal_plugins.learned.outcomes import Answered, OutcomeFile, said
from frugal_plugins.ledger.settle import Entry
from frugal_plugins.litellm import sdk
from frugal_plugins.litellm.convert import reply_of
from frugal_plugins.models import always_thinks
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request, fingerprint
from frugal_plugins.tokens import count_messages
from frugal_plugins.usage import Usage

USUAL_ANSWER_TOKENS: Final = 300
_THINKING_TOKENS: Final = 700
_VERDICT_TOKENS: Final = 4
_MOST_TRIES: Final = 4
_FAILURES_IN_A_ROW: Final = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and a model that is to answer it and be judged."""

    request: Request
    model: str

    @property
    def prompt(self) -> str:
        """The prompt's name in the store."""
        return prompt_key(self.request)

    @property
    def id(self) -> str:
        """The same for every try, so that nothing is kept twice."""
        return f"label-{fingerprint([self.prompt, self.model])[:24]}"


@dataclass(slots=True)
class Labelled:
    """How far it got."""

    pairs: int
    judged: int = 0
    unclear: int = 0
    failed: int = 0
    usd: Decimal = Decimal(0)
    stopped: str | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def pairs_to_label(lines: InputLines, store: OutcomeFile, models: Sequence[str], wanted: int) -> list[Pair]:
    """What is still to be asked so that `wanted` requests of the file have a verdict on every model; those nearly done come first.

    Which requests are drawn depends on their text alone, so a second run goes on with the same.
    """
    known = {row.prompt: set(row.good) for row in store.judged(FINGERPRINT)}
    drawn: dict[str, Request] = {}
    for line in lines:
        request = _request_of(line, models[-1])
        if request is not None:
            drawn.setdefault(prompt_key(request), request)
    order = sorted(drawn, key=lambda prompt: (len(set(models) - known.get(prompt, set())) or -1, prompt))
    return [Pair(drawn[p], model) for p in order[:wanted] for model in models if model not in known.get(p, set())]


def price(pairs: Sequence[Pair], judge: str, recipe: Recipe) -> Decimal | None:
    """What labelling is expected to cost, answers and verdicts; None where a price is not known."""
    total = Decimal(0)
    for pair in pairs:
        prompt = count_messages(pair.request.messages, pair.model)
        answer = USUAL_ANSWER_TOKENS + (_THINKING_TOKENS if always_thinks(pair.model) else 0)
        word = _VERDICT_TOKENS + (_THINKING_TOKENS if always_thinks(judge) else 0)
        costs = (
            recipe.prices.cost(pair.model, Usage(input_tokens=prompt, output_tokens=answer)),
            recipe.prices.cost(judge, Usage(input_tokens=prompt + USUAL_ANSWER_TOKENS + 90, output_tokens=word)),
        )
        if None in costs:
            return None
        total += sum((cost for cost in costs if cost is not None), Decimal(0))
    return total


async def label(pairs: Sequence[Pair], judge: str, recipe: Recipe, store: OutcomeFile, most_usd: Decimal | None) -> Labelled:
    """Ask and judge every pair, eight at once, until done, interrupted, or the money is spent."""
    import signal

    state = Labelled(len(pairs))
    pace = Pace(8)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: _halt(state, "interrupted; the same command goes on from here"))
    tasks: set[asyncio.Task[None]] = set()
    failures = [0]
    with bar(state.pairs, TimeRemainingColumn()) as show:

        async def one(pair: Pair) -> None:
            try:
                await _labelled(pair, judge, recipe, store, state, pace)
                failures[0] = 0
            except OpenAIError as error:
                state.failed += 1
                failures[0] += 1
                if verdict(error) is Verdict.STOP or failures[0] >= _FAILURES_IN_A_ROW:
                    _halt(state, what_to_do(error))
            finally:
                await pace.give_back()
                show(state.judged + state.unclear + state.failed, f"answers judged, ${state.usd:.4f} spent")

        for pair in pairs:
            if most_usd is not None and state.usd >= most_usd:
                _halt(state, f"--max-usd {most_usd} is spent")
            if not await pace.take(state.stop):
                break
            tasks.add(task := asyncio.create_task(one(pair)))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
    loop.remove_signal_handler(signal.SIGINT)
    return state


def _halt(state: Labelled, why: str) -> None:
    state.stopped = state.stopped or why
    state.stop.set()


def _request_of(line: Line, model: str) -> Request | None:
    if line.bad is not None:
        return None
    request = Request(model, line.messages, {name: value for name, value in line.params.items() if name == "response_format"})
    return request if can_be_learned_from(request) and not line.params.get("tools") else None


def _asked(pair: Pair, judge: str) -> Flow:
    """The answer, then the judge's word on it; both are the router's own costs."""
    reply = yield Call(pair.request.with_(model=pair.model), purpose="judge", technique="route")
    return (yield Call(judge_request(judge, pair.request, reply), purpose="judge", technique="route"))


async def _labelled(pair: Pair, judge: str, recipe: Recipe, store: OutcomeFile, state: Labelled, pace: Pace) -> None:
    ctx = Context(recipe=recipe.name, id=pair.id, group="bypassed", clock=recipe.clock, declared_task="calibrate", host="calibrate")
    now = recipe.clock()

    async def send(call: Call) -> Reply:
        return await _patiently(call, state, pace)

    try:
        word = await adrive(_asked(pair, judge), ctx, send)
    finally:
        _book(pair, ctx, recipe, now, state)
    reply = ctx.attempts[0].reply
    assert reply is not None
    store.saw_prompt(pair.prompt, prompt_features([routed_text(pair.request)])[0], FINGERPRINT, ctx.task(pair.request).name, now)
    store.answered(_answer(pair, reply, recipe, now))
    good = read_verdict(word)
    if good is None:
        state.unclear += 1
        return
    store.verdict(pair.id, good, voice="judge", at_seconds=now, model=pair.model)
    state.judged += 1


async def _patiently(call: Call, state: Labelled, pace: Pace) -> Reply:
    """Ask, and ask again while the provider says it is too much or has a bad moment."""
    for attempt in range(1, _MOST_TRIES + 1):
        try:
            response = await sdk.originals()[1](**_kwargs(call), max_retries=0)
        except OpenAIError as error:
            say = verdict(error)
            if say not in (Verdict.SLOWER, Verdict.AGAIN) or attempt == _MOST_TRIES or state.stop.is_set():
                raise
            pause = max(backoff_seconds(attempt), asked_to_wait(error) or 0.0)
            if say is Verdict.SLOWER:
                pace.too_fast(pause)
            await wait(pause, state.stop)
            continue
        pace.went_well()
        return reply_of(response, asked_model=call.request.model)
    raise AssertionError("the last try returns or raises")


def _kwargs(call: Call) -> Mapping[str, Any]:
    return {"model": call.request.model, "messages": [dict(message) for message in call.request.messages], **call.request.params}


def _answer(pair: Pair, reply: Reply, recipe: Recipe, now: float) -> Answered:
    usd = recipe.prices.cost(reply.billed_as or pair.model, reply.usage)
    return Answered(
        request=pair.id,
        model=pair.model,
        prompt=pair.prompt,
        input_tokens=reply.usage.input_tokens,
        output_tokens=reply.usage.output_tokens,
        chars=len(reply.text),
        usd=None if usd is None else str(usd),
        says=said(reply.text),
        at_seconds=now,
    )


def _book(pair: Pair, ctx: Context, recipe: Recipe, now: float, state: Labelled) -> None:
    """Labels cost money; the ledger has it under the router's name."""
    for attempt in ctx.attempts:
        usd = recipe.prices.cost(attempt.call.request.model, attempt.reply.usage) if attempt.reply is not None else None
        state.usd += usd or Decimal(0)
    ledger = recipe.ledger
    if ledger is not None and ctx.attempts:
        reply = ctx.attempts[-1].reply
        at = dt.datetime.fromtimestamp(now, tz=dt.UTC)
        ledger.record(Entry(pair.request, ctx, reply, None if reply else "OpenAIError", pair.model, recipe.prices, at))
