"""`frugal shorten`: prompt files in fewer tokens, with what was kept, what it saves, and a diff. Written only when told."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer
from rich.console import RenderableType

from frugal_plugins.cli.asking import Asker, asking
from frugal_plugins.cli.failures import FAILED
from frugal_plugins.cli.progress import Show, bar
from frugal_plugins.cli.prompt_eval import Case, EvalResult, evaluate, read_cases
from frugal_plugins.cli.prompt_files import PromptFile, read_prompt
from frugal_plugins.cli.screen import note, result, write_text
from frugal_plugins.cli.shorten_words import figures, shown
from frugal_plugins.errors import FrugalError
from frugal_plugins.prefix.cost import CachePlan, plan_for
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.text.kept import Kept, compare
from frugal_plugins.text.prompts import Level
from frugal_plugins.text.rewrite import Section, rewritten


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of `frugal shorten`."""

    model: str
    level: Level = "sentences"
    schemas: bool = True
    rewrite: bool = False
    eval: Path | None = None
    recipe: str = "support"
    live: bool = False
    recorded: Path | None = None
    requests_per_month: int | None = None
    write: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        by_rules, file: after the rules alone, and in the end.
        sections: what a model was asked to rewrite, part by part.
        constraints: numbers, ids, negations and so on, before (the rules' text) and after.
        written: whether the file was overwritten.
    """

    original: PromptFile
    by_rules: PromptFile
    file: PromptFile
    sections: tuple[Section, ...] = ()
    constraints: tuple[Kept, ...] = ()
    eval: EvalResult | None = None
    written: bool = False

    @property
    def diff(self) -> str:
        """A unified diff of the file."""
        name = str(self.original.path)
        before, after = self.original.before.splitlines(), self.file.after.splitlines()
        return "\n".join(difflib.unified_diff(before, after, name, f"{name} (shorter)", lineterm="", n=1))

    @property
    def saved_tokens(self) -> int:
        """Input tokens fewer in every request with this prompt."""
        return self.original.tokens - self.file.tokens

    @property
    def may_write(self) -> bool:
        """Whether there is a gain and the eval did not get worse."""
        return self.saved_tokens > 0 and not (self.eval and self.eval.worse)


@dataclass(frozen=True, slots=True)
class Totals:
    """All files together, and what finding out cost."""

    outcomes: tuple[Outcome, ...]
    plan: CachePlan | None
    prices: PriceBook
    asker: Asker | None = field(default=None)


def shorten_files(paths: Sequence[Path], wishes: Wishes, *, as_json: bool) -> None:
    """Shorten files and print what that gains; leaves with 1 when an eval got worse."""
    files = [read_prompt(path, wishes.model) for path in paths]
    cases = read_cases(wishes.eval) if wishes.eval else []
    prices = Recipe.load({"recipe": "prices", "tiers": {"only": {"models": [wishes.model]}}, "ledger": {"path": "off"}}).prices
    asker: Asker | None = None
    if wishes.rewrite or cases:
        cheap = _cheap_model(wishes.recipe)
        with asking(wishes.recipe, [cheap, wishes.model], live=wishes.live, recorded=wishes.recorded) as asker, bar(None) as show:
            outcomes = [_worked(file, wishes, cases, asker, cheap, show) for file in files]
    else:
        outcomes = [_ruled(file, wishes) for file in files]
    outcomes = [_written(outcome) if wishes.write else outcome for outcome in outcomes]
    totals = Totals(tuple(outcomes), plan_for(wishes.model, prices), prices, asker)
    result(figures(totals, wishes), lambda: _text(totals, wishes), as_json=as_json)
    worse = [str(one.original.path) for one in outcomes if one.eval is not None and one.eval.worse]
    if worse:
        note(f"frugal: the eval got worse, so nothing is written for {', '.join(worse)}; look at the diff, or try without --rewrite")
        raise typer.Exit(FAILED)


def _text(totals: Totals, wishes: Wishes) -> RenderableType:
    return shown(totals, wishes)


def _cheap_model(recipe: str) -> str:
    loaded = Recipe.load(recipe)
    loaded.close()
    return loaded.tiers[0].models[0]


def _ruled(file: PromptFile, wishes: Wishes) -> Outcome:
    short = file.by_rules(wishes.level, schemas=wishes.schemas)
    return Outcome(file, short, short, constraints=_constraints(file, short))


def _constraints(before: PromptFile, after: PromptFile) -> tuple[Kept, ...]:
    """What was kept; a schema that changed its notation is not prose, so it is left out of the comparison."""
    if any("notation" in one or "response_format" in one for one in after.did):
        before = before.by_rules("format", schemas=True)
    return compare("\n".join(before.texts), "\n".join(after.texts))


def _worked(file: PromptFile, wishes: Wishes, cases: Sequence[Case], asker: Asker, cheap: str, show: Show) -> Outcome:
    outcome = _ruled(file, wishes)
    if wishes.rewrite:
        outcome = _by_model(outcome, asker, cheap, show)
    if cases and outcome.saved_tokens > 0:
        name = f"eval of {file.path.name}"
        before, after = "\n".join(file.texts), "\n".join(outcome.file.texts)
        tested = evaluate(
            before, after, cases, lambda messages: asker(wishes.model, messages).text, lambda done: show(done, name, len(cases))
        )
        outcome = replace(outcome, eval=tested)
    return outcome


def _by_model(outcome: Outcome, asker: Asker, cheap: str, show: Show) -> Outcome:
    """The rules' text rewritten by the cheap model where nothing gets lost."""
    file, parts = outcome.by_rules, list[Section]()
    for text in outcome.by_rules.texts:
        work, done = rewritten(text, model=file.request.model), 0
        try:
            ask = next(work)
            while True:
                done += 1
                show(done, f"rewriting {file.path.name}", max(done, len(text) // 2000 + 1))
                ask = work.send(asker(cheap, ask).text)
        except StopIteration as stop:
            sections: list[Section] = stop.value
        new = "".join(section.after for section in sections)
        parts += sections
        if new != text:
            file = file.with_text(text, new, f"rewritten by {cheap}")
    kept = compare("\n".join(outcome.by_rules.texts), "\n".join(file.texts)) if file is not outcome.by_rules else outcome.constraints
    return replace(outcome, file=file, sections=tuple(parts), constraints=kept)


def _written(outcome: Outcome) -> Outcome:
    """Overwrite the file, unless someone else changed it meanwhile."""
    if not outcome.may_write:
        return outcome
    path = outcome.original.path
    if read_prompt(path, outcome.file.request.model).before != outcome.original.before:
        raise FrugalError(f"{path} was changed while this ran, so it was not overwritten; run the command again")
    write_text(path, outcome.file.after)
    return replace(outcome, written=True)
