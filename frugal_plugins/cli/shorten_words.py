"""What `frugal shorten` prints."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.syntax import Syntax

from frugal_plugins.cli.screen import line
from frugal_plugins.prices import MILLION
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, number, percent
from frugal_plugins.text.kept import VALUES, summary

if TYPE_CHECKING:
    from frugal_plugins.cli.shorten_command import Outcome, Totals, Wishes


def monthly_usd(totals: Totals, wishes: Wishes, tokens: int, *, cached: bool = False) -> Decimal | None:
    """Dollars a month for so many input tokens in each request; None without a price or a number of requests."""
    rates = totals.prices.rates(wishes.model)
    if rates is None or wishes.requests_per_month is None:
        return None
    return tokens * wishes.requests_per_month * (rates.cache_read_usd if cached else rates.input_usd) / MILLION


def below_minimum(totals: Totals, outcome: Outcome) -> str | None:
    """A warning where a prompt the provider caches becomes one it does not."""
    plan = totals.plan
    before, after = outcome.original.tokens, outcome.file.tokens
    if plan is None or not plan.caches or not after < plan.minimum_tokens <= before or after <= before * plan.read:
        return None
    return (
        f"{after:,} tokens fall below the {plan.minimum_tokens:,} this provider caches: sent again within minutes, the longer prompt is "
        f"cheaper ({plan.read:.0%} of {before:,} tokens). Keep it unless calls are rare or more text always follows"
    )


def figures(totals: Totals, wishes: Wishes) -> dict[str, Any]:
    """The result for JSON."""
    saved = sum(one.saved_tokens for one in totals.outcomes)
    asker = totals.asker
    return {
        "model": wishes.model,
        "requests_per_month": wishes.requests_per_month,
        "tokens_saved": saved,
        "saved_usd_per_month": number(monthly_usd(totals, wishes, saved)),
        "saved_usd_per_month_if_cached": number(monthly_usd(totals, wishes, saved, cached=True)),
        "provider": None if asker is None else "live" if wishes.live else "sandbox",
        "calls": 0 if asker is None else asker.calls,
        "spent_usd": None if asker is None else number(asker.spent_usd),
        "files": [_file(totals, wishes, one) for one in totals.outcomes],
    }


def _file(totals: Totals, wishes: Wishes, outcome: Outcome) -> dict[str, Any]:
    saved = outcome.saved_tokens
    return {
        "file": str(outcome.original.path),
        "tokens_before": outcome.original.tokens,
        "tokens_by_rules": outcome.by_rules.tokens,
        "tokens_after": outcome.file.tokens,
        "saved_percent": round(100 * saved / outcome.original.tokens, 1) if outcome.original.tokens else 0.0,
        "saved_usd_per_month": number(monthly_usd(totals, wishes, saved)),
        "did": list(outcome.file.did),
        "warning": below_minimum(totals, outcome),
        "constraints": summary(outcome.constraints),
        "rewrite": {
            "sections": len(outcome.sections),
            "rewritten": sum(one.after != one.before for one in outcome.sections),
            "refused": [list(one.refused) for one in outcome.sections if one.refused],
        }
        if outcome.sections
        else None,
        "eval": None if outcome.eval is None else outcome.eval.figures(),
        "diff": outcome.diff,
        "written": outcome.written,
    }


def shown(totals: Totals, wishes: Wishes) -> RenderableType:
    """The result for a person."""
    return Group(*(part for one in totals.outcomes for part in _parts(totals, wishes, one)), *_foot(totals, wishes))


def _parts(totals: Totals, wishes: Wishes, outcome: Outcome) -> list[RenderableType]:
    before, after, saved = outcome.original.tokens, outcome.file.tokens, outcome.saved_tokens
    rows = [
        ("tokens", f"{before:,} -> {after:,} ({percent(100 * saved / before if before else None)} fewer)"),
        ("by rules alone", f"{outcome.by_rules.tokens:,}"),
        ("done", "; ".join(outcome.file.did) or "nothing: no rule finds anything to leave out"),
    ]
    if wishes.requests_per_month is not None:
        rows.append(("saved a month", _monthly(totals, wishes, saved)))
    if outcome.sections:
        used = sum(one.after != one.before for one in outcome.sections)
        refused = sum(bool(one.refused) for one in outcome.sections)
        rows.append(("sections", f"{len(outcome.sections)}: {used} rewritten, {refused} refused, the others left to the rules"))
        rows += [("refused", "; ".join(one.refused[:3])) for one in outcome.sections if one.refused][:5]
    if outcome.eval is not None:
        rows.append(("eval", _eval(outcome)))
    if (warning := below_minimum(totals, outcome)) is not None:
        rows.append(("careful", warning))
    rows.append(("written", "yes" if outcome.written else "no" if wishes.write else "no; add --write"))
    parts: list[RenderableType] = [table(str(outcome.original.path), ("", ""), rows, words=2), _kept(outcome)]
    return [*parts, Syntax(outcome.diff, "diff", theme="ansi_dark", word_wrap=True)] if outcome.diff else parts


def _monthly(totals: Totals, wishes: Wishes, saved: int) -> str:
    plain = monthly_usd(totals, wishes, saved)
    if plain is None:
        return f"unknown: no price for {wishes.model}"
    cached = monthly_usd(totals, wishes, saved, cached=True)
    return f"{money(plain)} at the full price of input, {money(cached)} where the provider's cache already reads it"


def _eval(outcome: Outcome) -> str:
    tested = outcome.eval
    assert tested is not None
    known, before, after = tested.right
    right = f"; right {before} -> {after} of {known}" if known else ""
    return f"{'WORSE: ' if tested.worse else ''}{tested.same_percent:.0f} % of {len(tested.verdicts)} inputs answered alike{right}"


def _kept(outcome: Outcome) -> RenderableType:
    rows = []
    for one in outcome.constraints:
        told = [*(f"lost: {gone}" for gone in one.lost), *(f"new: {new}" for new in one.added)]
        sample = ", ".join(one.kept[:6]) if one.kind in VALUES else f"{len(one.kept)} sentences" if one.kept else ""
        rows.append((one.kind, f"{len(one.kept)} of {len(one.kept) + len(one.lost)}", "; ".join([*told, sample]) if told else sample))
    return table("Constraints kept", ("", "", ""), rows, words=3)


def _foot(totals: Totals, wishes: Wishes) -> list[RenderableType]:
    lines = []
    if wishes.requests_per_month is None:
        lines.append("Dollars a month: add --requests-per-month N.")
    if totals.asker is not None:
        where = "by the providers" if wishes.live else "by the sandbox: made-up answers, a rehearsal; --provider live asks real models"
        lines.append(f"{totals.asker.calls} calls ({money(totals.asker.spent_usd)}) answered {where}.")
    return [line(text) for text in lines]
