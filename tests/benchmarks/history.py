"""What a shortened history costs and keeps, on five price plans, warm and with pauses, beside full history and other tools.

    python -m tests.benchmarks.history --data ../shared/data --json

`billed` is the input bill as a share of sending full history each time, from a simulated exact-prefix cache (five minutes,
1,024 tokens minimum, steps of 128). Every call goes through the real technique, as a caller would make it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.compaction import SUMMARY_FRAME_TOKENS, Terms
from frugal_plugins.prefix import CachePlan, SimulatedCache
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.history import History
from frugal_plugins.text.turns import cuts, digest, results_in, calls_in, tokens_of
from frugal_plugins.usage import Usage
from tests.benchmarks.common import arguments, print_result
from tests.benchmarks.history_data import Talk, folded, long_chats, memories, questions, sgd, spoken, tau
from tests.support import send

MODEL = "bench/model"
PLANS = {"none": (1.0, 1.0), "0.5": (0.5, 1.0), "0.25": (0.25, 1.0), "0.1": (0.1, 1.0), "0.1/1.25": (0.1, 1.25)}
COLD_PERCENT = (0, 10, 30, 60)
BETWEEN_CALLS_SECONDS = 20.0
PAUSE_SECONDS = 600.0
Message = Mapping[str, Any]


def plan_of(name: str) -> CachePlan:
    read, write = PLANS[name]
    return CachePlan(read=read, write=write)


def prices_of(name: str) -> PriceBook:
    read, write = PLANS[name]
    price = {"input_usd": 1, "output_usd": 5, "cache_read_usd": read, "cache_write_usd": write}
    return PriceBook({MODEL: own_rates(MODEL, price, "benchmark")})


def history_for(name: str, **settings: Any) -> History:
    return History(prices=prices_of(name), **settings)


def times_of(talk: Talk, cold_percent: int) -> list[float]:
    """When each call is made; the same pauses for every policy."""
    dice = random.Random(f"{talk.name}|{cold_percent}")
    now, found = 1_000_000.0, []
    for _ in talk.calls:
        now += PAUSE_SECONDS if dice.random() * 100 < cold_percent else BETWEEN_CALLS_SECONDS
        found.append(now)
    return found


@dataclass
class Sent:
    """What a policy sent for each call of one conversation."""

    calls: list[tuple[int, float, Sequence[Message]]]
    helper_units: float = 0.0


def through(technique: History, talk: Talk, cold_percent: int) -> Sent:
    """A conversation through the technique, one request for each answer."""
    calls: list[tuple[int, float, Sequence[Message]]] = []
    answer = Reply({"role": "assistant", "content": "ok"}, MODEL, Usage())
    for place, now in zip(talk.calls, times_of(talk, cold_percent), strict=True):
        taken: list[Request] = []
        request = Request(MODEL, talk.messages[:place], session=talk.name)
        _, ctx = send(request, lambda call, taken=taken: taken.append(call.request) or answer, technique, clock=lambda now=now: now)  # type: ignore[misc]
        assert not any(decision.action == "stood_down" for decision in ctx.decisions), ctx.decisions
        calls.append((place, now, taken[0].messages))
    return Sent(calls)


def by_policy(policy: Callable[[Sequence[Message]], Sequence[Message]], talk: Talk, cold_percent: int) -> Sent:
    times = times_of(talk, cold_percent)
    return Sent([(place, now, policy(talk.messages[:place])) for place, now in zip(talk.calls, times, strict=True)])


def billed(sent: Sent, plan: CachePlan) -> float:
    cache = SimulatedCache(plan)
    for _, now, messages in sent.calls:
        cache.call([(name := digest(message), tokens_of(message, MODEL, name)) for message in messages], now)
    return cache.units + sent.helper_units


def bills(talks: Sequence[Talk], plans: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in plans:
        for cold in COLD_PERCENT:
            full = ours = 0.0
            for talk in talks:
                ours += billed(through(history_for(name), talk, cold), plan_of(name))
                full += billed(by_policy(list, talk, cold), plan_of(name))
            found.setdefault(name, {})[str(cold)] = round(ours / full, 4)
    return found


def kept(talks: Sequence[Talk], make: Callable[[Talk], Sent]) -> dict[str, float]:
    """History tokens saved at the calls that need facts, and the share of those facts still in the prompt."""
    before = after = have = need = 0
    for talk in talks:
        for place, _, messages in make(talk).calls:
            facts = talk.facts.get(place)
            if not facts:
                continue
            before += sum(tokens_of(message, MODEL) for message in talk.messages[1:place])
            after += sum(tokens_of(message, MODEL) for message in messages[1:])
            text = folded("\n".join(map(spoken, messages[1:])))
            need += len(facts)
            have += sum(any(value in text for value in alternatives) for alternatives in facts)
    return {"tokens_saved": round(1 - after / max(1, before), 4), "kept": round(have / max(1, need), 4), "facts": need}


def orphans(talks: Sequence[Talk], make: Callable[[Talk], Sent]) -> int:
    count = 0
    for talk in talks:
        for _, _, messages in make(talk).calls:
            called = {name for message in messages for name in calls_in(message)}
            count += sum(name not in called for message in messages for name in results_in(message))
    return count


def recalled(folder: Path, tokens: int) -> tuple[float, int]:
    """Share of answers that are in the prompt when a question is asked after everything else was said."""
    budget = min(400, tokens // 3)
    terms = Terms(when="always", every_turns=5, keep_turns=1, summary_tokens=budget)
    have = need = 0
    for user, said in memories(folder).items():
        everything = folded("\n".join(said))
        for question in questions(folder):
            gold = question["ground_truth"] if isinstance(question["ground_truth"], list) else [question["ground_truth"]]
            answers = [folded(str(one)) for one in gold]
            if question["scenario"] != user or not any(answer in everything for answer in answers):
                continue
            chat = [part for text in said for part in ({"role": "user", "content": text}, {"role": "assistant", "content": "Noted."})]
            asked = question["question"][0][0]["content"]
            talk = Talk(question["id"], ({"role": "system", "content": "Answer."}, *chat, {"role": "user", "content": asked}))
            technique = history_for("none", terms=terms, recall_tokens=tokens - budget - SUMMARY_FRAME_TOKENS - 8)
            taken: list[Request] = []
            answer = Reply({"role": "assistant", "content": "ok"}, MODEL, Usage())
            send(Request(MODEL, talk.messages), lambda call, taken=taken: taken.append(call.request) or answer, technique)  # type: ignore[misc]
            text = folded("\n".join(map(spoken, taken[0].messages)))
            assert sum(tokens_of(message, MODEL) for message in taken[0].messages[:-3]) <= tokens + 60, 'over its budget'
            need += 1
            have += any(answer in text for answer in answers)
    return round(have / max(1, need), 4), need
