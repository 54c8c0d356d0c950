"""Control against treated, as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from frugal_plugins.ledger.measured import Difference, Measured, Saving
from frugal_plugins.report.words import money, percent

_NAMES: Final[Mapping[str, str]] = {
    "failed_percent": "requests that failed, %",
    "cut_percent": "answers cut at the token limit, %",
    "refused_percent": "answers refused, %",
    "schema_valid_percent": "answers of the form asked for, %",
    "retries": "calls asked again, per request",
    "output_tokens": "output tokens per answer",
    "good_percent": "answers people found good, %",
    "judged_good_percent": "answers a judge found good, %",
}


def control_rows(found: Measured) -> list[tuple[str, str, str]]:
    """Name, value and 95 % range of everything the control group shows."""
    return [*_rows(found)]


def _rows(found: Measured) -> Iterator[tuple[str, str, str]]:
    if found.saving is not None:
        yield (f"saved on {found.saving.requests:,} treated requests", *_dollars(found.saving))
        if found.judged and found.net_usd is not None:
            yield "the same less what judging a sample cost", money(Decimal(str(round(found.net_usd, 12)))), ""
        for name, saving in found.by_technique.items() if not found.added else ():
            yield (f"of these by {name} alone, {saving.requests:,} requests", *_dollars(saving))
        yield "control traffic", f"{found.control_requests:,} requests in {found.control_conversations:,} conversations", ""
    for name, added in found.added.items():
        words = f"added by {name}, beside {added.without_requests:,} requests without it"
        yield (words, *_dollars(added.saving, "too few conversations without it"))
        for measure, difference in added.quality.items():
            if difference.sure:
                yield f"{_NAMES.get(measure, measure)}, for {name}", _both(difference), _span(difference)
    if found.judged:
        yield "answers judged on a sample", f"{found.judged:,}, for {money(Decimal(str(round(found.judging_usd, 12))))}", ""
    if found.not_judged:
        yield "drawn for the sample, in batches, and not judged", f"{found.not_judged:,}; their decisions say why", ""
    if found.saving is not None and found.together:
        yield "acting together, not told apart", f"{', '.join(found.together)}; control_each_percent measures each", ""
    for name, difference in found.quality.items():
        yield _NAMES.get(name, name), _both(difference), _span(difference)
    for words in found.words:
        yield "note", words, ""


def _both(difference: Difference) -> str:
    return f"{difference.treated:,.4g} with, {difference.control:,.4g} without"


def _dollars(saving: Saving, no_range: str = "too little control traffic") -> tuple[str, str]:
    if saving.low_usd is None or saving.high_usd is None:
        return "-", no_range  # a figure without a range would be read beside the others as if it were as good as they
    value = f"{money(Decimal(str(saving.usd)))} ({percent(saving.percent)})"
    span = f"{money(Decimal(str(saving.low_usd)))} to {money(Decimal(str(saving.high_usd)))}"
    return value, f"{span}, {percent(saving.low_percent)} to {percent(saving.high_percent)}"


def _span(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return "too little control traffic"
    if not difference.low and not difference.high:
        return "no difference"
    return f"difference {difference.low:+.3g} to {difference.high:+.3g}{'' if difference.sure else ', within chance'}"
