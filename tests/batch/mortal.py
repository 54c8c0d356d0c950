"""A process that runs a batch job and is killed at a chosen step. It forks for every run, so that Python starts only once.

Reads lines of JSON from stdin: {"folder", "provider", "urls", "die_at", ...}; answers with {"steps", "killed"} for each.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
import traceback
import urllib.request
from pathlib import Path
from typing import Any

from frugal_plugins import Recipe
from frugal_plugins.batch import BatchJobs, BatchSettings
from frugal_plugins.batch.postgres_store import PostgresJobStore
from frugal_plugins.batch.store import JobStore
from frugal_plugins.errors import FrugalError
from frugal_plugins.prices import load_price_list
from frugal_plugins.tokens import count_text
from tests.batch.scene import MODELS, keys_for, recipe_of, rows_of


class RemoteClock:
    """The sandbox's clock, which runs in another process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.advance(0)

    def now(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        data = json.dumps({"advance_seconds": seconds}).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/clock", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as response:
            self.at = float(json.load(response)["now_unix_seconds"])


LEASE_SECONDS = 0.6


def open_store_of(said: Any, folder: Path) -> JobStore:
    """The job's store: a file, or a schema of a server."""
    if said is None:
        return JobStore(folder / "jobs.sqlite")
    return PostgresJobStore(said["dsn"], schema=said["schema"], lease_seconds=LEASE_SECONDS)


def ask_to_stop(said: Any, folder: Path) -> None:
    """What `frugal batch cancel` does in a process of its own while this one works on the job."""
    other = open_store_of(said, folder)
    other.ask_to_stop("one")
    other.close()


def run_when_free(jobs: BatchJobs) -> None:
    """A worker that was killed keeps its lease for a moment."""
    for _ in range(20):
        try:
            jobs.run("one")
        except FrugalError as error:
            if "another worker is working" not in str(error):
                raise
            time.sleep(LEASE_SECONDS / 3)
        else:
            return


def run(said: dict[str, Any]) -> None:
    """One run of the job, which ends at its end or at step `die_at`."""
    os.environ.update(keys_for(f"{said['url']}/v1", said["url"]))
    folder, clock = Path(said["folder"]), RemoteClock(said["url"])
    steps = 0

    def persisted(step: str) -> None:
        nonlocal steps
        steps += 1
        if steps == said.get("cancel_at"):
            ask_to_stop(said.get("store"), folder)
        if steps == said["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = Recipe.load(recipe_of(MODELS[said["provider"]], folder, **said["more"]), clock=clock.now)
    store = open_store_of(said.get("store"), folder)
    jobs = BatchJobs(recipe, store, BatchSettings(**said["settings"]), sleep=clock.advance, persisted=persisted)
    if jobs.store.one("SELECT id FROM jobs WHERE id = 'one'") is None:
        jobs.add(rows_of(said["rows"], **said["how"]), "one")
    run_when_free(jobs)
    recipe.close()
    jobs.close()
    (folder / "steps").write_text(str(steps))


def main() -> None:
    load_price_list()
    count_text("read the vocabulary before the first fork", "gpt-4o")
    for line in sys.stdin:
        said = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(said)
                code = 0
            except (FrugalError, sqlite3.Error, KeyError, TypeError, ValueError):  # the parent only sees a number
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        started = time.monotonic()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        answer = {"killed": killed, "code": None if killed else os.WEXITSTATUS(status), "seconds": time.monotonic() - started}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
