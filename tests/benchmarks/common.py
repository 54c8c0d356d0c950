"""What every benchmark shares: its arguments, and how it prints."""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

# `import litellm` would otherwise ask the network for its price list.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


def arguments(description: str) -> argparse.Namespace:
    """`--data DIR` (default FRUGAL_BENCH_DATA, then ../shared/data), `--json`, `--quick`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FRUGAL_BENCH_DATA", "../shared/data")), help="folder with the data"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="finish within a minute and say what was left out")
    return parser.parse_args()


def print_result(result: Mapping[str, Any], as_json: bool) -> None:
    """One JSON object, or the same as indented lines for a person."""
    print(json.dumps(result, default=_plain, indent=None if as_json else 2))


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSONL file, gzipped or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} cannot be printed as JSON")
