"""Small logs of every format, written to a folder of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.estimate import Estimate, estimate_logs

NOW_SECONDS = 1_795_000_000.0
"""18 November 2026, so that no test depends on the day it runs."""

Write = Callable[..., Path]


@pytest.fixture
def lines(tmp_path: Path) -> Write:
    """Write JSON lines; a string is written as it is."""

    def write(records: Iterable[Mapping[str, Any] | str], name: str = "log.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in records), encoding="utf-8")
        return path

    return write


@pytest.fixture
def text(tmp_path: Path) -> Write:
    """Write a file as it is, a text or bytes."""

    def write(content: str | bytes, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def estimated(*paths: Path | str, **how: Any) -> Estimate:
    return estimate_logs(paths, now_seconds=NOW_SECONDS, **how)


def chat(
    question: str = "hi",
    *,
    at: float | str = 1_793_500_000,
    model: str = "gpt-4o",
    prompt: int = 1000,
    output: int = 100,
    cached: int = 0,
    system: str | None = None,
    earlier: Iterable[Mapping[str, str]] = (),
    params: Mapping[str, Any] | None = None,
    frugal: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One logged chat completion."""
    messages = [*([{"role": "system", "content": system}] if system else []), *earlier, {"role": "user", "content": question}]
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}}
    answer = {"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    return {
        "timestamp": at,
        "request": {"model": model, "messages": messages, **(params or {})},
        "response": {"model": model, "usage": usage, "choices": [answer]},
        "frugal": dict(frugal or {}),
    }
