"""Where a command speaks: results on stdout, everything else on stderr; colour only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

from frugal_plugins.errors import InputError

_PLAIN_WIDTH: Final = 120


def console(*, stderr: bool = False) -> Console:
    """A console that folds at the terminal's width, or at 120 columns where there is none."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


def note(words: str) -> None:
    """A line for the person watching, on stderr, taken literally."""
    console(stderr=True).print(Text(words), soft_wrap=True)


def line(words: str, style: str = "") -> Text:
    """A line of a result, taken literally."""
    return Text(words, style=style, no_wrap=True, overflow="ignore")


def result(payload: Mapping[str, Any], text: Callable[[], RenderableType], *, as_json: bool) -> None:
    """Print a command's result: one JSON object, or what a person reads."""
    if as_json:
        sys.stdout.write(json.dumps(payload, indent=2, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()
    else:
        console().print(text())


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error.strerror}); free the disk or name another file") from error
