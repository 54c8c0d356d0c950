"""What every page of ours shares: one file that loads nothing, scripts allowed by their hash, plots with a table beside them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from frugal_plugins.errors import MissingExtra
from frugal_plugins.report.charts import Chart


def page(
    title: str,
    header: str,
    main: Iterable[str],
    footer: str,
    figures: Mapping[str, Any],
    *,
    more_script: str = "",
    more_style: str = "",
    more_data: Mapping[str, Any] | None = None,
) -> str:
    """A whole page.

    Args:
        header, main, footer: HTML, already escaped.
        figures: Plotly figures by the id of their place.
        more_script, more_style: what only this page needs; `more_data` is JSON for its script, by element id.

    Raises MissingExtra when plotly is not installed.
    """
    plotly, own = _plotly_script(), asset("page.js")
    scripts = [plotly, own, *([more_script] if more_script else [])]
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {' '.join(map(_source, scripts))}"
    )
    data = {"charts": figures, **(more_data or {})}
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">',
            f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}{more_style}</style>\n</head>\n<body>",
            '<a class="skip" href="#content">Skip to the figures</a>',
            header,
            '<main id="content">',
            *main,
            "</main>",
            f"<footer>{footer}</footer>",
            *(f'<script type="application/json" id="{name}">{_for_script(value)}</script>' for name, value in data.items()),
            "\n".join(f"<script>{script}</script>" for script in scripts) + "\n</body>\n</html>\n",
        ]
    )


def asset(name: str, room: str = "frugal_plugins.report") -> str:
    """A style sheet or script that ships beside a page's code."""
    return files(room).joinpath(name).read_text(encoding="utf-8")


def box(title: str, lines: Iterable[str], *, bad: bool) -> str:
    """A short remark with a heading."""
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f'<section class="box{" bad" if bad else ""}"><h2>{escape(title)}</h2>{said}</section>'


def plot(chart: Chart, *, find: bool = False) -> str:
    """A plot with its sentence, and its figures as a table; with `find` each name in it looks its rows up in the page's list."""
    spoken = escape(chart.spoken, quote=True)
    made = table(chart.spoken, chart.columns, chart.rows, find=find)
    return (
        f"<section><h2>{escape(chart.title)}</h2><figure><figcaption>{spoken}</figcaption>"
        f'<div class="plot" id="plot-{chart.id}" role="img" aria-label="{spoken} The figures are in the table below."></div></figure>'
        f'<details><summary>{escape(chart.title)}: the same as a table</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(chart.title, quote=True)}, table">{made}</div></details></section>'
    )


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], figures: Sequence[int] | None = None, *, find: bool = False
) -> str:
    """A table; `figures` says which columns are figures, all but the first where it is not given."""
    right = range(1, len(columns)) if figures is None else figures
    made = ((found(first) if find else escape(first), *map(escape, cells)) for first, *cells in rows)
    return stacked(caption, columns, made, right)


def stacked(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], figures: Sequence[int]) -> str:
    """A table whose cells are HTML already; on a phone each row stands by itself, every value under its name.

    The roles are written out because a browser forgets them where a row is no longer laid out as one.
    """
    head = "".join(
        f'<th role="columnheader" scope="col"{number_class(at in figures)}>{escape(column)}</th>' for at, column in enumerate(columns)
    )
    body = "".join(
        f'<tr role="row"><th role="rowheader" scope="row">{first}</th>'
        + "".join(
            f'<td role="cell" data-label="{escape(columns[at], quote=True)}"{number_class(at in figures)}>{cell}</td>'
            for at, cell in enumerate(cells, start=1)
        )
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<table class="stack" role="table"><caption>{escape(caption)}</caption><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def found(name: str, words: str | None = None) -> str:
    """A name, or other words, that look the rows up in which the name stands."""
    return f'<a href="#search" data-find="{escape(name, quote=True)}">{escape(name if words is None else words)}</a>'


def number_class(figure: object) -> str:
    """The class of a cell that holds a figure."""
    return ' class="number"' if figure else ""


def _plotly_script() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtra("plotly", "report") from error
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _source(script: str) -> str:
    """How the content security policy names a script that may run: by its hash, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _for_script(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
