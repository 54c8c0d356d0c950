"""`frugal estimate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Group, RenderableType

from frugal_plugins.cli.screen import can_be_written, line, note, result, write_text
from frugal_plugins.errors import InputError
from frugal_plugins.estimate import Elsewhere, Estimate, Numbers, estimate_logs, estimate_numbers
from frugal_plugins.estimate.figures import estimate_figures
from frugal_plugins.estimate.near import SIMILARITY
from frugal_plugins.estimate.recipe_file import check_written, recipe_text
from frugal_plugins.estimate.text import estimate_text
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe


@dataclass(frozen=True, slots=True)
class Asked:
    """The few numbers of a command line; None where one was not given."""

    requests_per_month: int | None
    input_tokens: int | None
    output_tokens: int | None
    models: tuple[str, ...]
    cached_percent: float

    @property
    def anything(self) -> bool:
        """Whether any number was given."""
        return bool(self.models) or any(value is not None for value in (self.requests_per_month, self.input_tokens, self.output_tokens))


@dataclass(frozen=True, slots=True)
class Files:
    """What is to be written, and whether questions are compared by meaning on the way."""

    html: Path | None
    recipe: Path | None
    by_meaning: bool = False


def estimate_spend(logs: Sequence[str], recipe: str | None, asked: Asked, files: Files, elsewhere: Elsewhere, *, as_json: bool) -> None:
    """Estimate from logs, from numbers, or from answers to questions, and print, or write, what was found."""
    for path in (files.html, files.recipe):
        can_be_written(path)
    settings = parse(read_recipe(recipe)) if recipe is not None else None
    found = _found(logs, settings, asked, elsewhere, _similarity(settings) if files.by_meaning else None)
    if not found.spend.by_model and not found.spend.stored_answers:
        models = ", ".join(found.spend.unpriced)
        raise InputError(
            f"none of these models has a known price: {models}. Name their prices under 'prices' in a recipe and pass it with --recipe"
        )
    _write(found, files)
    figures = estimate_figures(found) | {"html": _name(files.html), "recipe_file": _name(files.recipe)}
    result(figures, lambda: _text(found, files), as_json=as_json)


def _found(logs: Sequence[str], settings: RecipeSettings | None, asked: Asked, elsewhere: Elsewhere, similarity: float | None) -> Estimate:
    if logs and asked.anything:
        raise InputError("give log files or numbers, not both; remove one of them")
    if logs:
        return estimate_logs(logs, recipe=settings, elsewhere=elsewhere, similarity=similarity)
    if not asked.anything and not on_a_terminal():
        raise InputError("nothing to estimate; name log files, or give --requests-per-month, --input-tokens, --output-tokens and --model")
    return estimate_numbers(_numbers(asked), recipe=settings)


def _similarity(settings: RecipeSettings | None) -> float:
    cache = settings.cache if settings is not None else None
    return getattr(cache, "similarity", None) or SIMILARITY


def on_a_terminal() -> bool:
    """Whether somebody is there to answer questions."""
    return sys.stdin.isatty()


def _numbers(asked: Asked) -> list[Numbers]:
    ask = on_a_terminal()
    missing = [
        name
        for name, value in (
            ("--requests-per-month", asked.requests_per_month),
            ("--input-tokens", asked.input_tokens),
            ("--output-tokens", asked.output_tokens),
            ("--model", asked.models or None),
        )
        if value is None
    ]
    if missing and not ask:
        raise InputError(f"{', '.join(missing)} is missing; give it, or run this on a terminal to be asked")
    requests = asked.requests_per_month if asked.requests_per_month is not None else _ask("How many requests a month?", 1)
    read = asked.input_tokens if asked.input_tokens is not None else _ask("How many input tokens does a request have, on average?", 1)
    written = asked.output_tokens if asked.output_tokens is not None else _ask("How many output tokens does an answer have?", 0)
    models = asked.models or _ask_models()
    shares = [_share(model) for model in models]
    unnamed = [name for name, percent in shares if percent is None]
    left = 100 - sum(percent for _, percent in shares if percent is not None)
    if left < 0 or (left > 0 and not unnamed):
        raise InputError(
            f"the shares of the models make {100 - left:g} %, not 100; correct them, or leave one without a share to take the rest"
        )
    each = left / len(unnamed) if unnamed else 0.0
    return [
        Numbers(name, round(requests * (each if percent is None else percent) / 100), read, written, asked.cached_percent)
        for name, percent in shares
    ]


def _ask(question: str, least: int) -> int:
    while True:
        answer = int(typer.prompt(question, type=int, err=True))
        if answer >= least:
            return answer
        note(f"give a number of at least {least}")


def _ask_models() -> tuple[str, ...]:
    while True:
        words = str(typer.prompt("Which models, for example gpt-4o or gpt-4o=80 gpt-4o-mini=20?", default="gpt-4o", err=True)).split()
        unknown = [name for name, _ in map(_share, words) if PriceBook().rates(name) is None]
        if not unknown:
            return tuple(words)
        note(f"no known price for {', '.join(unknown)}; check the spelling")


def _share(written: str) -> tuple[str, float | None]:
    """`gpt-4o=80` as a name and its share in percent."""
    name, equals, percent = written.rpartition("=")
    if not equals:
        return written, None
    try:
        share = float(percent.removesuffix("%"))
    except ValueError:
        share = -1.0
    if not name or not 0 <= share <= 100:
        raise InputError(f"--model {written!r} is not NAME or NAME=PERCENT; write gpt-4o=80, for example")
    return name, share


def _write(found: Estimate, files: Files) -> None:
    if files.recipe is not None:
        write_text(files.recipe, recipe_text(found, files.recipe.stem))
        check_written(str(files.recipe))
    if files.html is not None:
        from frugal_plugins.estimate.page import estimate_page

        write_text(files.html, estimate_page(found))


def _name(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _text(found: Estimate, files: Files) -> RenderableType:
    parts: list[RenderableType] = [estimate_text(found)]
    if files.recipe is not None:
        parts.append(line(f"The recipe: {files.recipe} (check it with: frugal check {files.recipe})"))
    if files.html is not None:
        parts.append(line(f"The page: {files.html}"))
    return Group(*parts)
