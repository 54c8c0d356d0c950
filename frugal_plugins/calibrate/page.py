"""A calibration as one HTML file, in the look and the words of the report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from html import escape
from typing import Any

from frugal_plugins.calibrate.report import Line, Report
from frugal_plugins.report.charts import Chart, layout
from frugal_plugins.report.shell import box, page, plot
from frugal_plugins.report.words import percent

_COLUMNS = ("to keep", "saves (95 % range)", "keeps (95 % range)", "over the best single model", "over chance", "over prompt length")


def calibration_page(report: Report, recipe: str, kept_model: str, verdicts: Mapping[str, int]) -> str:
    """The page.

    Args:
        kept_model: whose quality is to be kept.
        verdicts: how many came from whom.

    Raises MissingExtra when plotly is not installed.
    """
    chart = _chart(report, kept_model)
    title = f"What a calibrated router is worth for {recipe}"
    header = f'<header><h1>{escape(title)}</h1><p class="quiet">{report.rows:,} labelled requests, held out in turn</p></header>'
    main = [_figures(report), _boxes(report, kept_model, verdicts), plot(chart)]
    now = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    footer = f"Made by frugal-plugins on {now}. Nothing on this page is loaded from the network."
    return page(title, header, main, footer, {chart.id: chart.figure})


def _figures(report: Report) -> str:
    cells = "".join(
        f"<div><dt>saved, keeping {line.keep_percent:g} %</dt><dd>{escape(percent(line.saving_percent))}</dd></div>"
        for line in report.lines
    )
    return f'<dl class="figures">{cells}</dl>'


def _boxes(report: Report, kept_model: str, verdicts: Mapping[str, int]) -> str:
    counted = [
        "Every ladder was judged on requests it had not seen; ranges are the middle 95 % over resampled requests.",
        f"Quality is correctness beside {kept_model}; a point is one percent of the requests.",
    ]
    if verdicts:
        counted.append(f"Verdicts: {', '.join(f'{count:,} by {voice}' for voice, count in verdicts.items())}.")
    ladder = [f"From cheap to dear: {', '.join(model.name for model in report.ladder.models)}."]
    if report.dropped:
        ladder.append(f"Left out, since another model is both cheaper and better: {', '.join(report.dropped)}.")
    return f'<div class="boxes">{box("How this was counted", counted, bad=False)}{box("The ladder", ladder, bad=False)}</div>'


def _chart(report: Report, kept_model: str) -> Chart:
    names = [f"keep {line.keep_percent:g} %" for line in report.lines]
    figure: dict[str, Any] = {
        "data": [
            {
                "type": "bar",
                "x": names,
                "y": [line.saving_percent for line in report.lines],
                "marker": {"color": "@saved"},
                "hovertemplate": "%{x}: %{y:.1f} % saved<extra></extra>",
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [max(0.0, line.saving_interval[1] - line.saving_percent) for line in report.lines],
                    "arrayminus": [max(0.0, line.saving_percent - line.saving_interval[0]) for line in report.lines],
                    "color": "@ink",
                },
            }
        ],
        "layout": layout(320, yaxis={"ticksuffix": " %", "rangemode": "tozero", "automargin": True}, xaxis={"automargin": True}),
    }
    spoken = f"What is saved for each share of {kept_model}'s quality that is to be kept."
    return Chart("targets", "Saved for the quality you keep", spoken, figure, _COLUMNS, [_row(line) for line in report.lines])


def _row(line: Line) -> tuple[str, ...]:
    low, high = line.saving_interval
    least, most = line.kept_interval
    return (
        f"{line.keep_percent:g} %",
        f"{line.saving_percent:.1f} % ({low:.1f} to {high:.1f})",
        f"{line.kept_percent:.1f} % ({least:.1f} to {most:.1f})",
        *(f"{points:+.1f} points" for points in (line.over_single_points, line.over_random_points, line.over_length_points)),
    )
