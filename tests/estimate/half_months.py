"""The shipped month as a provider in this process answers it: logs of untouched calls, and the same calls through a recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.drivers import drive
from frugal_plugins.estimate import estimate_logs
from frugal_plugins.estimate.savings import IN_RECIPES
from frugal_plugins.flow import Call
from frugal_plugins.ledger import summarize
from frugal_plugins.prices import bare_name
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.recipe.settings import parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.request import Reply, Request
from frugal_plugins.tokens import count_messages, count_text, encoding
from frugal_plugins.told import read_told
from frugal_plugins.usage import Usage
from frugal_plugins.workload import TIERS, WorkItem, load_month

START_SECONDS = 1_790_812_800
NOW_SECONDS = 1_795_000_000.0


def halves() -> tuple[list[WorkItem], list[WorkItem]]:
    """The month's first and second half, by time."""
    items = list(load_month())
    middle = items[-1].at_seconds // 2
    return [item for item in items if item.at_seconds <= middle], [item for item in items if item.at_seconds > middle]


def answer(item: WorkItem, model: str, params: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Reply:
    """What a model of that size says, cut where the request's limit cuts it."""
    tier = next((name for name, models in TIERS.items() if bare_name(model) in models), "complex")
    said = item.answers[tier]
    text = said if isinstance(said, str) else None
    calls = (
        None
        if isinstance(said, str)
        else [{"id": "c", "type": "function", "function": c} for c in json.loads(json.dumps(said["tool_calls"]))]
    )
    tokens = count_text(text if text is not None else json.dumps(calls), model)
    limit = params.get("max_tokens") or params.get("max_completion_tokens")
    finish = "stop" if text is not None else "tool_calls"
    if limit is not None and tokens > limit and text is not None:
        text, tokens, finish = encoding("o200k_base").decode(encoding("o200k_base").encode(text)[:limit]), limit, "length"
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    return Reply(message, model, Usage(count_messages(messages, model, params=params), output_tokens=tokens), finish)


def write_logs(items: Sequence[WorkItem], path: Path) -> Path:
    """Untouched calls, one JSON line each, as an application would log them."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            params = {name: value for name, value in item.body.items() if name not in ("model", "messages")}
            reply = answer(item, item.body["model"], params, item.body["messages"])
            usage = {"prompt_tokens": reply.usage.input_tokens, "completion_tokens": reply.usage.output_tokens}
            choices = [{"finish_reason": reply.finish, "message": dict(reply.message)}]
            response = {"model": reply.model, "usage": usage, "choices": choices}
            line = {"timestamp": START_SECONDS + item.at_seconds, "request": item.body, "frugal": item.frugal, "response": response}
            file.write(json.dumps(line) + "\n")
    return path


def through(recipe: str, items: Sequence[WorkItem], ledger: Path) -> dict[str, Decimal]:
    """Run requests through a recipe; what each technique saved, of the baseline, by the ledger."""
    now = [0.0]
    data = {**read_recipe(recipe).data, "recipe": "measured", "mode": "on", "control_percent": 0, "ledger": {"path": str(ledger)}}
    if isinstance(data.get("cache"), Mapping):  # answers stay in memory, so that one run knows nothing of another
        data["cache"] = {name: value for name, value in data["cache"].items() if name != "path"}
    made = Recipe.load(data, clock=lambda: now[0])
    for item in items:
        now[0] = START_SECONDS + item.at_seconds
        params = {name: value for name, value in item.body.items() if name not in ("model", "messages", "stream")}
        request = Request(item.body["model"], tuple(item.body["messages"]), params, stream=item.body.get("stream") is True)
        flow, ctx = made.flow(request, told=read_told({"frugal": item.frugal}))

        def send(call: Call, item: WorkItem = item) -> Reply:
            return answer(item, call.request.model, call.request.params, call.request.messages)

        drive(flow, ctx, send)
    made.close()
    summary = summarize(ledger)
    return {line.technique: line.saved_usd / summary.baseline_usd for line in summary.techniques}


def prediction(recipe: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Estimate the first half, run the second, compare in percent of the baseline; what a recipe cannot switch on is not measured."""
    first, second = halves()
    settings = parse(read_recipe(recipe))
    on = {name for name in IN_RECIPES if (section := getattr(settings, name)) is not None and getattr(section, "mode", "on") != "off"}
    found = estimate_logs([write_logs(first, folder / "first.jsonl")], recipe=settings, now_seconds=NOW_SECONDS)
    measured = through(recipe, second, folder / "ledger.sqlite")
    made: dict[str, dict[str, Any]] = {}
    for saving in found.savings.techniques:
        share = [100 * usd / found.savings.before for usd in (saving.combined.low, saving.combined.likely, saving.combined.high)]
        real = float(100 * measured.get(saving.name, Decimal(0))) if saving.name in on else None
        inside = None if real is None else round(share[0], 3) <= round(real, 3) <= round(share[2], 3)
        made[saving.name] = {"low": share[0], "likely": share[1], "high": share[2], "measured": real, "inside": inside}
    return made
