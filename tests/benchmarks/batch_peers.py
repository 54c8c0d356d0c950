"""Other batch libraries in the same scenarios, against the same sandbox: what they were billed for and what they delivered.

They run in an interpreter of their own (`--peers PYTHON`, or FRUGAL_PEERS_PYTHON), because their requirements are not ours:

    python -m venv peers && peers/bin/pip install steadybatch==0.2.1 batchlane==0.2.0 langasync==0.2.3 langchain-openai litellm

`got` is the number of usable answers they handed to the caller, `paid` the number of rows on the sandbox's invoice. A peer that
is not installed is left out with the reason. Time is the sandbox's: an hour passes in a few seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from frugal_plugins.sandbox import Sandbox, VirtualClock
from frugal_plugins.sandbox.faults import Fault
from tests.batch.scene import START

PATIENCE_SECONDS: Final = 90

STEADYBATCH: Final = """
from steadybatch import Request, Runner
from steadybatch.providers.openai_batch import OpenAIBatch
rows = [Request(key=str(n), messages=[{"role": "user", "content": f"Name one use of item {n}."}], max_tokens=200) for n in range(ROWS)]
schema = {"type": "object", "properties": {"use": {"type": "string"}}, "required": ["use"], "additionalProperties": False}
report = Runner(OpenAIBatch(), "gpt-4o-mini", response_schema=schema, checkpoint="steady.sqlite", poll_every=0.05, timeout=80).run(rows)
done([int(one.key) for one in report.results if one.outcome.value == "ok"])
"""

BATCHLANE: Final = """
import dataclasses, os
import batchlane as bl
from batchlane.adapters import openai_shaped
row = openai_shaped.ROWS["openai"]
object.__setattr__(row, "base_url", os.environ["OPENAI_BASE_URL"])
rows = [bl.BatchLine(str(n), "openai/gpt-4o-mini", [{"role": "user", "content": f"Name one use of item {n}."}], params={"max_tokens": 20})
        for n in range(ROWS)]
got = []
for line, result in bl.run(rows, checkpoint="lane.jsonl", poll_interval=0.05, timeout=80):
    if bl.answer_text(result):
        got.append(int(line.custom_id))
done(got)
"""

LANGASYNC: Final = """
import asyncio
from langasync import batch_chain, BatchPoller
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
chain = ChatPromptTemplate.from_messages([("user", "Name one use of item {n}.")]) | ChatOpenAI(model="gpt-4o-mini", max_tokens=20)
async def main():
    job = await batch_chain(chain).submit([{"n": n} for n in range(ROWS)])
    for _ in range(300):
        found = await job.get_results()
        if found.results is not None or str(found.status_info.status).lower().endswith(("failed", "expired", "cancelled")):
            break
        await asyncio.sleep(0.1)
    done([n for n, one in enumerate(found.results or []) if getattr(one, "success", True) and getattr(one, "content", None)])
asyncio.run(main())
"""

LITELLM: Final = """
import io, json, os, time
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
lines = [json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": f"Name one use of item {n}."}]}})
    for n in range(ROWS)]
made = litellm.create_file(file=("in.jsonl", "\\n".join(lines).encode()), purpose="batch", custom_llm_provider="openai")
batch = litellm.create_batch(completion_window="24h", endpoint="/v1/chat/completions", input_file_id=made.id, custom_llm_provider="openai")
for _ in range(300):
    batch = litellm.retrieve_batch(batch.id, custom_llm_provider="openai")
    if batch.status in ("completed", "failed", "expired", "cancelled"):
        break
    time.sleep(0.1)
got = []
if batch.output_file_id:
    for line in litellm.file_content(batch.output_file_id, custom_llm_provider="openai").content.splitlines():
        try:
            got.append(int(json.loads(line)["custom_id"]))
        except ValueError:
            pass
done(got)
"""

PEERS: Final[Mapping[str, str]] = {"steadybatch": STEADYBATCH, "batchlane": BATCHLANE, "langasync": LANGASYNC, "litellm": LITELLM}
_FRAME: Final = """
import json, sys
ROWS = int(sys.argv[1])
def done(found):
    print("\\n" + json.dumps({"got": len(set(found)), "handed": len(found)}))
"""


def run_peers(python: str | None, scenarios: Mapping[str, tuple[Fault, ...]], rows: int) -> dict[str, Any] | str:
    """Each peer in each scenario; a reason in words where there is nothing to run."""
    python = python or os.environ.get("FRUGAL_PEERS_PYTHON")
    if not python:
        return "not run: name an interpreter that has them with --peers (see tests/benchmarks/batch_peers.py)"
    return {name: _peer(python, name, code, scenarios, rows) for name, code in PEERS.items()}


def _peer(python: str, name: str, code: str, scenarios: Mapping[str, tuple[Fault, ...]], rows: int) -> dict[str, Any] | str:
    asked = f"import {name}; from importlib.metadata import version; print(version('{name}'))"
    there = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    if there.returncode:
        return f"not installed: {there.stderr.strip().splitlines()[-1]}"
    found: dict[str, Any] = {"version": there.stdout.strip().splitlines()[-1]}
    for scenario, faults in scenarios.items():
        found[scenario] = _one(python, code, faults, rows)
    return found


def _one(python: str, code: str, faults: tuple[Fault, ...], rows: int) -> dict[str, Any]:
    clock, over = VirtualClock(START), threading.Event()
    tick = 3000 if any(fault.kind == "batch_expires" for fault in faults) else 120  # a window of a day passes in seconds

    def pass_time() -> None:
        while not over.wait(0.1):
            clock.advance(tick)

    with tempfile.TemporaryDirectory() as folder, Sandbox(clock=clock) as sandbox:
        sandbox.faults.add(*faults)
        script = Path(folder, "peer.py")
        script.write_text(_FRAME + code)
        env = {**os.environ, "OPENAI_BASE_URL": sandbox.openai_base_url, "OPENAI_API_BASE": sandbox.openai_base_url, "OPENAI_API_KEY": "k"}
        ticking = threading.Thread(target=pass_time, daemon=True)
        ticking.start()
        try:
            ran = subprocess.run(
                [python, str(script), str(rows)], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
            words = ran.stderr.strip().splitlines()[-1][:160] if ran.returncode and ran.stderr.strip() else None
            lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"got"')]
            said = lines[-1] if lines else {"got": 0, "handed": 0}
        except subprocess.TimeoutExpired:
            said, words = {"got": 0, "handed": 0}, f"gave no answer within {PATIENCE_SECONDS} s"
        finally:
            over.set()
            ticking.join()
        return {"rows": rows, **said, "paid": len(sandbox.invoice().lines), "ended": words or "ok"}
