"""Each request goes to the cheapest tier its work needs, and nowhere it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from frugal_plugins.drivers import stream
from frugal_plugins.flow import Call, Context, compose
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.route import Route, Tier
from tests.support import FakeModel, FakeStream, ask_for, reply_with, send

TIERS = (
    Tier("simple", ("openai/gpt-4o-mini", "anthropic/claude-haiku-4-5")),
    Tier("standard", ("openai/gpt-4o", "anthropic/claude-sonnet-4-5")),
    Tier("complex", ("openai/o3-mini", "anthropic/claude-opus-4-5")),
)
TASKS = {"yes_no": "simple", "support_reply": "standard", "document": "complex", "code": "complex"}


def route(**changes: Any) -> Route:
    return Route(TIERS, TASKS, "complex", frozenset({"support", "frugal"}), **changes)


def goes_to(request: Request, by: Route | None = None, **known: Any) -> str:
    model = FakeModel()
    send(request, model, by or route(), **known)
    return model.calls[0].request.model


def test_simple_work_goes_to_the_cheap_model_of_the_same_provider() -> None:
    assert goes_to(ask_for(), declared_task="yes_no") == "openai/gpt-4o-mini"
    assert goes_to(ask_for(model="anthropic/claude-sonnet-4-5"), declared_task="yes_no") == "anthropic/claude-haiku-4-5"


def test_work_nobody_recognises_stays_where_it_was() -> None:
    assert goes_to(ask_for("hmm")) == "gpt-4o"


def test_a_declared_task_the_recipe_does_not_have_is_named() -> None:
    _, ctx = send(ask_for("hmm"), FakeModel(), route(), declared_task="sumary")
    assert ctx.decisions[0].why == "unknown work stays safe: the recipe has no task sumary (declared)"


def test_with_the_recipes_own_name_unknown_work_goes_to_the_baseline() -> None:
    assert goes_to(ask_for("hmm", model="support")) == "openai/o3-mini"


def test_a_named_model_is_never_replaced_by_a_dearer_one() -> None:
    assert goes_to(ask_for(), declared_task="document") == "gpt-4o"
    assert goes_to(ask_for(model="gpt-4o-mini"), declared_task="code") == "gpt-4o-mini"


def test_a_model_in_no_tier_is_left_alone_and_it_says_so() -> None:
    model = FakeModel()
    _, ctx = send(ask_for(model="mistral/large"), model, route(), declared_task="yes_no")
    assert model.calls[0].request.model == "mistral/large"
    assert "in no tier" in ctx.decisions[0].why


def test_a_conversation_never_moves_down_but_may_move_up() -> None:
    by = route()
    turns = ask_for(model="support").with_(session="s1")
    assert goes_to(turns, by, declared_task="support_reply") == "openai/gpt-4o"
    assert goes_to(turns, by, declared_task="yes_no") == "openai/gpt-4o"
    assert goes_to(turns, by, declared_task="document") == "openai/o3-mini"
    assert goes_to(turns.with_(session="s2"), by, declared_task="yes_no") == "openai/gpt-4o-mini"


def test_a_conversation_without_a_name_is_known_by_how_it_began() -> None:
    by = route()
    first = ask_for("My chair broke", model="support")
    later = first.with_(messages=(*first.messages, {"role": "assistant", "content": "Sorry."}, {"role": "user", "content": "ok?"}))
    assert goes_to(first, by, declared_task="support_reply") == "openai/gpt-4o"
    assert goes_to(later, by, declared_task="yes_no") == "openai/gpt-4o"
    assert goes_to(later, route(sticky="none"), declared_task="yes_no") == "openai/gpt-4o-mini"


def test_sessions_of_two_tenants_with_the_same_name_are_two() -> None:
    by = route()
    assert goes_to(ask_for(model="support").with_(session="s", scope=("a",)), by, declared_task="document") == "openai/o3-mini"
    assert goes_to(ask_for(model="support").with_(session="s", scope=("b",)), by, declared_task="yes_no") == "openai/gpt-4o-mini"


image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"temperature": 0}, "refuses temperature"),
        ({"logprobs": True}, "refuses logprobs"),
    ],
)
def test_a_model_that_would_refuse_a_parameter_is_passed_over_and_named(params: dict[str, Any], reason: str) -> None:
    model = FakeModel()
    _, ctx = send(ask_for(model="support", **params), model, route(), declared_task="document")
    assert model.calls[0].request.model != "openai/o3-mini" or params == {"logprobs": True}
    assert reason in ctx.decisions[0].why


def test_images_go_to_a_model_that_reads_them() -> None:
    request = Request("support", ({"role": "user", "content": [{"type": "text", "text": "what is this"}, image]},))
    assert goes_to(request, declared_task="document") == "anthropic/claude-opus-4-5"


def test_openai_only_parameters_keep_the_request_at_openai() -> None:
    assert goes_to(ask_for(model="claude-sonnet-4-5", seed=7), declared_task="yes_no") == "openai/gpt-4o-mini"
    only_claude = replace(route(), tiers=(Tier("simple", ("anthropic/claude-haiku-4-5",)), *TIERS[1:]))
    assert goes_to(ask_for(seed=7), only_claude, declared_task="yes_no") == "gpt-4o"


def test_a_prompt_larger_than_the_window_is_not_sent_there() -> None:
    small = (Tier("simple", ("openai/gpt-3.5-turbo",)), *TIERS[1:])
    assert goes_to(ask_for("word " * 20_000), replace(route(), tiers=small), declared_task="yes_no") == "gpt-4o"


def test_models_the_host_does_not_reach_are_not_candidates() -> None:
    assert goes_to(ask_for(), declared_task="yes_no", reachable=lambda m: m.startswith("anthropic/")) == "anthropic/claude-haiku-4-5"
    assert goes_to(ask_for(), declared_task="yes_no", reachable=lambda m: False) == "gpt-4o"


def test_a_cheaper_tier_that_costs_more_by_the_price_list_is_not_used_for_a_named_model() -> None:
    odd = (Tier("simple", ("anthropic/claude-opus-4-1",)), Tier("standard", ("openai/gpt-4o-mini",)))
    by = Route(odd, {"yes_no": "simple"}, "standard", frozenset())
    assert goes_to(ask_for(model="gpt-4o-mini"), by, declared_task="yes_no") == "gpt-4o-mini"


class NotThere(Exception):
    """What a provider says of a model it does not know, whatever class the host has for it."""

    status_code = 404


def only_knows(*names: str) -> tuple[list[str], Callable[[Call], Reply]]:
    """A provider, and the models it was asked for."""
    asked: list[str] = []

    def answer(call: Call) -> Reply:
        asked.append(call.request.model)
        if call.request.model not in names:
            raise NotThere(call.request.model)
        return reply_with("Yes.", model=call.request.model)

    return asked, answer


def test_a_retired_or_misspelled_model_of_a_tier_costs_no_request_its_answer() -> None:
    asked, provider = only_knows("gpt-4o")
    by = route()
    reply, ctx = send(ask_for(), provider, by, declared_task="yes_no")
    assert reply.model == "gpt-4o"
    assert asked == ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "gpt-4o"]
    assert "the provider does not know gpt-4o-mini; check the recipe's tiers" in [decision.why for decision in ctx.decisions]
    send(ask_for("And on Sunday?"), provider, by, declared_task="yes_no")
    assert asked[3:] == ["gpt-4o"]  # met once, not by every request


def test_a_model_that_was_not_there_is_tried_again_after_an_hour() -> None:
    by, now = route(), 1_000_000.0
    send(ask_for(), only_knows("gpt-4o")[1], by, declared_task="yes_no", clock=lambda: now)
    asked, provider = only_knows("gpt-4o", "openai/gpt-4o-mini")
    send(ask_for(), provider, by, declared_task="yes_no", clock=lambda: now + 3601)
    assert asked == ["openai/gpt-4o-mini"]


def test_the_callers_own_model_being_unknown_is_the_callers_to_hear() -> None:
    asked, provider = only_knows()
    with pytest.raises(NotThere):
        send(ask_for("hmm"), provider, route())
    assert asked == ["gpt-4o"]


def test_other_errors_of_a_cheaper_model_pass_as_they_are() -> None:
    class Limited(Exception):
        status_code = 429

    model = FakeModel([Limited()])
    with pytest.raises(Limited):
        send(ask_for(), model, route(), declared_task="yes_no")
    assert len(model.calls) == 1


def test_a_stream_whose_model_is_not_there_is_the_callers_own_models_stream() -> None:
    def open_stream(call: Call) -> FakeStream:
        error = NotThere() if call.request.model != "gpt-4o" else None
        return FakeStream(reply_with("one two three"), error, breaks_at=0)

    ctx = Context(declared_task="yes_no")
    flow = compose([(route(escalate=False), "on")], ctx)(ask_for().with_(stream=True))
    assert list(stream(flow, ctx, lambda call: reply_with(), open_stream, lambda reply: [])) == ["one ", "two ", "three"]
