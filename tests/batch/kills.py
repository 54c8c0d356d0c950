"""Killing a job at every step that is on disk, one after the other, and looking at what was delivered and paid."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault
from tests.batch.mortal import open_store_of
from tests.batch.scene import START, ledger_usd

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Aftermath:
    """What a job came to that was killed at step `die_at` and run again."""

    die_at: int
    killed: bool
    rows: int
    delivered: int
    in_order: bool
    paid: int
    double_paid: int
    ledger_minus_invoice: Decimal
    failed: int = 0
    state: str = "done"
    paid_later: int = 0


@contextmanager
def mortal() -> Iterator[subprocess.Popen[str]]:
    """The process that forks a run for every line it is given."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.batch.mortal"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def die(process: subprocess.Popen[str], **said: Any) -> Mapping[str, Any]:
    """One run."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(said) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    assert answer["killed"] or answer["code"] == 0, answer
    return answer


def kill_at(
    process: subprocess.Popen[str], provider: str, folder: Path, die_at: int, *, rows: int, settings: Mapping[str, Any],
    faults: tuple[Fault, ...] = (), more: Mapping[str, Any] | None = None, how: Mapping[str, Any] | None = None,
    store: Mapping[str, str] | None = None, cancel_at: int = 0,
) -> Aftermath:  # fmt: skip
    """Run a job, kill it at one step, run it again to its end, and read everything anew; at `cancel_at` somebody asks it to stop."""
    folder.mkdir()
    clock = VirtualClock(START)
    with Sandbox(clock=clock) as sandbox:
        sandbox.faults.add(*faults)
        said = {
            "folder": str(folder), "provider": provider, "url": sandbox.url, "rows": rows,
            "settings": dict(settings), "more": dict(more or {}), "how": dict(how or {}),
            "store": None if store is None else dict(store), "cancel_at": cancel_at,
        }  # fmt: skip
        killed = die(process, die_at=die_at, **said)["killed"]
        if killed:
            die(process, die_at=0, **said)
        lines = sandbox.invoice().lines
        kept = open_store_of(said["store"], folder)
        state = kept.job("one")["state"]
        found = kept.all("SELECT name, state FROM rows WHERE job = 'one' ORDER BY n")
        answered = kept.count("SELECT count(*) FROM calls WHERE state = 'answered'")
        kept.close()
        off = ledger_usd(folder / "ledger.sqlite") - sandbox.invoice().total_usd
        clock.advance(86_400)
        return Aftermath(
            die_at,
            killed,
            rows,
            sum(row["state"] == "done" for row in found),
            [row["name"] for row in found] == [f"q{n}" for n in range(rows)],
            len(lines),
            len(lines) - answered,
            off,
            sum(row["state"] == "failed" for row in found),
            state,
            len(sandbox.invoice().lines) - len(lines),
        )
