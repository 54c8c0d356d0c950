"""How soon the dashboard's first page is painted with many requests behind it.

    python -m tests.benchmarks.dashboard --json

A ledger of 10,000,000 requests over 90 days (calls, decisions and savings with them) is made in the temporary folder, about 9 GB;
`--quick` makes 200,000. `--ledger FILE` uses one that is there. Every page is opened in a fresh headless Chromium (Debian's package),
five times; `paint_ms` are medians of its first contentful paint, `server_ms` of what the server needed.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from frugal_plugins.dashboard import dashboard_app
from frugal_plugins.ledger.rollups import HOUR_IN_SQLITE, rebuild
from frugal_plugins.ledger.sqlite import open_ledger
from tests.benchmarks.common import print_result
from tests.chromium import chromium

MANY, FEW = 10_000_000, 200_000
DAYS = 90
PAGES = (
    "?span=today",
    "?span=30d",
    "?span=all",
    "rows?span=today",
    "rows?span=all&task=summary",
    "rows?span=all&technique=route",
    "review?span=all",
)
TIMES = 5

NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM numbers WHERE n < {end} - 1)"
TABLES = (
    """INSERT INTO requests (id, at_seconds, recipe, host, endpoint, grp, mode, task, task_source, team, request_hash, stream, model_asked,
         model_baseline, model_answered, outcome, finish_reason, input_tokens, cache_read_tokens, cache_write_5m_tokens,
         cache_write_1h_tokens, output_tokens, reasoning_tokens, actual_picousd, baseline_picousd, basis, feature)
       {numbers} SELECT printf('%08x', n), {first} + n * {step}, 'support', 'litellm', 'chat',
         CASE WHEN n % 50 = 0 THEN 'control' ELSE 'treated' END, 'on',
         CASE n % 7 WHEN 0 THEN 'document' WHEN 1 THEN 'extraction' WHEN 2 THEN 'summary' ELSE 'support_reply' END, 'declared',
         'team' || (n % 23), 'h' || (n % 100000), 0, 'openai/gpt-4o', 'openai/gpt-4o',
         CASE WHEN n % 5 = 0 THEN 'openai/gpt-4o' ELSE 'openai/gpt-4o-mini' END,
         CASE WHEN n % 6 = 0 THEN 'hit' WHEN n % 1000 = 1 THEN 'error' ELSE 'answered' END, 'stop', 500 + n % 1500, 0, 0, 0, n % 400, 0,
         CASE WHEN n % 6 = 0 THEN 0 ELSE 300000000 + n % 1000000 END, 2000000000 + n % 7000000,
         CASE WHEN n % 9 = 0 THEN 'measured' ELSE 'estimated' END, 'feature' || (n % 5) FROM numbers""",
    """INSERT INTO calls (request_id, n, purpose, model, lane, finish_reason, input_tokens, cache_read_tokens, cache_write_5m_tokens,
         cache_write_1h_tokens, output_tokens, reasoning_tokens, picousd)
       {numbers} SELECT printf('%08x', n), 0, 'answer', CASE WHEN n % 5 = 0 THEN 'openai/gpt-4o' ELSE 'openai/gpt-4o-mini' END, 'standard',
         'stop', 500 + n % 1500, 0, 0, 0, n % 400, 0, 300000000 + n % 1000000 FROM numbers WHERE n % 6 <> 0""",
    """INSERT INTO decisions (request_id, n, technique, action, why, mode)
       {numbers} SELECT printf('%08x', n), 0, CASE WHEN n % 6 = 0 THEN 'cache' ELSE 'route' END,
         CASE WHEN n % 6 = 0 THEN 'hit' ELSE 'simple' END,
         'the same request was answered 2 h ago', 'on' FROM numbers""",
    """INSERT INTO savings (request_id, technique, picousd, basis)
       {numbers} SELECT printf('%08x', n), CASE WHEN n % 6 = 0 THEN 'cache' ELSE 'route' END, 1700000000 + n % 6000000,
         CASE WHEN n % 9 = 0 THEN 'measured' ELSE 'estimated' END FROM numbers""",
)


def make_ledger(path: Path, requests: int) -> None:
    """A ledger of that many requests up to now, and its sums by hour and by day."""
    first, step = time.time() - DAYS * 86_400, DAYS * 86_400 / requests
    with contextlib.closing(open_ledger(path)) as db:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
            db.execute(f"PRAGMA {setting}")
        for start in range(0, requests, 500_000):
            numbers = NUMBERS.format(start=start, end=min(requests, start + 500_000))
            db.execute("BEGIN")
            for table in TABLES:
                db.execute(table.format(numbers=numbers, first=first, step=step))
            db.execute("COMMIT")
        db.execute("BEGIN")
        for statement in rebuild(HOUR_IN_SQLITE):
            db.execute(statement)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def served(path: Path) -> Iterator[str]:
    """The dashboard of a ledger, on a free port."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(dashboard_app(path), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


def look(address: str) -> dict[str, dict[str, float]]:
    """Medians for each page."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    server = "performance.getEntriesByType('navigation')[0].responseStart"
    found: dict[str, dict[str, float]] = {}
    with chromium() as browser:
        for name in PAGES:
            painted, answered = [], []
            for _ in range(TIMES):
                page = browser.new_context().new_page()
                page.goto(address + name)
                while page.evaluate("performance.getEntriesByName('first-contentful-paint').length") == 0:
                    page.wait_for_timeout(5)
                painted.append(page.evaluate(paint))
                answered.append(page.evaluate(server))
                page.context.close()
            found[name] = {"paint_ms": statistics.median(painted), "server_ms": statistics.median(answered), "worst_ms": max(painted)}
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="200,000 requests instead of 10,000,000")
    parser.add_argument("--ledger", type=Path, help="a ledger that is there, or where to make one and keep it")
    options = parser.parse_args()
    requests = FEW if options.quick else MANY
    with tempfile.TemporaryDirectory() as folder:
        path = options.ledger or Path(folder) / "ledger.sqlite"
        if not path.exists():
            make_ledger(path, requests)
        with served(path) as address:
            pages = look(address)
        result: dict[str, Any] = {"requests": requests, "first_paint_ms": pages["?span=today"]["paint_ms"], "pages": pages}
        result["left_out"] = f"{MANY:,} requests" if options.quick else None
    print_result(result, options.json)


if __name__ == "__main__":
    main()
