"""The batch executor against a provider that misbehaves: what was delivered, what was paid, what it cost in time and memory.

    python -m tests.benchmarks.batch --json [--quick]

Scenarios run in this process on a virtual clock; kills are real (SIGKILL to a forked process, at every step that is on disk);
the large job runs in a process of its own against a sandbox in another, so that its CPU seconds and memory are its own.
`lost` counts rows that were not delivered, `double_paid` invoice lines beyond the calls the job knows of; lines the scenario
made the provider lose are paid and asked again, and are shown as `paid` above `rows`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins import Recipe
from frugal_plugins.batch import BatchJobs, BatchSettings
from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault
from tests.batch.kills import Aftermath, kill_at, mortal
from tests.batch.mortal import RemoteClock
from tests.batch.scene import MODELS, PROVIDERS, START, Scene, each_row, keys_for, recipe_of, rows_of
from tests.batch.test_killed import ASKED, CUT_ANSWERS
from tests.benchmarks.batch_peers import run_peers

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Scenario:
    """What goes wrong, and for which provider it exists."""

    faults: tuple[Fault, ...] = ()
    providers: tuple[str, ...] = PROVIDERS
    settings: BatchSettings = field(default_factory=BatchSettings)


OPENAI = ("openai",)
SCENARIOS = {
    "normal": Scenario(),
    "lost_broken_failed_repeated": Scenario(
        (
            Fault("batch_lost_lines", probability=0.05),
            Fault("batch_broken_lines", probability=0.05),
            Fault("batch_line_error", probability=0.05),
            Fault("batch_duplicate_lines", probability=0.05),
        )
    ),
    "expires_half_done": Scenario((Fault("batch_expires", probability=0.5),), settings=BatchSettings(window_hours=72)),
    "accepted_then_500": Scenario((Fault("accepted_error", endpoint="batches"),)),
    "accepted_then_dropped": Scenario((Fault("accepted_disconnect", endpoint="batches"),)),
    "accepted_then_garbled": Scenario((Fault("malformed_body", endpoint="batches"),)),
    "never_arrived": Scenario((Fault("server_error", endpoint="batches"),)),
    "rate_limited": Scenario((Fault("rate_limit", endpoint="batches", times=3),)),
    "download_breaks": Scenario((Fault("disconnect", endpoint="file_content"), Fault("disconnect", endpoint="batches_results"))),
    "completed_before_output": Scenario((Fault("batch_late_output", hold_seconds=600), Fault("batch_empty_ids")), OPENAI),
    "token_limit": Scenario((Fault("batch_token_limit", times=99, limit_tokens=600),), OPENAI),
    "deadline_at_30_percent": Scenario(
        (Fault("batch_slow", hold_seconds=16_000),), settings=BatchSettings(window_hours=2, seconds_per_call=1)
    ),
}


def run_scenarios(rows: int) -> tuple[dict[str, Any], Decimal]:
    """Every scenario at every provider it exists for, and the largest difference between ledger and invoice."""
    found: dict[str, Any] = {}
    worst = Decimal(0)
    for name, scenario in SCENARIOS.items():
        for provider in scenario.providers:
            clock = VirtualClock(START)
            with tempfile.TemporaryDirectory() as folder, Sandbox(clock=clock) as sandbox:
                sandbox.faults.add(*scenario.faults)
                scene = Scene(provider, sandbox, clock, Path(folder), settings=scenario.settings)
                status, results = scene.run(rows_of(rows))
                off = scene.ledger_usd() - sandbox.invoice().total_usd
                worst = max(worst, off, key=abs)
                found.setdefault(name, {})[provider] = {
                    "rows": rows,
                    "delivered": sum(row.reply is not None for row in results),
                    "paid": len(sandbox.invoice().lines),
                    "in_order": [row.name for row in results] == [f"q{n}" for n in range(rows)],
                    "before_deadline": clock.now() <= status.deadline_seconds,
                    "ledger_minus_invoice_usd": float(off),
                }
    return found, worst


def run_kills(every: int) -> list[Aftermath]:
    """Jobs of several batches and waves, killed at each point in turn."""
    found: list[Aftermath] = []
    with tempfile.TemporaryDirectory() as folder, mortal() as process:
        for provider in PROVIDERS:
            for die_at in range(1, 1000, every):
                place = Path(folder, f"{provider}-{die_at}")
                settings = {"most_rows": 4, "poll_seconds": 120}
                after = kill_at(process, provider, place, die_at, rows=9, settings=settings, more=CUT_ANSWERS, how=ASKED)
                if not after.killed:
                    break
                found.append(after)
    return found


def run_large(rows: int) -> dict[str, Any]:
    """One job of many rows: its process's own CPU seconds and peak memory."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.batch", "--serve"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        ran = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.batch", "--job", url, str(rows)], cwd=ROOT, text=True, capture_output=True, check=True
        )
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        assert server.stdin is not None
        server.stdin.close()
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def large_job(url: str, rows: int) -> dict[str, Any]:
    """Plan, submit, harvest and book `rows` rows; runs in a process of its own."""
    os.environ.update(keys_for(f"{url}/v1", url))
    with tempfile.TemporaryDirectory() as folder:
        clock = RemoteClock(url)
        more = {"ledger": {"path": str(Path(folder, "ledger.sqlite")), "queue_rows": 100_000}}
        recipe = Recipe.load(recipe_of(MODELS["openai"], Path(folder), **more), clock=clock.now)
        seen: dict[int, float] = {}

        def look(step: str) -> None:
            if step == "booked" and recipe.ledger is not None:
                seen[recipe.ledger.written] = rss_mb()

        jobs = BatchJobs(recipe, Path(folder, "jobs.sqlite"), sleep=clock.advance, persisted=look)
        started, wall = time.process_time(), time.monotonic()
        jobs.add(each_row(rows), "large")
        status = jobs.run("large")
        delivered = sum(row.reply is not None for row in jobs.results("large"))
        cpu = time.process_time() - started
        recipe.close()
        lost = 0 if recipe.ledger is None else recipe.ledger.lost
        jobs.close()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    first, last = (pick(seen) for pick in (min, max))
    grew = (seen[last] - seen[first]) / max(1, last - first) * 100_000
    return {
        "rows": rows, "delivered": delivered, "failed": status.failed, "ledger_rows_lost": lost,
        "cpu_s": round(cpu, 1), "wall_s": round(time.monotonic() - wall, 1), "rss_mb": round(peak_mb),
        "grew_mb_per_100k_booked": round(grew, 1),
    }  # fmt: skip


def rss_mb() -> float:
    """What this process holds just now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def run_chain(rows: int) -> dict[str, Any]:
    """A LangChain chain with structured output, through `.batch()` and through BatchExecutor: dollars by invoice."""
    from langchain_core.prompts import ChatPromptTemplate
    from pydantic import BaseModel

    from frugal_plugins.langchain import BatchExecutor, FrugalRouter

    class Item(BaseModel):
        """An item of the store."""

        name: str
        price: int

    clock = VirtualClock(START)
    with tempfile.TemporaryDirectory() as folder, Sandbox(clock=clock) as sandbox:
        os.environ.update(keys_for(sandbox.openai_base_url, sandbox.anthropic_base_url))
        recipe = Recipe.load(recipe_of(MODELS["openai"], Path(folder)), clock=clock.now)
        prompt = ChatPromptTemplate.from_messages([("human", "What is item {n} for?")])
        chain = prompt | FrugalRouter.from_recipe(recipe).with_structured_output(Item)
        inputs = [{"n": n} for n in range(rows)]
        chain.batch(inputs)
        at_once = sandbox.invoice().total_usd
        executor = BatchExecutor.from_recipe(recipe, chain=chain, store=Path(folder, "jobs.sqlite"), sleep=clock.advance)
        found = executor.invoke(inputs)
        batched = sandbox.invoice().total_usd - at_once
        executor.close()
        recipe.close()
    return {
        "rows": rows, "objects": sum(isinstance(one, Item) for one in found), "batch_usd": float(at_once),
        "executor_usd": float(batched), "ratio": round(float(batched / at_once), 4),
    }  # fmt: skip


PARTS = ("scenarios", "kills", "large", "chain", "peers")
PEER_SCENARIOS = (
    "normal",
    "lost_broken_failed_repeated",
    "expires_half_done",
    "accepted_then_500",
    "completed_before_output",
    "token_limit",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="not needed: the rows are made up")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer rows and kill points, no large job")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--rows", type=int, default=50_000, help="rows of the large job")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with the peers (see batch_peers.py)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.serve:
        with Sandbox(clock=VirtualClock(START), keep_requests=100) as sandbox:
            print(sandbox.url, flush=True)
            sys.stdin.read()
        return
    if said.job:
        print(json.dumps(large_job(said.job[0], int(said.job[1]))))
        return
    print(json.dumps(measured(said), indent=None if said.json else 2))


def measured(said: argparse.Namespace) -> dict[str, Any]:
    """Every part that was asked for; a figure of another part is null."""
    wanted = {*(said.only or PARTS)} - ({"large"} if said.quick else set())
    scenarios, off = run_scenarios(40 if said.quick else 200) if "scenarios" in wanted else ({}, Decimal(0))
    kills = run_kills(6 if said.quick else 1) if "kills" in wanted else []
    large = run_large(said.rows) if "large" in wanted else {"rows": 0, "cpu_s": None, "rss_mb": None}
    runs = [run for one in scenarios.values() for run in one.values()]
    peer_faults = {name: SCENARIOS[name].faults for name in PEER_SCENARIOS}
    seen = bool(runs or kills)
    return {
        "scenarios": scenarios or None,
        "kill_points": len(kills) if kills else None,
        "lost": sum(run["rows"] - run["delivered"] for run in runs) + sum(one.rows - one.delivered for one in kills) if seen else None,
        "double_paid": sum(one.double_paid for one in kills) if kills else None,
        "ledger_minus_invoice_usd": float(max([off, *(one.ledger_minus_invoice for one in kills)], key=abs)) if seen else None,
        "cpu_s_50k": large["cpu_s"] if large["rows"] == 50_000 else None,
        "rss_mb_50k": large["rss_mb"] if large["rows"] == 50_000 else None,
        "rss_mb_1m": large["rss_mb"] if large["rows"] == 1_000_000 else None,
        "large_job": large if large["rows"] else None,
        "structured_chain": run_chain(100 if said.quick else 1000) if "chain" in wanted else None,
        "peers": run_peers(said.peers, peer_faults, 40 if said.quick else 200) if "peers" in wanted else None,
        "left_out": [*(["kill points: every 6th"] if said.quick else []), *(part for part in PARTS if part not in wanted)],
    }


if __name__ == "__main__":
    main()
