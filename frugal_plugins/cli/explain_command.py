"""`frugal explain`: what would happen to a request, and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType

from frugal_plugins.cli.lines import STDIN, Line, parse_line
from frugal_plugins.cli.provider import environment
from frugal_plugins.cli.screen import line as say
from frugal_plugins.cli.screen import result
from frugal_plugins.errors import InputError
from frugal_plugins.recipe.explain import USUAL_OUTPUT_TOKENS, Explanation
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number
from frugal_plugins.request import Request
from frugal_plugins.tasks import Source
from frugal_plugins.told import read_told


def explain_request(source: str, recipe: str, *, as_json: bool) -> None:
    """Rehearse one request and print every decision. Nothing is sent and nothing is booked."""
    asked = read_request(source)
    with environment({"FRUGAL_LEDGER": "off"}):
        loaded = Recipe.load(recipe)
        request = Request(asked.model or loaded.name, asked.messages, asked.params)
        seen = loaded.explain(request, told=read_told({"frugal": asked.frugal}))
    result(_figures(seen, loaded), lambda: _text(seen, loaded), as_json=as_json)


def read_request(source: str) -> Line:
    """One request from a file or stdin, in either form. Raises InputError with the reason when it is none."""
    name = "stdin" if source == STDIN else source
    try:
        raw = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"the request cannot be read ({error.strerror}); check the path and its permissions", file=name) from error
    found = parse_line(raw.removeprefix(b"\xef\xbb\xbf") + b"\n", 1)
    if found.bad is not None:
        raise InputError(f"{found.bad}. Give one chat completion body, or one line of the input of frugal run.", file=name)
    return found


def _figures(seen: Explanation, recipe: Recipe) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "task": {"name": seen.task.name, "source": seen.task.source, "why": seen.task.why},
        "decisions": [{"technique": d.technique, "action": d.action, "why": d.why, "mode": d.mode} for d in seen.decisions],
        "asked": {"model": seen.asked.model, "messages": len(seen.asked.messages), "input_tokens": seen.input_tokens},
        "sent": None if seen.sent is None else {"model": seen.sent.model, "messages": len(seen.sent.messages), "changed": _changed(seen)},
        "baseline_model": seen.baseline_model,
        "baseline_usd": number(seen.baseline_usd),
        "expected_usd": number(seen.expected_usd),
        "estimate": f"for an answer of {USUAL_OUTPUT_TOKENS} tokens, or of the limit where that is lower",
    }


def _changed(seen: Explanation) -> dict[str, Any]:
    """Parameters that would differ from what was asked."""
    if seen.sent is None:
        return {}
    before, after = seen.asked.params, seen.sent.params
    return {name: after.get(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)}


_FOUND: Final[Mapping[Source, str]] = {
    "declared": "named by the caller",
    "rules": "found by rules",
    "classifier": "found by the classifier",
    "unknown": "not recognised",
}


def _text(seen: Explanation, recipe: Recipe) -> RenderableType:
    found = _FOUND[seen.task.source]
    why = f": {seen.task.why}" if seen.task.why else ""
    rows = [
        ("recipe", recipe.name),
        ("task", f"{seen.task.name}, {found}{why}"),
        ("asked for", f"{seen.asked.model}, {len(seen.asked.messages)} messages, {seen.input_tokens:,} tokens"),
        ("would be sent", _sent(seen)),
        ("without the recipe", f"{money(seen.baseline_usd)} at {seen.baseline_model} (estimate)"),
        ("expected", f"{money(seen.expected_usd)} (estimate, for {USUAL_OUTPUT_TOKENS} tokens of answer or the limit)"),
    ]
    decisions = [(d.technique, ("would: " if d.mode == "shadow" else "") + d.action, d.why) for d in seen.decisions]
    nothing = say("No technique has anything to say about it; it would travel as it is.")
    return Group(
        table("What would happen", ("", ""), rows, words=2),
        table("Decisions, in order", ("technique", "action", "why"), decisions, words=3) if decisions else nothing,
    )


def _sent(seen: Explanation) -> str:
    if seen.sent is None:
        return "nothing: a stored answer would be returned"
    changes = ", ".join(f"{name}={json.dumps(value)}" for name, value in _changed(seen).items())
    return seen.sent.model + (f" with {changes}" if changes else ", nothing else changed")
