"""The real LiteLLM Proxy in a process of its own, in front of the sandbox."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai

from frugal_plugins.sandbox import Sandbox
from tests.contract.litellm.conftest import user

ROOT = Path(__file__).resolve().parents[3]
KEY = "sk-proxy"


def _told(headers: Any) -> dict[str, str]:
    """The headers that are ours, and the price LiteLLM says."""
    return {name: value for name, value in headers.items() if name.startswith("x-frugal-") or name == "x-litellm-response-cost"}


class RunningProxy:
    """A proxy, what it was given, and what its ledger says."""

    def __init__(self, sandbox: Sandbox, port: int, ledger: Path, log: Path) -> None:
        self.sandbox = sandbox
        self.url = f"http://127.0.0.1:{port}"
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0)
        self.claude = anthropic.Anthropic(base_url=self.url, api_key=KEY, max_retries=0)
        self.log = log
        self.call_ids: list[str] = []  # LiteLLM's own, of what was asked here
        self._ledger = ledger
        self._seen: set[str] = set()

    def ask(self, text: str, model: str = "gpt-4o", **params: Any) -> tuple[Any, dict[str, str]]:
        """An answer (a list of chunks for a stream) and the headers that are ours."""
        raw = self.client.chat.completions.with_raw_response.create(model=model, messages=user(text), **params)  # type: ignore[arg-type]
        answer = raw.parse()
        self.call_ids.append(raw.headers["x-litellm-call-id"])
        return (list(answer) if params.get("stream") else answer), _told(raw.headers)

    def message(self, text: str, model: str = "sonnet", **params: Any) -> tuple[Any, dict[str, str]]:
        """The same through /v1/messages and the real Anthropic client."""
        body = {"max_tokens": 200, "messages": user(text), **params}
        raw = self.claude.messages.with_raw_response.create(model=model, **body)
        answer = raw.parse()
        self.call_ids.append(raw.headers["x-litellm-call-id"])
        return (list(answer) if params.get("stream") else answer), _told(raw.headers)

    def response(self, text: Any, model: str = "gpt-4o", **params: Any) -> tuple[Any, dict[str, str]]:
        """The same through /v1/responses."""
        raw = self.client.responses.with_raw_response.create(model=model, input=text, **params)
        answer = raw.parse()
        self.call_ids.append(raw.headers["x-litellm-call-id"])
        return (list(answer) if params.get("stream") else answer), _told(raw.headers)

    def spent(self, call_ids: list[str]) -> list[tuple[str, float]]:
        """Model and cost of these calls, once LiteLLM has booked them all; others may be booked late and in between."""
        file = self._ledger.with_name("spent.jsonl")
        until = time.monotonic() + 20
        while True:
            lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
            found = [(model, cost) for call_id, model, cost in lines if call_id in call_ids]
            if len(found) >= len(call_ids) or time.monotonic() > until:
                return found
            time.sleep(0.05)

    def new_rows(self, count: int) -> list[dict[str, Any]]:
        """The ledger's rows since the last look, once there are as many as were asked for."""
        found: list[dict[str, Any]] = []
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = [row for row in self._all() if row["id"] not in self._seen]
            if len(found) >= count:
                break
            time.sleep(0.05)
        time.sleep(0.6)  # one more would be one too many
        found = [row for row in self._all() if row["id"] not in self._seen]
        self._seen |= {row["id"] for row in found}
        return found

    def books_agree(self, count: int) -> list[dict[str, Any]]:
        """That many new rows, and they come to what the provider bills; the invoice is then cleared."""
        found = self.new_rows(count)
        assert len(found) == count
        assert sum(row["actual_picousd"] or 0 for row in found) == int(self.sandbox.invoice().total_usd * 10**12)
        self.sandbox.reset()
        return found

    def _all(self) -> list[dict[str, Any]]:
        if not self._ledger.exists():
            return []
        with closing(sqlite3.connect(self._ledger)) as connection:
            connection.row_factory = sqlite3.Row
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'requests'").fetchone():
                return []  # the proxy is just making it
            return [dict(row) for row in connection.execute("SELECT * FROM requests ORDER BY at_seconds")]


@contextmanager
def running(folder: Path, recipe: str, **settings: Any) -> Iterator[RunningProxy]:
    """A sandbox and a proxy in front of it."""
    with Sandbox(chunk_seconds=0.002) as sandbox, in_front_of(sandbox, folder, recipe, **settings) as up:
        yield up


@contextmanager
def in_front_of(
    sandbox: Sandbox,
    folder: Path,
    recipe: str,
    *,
    more_models: tuple[dict[str, Any], ...] = (),
    retries: int | None = None,
    general: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[RunningProxy]:
    """A proxy in front of a sandbox that runs already; `general` are further general settings of LiteLLM."""
    names = {
        "gpt-4o": "openai/gpt-4o",
        "mini": "openai/gpt-4o-mini",
        "haiku": "anthropic/claude-haiku-4-5",
        "sonnet": "anthropic/claude-sonnet-4-5",
        "support": "openai/gpt-4o",
    }
    listed = [{"model_name": name, "litellm_params": {"model": model, **_connection(sandbox, model)}} for name, model in names.items()]
    listed += [{**more, "litellm_params": {**more["litellm_params"], **_connection(sandbox, "openai/")}} for more in more_models]
    router = {} if retries is None else {"router_settings": {"num_retries": retries, "allowed_fails": 10_000}}
    config = folder / "config.yaml"
    whole = {"model_list": listed, "litellm_settings": settings, "general_settings": {"master_key": KEY, **(general or {})}, **router}
    config.write_text(json.dumps(whole))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "proxy.log"
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    offline = {f"LITELLM_LOCAL_{name}": "True" for name in ("ANTHROPIC_BETA_HEADERS", "BLOG_POSTS", "MODEL_COST_MAP", "POLICY_TEMPLATES")}
    # Where another LiteLLM is laid over the installed one, the proxy is that one.
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part)
    env = {**os.environ, **offline, "FRUGAL_RECIPE": recipe, "PYTHONPATH": path}
    with log.open("w") as out, subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=folder) as process:
        try:
            _wait_for(process, f"http://127.0.0.1:{port}/health/liveliness", log)
            yield RunningProxy(sandbox, port, folder / "ledger.sqlite", log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _connection(sandbox: Sandbox, model: str) -> dict[str, Any]:
    return {"api_base": sandbox.openai_base_url if model.startswith("openai/") else sandbox.anthropic_base_url, "api_key": "sk-upstream"}


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(1200):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])
