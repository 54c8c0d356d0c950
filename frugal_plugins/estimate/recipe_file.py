"""A recipe written for this traffic: only what a recipe can switch on today, with the estimate as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from frugal_plugins.estimate.estimate import Estimate, decimal
from frugal_plugins.estimate.savings import Saving
from frugal_plugins.recipe.settings import parse
from frugal_plugins.recipe.source import read_recipe
from frugal_plugins.report.words import money, percent

_TASK: re.Pattern[str] = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SETTINGS = {
    "cache": "{{scope: [tenant], ttl_seconds: {ttl}, mode: {mode}}}",
    "route": "{{sticky: session, mode: {mode}}}",
    "cap": "{{mode: {mode}}}",
    "history": "{{when: it_pays, mode: {mode}}}",
    "shorten": "{{mode: {mode}}}",
    "prompt_cache": "{{mode: {mode}}}",
    "batch": "{{window_hours: 24}}",
}


def recipe_text(found: Estimate, name: str) -> str:
    """The recipe as YAML. Its name is made of `name`; the text is read back before it is returned."""
    return "\n".join(_lines(found, _recipe_name(name))) + "\n"


def check_written(path: str) -> None:
    """Read a written recipe as every other one is read. Raises RecipeError where it does not make sense."""
    parse(read_recipe(path))


def _recipe_name(name: str) -> str:
    made = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:40]
    return made if made[:1].isalpha() else f"fitted-{made}".strip("-")


def _lines(found: Estimate, name: str) -> Iterator[str]:
    plan, spend = found.plan, found.spend
    yield f"# Written by frugal estimate from {spend.requests:,} requests that cost {money(spend.usd)}."
    yield "# Run `frugal check` on it after every change; mode: shadow changes nothing and shows what it would have saved."
    yield f"recipe: {name}"
    yield "mode: on                      # off | shadow | on"
    yield "control_percent: 2            # share of the traffic left untouched, to measure against"
    yield f"baseline: {plan.baseline}"
    yield "tiers:                        # cheapest first"
    for tier in plan.tiers:
        yield f"  {tier.name}: {{models: [{', '.join(map(_quoted, tier.models))}]}}"
    yield "tasks:                        # what a caller names in metadata, or the rules recognise"
    for task, tier_name in plan.tasks.items():
        if _TASK.fullmatch(task):
            budget = plan.budgets.get(task)
            yield f"  {task}: {{tier: {tier_name}{'' if budget is None else f', output_tokens: {budget}'}}}"
    for saving in found.savings.by_rank():
        if saving.in_recipes:
            yield _section(found, saving)
    later = [saving.name for saving in found.savings.by_rank() if not saving.in_recipes and saving.combined.likely > 0]
    if later:
        yield f"# Not in recipes of this version, but worth it for this traffic, best first: {', '.join(later)}"


def _section(found: Estimate, saving: Saving) -> str:
    """On where the logs show a saving; in shadow where they cannot show it, so that the ledger will."""
    mode = "on" if saving.visible and saving.combined.likely >= 0 else "shadow"
    before = found.savings.before
    share = percent(100 * saving.combined.likely / before if before else None)
    words = (
        f"likely {money(decimal(saving.combined.likely))} of these logs, {share}"
        if saving.visible
        else f"not visible in these logs: {saving.driver}"
    )
    return f"{saving.name}: {_SETTINGS[saving.name].format(ttl=found.plan.ttl_seconds, mode=mode)}    # {words}"


def _quoted(model: str) -> str:
    return model if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", model) else '"' + model.replace('"', "") + '"'
