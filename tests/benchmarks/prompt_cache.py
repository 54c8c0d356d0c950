"""What a prompt's layout and its breakpoints cost: a clock on top, and marks that pay or do not.

    python -m tests.benchmarks.prompt_cache --data ../shared/data --json

`clock_bill_ratio` is the input bill of agent traffic whose system prompt starts with a running clock, sent through the
technique, over the bill of the same traffic without the clock, the worst of four price plans. The clock itself, some 25 tokens
that are new in each call, is part of the first and not of the second; `clock_by_plan` also has the ratio without it.

`breakpoints_over_optimum_percent`
compares the breakpoints the technique sets with the best fixed policy chosen afterwards, at Anthropic's rules (breakpoints, twenty
blocks of look-back, two lifetimes), over several kinds of traffic.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from frugal_plugins.flow import Call
from frugal_plugins.prefix.cost import CachePlan, SimulatedCache
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Reply, Request, canonical
from frugal_plugins.sandbox.clock import VirtualClock
from frugal_plugins.sandbox.prompt_cache import Block, BreakpointCache
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.text.layout import mark_message
from frugal_plugins.text.turns import head_length, without_marks
from frugal_plugins.tokens import PER_MESSAGE, count_text
from frugal_plugins.usage import Usage
from tests.benchmarks.common import arguments, print_result
from tests.benchmarks.history import PLANS, plan_of
from tests.benchmarks.history_data import Talk, spoken, system, tau
from tests.support import send

AUTOMATIC, MARKED = "openai/bench-model", "anthropic/claude-bench"
MARKED_PLANS = {"0.1/1.25": 0.1, "0.05/1.25": 0.05, "0.02/1.25": 0.02}
MINIMUM_TOKENS = 1024
Message = Mapping[str, Any]


def prices(model: str, read: float, write: float, hour: float | None = None) -> PriceBook:
    price = {"input_usd": 1, "output_usd": 5, "cache_read_usd": read, "cache_write_usd": write, "cache_write_1h_usd": hour}
    return PriceBook({model: own_rates(model, price, "benchmark")})


def sent(technique: PromptCache, request: Request, now: float) -> Request:
    """What leaves for the provider."""
    taken: list[Request] = []

    def model(call: Call) -> Reply:
        taken.append(call.request)
        return Reply({"role": "assistant", "content": "ok"}, request.model, Usage())

    _, ctx = send(request, model, technique, clock=lambda: now)
    assert not any(decision.action == "stood_down" for decision in ctx.decisions), ctx.decisions
    return taken[0]


def lines(messages: Sequence[Message]) -> list[tuple[str, int]]:
    """A prompt in pieces fine enough for an exact prefix: every line of every message, line ends apart."""
    found: list[tuple[str, int]] = []
    for message in messages:
        found.append((f"<{message['role']}>", PER_MESSAGE + 1))
        found.extend((line, count_text(line)) for line in re.findall(r"[^\n]+|\n+", spoken(without_marks(message))))
    return found


def clocked(talk: Talk, place: int, now: float) -> tuple[Message, ...]:
    minute, second = divmod(int(now), 60)
    line = f"The current time is 2026-11-{1 + minute // 1440 % 28:02d} {minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d} UTC.\n"
    return ({"role": "system", "content": line + str(talk.messages[0]["content"])}, *talk.messages[1:place])


def clock_ratios(talks: Sequence[Talk]) -> dict[str, dict[str, float]]:
    """For each plan, the bill with a clock over the bill without: as it comes, and repaired."""
    found = {}
    for name, (read, write) in PLANS.items():
        if read == 1.0:
            continue
        technique = PromptCache(prices=prices(AUTOMATIC, read, write))
        caches = {kind: SimulatedCache(plan_of(name), remember=16) for kind in ("free", "broken", "repaired")}
        now, clock_units = 1_700_000_000.0, 0.0
        for talk in talks:
            now += 90.0
            for place in talk.calls:
                now += 11.0
                messages = clocked(talk, place, now)
                laid = sent(technique, Request(AUTOMATIC, messages, session=talk.name), now)
                caches["free"].call(lines(talk.messages[:place]), now)
                caches["broken"].call(lines(messages), now)
                repaired = lines(laid.messages)
                clock_units += write * (sum(tokens for _, tokens in repaired) - sum(tokens for _, tokens in lines(talk.messages[:place])))
                caches["repaired"].call(repaired, now)
        free = caches["free"].units
        found[name] = {kind: round(caches[kind].units / free, 4) for kind in ("broken", "repaired")}
        found[name]["repaired_without_the_clocks_own_tokens"] = round((caches["repaired"].units - clock_units) / free, 4)
    return found


@dataclass(frozen=True)
class Arrival:
    """One request of a kind of traffic."""

    at_seconds: float
    session: str
    messages: tuple[Message, ...]


def one_shots(pause_seconds: float, count: int = 120) -> list[Arrival]:
    """Single questions under one system prompt of 2,000 tokens, at random times."""
    dice, now, found = random.Random(int(pause_seconds)), 0.0, []
    for number in range(count):
        now += dice.expovariate(1 / pause_seconds)
        found.append(
            Arrival(now, f"one-{number}", (system(2000), {"role": "user", "content": f"Question number {number}: where is my order?"}))
        )
    return found


def strangers(count: int = 60) -> list[Arrival]:
    """Single questions that share nothing."""
    own = [{"role": "system", "content": f"Prompt number {number}. {system(2000)['content']}"} for number in range(count)]
    return [Arrival(60.0 * number, f"s-{number}", (own[number], {"role": "user", "content": "Hello?"})) for number in range(count)]


def agents(talks: Sequence[Talk], between_seconds: float) -> list[Arrival]:
    """Agent conversations one after the other."""
    dice, now, found = random.Random(7), 0.0, []
    for talk in talks:
        now += dice.expovariate(1 / 400.0)
        for place in talk.calls:
            now += dice.expovariate(1 / between_seconds)
            found.append(Arrival(now, talk.name, tuple(talk.messages[:place])))
    return found


def blocks(messages: Sequence[Message]) -> list[Block]:
    """A chat body as Anthropic counts its blocks."""
    found = []
    for message in messages:
        parts = message["content"] if isinstance(message.get("content"), list) else [{"type": "text", "text": spoken(message)}]
        for part in parts:
            mark = part.get("cache_control") or (message.get("cache_control") if part is parts[-1] else None)
            seconds = None if not mark else 3600 if mark.get("ttl") == "1h" else 300
            text = str(part.get("text", ""))
            found.append(Block(count_text(text) + PER_MESSAGE, canonical([message["role"], text]).encode(), seconds))
    return found


def billed(arrivals: Sequence[Arrival], lay: Callable[[Arrival], Sequence[Message]], plan: CachePlan) -> float:
    clock = VirtualClock(0.0)
    cache, units = BreakpointCache(clock), 0.0
    for arrival in arrivals:
        clock.advance(arrival.at_seconds - clock.now())
        pieces = blocks(lay(arrival))
        found = cache.use(("key",), pieces, plan.minimum_tokens)
        total = sum(block.tokens for block in pieces)
        plain = total - found.read_tokens - found.write_5m_tokens - found.write_1h_tokens
        units += plain + found.read_tokens * plan.read + found.write_5m_tokens * plan.write + found.write_1h_tokens * (plan.write_1h or 2.0)
    return units


def fixed(static: str, tail: str) -> Callable[[Arrival], Sequence[Message]]:
    """The same marks on every request."""

    def lay(arrival: Arrival) -> Sequence[Message]:
        messages = list(arrival.messages)
        for place, lifetime in ((head_length(messages) - 1, static), (len(messages) - 1, tail)):
            marked = mark_message(messages[place], lifetime) if lifetime else None
            messages[place] = marked or messages[place]
        return messages

    return lay


def over_optimum(talks: Sequence[Talk]) -> tuple[dict[str, float], dict[str, Any], int]:
    """Per plan: how far over the best fixed policies; the kinds of traffic one by one; marks set below the minimum."""
    kinds = {f"one-shot every {seconds} s": one_shots(seconds) for seconds in (20, 200, 1500, 20_000)}
    kinds |= {"strangers": strangers(), "agents": agents(talks, 15.0), "slow agents": agents(talks[: len(talks) // 2], 500.0)}
    over: dict[str, float] = {}
    detail: dict[str, Any] = {}
    below = 0
    for name, read in MARKED_PLANS.items():
        plan = CachePlan(read=read, write=1.25, write_1h=2.0, step_tokens=1, explicit=True, breakpoints=4)
        ours = least = 0.0
        for kind, arrivals in kinds.items():
            technique = PromptCache(prices=prices(MARKED, read, 1.25, 2.0))
            laid = {
                id(one): sent(technique, Request(MARKED, one.messages, session=one.session), one.at_seconds).messages for one in arrivals
            }
            spent = billed(arrivals, lambda one, laid=laid: laid[id(one)], plan)  # type: ignore[misc]
            choices = [pair for pair in product(("", "5m", "1h"), repeat=2) if pair != ("5m", "1h")]
            best = min(billed(arrivals, fixed(*pair), plan) for pair in choices)
            nothing = billed(arrivals, fixed("", ""), plan)
            below += sum(_below_minimum(messages) for messages in laid.values())
            ours, least = ours + spent, least + best
            detail.setdefault(name, {})[kind] = {
                "over_best_percent": round(100 * (spent / best - 1), 2),
                "of_no_marks": round(spent / nothing, 4),
            }
        over[name] = round(100 * (ours / least - 1), 2)
    return over, detail, below


def _below_minimum(messages: Sequence[Message]) -> int:
    size, found = 0, 0
    for block in blocks(messages):
        size += block.tokens
        found += block.ttl_seconds is not None and size < MINIMUM_TOKENS
    return found


def main() -> None:
    """Run and print."""
    asked = arguments(str(__doc__).split("\n", 1)[0])
    talks = tau(asked.data, 16 if asked.quick else None)
    ratios = clock_ratios(talks)
    over, detail, below = over_optimum(talks[:40])
    result = {
        "clock_bill_ratio": max(ratio["repaired"] for ratio in ratios.values()),
        "breakpoints_over_optimum_percent": over,
        "below_minimum_markers": below,
        "clock_by_plan": ratios,
        "traffic": detail,
        "conversations": len(talks),
        "quick": "16 conversations" if asked.quick else None,
    }
    print_result(result, asked.json)


if __name__ == "__main__":
    main()
