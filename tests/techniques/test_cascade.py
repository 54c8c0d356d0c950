"""A fitted ladder in the route: cheap first where that pays, compared, verified, escalated, and every attempt booked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frugal_plugins.drivers import stream
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.learned.breaker import FEWEST_SEEN, Breaker
from frugal_plugins.learned.features import COLUMNS
from frugal_plugins.learned.ladder import Ladder, Model, Point, Step
from frugal_plugins.learned.smoother import Block, Smoother
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.route import Route, Tier
from frugal_plugins.usage import Usage
from tests.support import FakeStream, ask_for, reply_with, send

MODELS = ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "openai/gpt-4o")
MINI, HAIKU, STRONG = MODELS
TIERS = (Tier("simple", MODELS[:2]), Tier("complex", MODELS[2:]))


def flat(columns: int, values: list[float]) -> Smoother:
    """Predicts the same whatever it sees."""
    return Smoother(
        (Block(columns, 1.0, scaled=True),),
        np.zeros(columns),
        np.ones(columns),
        np.zeros((1, columns)),
        np.zeros((1, len(values))),
        np.array(values),
    )


def by_agreement(columns: int, apart: list[float], together: list[float]) -> Smoother:
    """Predicts by the last column, which says whether two answers agree."""
    centre = np.zeros(columns)
    landmark = np.zeros((1, columns))
    block = Block(columns - 1, 1e6, scaled=True), Block(1, 0.01, scaled=True)
    landmark[0, -1] = 1 / 0.01
    gain = 2 * (np.array(together) - np.array(apart))
    return Smoother(block, centre, np.ones(columns), landmark, gain[None], np.array(apart) - gain / 2)


def ladder(
    *, votes: tuple[int, ...] = (0, 1), vote_pays: float = 1.0, point: Point | None = None, direct: list[float] | None = None
) -> Ladder:
    """0.6 right for the cheap two, 0.95 for the strong one; agreement makes the cheap 0.97 and disagreement 0.2."""
    start = direct or [0.6, 0.55, 0.95]
    agreed = by_agreement(9, [0.2, 0.2, 0.95], [0.97, 0.97, 0.95])
    alone = Step((), votes, flat(3, [*start, *(vote_pays - 0.1 * place for place in range(len(votes)))]))
    one = [Step((vote,), tuple(v for v in votes if v != vote), flat(5, [*start, vote_pays])) for vote in votes]
    steps = (alone, *one, Step(votes, (), agreed)) if votes else (alone,)
    models = (Model(MINI, 1.5e-7, 6e-7), Model(HAIKU, 1e-6, 5e-6), Model(STRONG, 2.5e-6, 1e-5))
    prompt = flat(COLUMNS, [*start, 5.0, 5.0, 5.0])
    points = (point or Point(98.0, 0, 0, 1.0, None, 0.95, 0.001),)
    return Ladder(models, votes, np.array([10.0]), prompt, steps, points, rows=500)


def route(**changes: Any) -> Route:
    fitted = changes.pop("ladder", None) or ladder()
    return Route(
        TIERS, {"yes_no": "simple", "document": "complex"}, "complex", frozenset({"frugal"}), ladder=fitted, keep_percent=98, **changes
    )


def answering(**texts: str | Reply) -> tuple[Callable[[Call], Reply], list[str]]:
    """A provider that answers by model, and the order in which it was asked."""
    asked: list[str] = []
    short = {"mini": MINI, "haiku": HAIKU, "strong": STRONG}
    known = {short[name]: text for name, text in texts.items()}

    def answer(call: Call) -> Reply:
        asked.append(call.request.model)
        text = known[call.request.model]
        return text if isinstance(text, Reply) else reply_with(text, model=call.request.model)

    return answer, asked


QUESTION = ask_for("How many eggs are in nine boxes of twelve when five are broken?", model="frugal")


def test_two_cheap_answers_that_agree_are_enough() -> None:
    model, asked = answering(mini="The answer is 103.", haiku='{"answer": "103"}', strong="103")
    reply, ctx = send(QUESTION, model, route())
    assert asked == [MINI, HAIKU]
    assert "103" in reply.text
    assert [d.action for d in ctx.decisions] == ["vote", "vote", "accepted"]


def test_where_they_differ_the_strong_model_is_asked_and_all_attempts_are_booked_to_route() -> None:
    model, asked = answering(mini="103", haiku="98", strong="The answer is 103.")
    reply, ctx = send(QUESTION, model, route())
    assert asked == [MINI, HAIKU, STRONG]
    assert reply.model == STRONG
    assert [a.replaced_by for a in ctx.attempts] == ["route", "route", None]


def test_where_a_vote_does_not_pay_the_best_model_is_asked_directly() -> None:
    model, asked = answering(mini="1", haiku="1", strong="1")
    send(QUESTION, model, route(ladder=ladder(vote_pays=-1.0)))
    assert asked == [STRONG]
    model, asked = answering(mini="1", haiku="1", strong="1")
    send(QUESTION, model, route(ladder=ladder(vote_pays=-1.0, direct=[0.96, 0.5, 0.95])))
    assert asked == [MINI]


def test_a_point_that_found_no_better_mixture_asks_its_one_model() -> None:
    model, asked = answering(mini="1", haiku="1", strong="1")
    send(QUESTION, model, route(ladder=ladder(point=Point(98.0, 0, 0, 1.0, 1, 0.9, 0.001))))
    assert asked == [HAIKU]


@pytest.mark.parametrize(
    "bad", [reply_with(""), reply_with("I'm sorry, I can't help with that."), reply_with("As we can see", finish="length")]
)
def test_an_answer_that_fails_its_checks_is_asked_again_one_step_up(bad: Reply) -> None:
    cheap_first = ladder(vote_pays=-1.0, direct=[0.96, 0.5, 0.95])
    model, asked = answering(mini=bad, haiku="1", strong="All is well.")
    reply, ctx = send(QUESTION, model, route(ladder=cheap_first))
    assert asked == [MINI, STRONG]
    assert reply.text == "All is well."
    assert ctx.attempts[0].replaced_by == "route"
    assert "escalate" in [d.action for d in ctx.decisions]


def test_a_spoilt_vote_is_never_accepted() -> None:
    model, asked = answering(mini="", haiku="", strong="103")
    reply, _ = send(QUESTION, model, route())
    assert reply.text == "103"
    assert asked[-1] == STRONG


def test_a_pattern_of_the_task_is_checked() -> None:
    cheap_first = ladder(vote_pays=-1.0, direct=[0.96, 0.5, 0.95])
    by = route(ladder=cheap_first, patterns={"unknown": r"\d+"})
    model, asked = answering(mini="many", haiku="1", strong="103")
    send(ask_for("hmm", model="frugal"), model, by)
    assert asked == [MINI, STRONG]


def test_a_declared_task_always_wins() -> None:
    model, asked = answering(mini="1", haiku="2", strong="3")
    send(QUESTION, model, route(), declared_task="yes_no")
    assert asked == [MINI]


def test_a_named_model_is_never_replaced_by_a_dearer_one() -> None:
    model, asked = answering(mini="1", haiku="2", strong="3")
    send(QUESTION.with_(model=MINI), model, route())
    assert asked == [MINI]


@pytest.mark.parametrize(
    "request_", [QUESTION.with_params(tools=[{"type": "function"}]), ask_for("", model="frugal"), QUESTION.with_(model="mistral/large")]
)
def test_agents_steps_empty_prompts_and_foreign_models_are_left_to_the_rules(request_: Request) -> None:
    asked: list[str] = []

    def answer(call: Call) -> Reply:
        asked.append(call.request.model)
        return reply_with("x")

    send(request_, answer, route())
    assert len(asked) == 1
    assert asked[0] in (STRONG, "mistral/large")


def test_a_conversation_under_way_is_not_voted_on_and_never_moves_down() -> None:
    by = route()
    session = QUESTION.with_(session="s1")
    model, asked = answering(mini="103", haiku="98", strong="103")
    send(session, model, by)
    assert asked[-1] == STRONG
    model, asked = answering(mini="1", haiku="1", strong="1")
    send(session, model, by)
    assert asked == [STRONG]


def test_a_switch_in_a_conversation_must_pay_for_reading_the_prompt_again() -> None:
    close = ladder(votes=(), direct=[0.8, 0.3, 0.8985])
    long = ask_for("word " * 3200, model="frugal")
    read = {name: reply_with("1", model=name).with_(usage=Usage(4000, output_tokens=1)) for name in MODELS}
    model, asked = answering(mini=read[MINI], haiku=read[HAIKU], strong=read[STRONG])
    send(long, model, route(ladder=close))
    assert asked == [STRONG]
    by = route(ladder=close)
    session = long.with_(session="s1")
    send(session, model, by, declared_task="yes_no")
    send(session, model, by)
    assert asked[1:] == [MINI, MINI]


def test_a_model_the_key_does_not_reach_is_neither_vote_nor_answer() -> None:
    model, asked = answering(mini="1", haiku="1", strong="1")
    send(QUESTION, model, route(), reachable=lambda name: name == HAIKU)
    assert asked == [HAIKU]


def streamed(by: Route, model: Callable[[Call], Reply]) -> tuple[list[str], list[bool]]:
    held: list[bool] = []
    ctx = Context()

    def asking(call: Call) -> Reply:
        held.append(call.hold)
        return model(call)

    def opened(call: Call) -> FakeStream:
        held.append(call.hold)
        return FakeStream(model(call))

    flow = compose([(by, "on")], ctx)(QUESTION.with_(stream=True))
    return list(stream(flow, ctx, asking, opened, lambda reply: [f"replayed {reply.text}"])), held


def test_a_stream_goes_straight_to_one_model_unless_the_recipe_lets_it_wait() -> None:
    model, asked = answering(mini="103", haiku="103", strong="103")
    shown, held = streamed(route(), model)
    assert asked == [STRONG]
    assert shown == ["one ", "two ", "three"]
    assert held == [False]
    model, asked = answering(mini="103", haiku="103", strong="103")
    shown, held = streamed(route(streaming="buffer"), model)
    assert asked == [MINI, HAIKU]
    assert shown == ["replayed 103"]
    assert all(held)


def test_the_dear_tier_has_its_share_and_not_more() -> None:
    by = route(breaker=Breaker(most_dear_percent=10))
    dear = 0
    for number in range(300):
        model, asked = answering(mini=f"{number}", haiku="no", strong="yes")
        send(QUESTION.with_(session=f"s{number}"), model, by)
        dear += STRONG in asked
    assert dear <= 30 + FEWEST_SEEN


def test_a_failing_strong_model_leaves_the_caller_with_the_answer_in_hand() -> None:
    def failing(call: Call) -> Reply:
        if call.request.model == STRONG:
            raise TimeoutError
        return reply_with("103" if call.request.model == MINI else "98", model=call.request.model)

    reply, _ = send(QUESTION, failing, route())
    assert reply.model in (MINI, HAIKU)


@pytest.mark.parametrize("text", ["word " * 200_000, "それは何ですか", "aGVsbG8=" * 2000, "\ud800", "x"])
def test_odd_prompts_are_served(text: str) -> None:
    model, asked = answering(mini="1", haiku="1", strong="1")
    reply, ctx = send(ask_for(text, model="frugal"), model, route())
    assert reply.text == "1"
    assert asked
    assert "stood_down" not in [d.action for d in ctx.decisions]
