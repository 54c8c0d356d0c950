"""Prompts unlike all that were judged go to the best model, and are served."""

from __future__ import annotations

import numpy as np
import pytest

from frugal_plugins.calibrate.fit import fit_ladder
from frugal_plugins.calibrate.report import outcomes_of
from frugal_plugins.flow import Call
from frugal_plugins.learned.asking import Asking
from frugal_plugins.learned.ladder import Ladder
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Reply
from frugal_plugins.techniques.route import Route, Tier
from tests.calibrate.traffic import traffic
from tests.learned.test_features import ODD
from tests.support import ask_for, reply_with, send

ORDINARY = ("What is 17 plus 8? Give the number.", "Convert 40 minutes to hours and 12 minutes.")


@pytest.fixture(scope="module")
def ladder() -> Ladder:
    return fit_ladder(traffic(300), targets_percent=(90.0,))


@pytest.mark.parametrize(
    "text", [*ODD, "x" * 1_000_000, "Bitte fassen Sie das Protokoll der Sitzung für alle zusammen, die gefehlt haben."]
)
def test_a_prompt_like_none_that_was_judged_goes_to_the_best_model(ladder: Ladder, text: str) -> None:
    asking = Asking(ladder, ask_for(text), 90, lambda _model: True)
    action = asking.next()
    assert asking.strange
    assert (action.model, action.final) == (len(ladder.models) - 1, True)


@pytest.mark.parametrize("text", ORDINARY)
def test_a_prompt_like_the_judged_ones_is_decided_by_what_was_learned(ladder: Ladder, text: str) -> None:
    asking = Asking(ladder, ask_for(text), 90, lambda _model: True)
    assert not asking.strange
    assert asking.next().model < len(ladder.models) - 1


def test_where_the_best_model_may_not_be_asked_another_one_is(ladder: Ladder) -> None:
    best = ladder.models[-1].name
    assert Asking(ladder, ask_for(ODD[3]), 90, lambda model: model != best).next().model < len(ladder.models) - 1


def test_the_route_says_why_and_the_request_is_served(ladder: Ladder) -> None:
    tiers = (Tier("simple", ("cheap", "other")), Tier("complex", ("strong",)))
    route = Route(tiers, {}, "complex", frozenset({"frugal"}), PriceBook({}), ladder=ladder, keep_percent=90)
    asked: list[str] = []

    def provider(call: Call) -> Reply:
        asked.append(call.request.model)
        return reply_with("わかりました。", model="strong")

    reply, ctx = send(ask_for(ODD[3], model="frugal"), provider, route)
    assert asked == ["strong"]
    assert reply.text
    assert any("like none that was judged" in decision.why for decision in ctx.decisions)


def test_traffic_of_the_same_kind_is_hardly_ever_strange(ladder: Ladder) -> None:
    fresh = traffic(400, seed=4)
    assert ladder.strange(ladder.prompt.likeness(fresh.features)).mean() < 0.02
    right, _ = outcomes_of(ladder, fresh)
    assert np.isfinite(right).all()
