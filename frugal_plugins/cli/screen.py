"""Where a command speaks: results on stdout, everything else on stderr; colour only on a terminal."""

from __future__ import annotations

import errno
import json
import os
import shutil
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
        console().print(text(), crop=False)  # a line longer than the terminal is the terminal's to fold, not ours to cut


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. What is no file (`/dev/stdout`, a pipe) is written to as it is, of a link its target."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_text(text, encoding="utf-8")
            return
        target = path.resolve() if path.is_symlink() else path
        beside = _beside(target)
        try:
            beside.write_text(text, encoding="utf-8", newline="")
            if target.exists():
                shutil.copymode(target, beside)  # what was its owner's alone stays so
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); free the disk or name another file") from error


def can_be_written(path: Path | None) -> None:
    """Say so before the work, not after it, where a file cannot be written. Raises InputError."""
    if path is None or (path.exists() and not path.is_file() and not path.is_dir()):
        return
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it, for example {path / 'page.html'}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder, so {path} cannot be written; name another file")
    if not folder.is_dir():
        raise InputError(f"the folder {folder} does not exist; make it, or name another file")
    try:
        if not path.is_file():
            _beside(path).touch()
            _beside(path).unlink()
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); check its permissions, or name another file") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
