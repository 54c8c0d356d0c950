"""How far a command is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from frugal_plugins.cli.screen import console


class Show(Protocol):
    """Tells how far it is."""

    def __call__(self, done: int, words: str, total: int | None = None) -> None:
        """`done` of `total`, or of the total that was known at the beginning."""


@contextmanager
def bar(total: int | None, *time: ProgressColumn) -> Iterator[Show]:
    """A bar with words behind it, and a column about time."""
    screen = console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), *time)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
        task = progress.add_task("", total=total)

        def show(done: int, words: str, total: int | None = None) -> None:
            progress.update(task, completed=done, description=words, total=total)

        yield show
