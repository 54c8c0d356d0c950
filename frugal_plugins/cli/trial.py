"""`frugal try`: the shipped month goes to the sandbox twice, untouched and through a recipe, and both bills are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from frugal_plugins.cli.provider import environment, keys_for, load_litellm, pointed_at
from frugal_plugins.cli.watched import Watch, WatchedRecipe, watching
from frugal_plugins.errors import InputError, LedgerError
from frugal_plugins.prices import bare_name
from frugal_plugins.report.evidence import BilledCall, Evidence, WrongAnswer, read_evidence, reconcile
from frugal_plugins.sandbox import Invoice, Sandbox, VirtualClock
from frugal_plugins.usage import Usage
from frugal_plugins.workload import WorkItem, is_right, recorded_lines

START_UNIX_SECONDS: Final = 1_790_812_800
"""The month begins on 1 October 2026, 00:00 UTC; list prices are taken as of its days."""

_DATED: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""How providers date a model's full name."""

Show = Callable[[str, int], None]
"""Told after each request: which pass, how many are done."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer came to, as a caller reads it."""

    text: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """Both passes, compared.

    Attributes:
        tier_share: requests by the tier of the model that answered, in percent; a stored answer counts for the model that made it.
        errors: requests that failed, in either pass.
    """

    evidence: Evidence
    baseline_invoice: Invoice
    invoice: Invoice
    tier_share: Mapping[str, float]
    errors: int

    @property
    def passed(self) -> bool:
        """Whether the ledger agrees with the invoice and no answer got worse."""
        checked = self.evidence.reconciliation
        return checked is not None and checked.agrees and not self.evidence.wrong_answers and not self.errors


@dataclass(slots=True)
class _Pass:
    """One pass through the workload."""

    said: list[Said] = field(default_factory=list)
    usage: list[Usage | None] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    invoice: Invoice = field(default_factory=Invoice)


def run_trial(source: str, items: Sequence[WorkItem], ledger: Path, show: Show) -> Trial:
    """Send `items` twice and compare. Raises RecipeError for the recipe, LedgerError when the ledger could not be written."""
    load_litellm()
    clock = VirtualClock(START_UNIX_SECONDS)
    with environment({"FRUGAL_LEDGER": str(ledger), "FRUGAL_OFF": None, "FRUGAL_MODE": None}):
        recipe = WatchedRecipe.rehearse(source, clock=clock.now)
        try:
            if recipe.off or not recipe.steps:
                words = "has no technique on, so there is nothing to compare; name another with --recipe"
                raise InputError(f"the recipe '{recipe.name}' {words}")
            before = _untouched(recipe, items, show)
            after = _through(recipe, clock, items, before, show)
            _write_down(recipe)
            return _compare(recipe, items, before, after, ledger)
        finally:
            recipe.close()


def _untouched(recipe: WatchedRecipe, items: Sequence[WorkItem], show: Show) -> _Pass:
    """The baseline: what the team sends today, and what the provider counts for it."""
    done, clock = _Pass(), VirtualClock(START_UNIX_SECONDS)
    with _provider(items, clock) as sandbox:
        for number, item in enumerate(items, start=1):
            _until(clock, item)
            body = dict(item.body)
            if body["model"] in recipe.own_names:
                body["model"] = recipe.settings.tiers[recipe.settings.baseline].models[0]
            billed_before = len(sandbox.invoice().lines)
            done.said.append(_ask(item, body))
            new = sandbox.invoice().lines[billed_before:]
            done.usage.append(sum((line.usage for line in new), Usage()) if new else None)
            show("without the recipe", number)
        done.invoice = sandbox.invoice()
    return done


def _through(recipe: WatchedRecipe, clock: VirtualClock, items: Sequence[WorkItem], before: _Pass, show: Show) -> _Pass:
    """The same through the recipe, as an application with `install(recipe)` would send it."""
    from frugal_plugins.litellm import install, uninstall

    done = _Pass()
    with _provider(items, clock) as sandbox:
        install(recipe)
        try:
            for number, (item, usage) in enumerate(zip(items, before.usage, strict=True), start=1):
                _until(clock, item)
                with watching(Watch({"id": item.id, "baseline_usage": usage})) as watch:
                    done.said.append(_ask(item, {**item.body, "metadata": {"frugal": dict(item.frugal)}}))
                done.watches.append(watch)
                show("with the recipe", number)
        finally:
            uninstall()
        sandbox.settle()
        done.invoice = sandbox.invoice()
    return done


@contextmanager
def _provider(items: Sequence[WorkItem], clock: VirtualClock) -> Iterator[Sandbox]:
    with Sandbox(recorded=recorded(items), clock=clock) as sandbox, pointed_at(sandbox):
        yield sandbox


def recorded(items: Sequence[WorkItem]) -> list[dict[str, Any]]:
    """The month's answers for the sandbox. LiteLLM sends the system prompt of OpenAI's o-series as a user message, so a phrase that
    is looked for in the system prompt is looked for among the earlier messages too."""
    lines = recorded_lines(items)
    again = [
        {**line, "system_contains": "", "context_contains": line.get("context_contains") or line["system_contains"]}
        for line in lines
        if line.get("system_contains")
    ]
    return [*lines, *again]


def _until(clock: VirtualClock, item: WorkItem) -> None:
    """Let the time pass until the team sends this request."""
    clock.advance(max(0.0, START_UNIX_SECONDS + item.at_seconds - clock.now()))


def _ask(item: WorkItem, body: Mapping[str, Any]) -> Said:
    """Send one request with its tenant's key, and read the answer as an application does, piece by piece where it streams."""
    import litellm
    from openai import OpenAIError

    with environment(keys_for(item.frugal.get("tenant", "anyone"))):
        try:
            response = litellm.completion(**body, max_retries=0)
            return _streamed(response) if body.get("stream") else _whole(response)
        except OpenAIError as error:
            return Said(error=f"{type(error).__name__}: {str(error)[:200]}")


def _whole(response: Any) -> Said:
    message = response.choices[0].message
    calls = tuple({"function": {"name": c.function.name, "arguments": c.function.arguments}} for c in message.tool_calls or ())
    return Said(message.content or "", calls)


def _streamed(chunks: Any) -> Said:
    texts: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts.append(choice.delta.content or "")
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index, {"name": "", "arguments": ""})
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
    return Said("".join(texts), tuple({"function": call} for call in calls.values()))


def _write_down(recipe: WatchedRecipe) -> None:
    ledger = recipe.ledger
    if ledger is not None and (not ledger.flush() or ledger.lost):
        raise LedgerError(f"{ledger.lost} rows could not be written to {ledger.place}; free its disk, or name another file with --ledger")


def _compare(recipe: WatchedRecipe, items: Sequence[WorkItem], before: _Pass, after: _Pass, ledger: Path) -> Trial:
    right_before = [_is_right(item, said) for item, said in zip(items, before.said, strict=True)]
    rows = zip(items, right_before, after.said, after.watches, strict=True)
    wrong = tuple(_wrong(item, said, watch) for item, was_right, said, watch in rows if was_right and not _is_right(item, said))
    lines = after.invoice.lines
    billed = [BilledCall(line.id, bare_name(line.model), line.usage.input_tokens, line.usage.output_tokens, line.usd) for line in lines]
    evidence = replace(
        read_evidence(ledger, title=f"A month of a team's requests, with the recipe '{recipe.name}'"),
        reconciliation=reconcile(ledger, billed),
        wrong_answers=wrong,
        wrong_in_baseline=right_before.count(False),
        estimated_usd=_estimated(recipe, after.watches),
    )
    errors = sum(said.error is not None for said in (*before.said, *after.said))
    return Trial(evidence, before.invoice, after.invoice, _tier_share(recipe, after.watches), errors)


def _is_right(item: WorkItem, said: Said) -> bool:
    return said.error is None and is_right(item.check, said.text, said.tool_calls)


def _wrong(item: WorkItem, said: Said, watch: Watch) -> WrongAnswer:
    model = watch.reply.model if watch.reply is not None else "none"
    decided = "; ".join(f"{d.technique} {d.action}: {d.why}" for d in watch.ctx.decisions) if watch.ctx is not None else ""
    why = said.error or f"the answer fails the check '{item.check['kind']}'"
    return WrongAnswer(item.id, item.kind, model, f"{why} ({decided})")


def _estimated(recipe: WatchedRecipe, watches: Sequence[Watch]) -> Decimal:
    """The baseline as the ledger would put it in production, where nobody sends everything twice."""
    total = Decimal(0)
    for watch in watches:
        if watch.ctx is not None:
            watch.ctx.baseline_usage = None  # the ledger has been written; from here on only the estimate is wanted
            settled = watch.settled(recipe)
            total += (settled.baseline_usd or Decimal(0)) if settled is not None else Decimal(0)
    return total


def _tier_share(recipe: WatchedRecipe, watches: Sequence[Watch]) -> dict[str, float]:
    tiers = {bare_name(model): tier.name for tier in recipe.tiers for model in tier.models}
    counts = dict.fromkeys([*(tier.name for tier in recipe.tiers)], 0)
    for watch in watches:
        name = _tier_of(watch, tiers)
        if name is not None:
            counts[name] += 1
    return {name: round(100 * count / len(watches), 2) if watches else 0.0 for name, count in counts.items()}


def _tier_of(watch: Watch, tiers: Mapping[str, str]) -> str | None:
    """By the model that was asked, or that answered when the stored answer was made."""
    if watch.reply is None or watch.ctx is None:
        return None
    attempts = watch.ctx.attempts
    asked = attempts[-1].call.request.model if attempts else _DATED.sub("", watch.reply.model)
    return tiers.get(bare_name(asked))
