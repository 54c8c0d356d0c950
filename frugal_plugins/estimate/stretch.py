"""One stretch of a large file, read in a process of its own: `python -m frugal_plugins.estimate.stretch FILE START END OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

from frugal_plugins.errors import FrugalError
from frugal_plugins.estimate.reading import read_stretch
from frugal_plugins.estimate.sources import look_at


def main() -> None:
    """Read, write the rows to OUT, and print the tally as JSON."""
    path, start, end, out = sys.argv[1:]
    try:
        with Path(out).open("w", encoding="utf-8", errors="replace") as rows:
            tally = read_stretch(look_at(Path(path)), rows, int(start), int(end))
    except FrugalError as error:
        sys.exit(str(error))
    sys.stdout.write(tally.as_json())


if __name__ == "__main__":
    main()
