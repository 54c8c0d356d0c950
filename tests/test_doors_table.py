"""The README's table of doors: every cell names a test, and every test it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MARK = "<!-- doors -->"
COLUMNS = ["SDK", "Router", "Proxy chat", "Proxy messages", "Proxy responses", "LangChain"]
NOT_THERE = "–"


def table(text: str) -> list[list[str]]:
    """The rows of the table behind the mark, cell by cell."""
    after = text.split(MARK, 1)[1].lstrip().split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in after.splitlines()]


def names_of_tests() -> set[str]:
    """The name of every test of the repository."""
    return {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}


def test_every_cell_of_the_doors_table_names_a_test_that_is_there() -> None:
    assert MARK in README, "the README lost its table of doors"
    head, _, *rows = table(README)
    assert head[1:] == COLUMNS
    there = names_of_tests()
    for row in rows:
        assert len(row) == len(head), row
        for cell in row[1:]:
            named = re.findall(r"`(test_\w+)`", cell)
            assert named or cell == NOT_THERE, f"{row[0]}: {cell!r} names no test and is not {NOT_THERE}"
            assert set(named) <= there, f"{row[0]}: {sorted(set(named) - there)} is no test here"
