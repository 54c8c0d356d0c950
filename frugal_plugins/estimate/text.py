"""An estimate in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frugal_plugins.estimate.estimate import Estimate, decimal
from frugal_plugins.estimate.savings import Range, Saving
from frugal_plugins.estimate.spend import Spent
from frugal_plugins.report.text import table
from frugal_plugins.report.words import money, percent, share, utc

_MOST_LINES = 12


def estimate_text(found: Estimate) -> RenderableType:
    """The whole estimate: today, leaks, savings, what to know, and what could not be read."""
    parts: list[RenderableType] = [_overview(found), _spent("By model", "model", found.spend.by_model, found)]
    if set(found.spend.by_task) != {"not visible"}:
        parts.append(_spent("By task", "task", found.spend.by_task, found))
    if found.leaks:
        parts.append(_leaks(found))
    parts += [_techniques(found), _details(found), *_remarks(found)]
    return Group(*parts)


def span_words(found: Estimate) -> str:
    """The observed span in words."""
    spend = found.spend
    if spend.declared_month is not None:
        return "a month, as you said"
    if spend.first_seconds is None or spend.last_seconds is None or spend.span_days is None:
        return "not known: no row has a time"
    days = f"{spend.span_days:.1f} days" if spend.span_days >= 1 else f"{spend.span_days * 24:.1f} hours"
    return f"{days}, {utc(spend.first_seconds)} to {utc(spend.last_seconds)} UTC"


def range_words(found: Range) -> str:
    """`$1.00 ($0.50 to $2.00)`."""
    return f"{money(decimal(found.likely))} ({money(decimal(found.low))} to {money(decimal(found.high))})"


def _overview(found: Estimate) -> Table:
    spend, savings = found.spend, found.savings
    month = spend.month_usd
    count = f"{spend.requests:,}" if spend.requests_known else f"{spend.requests:,} and more: a report does not count them"
    rows = [
        ("read", ", ".join(f"{name} ({count:,})" for name, count in found.intake.formats.items())),
        ("requests", count),
        ("observed span", span_words(found)),
        ("spend in that span", money(spend.usd)),
        ("at this pace a month", "not known without times" if month is None else money(month)),
        ("of that: " + ", ".join(spend.parts), ", ".join(money(usd) for usd in spend.parts.values())),
        ("left to pay with all seven, likely", _after(found)),
        ("assumed recipe", found.plan.source),
        ("prices", ", ".join(spend.price_sources) or "none known"),
    ]
    if not savings.before:
        rows.append(("savings", "none to show: nothing here has a known price"))
    return table("What the LLM calls cost, estimated", ("", ""), rows)


def _after(found: Estimate) -> str:
    savings = found.savings
    left = 100 * savings.after.likely / savings.before if savings.before else None
    return f"{range_words(savings.after)}, {percent(left)} of today"


def _spent(title: str, word: str, spent: Spent, found: Estimate) -> Table:
    total = found.spend.usd
    lines = list(spent.items())
    rows = [(name, f"{count:,}", money(usd), percent(share(usd, total))) for name, (count, usd) in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        rest = lines[_MOST_LINES:]
        usd = sum((each for _, (_, each) in rest), start=total * 0)
        rows.append((f"{len(rest)} more", f"{sum(count for _, (count, _) in rest):,}", money(usd), percent(share(usd, total))))
    return table(title, (word, "requests", "spend", "of all"), rows)


def _leaks(found: Estimate) -> Table:
    rows = ((leak.name, leak.words, f"{leak.requests:,}", money(decimal(leak.usd)), _of(found, leak.usd)) for leak in found.leaks)
    return table(
        "Where it leaks (what is paid for it today; one request can be in several)",
        ("leak", "what", "requests", "spend", "of all"),
        rows,
        words=2,
    )


def _techniques(found: Estimate) -> Table:
    rows = []
    for saving in found.savings.by_rank():
        if not saving.visible:
            rows.append((str(saving.rank), saving.name, "-", "not visible", "-", "-"))
            continue
        low, high = _of(found, saving.combined.low), _of(found, saving.combined.high)
        likely = money(decimal(saving.combined.likely))
        rows.append(
            (
                str(saving.rank),
                saving.name,
                money(decimal(saving.alone.likely)),
                likely,
                _of(found, saving.combined.likely),
                f"{low} to {high}",
            )
        )
    columns = ("", "technique", "alone", "with the others", "of all", "range")
    return table("What each technique would save, best return on effort first (nothing counted twice)", columns, rows, words=2)


def _details(found: Estimate) -> Table:
    rows = ((saving.name, _driver(saving), saving.risk, "yes" if saving.in_recipes else "not yet") for saving in found.savings.by_rank())
    return table(
        "What drives the range, and the risk", ("technique", "the range comes from", "risk for quality", "in recipes"), rows, words=4
    )


def _driver(saving: Saving) -> str:
    return saving.driver if saving.visible else f"not visible: {saving.driver}"


def _remarks(found: Estimate) -> Iterator[Text]:
    if found.savings.sampled:
        yield Text("The ranges also hold how much the stretches of the observed time differ (nine in ten).", style="not bold")
    if found.notes:
        yield Text("\nWhat to know", style="bold")
        for note in found.notes:
            yield Text(f"  {note}", style="not bold")
    if found.intake.problems:
        yield Text(f"\nLines that cannot be used ({found.intake.unusable:,})", style="bold")
        for problem in found.intake.problems:
            yield Text(f"  {problem}", style="not bold")


def _of(found: Estimate, usd: float) -> str:
    return percent(100 * usd / found.savings.before if found.savings.before else None)
