"""The plots of a report page, as plain Plotly figures. Colours are words; the page's script puts the reader's theme in their place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from frugal_plugins.report.evidence import Evidence
from frugal_plugins.report.words import money, percent, share

Row = tuple[str, ...]

_BEFORE: Final = "@before"
_AFTER: Final = "@after"
_SAVED: Final = "@saved"
_COST: Final = "@cost"
_MARGIN: Final = {"l": 8, "r": 8, "t": 8, "b": 8}


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot and the same in words and figures, for those who do not see it.

    Attributes:
        spoken: one sentence that says what the plot shows.
        columns, rows: the table under it; the first column names the row.
    """

    id: str
    title: str
    spoken: str
    figure: Mapping[str, Any]
    columns: Row
    rows: Sequence[Row]


def charts(evidence: Evidence) -> list[Chart]:
    """The plots a ledger has data for, in reading order."""
    summary = evidence.summary
    made = [_waterfall(evidence), _models(evidence)]
    if summary.by_task:
        made.append(_split("tasks", "Spend by task", "task", summary.by_task, sideways=True))
    if len(summary.by_day) > 1:
        made.append(_split("days", "Spend by day", "day", summary.by_day, sideways=False))
    return [chart for chart in made if chart.rows]


def _waterfall(evidence: Evidence) -> Chart:
    summary = evidence.summary
    steps = [(line.technique, line.saved_usd) for line in summary.techniques if line.saved_usd]
    trace = hanging_bars(summary.baseline_usd, steps, summary.actual_usd)
    rows = [
        ("without the recipe", money(summary.baseline_usd), percent(100.0 if summary.baseline_usd else None)),
        *((name, money(-saved), percent(share(-saved, summary.baseline_usd))) for name, saved in steps),
        ("with the recipe", money(summary.actual_usd), percent(share(summary.actual_usd, summary.baseline_usd))),
    ]
    spoken = f"From {money(summary.baseline_usd)} without the recipe to {money(summary.actual_usd)} with it, one step for each technique."
    drawn = layout(340, yaxis={"tickprefix": "$", "rangemode": "tozero", "automargin": True}, xaxis={"automargin": True})
    drawn["margin"] = {**_MARGIN, "t": 28}
    columns = ("step", "dollars", "of baseline")
    return Chart("waterfall", "Where the saving comes from", spoken, {"data": [trace], "layout": drawn}, columns, rows)


def hanging_bars(baseline: Decimal, steps: Sequence[tuple[str, Decimal]], actual: Decimal) -> dict[str, Any]:
    """Bars that hang where the one before ended."""
    floor, bars = baseline, [("before", Decimal(0), baseline, baseline, _BEFORE)]
    for name, saved in steps:
        bars.append((name, min(floor, floor - saved), abs(saved), -saved, _SAVED if saved > 0 else _COST))
        floor -= saved
    bars.append(("after", Decimal(0), actual, actual, _AFTER))
    return {
        "type": "bar",
        "x": [name for name, *_ in bars],
        "base": [float(base) for _, base, *_ in bars],
        "y": [float(height) for _, _, height, *_ in bars],
        "text": [money(shown) for _, _, _, shown, _ in bars],
        "marker": {"color": [colour for *_, colour in bars]},
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "constraintext": "none",
        "hoverinfo": "x+text",
    }


def _models(evidence: Evidence) -> Chart:
    before, after = evidence.models_before, evidence.models_after
    nothing = (0, Decimal(0))
    names = sorted({*before, *after}, key=lambda name: -max(before.get(name, nothing)[1], after.get(name, nothing)[1]))
    costs = {name: (before.get(name, nothing), after.get(name, nothing)) for name in names}
    rows = [(name, f"{asked:,}", money(was), f"{calls:,}", money(now)) for name, ((asked, was), (calls, now)) in costs.items()]
    pairs = {name: (was, now) for name, ((_, was), (_, now)) in costs.items()}
    spoken = f"What was spent on each of {len(names)} models, without and with the recipe."
    columns = ("model", "requests before", "before", "calls after", "after")
    return Chart("models", "Spend by model", spoken, _bars(pairs, sideways=True), columns, rows)


def _split(anchor: str, title: str, word: str, found: Mapping[str, tuple[int, Decimal, Decimal]], *, sideways: bool) -> Chart:
    rows = [(name, f"{count:,}", money(was), money(now), percent(share(was - now, was))) for name, (count, was, now) in found.items()]
    pairs = {name: (was, now) for name, (_, was, now) in found.items()}
    spoken = f"What was spent in each of {len(found)} {word}s, without and with the recipe."
    return Chart(anchor, title, spoken, _bars(pairs, sideways=sideways), (word, "requests", "before", "after", "saved"), rows)


def _bars(pairs: Mapping[str, tuple[Decimal, Decimal]], *, sideways: bool) -> dict[str, Any]:
    """Two bars for each name: without and with the recipe."""
    names = list(pairs)
    data = [
        bar("without the recipe", names, (was for was, _ in pairs.values()), _BEFORE, sideways=sideways),
        bar("with the recipe", names, (now for _, now in pairs.values()), _AFTER, sideways=sideways),
    ]
    legend = {"orientation": "h", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "traceorder": "normal"}
    dollars = {"tickprefix": "$", "rangemode": "tozero", "automargin": True, "nticks": 6}
    if not sideways:
        return {"data": data, "layout": layout(320, yaxis=dollars, xaxis={"automargin": True, "nticks": 10}, legend=legend)}
    labels = {"autorange": "reversed", "automargin": True, "type": "category"}
    return {"data": data, "layout": layout(90 + 46 * len(names), xaxis=dollars, yaxis=labels, legend=legend)}


def bar(name: str, names: list[str], costs: Iterable[Decimal], colour: str, *, sideways: bool) -> dict[str, Any]:
    """One series of bars: names along one axis, dollars along the other."""
    values = list(costs)
    along, across = ("y", "x") if sideways else ("x", "y")
    return {
        "type": "bar",
        "name": name,
        along: names,
        across: [float(value) for value in values],
        "customdata": [money(value) for value in values],
        "hovertemplate": f"%{{{along}}}<br>{name}: %{{customdata}}<extra></extra>",
        "orientation": "h" if sideways else "v",
        "marker": {"color": colour},
    }


def layout(height: int, **more: Any) -> dict[str, Any]:
    """How every plot is laid out: quiet, without zoom, in the colours of the page."""
    for axis in ("xaxis", "yaxis"):
        more[axis] = {"gridcolor": "@rule", "zerolinecolor": "@rule", "linecolor": "@rule", "fixedrange": True, **more[axis]}
    layout: dict[str, Any] = {
        "height": height,
        "margin": dict(_MARGIN),
        "bargap": 0.35,
        "bargroupgap": 0.05,
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@ink"},
    }
    return {**layout, **more}
