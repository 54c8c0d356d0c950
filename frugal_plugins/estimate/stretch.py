"""One stretch of a large file, read in a process of its own: `python -m frugal_plugins.estimate.stretch FILE START END OUT [QUESTIONS]`."""

from __future__ import annotations

import sys
from pathlib import Path

from frugal_plugins.errors import FrugalError
from frugal_plugins.estimate.reading import Tally, read_stretch
from frugal_plugins.estimate.sources import Source, look_at


def read_into(source: Source, out: Path, start: int, end: int, questions: Path | None = None) -> Tally:
    """Write the rows to `out`, and the questions to a file of their own where one is named."""
    with out.open("w", encoding="utf-8", errors="replace") as rows:
        if questions is None:
            return read_stretch(source, rows, start, end)
        with questions.open("w", encoding="utf-8") as asked:
            return read_stretch(source, rows, start, end, questions=asked)


def main() -> None:
    """Read, write the rows to OUT, and print the tally as JSON."""
    path, start, end, out, *questions = sys.argv[1:]
    try:
        tally = read_into(look_at(Path(path)), Path(out), int(start), int(end), Path(questions[0]) if questions else None)
    except FrugalError as error:
        sys.exit(str(error))
    sys.stdout.write(tally.as_json())


if __name__ == "__main__":
    main()
