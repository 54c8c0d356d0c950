"""What a shortened history costs and keeps, on five price plans, warm and with pauses, beside full history and other tools.

    python -m tests.benchmarks.history --data ../shared/data --json

`billed` is the input bill as a share of sending full history each time, from a simulated exact-prefix cache (five minutes,
1,024 tokens minimum, steps of 128). Every call goes through the real technique, as a caller would make it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from frugal_plugins.flow import Call
from frugal_plugins.learned.embedding import static_embedding
from frugal_plugins.prefix.cost import CachePlan, SimulatedCache
from frugal_plugins.prefix.sizes import SUMMARY_FRAME_TOKENS, Terms
from frugal_plugins.prices import PriceBook, own_rates
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.history import History
from frugal_plugins.techniques.prompt_cache import PromptCache
from frugal_plugins.text.turns import calls_in, digest, results_in, tokens_of
from frugal_plugins.usage import Usage
from tests.benchmarks import history_peers as peers
from tests.benchmarks.common import arguments, print_result
from tests.benchmarks.history_data import Talk, folded, long_chats, memories, questions, sgd, spoken, system, tau
from tests.benchmarks.history_optimum import MODEL, Moves, with_foreknowledge, without_foreknowledge
from tests.benchmarks.history_peers import plain
from tests.support import send

PLANS = {"none": (1.0, 1.0), "0.5": (0.5, 1.0), "0.25": (0.25, 1.0), "0.1": (0.1, 1.0), "0.1/1.25": (0.1, 1.25)}
COLD_PERCENT = (0, 10, 30, 60)
WITHOUT_TOOLS = ("long", "long_dialogues", "sgd", "sgd_system_2000")
BETWEEN_CALLS_SECONDS = 20.0
PAUSE_SECONDS = 600.0
Message = Mapping[str, Any]
ANSWER = Reply({"role": "assistant", "content": "ok"}, MODEL, Usage())


def plan_of(name: str) -> CachePlan:
    read, write = PLANS[name]
    return CachePlan(read=read, write=write)


def prices_of(name: str) -> PriceBook:
    read, write = PLANS[name]
    price = {"input_usd": 1, "output_usd": 5, "cache_read_usd": read, "cache_write_usd": write}
    return PriceBook({MODEL: own_rates(MODEL, price, "benchmark")})


def history_for(name: str, **settings: Any) -> History:
    return History(prices=prices_of(name), embed=static_embedding(), **settings)


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
    """What a policy sent for each call of one conversation: place, time, messages."""

    calls: list[tuple[int, float, Sequence[Message]]]


def through(technique: History, talk: Talk, cold_percent: int) -> Sent:
    """A conversation through the technique, one request for each answer."""
    times = zip(talk.calls, times_of(talk, cold_percent), strict=True)
    return Sent([(place, now, sent_for(technique, talk.messages[:place], talk.name, now)) for place, now in times])


def by_policy(policy: Callable[[Sequence[Message]], Sequence[Message]], talk: Talk, cold_percent: int, *, only_facts: bool = False) -> Sent:
    """What a function of the messages sends for each call, or for those whose facts are looked for."""
    times = zip(talk.calls, times_of(talk, cold_percent), strict=True)
    return Sent([(place, now, policy(talk.messages[:place])) for place, now in times if not only_facts or talk.facts.get(place)])


def billed(sent: Sent, plan: CachePlan) -> float:
    cache = SimulatedCache(plan)
    for _, now, messages in sent.calls:
        cache.call([(name := digest(message), tokens_of(message, MODEL, name)) for message in messages], now)
    return cache.units


def bills(talks: Sequence[Talk], colds: Sequence[int] = COLD_PERCENT) -> dict[str, dict[str, float]]:
    """Our bill as a share of full history's, by plan and share of cold calls."""
    found: dict[str, dict[str, float]] = {}
    for name in PLANS:
        for cold in colds:
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


def orphans(sent: Sequence[Sent]) -> int:
    """Tool results that were sent without their call."""
    count = 0
    for _, _, messages in (call for one in sent for call in one.calls):
        called = {name for message in messages for name in calls_in(message)}
        count += sum(name not in called for message in messages for name in results_in(message))
    return count


def recalled(folder: Path, tokens: int) -> float | None:
    """Share of answers that are in the prompt when a question is asked after everything else was said."""
    summary = min(400, tokens // 3)
    terms = Terms(when="always", keep_turns=1, summary_tokens=summary)
    technique = history_for("none", terms=terms, recall_tokens=tokens - summary - SUMMARY_FRAME_TOKENS)
    have = need = 0
    for user, texts in memories(folder).items():
        everything = folded("\n".join(texts))
        chat = [part for text in texts for part in ({"role": "user", "content": text}, {"role": "assistant", "content": "Noted."})]
        for question in questions(folder):
            gold = question["ground_truth"] if isinstance(question["ground_truth"], list) else [question["ground_truth"]]
            answers = [folded(str(one)) for one in gold]
            if question["scenario"] != user or not any(answer in everything for answer in answers):
                continue
            asked = {"role": "user", "content": question["question"][0][0]["content"]}
            shown = sent_for(technique, (system(), *chat, asked))
            memory = sum(tokens_of(message, MODEL) for message in shown[1:]) - tokens_of(asked, MODEL)
            assert memory <= tokens, f"{memory} tokens of memory where {tokens} were allowed"
            text = folded("\n".join(map(spoken, shown[1:])))
            need += 1
            have += any(answer in text for answer in answers)
    return round(have / need, 4) if need else None


def sent_for(technique: History, messages: Sequence[Message], session: str | None = None, now: float = 0.0) -> Sequence[Message]:
    """What the technique sends for one request."""
    return sent_by([technique], messages, session, now)


def sent_by(steps: Sequence[Any], messages: Sequence[Message], session: str | None = None, now: float = 0.0) -> Sequence[Message]:
    """What techniques, one behind the other, send for one request."""
    taken: list[Request] = []

    def model(call: Call) -> Reply:
        taken.append(call.request)
        return ANSWER

    _, ctx = send(Request(MODEL, tuple(messages), session=session), model, *steps, clock=lambda: now)
    assert not any(decision.action == "stood_down" for decision in ctx.decisions), ctx.decisions
    return taken[0].messages


def over_optimum(talks: Sequence[Talk], cold_percent: int = 0, *, foreknowledge: bool = True) -> dict[str, float]:
    """How much more than the optimum the technique is billed, by plan; without recall, which the optimum does not have either."""
    found = {}
    for name in PLANS:
        plan = plan_of(name)
        ours = sum(billed(through(history_for(name, recall_tokens=0), talk, cold_percent), plan) for talk in talks)
        least = 0.0
        for talk in talks:
            moves, warm = Moves.of(talk, plan, Terms()), warm_of(talk, cold_percent, plan)
            least += with_foreknowledge(moves, warm) if foreknowledge else without_foreknowledge(moves, warm, cold_percent / 100)
        found[name] = round(100 * (ours / least - 1), 2)
    return found


def warm_of(talk: Talk, cold_percent: int, plan: CachePlan) -> list[bool]:
    """Which calls come soon enough after the one before."""
    times = times_of(talk, cold_percent)
    return [False, *(now - then < plan.ttl_seconds for then, now in pairwise(times))]


def milliseconds(talks: Sequence[Talk]) -> dict[str, float]:
    """A warm call on about 100 messages, history alone and with the layout behind it, beside the other tools on the same ones."""
    longest = max(talks, key=lambda talk: len(talk.messages))
    messages = plain(longest).messages[: 101 - (len(longest.messages[:101]) % 2 == 0)]
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    alone, together = [history_for("0.1")], [history_for("0.1"), PromptCache(prices=prices_of("0.1"))]
    for steps in (alone, together):
        for place in range(3, len(messages) + 1, 2):
            sent_by(steps, messages[:place])
    found = {"frugal history": peers.timed(lambda given: sent_by(alone, given), messages, 30)}
    found["frugal history and prompt_cache"] = peers.timed(lambda given: sent_by(together, given), messages, 30)
    for name, policy in {**PEERS, **peers.SUMMARIZATION}.items():
        found[name] = peers.timed(policy, messages)
    return found | {"messages": len(messages)}


PEERS: Mapping[str, Callable[[Sequence[Message]], Sequence[Message]]] = {
    "langchain trim_messages 60%": peers.langchain_trim,
    "litellm trim_messages 60%": peers.litellm_trim,
    "litellm compress 60%": peers.litellm_compress,
}


def beside(chats: Sequence[Talk], dialogues: Sequence[Talk], agents: Sequence[Talk], *, quick: bool) -> dict[str, Any]:
    """Other tools on the same conversations: billed at 0.1/1.25 on long chats, and what they keep."""
    found: dict[str, Any] = {}
    plan = plan_of("0.1/1.25")
    full = sum(billed(by_policy(list, talk, 0), plan) for talk in chats)
    for name, policy in PEERS.items():
        units = None if quick else sum(billed(by_policy(policy, plain(talk), 0), plan) for talk in chats)
        found[name] = {"billed_long": None if units is None else round(units / full, 4)}
        for label, talks in (("sgd", dialogues), ("tau", agents)):
            found[name][label] = _kept_or_crash([plain(talk) for talk in talks], policy)
    spent = 0.0
    for talk in chats:
        middleware = peers.Summarization()
        spent += billed(by_policy(middleware, plain(talk), 0), plan) + middleware.units
    found["langchain SummarizationMiddleware 4000/20"] = {"billed_long": round(spent / full, 4)}
    for name, policy in {"keep-last-20": _last_20}.items():
        found[name] = {"billed_long": round(sum(billed(by_policy(policy, talk, 0), plan) for talk in chats) / full, 4)}
    fixed = Terms(when="always", every_turns=5, keep_turns=2)
    spent = sum(billed(through(history_for("0.1/1.25", terms=fixed), talk, 0), plan) for talk in chats)
    found["every 5 turns, local summary (ours, when: always)"] = {"billed_long": round(spent / full, 4)}
    return found


def _last_20(messages: Sequence[Message]) -> Sequence[Message]:
    return [*messages[:1], *messages[1:][-20:]]


def _kept_or_crash(talks: Sequence[Talk], policy: Callable[[Sequence[Message]], Sequence[Message]]) -> Any:
    try:
        return kept(talks, lambda talk: by_policy(policy, talk, 0, only_facts=True))
    except (AttributeError, TypeError, KeyError) as error:
        return f"crashed: {type(error).__name__}"


def main() -> None:
    """Run and print."""
    asked = arguments(str(__doc__).split("\n", 1)[0])
    few = 8 if asked.quick else None
    agents, dialogues, chats = tau(asked.data, few), sgd(asked.data, 16, few), long_chats(asked.data)
    chats = chats[:2] if asked.quick else chats
    remembered = [talk for talk in chats if talk.name == "memories"]
    sets = {
        "tau": agents,
        "tau_system_150": [talk.with_system(150) for talk in agents],
        "sgd": dialogues,
        "sgd_system_2000": [talk.with_system(2000) for talk in dialogues],
        "long": remembered,
    }
    sets["long_dialogues"] = [talk for talk in chats if talk.name != "memories"]
    sets = {name: talks for name, talks in sets.items() if talks}
    bill = {name: bills(talks, (0, 30) if asked.quick else COLD_PERCENT) for name, talks in sets.items()}
    ratios = [ratio for plans in bill.values() for colds in plans.values() for ratio in colds.values()]
    lossless = Terms(when="always", every_turns=10**6, keep_results=10**6)
    sent = [through(history_for("0.5"), talk, 10) for talk in agents]
    result: dict[str, Any] = {
        "billed": bill,
        "worst_billed_ratio": max(ratios, default=None),
        "over_optimum_percent": {name: over_optimum(sets[name]) for name in WITHOUT_TOOLS if name in sets},
        "over_optimum_percent_cold_30": {name: over_optimum(sets[name], 30) for name in WITHOUT_TOOLS if name in sets},
        "over_best_without_foreknowledge_percent_cold_30": {
            name: over_optimum(sets[name], 30, foreknowledge=False) for name in WITHOUT_TOOLS if name in sets
        },
        "retention": {
            "sgd": kept(dialogues, lambda talk: through(history_for("none"), talk, 0)),
            "tau_lossless": kept(agents, lambda talk: through(history_for("none", terms=lossless), talk, 0)),
            "tau": kept(agents, lambda talk: through(history_for("none"), talk, 0)),
        },
        "recall": {str(tokens): recalled(asked.data, tokens) for tokens in (200, 300, 600, 1200)},
        "orphan_tool_messages": orphans(sent),
        "ms_per_100_messages": None,
        "peers": beside(chats[:1], dialogues[: few or 12], agents[: few or 12], quick=asked.quick),
        "conversations": {name: len(talks) for name, talks in sets.items()},
        "quick": "8 conversations a set, 2 long chats, cold 0 and 30 only; the trimming peers are not billed on long chats"
        if asked.quick
        else None,
    }
    result["ms"] = milliseconds(chats) if chats else None
    result["ms_per_100_messages"] = result["ms"]["frugal history and prompt_cache"] if chats else None
    print_result(result, asked.json)


if __name__ == "__main__":
    main()
