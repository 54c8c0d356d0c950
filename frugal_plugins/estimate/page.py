"""An estimate as one HTML page: today, what could change, and sliders that recompute it in the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from html import escape
from typing import Any, Final

from frugal_plugins.estimate.estimate import Estimate, decimal
from frugal_plugins.estimate.replay import FLOW, HIGH, LIKELY, LOW, Pile, Strength
from frugal_plugins.estimate.savings import Saving
from frugal_plugins.estimate.spend import Spent
from frugal_plugins.estimate.text import range_words, span_words
from frugal_plugins.report.charts import Chart, bar, hanging_bars, layout
from frugal_plugins.report.shell import asset, box, page, plot, table
from frugal_plugins.report.words import money, percent, share

_TITLE: Final = "What the LLM calls cost, and what could be saved"
_LABELS: Final = {
    "cache": "Answer repeats from memory",
    "history": "Summarise long conversations",
    "shorten": "Shorten prompts",
    "route": "Simple work to cheaper models",
    "cap": "Limit the answers",
    "prompt_cache": "Keep the provider's cache warm",
    "batch": "Let work wait for a batch",
}
_MOST_BARS: Final = 15
_ROOM: Final = "frugal_plugins.estimate"


def estimate_page(found: Estimate) -> str:
    """The page. Raises MissingExtra when plotly is not installed."""
    made = [_waterfall(found), *_spends(found)]
    waterfall, *others = made
    main = [_figures(found), _boxes(found), plot(waterfall), _sliders(found), _techniques(found), _leaks(found), *map(plot, others)]
    data = {"estimate": _data(found)}
    return page(
        _TITLE,
        _header(found),
        main,
        _footer(found),
        {chart.id: chart.figure for chart in made},
        more_script=asset("page.js", _ROOM),
        more_style=asset("page.css", _ROOM),
        more_data=data,
    )


def _factor(found: Estimate) -> float:
    """The page speaks of a month where the logs allow it, else of what was observed."""
    return found.month_factor or 1.0


def _per(found: Estimate) -> str:
    return "in the observed span" if found.month_factor is None else "a month"


def _dollars(found: Estimate, usd: float) -> str:
    return money(decimal(usd * _factor(found)))


def _header(found: Estimate) -> str:
    words = f"{found.spend.requests:,} requests, {span_words(found)}. Estimated, not measured; dollars are {_per(found)}."
    return f'<header><h1>{_TITLE}</h1><p class="quiet">{escape(words)}</p></header>'


def _figures(found: Estimate) -> str:
    savings = found.savings
    left, saved = savings.after.likely, savings.before - savings.after.likely
    figures = (
        (f"today, {_per(found)}", "", _dollars(found, savings.before), ""),
        ("left to pay", ' id="left"', _dollars(found, left), ""),
        ("saved", ' id="saved"', _dollars(found, saved), "good"),
        ("saved, of today", ' id="share"', percent(100 * saved / savings.before if savings.before else None), "good"),
    )
    cells = "".join(
        f'<div class="{kind}"><dt>{escape(name)}</dt><dd{place}>{escape(value)}</dd></div>' for name, place, value, kind in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _boxes(found: Estimate) -> str:
    spend = found.spend
    read = ", ".join(f"{name} ({count:,})" for name, count in found.intake.formats.items())
    lines = [
        f"Read: {read}.",
        f"Spend in the observed span: {money(spend.usd)}; " + ", ".join(f"{name} {money(usd)}" for name, usd in spend.parts.items()) + ".",
        f"Assumed recipe: {found.plan.source}. Prices: {', '.join(spend.price_sources) or 'none known'}.",
        f"With all seven, {range_words(found.savings.after)} of the {money(spend.usd)} would be left.",
    ]
    if found.savings.sampled:
        lines.append("The ranges also hold how much the stretches of the observed time differ (nine in ten).")
    boxes = [box("How this was counted", lines, bad=False)]
    if found.notes:
        boxes.append(box("What to know", [str(note) for note in found.notes], bad=bool(spend.unpriced or found.intake.unusable)))
    if found.intake.problems:
        boxes.append(box(f"{found.intake.unusable:,} lines that cannot be used", found.intake.problems, bad=True))
    return f'<div class="boxes">{"".join(boxes)}</div>'


def _waterfall(found: Estimate) -> Chart:
    savings = found.savings
    factor = _factor(found)
    steps = [(saving.name, decimal(saving.combined.likely * factor)) for saving in savings.techniques]
    before, after = decimal(savings.before * factor), decimal(savings.after.likely * factor)
    trace = hanging_bars(before, steps, after)
    drawn = layout(380, yaxis={"tickprefix": "$", "rangemode": "tozero", "automargin": True}, xaxis={"automargin": True})
    drawn["margin"] = {**drawn["margin"], "t": 28}
    rows = [
        ("today", money(before), percent(100.0 if before else None)),
        *((name, money(-saved), percent(share(-saved, before))) for name, saved in steps),
        ("left to pay", money(after), percent(share(after, before))),
    ]
    spoken = f"From {money(before)} {_per(found)} today to {money(after)}, likely, one step for each technique; nothing is counted twice."
    return Chart("waterfall", "From today to after", spoken, {"data": [trace], "layout": drawn}, ("step", "dollars", "of today"), rows)


def _spends(found: Estimate) -> Iterator[Chart]:
    yield _spend("models", "Spend by model", "model", found.spend.by_model, sideways=True)
    if set(found.spend.by_task) != {"not visible"}:
        yield _spend("tasks", "Spend by task", "task", found.spend.by_task, sideways=True)
    if len(found.spend.by_day) > 1:
        yield _spend("days", "Spend by day", "day", found.spend.by_day, sideways=False)


def _spend(anchor: str, title: str, word: str, spent: Spent, *, sideways: bool) -> Chart:
    """Today's spend, over the observed span, as it was counted."""
    total = sum((usd for _, usd in spent.values()), Decimal(0))
    shown = list(spent)[:_MOST_BARS] if sideways else list(spent)
    series = bar("spend", shown, [spent[name][1] for name in shown], "@after", sideways=sideways)
    dollars: dict[str, Any] = {"tickprefix": "$", "rangemode": "tozero", "automargin": True}
    names: dict[str, Any] = {"automargin": True, **({"autorange": "reversed"} if sideways else {"nticks": 8})}
    height = max(160, 60 + 34 * len(shown)) if sideways else 300
    drawn = layout(height, xaxis=dollars if sideways else names, yaxis=names if sideways else dollars, showlegend=False)
    rows = [(name, f"{count:,}", money(usd), percent(share(usd, total))) for name, (count, usd) in spent.items()]
    spoken = f"What was spent in the observed span, by {word}: {len(spent)} in all."
    return Chart(anchor, title, spoken, {"data": [series], "layout": drawn}, (word, "requests", "spend", "of all"), rows)


def _sliders(found: Estimate) -> str:
    made = "".join(_slider(saving, found) for saving in found.savings.by_rank())
    presets = "".join(
        f'<button type="button" data-all="{value}">{word}</button>'
        for value, word in ((0, "all off"), (1, "low"), (2, "likely"), (3, "high"))
    )
    return (
        '<section><h2>What if</h2><p class="quiet">Move a slider from off over low and likely to high: everything on this page that says '
        '"left" or "saved" is computed again, here. Each line shows what its technique adds to those before it in the flow.</p>'
        f'<div class="presets" role="group" aria-label="all sliders">{presets}'
        f'<button type="button" data-all="recipe">only what recipes do today</button></div><div class="sliders">{made}'
        '<div class="slider"><label for="volume">Traffic beside today</label>'
        '<input type="range" id="volume" min="10" max="500" step="10" value="100" '
        'aria-describedby="volume-says"><output id="volume-says" for="volume">100 %</output></div></div>'
        '<p id="told" class="told" role="status" aria-live="polite"></p></section>'
    )


def _slider(saving: Saving, found: Estimate) -> str:
    off = "" if saving.visible else " disabled"
    says = f"likely: {_dollars(found, saving.combined.likely)}" if saving.visible else f"not visible: {saving.driver}"
    return (
        f'<div class="slider"><label for="s-{saving.name}">{escape(_LABELS[saving.name])} '
        f'<span class="quiet">({saving.name})</span></label>'
        f'<input type="range" id="s-{saving.name}" data-name="{saving.name}" data-recipe="{int(saving.in_recipes)}" '
        f'min="0" max="3" step="0.25" '
        f'value="{2 if saving.visible else 0}" aria-describedby="o-{saving.name}"{off}>'
        f'<output id="o-{saving.name}" for="s-{saving.name}">{escape(says)}</output></div>'
    )


def _techniques(found: Estimate) -> str:
    rows = []
    for saving in found.savings.by_rank():
        low, likely, high = (_dollars(found, usd) for usd in (saving.combined.low, saving.combined.likely, saving.combined.high))
        figures = (_dollars(found, saving.alone.likely), likely, f"{low} to {high}") if saving.visible else ("-", "not visible", "-")
        recipe = "yes" if saving.in_recipes else "not yet"
        rows.append((f"{saving.rank}. {saving.name}", *figures, recipe, saving.driver, saving.risk))
    columns = ("technique", "alone", "with the others", "range", "in recipes", "what drives the range", "risk for quality")
    made = table(f"Best return on effort first; dollars {_per(found)}, likely.", columns, rows, range(1, 4))
    return f"<section><h2>What each technique would save</h2>{_scroll('techniques', made)}</section>"


def _leaks(found: Estimate) -> str:
    if not found.leaks:
        return ""
    rows = [(leak.name, leak.words, f"{leak.requests:,}", _dollars(found, leak.usd)) for leak in found.leaks]
    caption = f"What is paid for it today, {_per(found)}; one request can be in several."
    made = table(caption, ("leak", "what", "requests observed", "spend"), rows, range(2, 4))
    return f"<section><h2>Where it leaks</h2>{_scroll('leaks', made)}</section>"


def _scroll(name: str, made: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}, table">{made}</div>'


def _data(found: Estimate) -> dict[str, Any]:
    """What the page's script computes with: piles, strengths, and what turns observed dollars into a month's."""
    names = list(Pile.__dataclass_fields__)
    return {
        "factor": _factor(found),
        "per": _per(found),
        "flow": FLOW,
        "fields": names,
        "piles": [[getattr(pile, name) for name in names] for pile in found.piles],
        "strengths": [_strength(strength) for strength in (Strength(), LOW, LIKELY, HIGH)],
    }


def _strength(strength: Strength) -> dict[str, list[float]]:
    """Every technique's shares as a list."""
    made = {}
    for name in FLOW:
        value = getattr(strength, name)
        made[name] = list(value) if isinstance(value, tuple) else [value]
    made["route"] += [strength.longer, strength.reread]
    return made


def _footer(found: Estimate) -> str:
    at = dt.datetime.fromtimestamp(found.at_seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    files = ", ".join(found.intake.files) or "a few numbers"
    return f"Made by frugal-plugins on {at} from {escape(files)}. Nothing on this page is loaded from the network."
