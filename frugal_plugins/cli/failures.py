"""Errors as one plain line and an exit code. `--debug` shows the traceback instead."""

from __future__ import annotations

import errno
import functools
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

import typer

from frugal_plugins.cli.screen import note
from frugal_plugins.errors import FrugalError

P = ParamSpec("P")
R = TypeVar("R")

DEBUG: Final[ContextVar[bool]] = ContextVar("frugal_debug", default=False)
"""Whether `--debug` was given."""

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one line and an exit code where it would end with a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (FrugalError, sqlite3.Error, OSError, KeyboardInterrupt) as error:
            if DEBUG.get():
                raise
            raise typer.Exit(_say(error, as_json=bool(kwargs.get("as_json")))) from error

    return wrapped


def _say(error: BaseException, *, as_json: bool) -> int:
    if isinstance(error, BrokenPipeError):  # whoever read our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    words, code = _words(error)
    note(f"frugal: {words}")
    if as_json:
        sys.stdout.write(json.dumps({"error": words, "exit_code": code}) + "\n")
    return code


def _words(error: BaseException) -> tuple[str, int]:
    if isinstance(error, FrugalError):
        return str(error), BAD_INPUT
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing is half-done, run the same command again", INTERRUPTED
    if isinstance(error, sqlite3.Error) and "readonly" in str(error):
        return f"the ledger cannot be written ({error}); check its permissions and its folder's", FAILED
    if isinstance(error, sqlite3.Error):
        return f"the ledger cannot be used ({error}); close the program that holds it or name another file with --ledger", FAILED
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"no space left on the disk{_of(error)}; free some and run the same command again", FAILED
    return f"{_reason(error)}{_of(error)}; check the path, its permissions and the network, and try again", FAILED


def _reason(error: BaseException) -> Any:
    return (error.strerror if isinstance(error, OSError) else None) or error


def _of(error: BaseException) -> str:
    name = error.filename if isinstance(error, OSError) else None
    return f" ({name})" if name else ""
