"""What is missing, odd or uncertain, said plainly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frugal_plugins.estimate.cells import Visible
from frugal_plugins.estimate.intake import Intake
from frugal_plugins.estimate.spend import Spend


@dataclass(frozen=True, slots=True)
class Note:
    """One remark: what, and what it means for the figures or what to do."""

    what: str
    means: str

    def __str__(self) -> str:
        return f"{self.what}; {self.means}" if ": " in self.what else f"{self.what}: {self.means}"


def notes(intake: Intake, spend: Spend, seen: Visible) -> Iterator[Note]:
    """Everything a reader should know before believing the figures, gravest first."""
    yield from _left_out(intake, spend)
    for name, missing in intake.missing.items():
        for what, means in missing:
            if not (what.startswith("prompts") and seen.tasks and seen.repeats):
                yield Note(f"not in {name}: {what}", means)
    yield from _times(intake, spend)
    yield from _counts(intake, spend)


def _left_out(intake: Intake, spend: Spend) -> Iterator[Note]:
    for model, count in spend.unpriced.items():
        words = "no known price, so it is in no dollar figure; name its price under 'prices' in a recipe and pass it with --recipe"
        yield Note(f"{model}, {count:,} requests", words)
    if intake.unusable:
        yield Note(f"{intake.unusable:,} lines cannot be used", "they are not counted; the first ones are listed")
    if intake.left_out:
        yield Note(f"{intake.left_out:,} records cost nothing", "failed calls, spans and empty buckets are not counted")
    if spend.stored_answers:
        yield Note(f"{spend.stored_answers:,} requests were answered by a cache", "they cost nothing and count as saved already")
    if len(intake.formats) > 1:
        found = ", ".join(f"{name} {count:,}" for name, count in intake.formats.items())
        yield Note(f"several formats ({found})", "all are counted; a call that is in two of them is counted twice")


def _times(intake: Intake, spend: Spend) -> Iterator[Note]:
    if spend.untimed and spend.declared_month is None:
        yield Note(f"{spend.untimed:,} rows have no time", "they are priced as of today; repeats and the monthly pace leave them out")
    if spend.future:
        yield Note(f"{spend.future:,} rows lie in the future", "they are priced as of today; check the clock of what wrote them")
    if intake.zoneless:
        yield Note(f"{intake.zoneless:,} times name no time zone", "they are read as UTC; days may be shifted by some hours")
    days = spend.span_days
    if days is not None and days < 7 and spend.declared_month is None:
        yield Note(f"only {_span(days)} were observed", "a week's rhythm is not in it, so the monthly figures are rough")


def _counts(intake: Intake, spend: Spend) -> Iterator[Note]:
    if intake.uncounted:
        yield Note(f"{intake.uncounted:,} requests carry no usage", "their tokens are counted from the text; cached tokens are not visible")
    if intake.overcached:
        yield Note(f"{intake.overcached:,} rows have more cached than read tokens", "their plain input is taken as 0; check the export")
    if intake.unread:
        yield Note(f"{intake.unread:,} requests were not read by the rules", "they take the task that nine in ten with their prompt have")
    if intake.by_meaning:
        means = "the high end of the cache's range counts them; run frugal calibrate before you let the cache serve them"
        yield Note(f"{intake.by_meaning:,} questions mean what an earlier one means", means)
    if not spend.tokens.get("cache_read"):
        yield Note(
            "no cached tokens in these logs", "either nothing was cached, or the log leaves it out; then today's spend is lower than shown"
        )


def _span(days: float) -> str:
    return f"{days * 24:.0f} hours" if days < 2 else f"{days:.0f} days"
