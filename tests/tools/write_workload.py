"""Writes the shipped workload from the texts beside this script: python tests/tools/write_workload.py

The same texts always give the same bytes. With --stdout the lines go to standard output and no file is written.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

from workload_content.kinds import all_drafts
from workload_content.month import Draft, in_time_order

TARGET = Path(__file__).parents[2] / "frugal_plugins" / "workload" / "month.jsonl.gz"
SEED = 20260501


def lines() -> list[dict[str, Any]]:
    """The month's requests in time order, numbered within their kind."""
    count: dict[str, int] = {}
    rows = []
    for at_seconds, draft in in_time_order(all_drafts(), random.Random(SEED)):
        count[draft.kind] = count.get(draft.kind, 0) + 1
        rows.append(_line(draft, f"{draft.kind.replace('_', '-')}-{count[draft.kind]:04d}", at_seconds))
    return rows


def _line(draft: Draft, identifier: str, at_seconds: int) -> dict[str, Any]:
    return {
        "id": identifier,
        "kind": draft.kind,
        "body": draft.body,
        "frugal": draft.frugal,
        "at_seconds": at_seconds,
        "answers": draft.answers,
        "check": draft.check,
    }


def main(arguments: list[str]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in lines())
    if "--stdout" in arguments:
        sys.stdout.buffer.write(text.encode("utf-8"))
        return
    packed = gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)
    TARGET.write_bytes(packed)
    print(f"{TARGET.name}: {len(text.encode('utf-8')):,} bytes, packed {len(packed):,}")


if __name__ == "__main__":
    main(sys.argv[1:])
