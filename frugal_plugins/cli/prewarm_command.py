"""`frugal prewarm`: whether warming a prompt's front pays, and doing it when told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from frugal_plugins.cli.asking import asking
from frugal_plugins.cli.explain_command import read_request
from frugal_plugins.cli.provider import environment
from frugal_plugins.cli.screen import note, result
from frugal_plugins.errors import InputError
from frugal_plugins.prefix.warmth import Warmth, warming, warmth
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number
from frugal_plugins.request import Request
from frugal_plugins.told import read_told
from frugal_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `frugal prewarm`; `live` is None when nothing is to be sent."""

    recipe: str
    concurrent: int = 1
    keep_seconds: float = 0.0
    likely: float = 1.0
    warm: bool = False
    live: bool | None = None
    anyway: bool = False


@dataclass(slots=True)
class Sent:
    """What was sent and what the provider says it wrote and read."""

    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    interrupted: bool = False


def prewarm_request(source: str, wishes: Wishes, *, as_json: bool) -> None:
    """Print the decision, and send what was asked for."""
    asked = read_request(source)
    with environment({"FRUGAL_LEDGER": "off"}):
        loaded = Recipe.load(wishes.recipe)
        seen = loaded.explain(Request(asked.model or loaded.name, asked.messages, asked.params), told=read_told({"frugal": asked.frugal}))
    if seen.sent is None:
        raise InputError("a stored answer would be returned for this request, so nothing is sent; give one that is asked", file=source)
    found = warmth(
        seen.sent,
        loaded.prices,
        concurrent=wishes.concurrent,
        keep_seconds=wishes.keep_seconds,
        return_probability=wishes.likely,
        warm=wishes.warm,
    )
    sent = Sent()
    if wishes.live is not None and (found.pays or wishes.anyway):
        _send(warming(seen.sent, loaded.prices), found, wishes, sent)
    result(_figures(found, sent, wishes), lambda: _text(found, sent, wishes), as_json=as_json)


def _send(front: Request, found: Warmth, wishes: Wishes, sent: Sent) -> None:
    """Write the front, and touch it until it is needed. Ctrl-C ends the touching."""
    with asking(wishes.recipe, [front.model], live=bool(wishes.live)) as ask:
        try:
            for number in range((0 if wishes.warm else 1) + found.touches):
                if number or wishes.warm:
                    note(f"frugal: next touch in {found.every_seconds:.0f} s; Ctrl-C ends it")
                    time.sleep(found.every_seconds)
                sent.usage = sent.usage + ask.request(front).usage
                sent.calls += 1
        except KeyboardInterrupt:
            sent.interrupted = True


def _figures(found: Warmth, sent: Sent, wishes: Wishes) -> dict[str, Any]:
    return {
        "model": found.model,
        "front_tokens": found.front_tokens,
        "pays": found.pays,
        "why": found.why,
        "cost_usd": number(found.cost_usd),
        "saves_usd": number(found.saves_usd),
        "touches": found.touches,
        "every_seconds": found.every_seconds,
        "sent": sent.calls,
        "provider": None if wishes.live is None else "live" if wishes.live else "sandbox",
        "cache_write_tokens": sent.usage.cache_write_5m_tokens + sent.usage.cache_write_1h_tokens,
        "cache_read_tokens": sent.usage.cache_read_tokens,
        "interrupted": sent.interrupted,
    }


def _text(found: Warmth, sent: Sent, wishes: Wishes) -> Any:
    rows = [
        ("model", found.model),
        ("front", f"{found.front_tokens:,} tokens"),
        ("decision", found.why),
        ("costs", money(found.cost_usd)),
        ("saves", money(found.saves_usd)),
    ]
    if found.touches:
        rows.append(("kept warm by", f"{found.touches} touches, one every {found.every_seconds:.0f} s"))
    if wishes.live is None:
        rows.append(("sent", "nothing; add --provider live (or sandbox for a rehearsal)"))
    else:
        usage = sent.usage
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        rows.append(("sent", f"{sent.calls} requests; written {written:,} tokens, read {usage.cache_read_tokens:,}"))
    return table("frugal prewarm", ("", ""), rows, words=2)
