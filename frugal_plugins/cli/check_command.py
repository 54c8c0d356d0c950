"""`frugal check`: what is wrong or doubtful in a recipe, before it costs anything."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from frugal_plugins.cli.failures import BAD_INPUT
from frugal_plugins.cli.screen import line, result
from frugal_plugins.errors import InputError, LedgerError, MissingExtra, RecipeError
from frugal_plugins.ledger.reading import open_reader
from frugal_plugins.models import Capabilities, capabilities
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prices import PriceBook, Rates, own_rates, provider_of
from frugal_plugins.recipe.build import judge_model
from frugal_plugins.recipe.recipe import switched_off
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.report.words import money
from frugal_plugins.usage import Usage

Level = Literal["ok", "warn", "error"]

_JUDGED_TOKENS: Final = 1_000
_LONG_TTL_SECONDS: Final = 7 * 86_400
_MODES: Final = ("off", "shadow", "on")
_TECHNIQUES: Final = ("cache", "shorten", "history", "route", "cap", "prompt_cache")
_SOON_DAYS: Final = 90
_STYLES: Final = {"ok": "green", "warn": "yellow", "error": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: how bad, what, and for a warning or an error what to do."""

    level: Level
    words: str


def check_recipes(sources: Sequence[str], *, as_json: bool) -> None:
    """Check recipes and print what was found; leaves with 2 when one of them cannot be used."""
    if not sources:
        raise InputError("nothing to check; name a recipe, or a log of requests with --traffic LOG.jsonl")
    found = {source: findings(source) for source in sources}
    bad = any(finding.level == "error" for each in found.values() for finding in each)
    payload = {
        "ok": not bad,
        "recipes": {source: [{"level": f.level, "message": f.words} for f in each] for source, each in found.items()},
    }
    result(payload, lambda: Group(*(_shown(source, each) for source, each in found.items())), as_json=as_json)
    if bad:
        raise typer.Exit(BAD_INPUT)


def findings(source: str) -> list[Finding]:
    """Everything there is to say about one recipe, worst last."""
    try:
        settings = parse(read_recipe(source))
    except RecipeError as error:
        return [Finding("error", str(error))]
    book = PriceBook({model: own_rates(model, price.rates(), "the recipe") for model, price in settings.prices.items()})
    found = [
        *_modes(settings),
        *_prices(settings, book),
        *_order(settings, book),
        *_facts(settings),
        *_retired(settings, dt.datetime.now(dt.UTC).date()),
        *_budgets(settings),
        *_sense(settings),
        *_judge(settings, book),
        *_pipeline(settings),
        *_ledger(settings),
    ]
    return sorted(found, key=lambda finding: list(_STYLES).index(finding.level))


def _shown(source: str, found: Sequence[Finding]) -> Group:
    lines = Table.grid(padding=(0, 1))
    for each in found:
        lines.add_row(Text(f"  {each.level:<5}", style=_STYLES[each.level]), Text(each.words))
    return Group(line(source, style="bold"), lines)


def _modes(settings: RecipeSettings) -> Iterator[Finding]:
    yield Finding("ok", f"recipe '{settings.recipe}', mode {settings.mode}, {settings.control_percent:g} % left untouched as control")
    if settings.control_each_percent:
        yield Finding("ok", f"{settings.control_each_percent:g} % without each technique, to measure what it adds to the others")
    for name in _TECHNIQUES:
        section = getattr(settings, name)
        mode = "off" if section is None else min(section.mode, settings.mode, key=_MODES.index)
        yield Finding("ok", f"{name}: {mode}")
    yield from _environment()


def _environment() -> Iterator[Finding]:
    """What is set outside the recipe and wins over it."""
    off, mode = os.environ.get("FRUGAL_OFF"), os.environ.get("FRUGAL_MODE")
    if switched_off():
        yield Finding("warn", f"FRUGAL_OFF={off} is set and switches the recipe off; unset it if that is not meant")
    elif off and off.lower() not in ("0", "false", "no", "off"):
        yield Finding("warn", f"FRUGAL_OFF={off} is set and switches nothing off; write FRUGAL_OFF=1 if that is meant")
    if mode in _MODES:
        yield Finding("warn", f"FRUGAL_MODE={mode} is set and wins over the recipe's mode; unset it if that is not meant")
    elif mode:
        yield Finding("error", f"FRUGAL_MODE is {mode!r}, so no recipe can be used; set it to off, shadow or on, or unset it")


def _models(settings: RecipeSettings) -> list[str]:
    return list(dict.fromkeys(model for tier in settings.tiers.values() for model in tier.models))


def _prices(settings: RecipeSettings, book: PriceBook) -> Iterator[Finding]:
    unpriced = [model for model in _models(settings) if book.rates(model) is None]
    if unpriced:
        yield Finding("warn", f"no known price for {', '.join(unpriced)}; name it under prices, or it is left out of the dollars")
    else:
        yield Finding("ok", f"prices known for all {len(_models(settings))} models")


def _order(settings: RecipeSettings, book: PriceBook) -> Iterator[Finding]:
    """Tiers come cheapest first; route only ever moves down, so a wrong order keeps it from saving."""
    priced = [(name, tier.models[0], rates) for name, tier in settings.tiers.items() if (rates := book.rates(tier.models[0])) is not None]
    wrong = False
    for (low, low_model, low_rates), (high, high_model, high_rates) in pairwise(priced):
        comparable = capabilities(low_model).thinks == capabilities(high_model).thinks  # thinking is billed on top of the list price
        if comparable and _blend(low_rates) > _blend(high_rates):
            wrong = True
            yield Finding(
                "warn", f"tier {low} ({low_model}) costs more than the tier {high} after it ({high_model}); write the cheapest tier first"
            )
    if priced and not wrong:
        yield Finding("ok", f"tiers in order of price: {', '.join(settings.tiers)}")


def _blend(rates: Rates) -> Decimal:
    """A typical request: four parts read, one part written."""
    return 4 * rates.input_usd + rates.output_usd


def _facts(settings: RecipeSettings) -> Iterator[Finding]:
    unknown = [model for model in _models(settings) if capabilities(model) == Capabilities(thinks=capabilities(model).thinks)]
    if unknown:
        yield Finding(
            "warn", f"LiteLLM knows nothing about {', '.join(unknown)}; check the spelling; it is taken for able to do everything"
        )
    else:
        yield Finding("ok", "LiteLLM knows every model")


def _retired(settings: RecipeSettings, today: dt.date) -> Iterator[Finding]:
    """Models that are gone, or soon will be: requests routed there would be asked twice, or refused."""
    for model in _models(settings):
        gone = _gone_on(model, today)
        if gone is None:
            continue
        when = f"was retired on {gone}" if gone <= today else f"is retired on {gone}"
        beside = (one for tier in settings.tiers.values() if model in tier.models for one in tier.models)
        next_one = next((one for one in beside if provider_of(one) == provider_of(model) and _gone_on(one, today) is None), None)
        if next_one is None:
            yield Finding("warn", f"{model} {when}, as LiteLLM's list has it; name its successor in tiers")
        else:
            yield Finding("ok", f"{model} {when}, as LiteLLM's list has it; once it is refused, {next_one} of its tier is asked")


def _gone_on(model: str, today: dt.date) -> dt.date | None:
    """When a model is retired, where that is past or soon."""
    said = capabilities(model).retired_on
    gone = dt.date.fromisoformat(said) if said else None
    return gone if gone is not None and (gone - today).days <= _SOON_DAYS else None


def _budgets(settings: RecipeSettings) -> Iterator[Finding]:
    budgets = {name: task.output_tokens for name, task in settings.tasks.items() if task.output_tokens is not None}
    if budgets and settings.cap is None:
        yield Finding("warn", "tasks have output_tokens but cap is off, so nothing is limited; write 'cap: {}' or remove them")
    if settings.cap is None:
        return
    if not budgets:
        yield Finding("warn", "cap is on but no task has output_tokens, so nothing is limited; add output_tokens to tasks")
    for name, tokens in budgets.items():
        models = settings.tiers[settings.tasks[name].tier].models
        for model in models:
            most = capabilities(model).max_output_tokens
            if most is not None and tokens > most:
                yield Finding("warn", f"task {name} allows {tokens} output tokens, but {model} writes at most {most}; lower it")
        if tokens < 3:
            yield Finding("warn", f"task {name} allows only {tokens} output tokens, too few for a word; allow at least 5")
    thinkers = [model for model in _models(settings) if capabilities(model).thinks]
    if thinkers and settings.cap.reasoning_tokens < 500:
        yield Finding("warn", f"{', '.join(thinkers)} think first; raise cap.reasoning_tokens to 2000 or more")
    if budgets:
        yield Finding("ok", f"budgets: {', '.join(f'{name} {tokens}' for name, tokens in budgets.items())} output tokens")


def _sense(settings: RecipeSettings) -> Iterator[Finding]:
    names = list(settings.tiers)
    if settings.route is not None and len(names) < 2:
        yield Finding("warn", "route is on but there is one tier, so there is nowhere to go; add a cheaper tier")
    if settings.route is not None and not settings.tasks:
        yield Finding("warn", "route is on but there are no tasks, so every request stays where it is; add tasks with their tier")
    if settings.route is not None and len(names) > 1 and settings.baseline == names[0]:
        yield Finding("warn", f"the baseline is the cheapest tier ({names[0]}), so routing cannot save; name the tier you use today")
    if settings.cache is not None and settings.cache.ttl_seconds > _LONG_TTL_SECONDS:
        days = settings.cache.ttl_seconds / 86_400
        yield Finding("warn", f"stored answers are served for {days:.0f} days; lower cache.ttl_seconds unless they never go stale")
    if settings.batch is None and all(getattr(settings, name) is None for name in _TECHNIQUES):
        yield Finding("warn", "no technique is on, so nothing is saved; add 'cache: {}', 'route: {}' or 'cap: {}'")


def _judge(settings: RecipeSettings, book: PriceBook) -> Iterator[Finding]:
    said = settings.judge
    if said is None:
        return
    model = judge_model(settings)
    usd = book.cost(model, Usage(_JUDGED_TOKENS, output_tokens=1))
    if usd is None:
        yield Finding("warn", f"judge: no price is known for {model}, so it judges nothing; name it under prices, or another judge.tier")
    else:
        shares = f"{said.percent:g} % of treated and {said.control_percent:g} % of untouched answers"
        each = f"{money(usd)} for one of {_JUDGED_TOKENS:,} tokens"
        yield Finding("ok", f"judge: {model} judges {shares}, about {each}, at most {money(said.usd_per_day)} a day")
    if not settings.control_percent and not settings.control_each_percent:
        yield Finding("warn", "judge: there is no untouched traffic to compare with; write 'control_percent: 2'")


def _pipeline(settings: RecipeSettings) -> Iterator[Finding]:
    if settings.pipeline is not None:
        names = ", ".join(settings.pipeline.variables) or "none"
        yield Finding("ok", f"pipeline variables: {names}")


def _ledger(settings: RecipeSettings) -> Iterator[Finding]:
    named = os.environ.get("FRUGAL_LEDGER") or settings.ledger.path
    if named == "off":
        if settings.alerts:
            yield Finding("error", "alerts count in the ledger, and the ledger is off; write 'ledger: {}', or remove alerts")
        yield Finding("warn", "the ledger is off, so nothing proves what was saved; write 'ledger: {}'")
        return
    if settings.ledger.keep_text:
        yield Finding("warn", "the ledger keeps prompts and answers (keep_text); they can be personal data, so mind who can read it")
    if is_postgres(named):
        yield from _existing(named)
        return
    path = Path(named)
    if not path.parent.is_dir():
        yield Finding("error", f"the ledger's folder {path.parent} does not exist; make it, or name another ledger.path")
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        yield Finding("error", f"the ledger {path} cannot be written; check its permissions, or name another ledger.path")
    elif path.exists():
        yield from _existing(path)
    else:
        yield Finding("ok", f"ledger: {path} (made at the first request)")


def _existing(place: Path | str) -> Iterator[Finding]:
    try:
        with open_reader(place) as reader:
            yield Finding("ok", f"ledger: {reader.place}")
    except MissingExtra as error:
        yield Finding("error", str(error))
    except (LedgerError, sqlite3.Error) as error:
        yield Finding("error", f"the ledger cannot be used ({error}); free it, or name another ledger.path")
