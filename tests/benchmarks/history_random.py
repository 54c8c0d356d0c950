"""Random sets of conversations, each at a real model's prices: the bill of history, shorten and prompt_cache beside leaving all as it is.

    python -m tests.benchmarks.history_random --data ../shared/data --json

A set has one kind of conversation (task dialogues, one or several in a row; agents; long memories), one system prompt of 0 to 4,200
tokens cut out of real prompts, one model with its price, minimum and lifetime, and a share of calls that come after a pause.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugal_plugins.flow import Call
from frugal_plugins.learned.embedding import static_embedding
from frugal_plugins.prefix.cost import CachePlan, SimulatedCache, plan_in_force
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.techniques.history import History
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.techniques.shorten import Shorten
from frugal_plugins.text.turns import digest, tokens_of
from frugal_plugins.tokens import count_text
from frugal_plugins.usage import Usage
from tests.benchmarks.common import arguments, print_result
from tests.benchmarks.history import times_of
from tests.benchmarks.history_data import Talk, chats, sgd, tau
from tests.benchmarks.prompts import prose
from tests.support import send

MODELS = (
    "openai/gpt-4",
    "openai/gpt-4o",
    "openai/gpt-4.1",
    "openai/gpt-5",
    "gemini/gemini-2.5-pro",
    "deepseek/deepseek-chat",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-haiku-4-5",
)
SYSTEM_TOKENS = (0, 100, 300, 500, 700, 900, 1000, 1100, 1500, 2000, 3900, 4200)
SEEDS = (1, 2, 3, 4, 5)
COLD_PERCENT = (0, 0, 3, 10, 20, 30, 60, 90)
PRICES = PriceBook()


@dataclass(frozen=True)
class Mix:
    """One set."""

    kind: str
    model: str
    cold_percent: int
    talks: tuple[Talk, ...]


def mixes(folder: Path, count: int, seed: int) -> list[Mix]:
    """So many random sets."""
    dice = random.Random(seed)
    known = {"dialogues": sgd(folder, 8), "agents": tau(folder), "memories": chats(folder)}
    known = {kind: talks for kind, talks in known.items() if talks}
    lines = [line for texts in prose(folder).values() for text in texts for line in text.splitlines()]
    found = []
    for number in range(count):
        kind = dice.choice([*known, "dialogues"] if "dialogues" in known else list(known))
        chain = dice.choice([1, 1, 2, 3, 5, 8]) if kind == "dialogues" else 1
        tokens = dice.choice(SYSTEM_TOKENS)
        head = {"role": "system", "content": _prompt(dice, lines, tokens) or "Be brief."}
        size = {"dialogues": max(6, 12 // chain), "agents": 8, "memories": 2}[kind]
        talks = []
        for one in range(size):
            said = [message for _ in range(chain) for message in dice.choice(known[kind]).messages[1:]]
            talks.append(Talk(f"{seed}:{number}:{one}", (head, *said)))
        found.append(Mix(f"{kind} x{chain}, system {tokens}", dice.choice(MODELS), dice.choice(COLD_PERCENT), tuple(talks)))
    return found


def _prompt(dice: random.Random, lines: Sequence[str], tokens: int) -> str:
    """About so many tokens of real prompts, from some line on."""
    found, used, place = list[str](), 0, dice.randrange(len(lines))
    while used < tokens:
        words = lines[place % len(lines)].split(" ")[: max(1, tokens - used)]
        found.append(" ".join(words))
        used += count_text(found[-1]) + 1
        place += 1
    return "\n".join(found)


def ratios(mix: Mix, *, together: bool) -> list[float]:
    """Billed input over that of leaving everything as it is: of the whole set, then of each conversation."""
    plan = plan_in_force(Request(mix.model, ()), PRICES, marks_come=True)
    assert plan is not None, f"no price for {mix.model}"
    bills = []
    steps: list[Any] = [History(prices=PRICES, embed=static_embedding())]
    steps = [Shorten(prices=PRICES), *steps, PromptCache(prices=PRICES)] if together else steps
    for talk in mix.talks:
        times = times_of(talk, mix.cold_percent)
        ours = [(now, _sent(steps, talk, place, now, mix.model)) for place, now in zip(talk.calls, times, strict=True)]
        full = [(now, talk.messages[:place]) for place, now in zip(talk.calls, times, strict=True)]
        bills.append((_billed(ours, plan, mix.model), _billed(full, plan, mix.model)))
    whole = sum(ours for ours, _ in bills) / sum(full for _, full in bills)
    return [whole, *(ours / full for ours, full in bills)]


def _sent(steps: Sequence[Any], talk: Talk, place: int, now: float, model: str) -> Sequence[Message]:
    taken: list[Request] = []

    def answer(call: Call) -> Reply:
        taken.append(call.request)
        return Reply({"role": "assistant", "content": "ok"}, model, Usage())

    _, ctx = send(Request(model, talk.messages[:place], session=talk.name), answer, *steps, clock=lambda: now)
    assert not any(decision.action == "stood_down" for decision in ctx.decisions), ctx.decisions
    return taken[0].messages


def _billed(calls: Sequence[tuple[float, Sequence[Message]]], plan: CachePlan, model: str) -> float:
    cache = SimulatedCache(plan)
    for now, messages in calls:
        cache.call([(name := digest(message), tokens_of(message, model, name)) for message in messages], now)
    return cache.units


def main() -> None:
    """Run and print."""
    asked = arguments(str(__doc__).split("\n", 1)[0])
    result: dict[str, Any] = {"sets": {}}
    seeds = SEEDS[:1] if asked.quick else SEEDS
    for label, together in (("history", False), ("shorten, history and prompt_cache", True)):
        found = {}
        named = [(f"{seed}.{number}", mix) for seed in seeds for number, mix in enumerate(mixes(asked.data, 60, seed))]
        for name, mix in named:
            if together and mix.model.startswith("anthropic/"):
                continue  # what breakpoints cost and save there is tests.benchmarks.prompt_cache's
            found[f"{name}: {mix.kind}, {mix.model}, {mix.cold_percent} % cold"] = ratios(mix, together=together)
        whole = sorted(ratio[0] for ratio in found.values())
        result["sets"][label] = {
            "sets": len(whole),
            "above_1": sum(ratio > 1.0 for ratio in whole),
            "worst": round(whole[-1], 4),
            "median": round(whole[len(whole) // 2], 4),
            "worst_single_conversation": round(max(max(ratio[1:]) for ratio in found.values()), 4),
            "each": {name: round(ratio[0], 4) for name, ratio in found.items()},
        }
    print_result(result, asked.json)


if __name__ == "__main__":
    main()
