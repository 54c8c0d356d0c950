"""`frugal observe`."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from rich.console import Group

from frugal_plugins.cli.screen import line, result, write_text
from frugal_plugins.observe.metrics import COUNTERS
from frugal_plugins.report.text import table


def show(*, grafana: bool, output: Path | None, as_json: bool) -> None:
    """Print the board, or what monitoring can see."""
    if grafana or output is not None:
        board = files("frugal_plugins.observe").joinpath("grafana.json").read_text()
        if output is None:
            result(json.loads(board), lambda: line(board.rstrip()), as_json=True)
            return
        write_text(output, board)
        result({"file": str(output)}, lambda: line(f"The board is in {output}; import it in Grafana."), as_json=as_json)
        return
    rows = [(f"frugal_{name}_total", ", ".join(labels), words) for name, (words, labels) in COUNTERS.items()]
    figures = {"metrics": [{"name": name, "labels": labels.split(", "), "help": words} for name, labels, words in rows]}
    said = "Turn them on with `observe: {prometheus: true}` in a recipe; `opentelemetry: true` makes spans, `log: true` lines."
    result(figures, lambda: Group(table("Prometheus metrics", ("name", "labels", "what"), rows, words=3), line(said)), as_json=as_json)
