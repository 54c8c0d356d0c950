"""Shared by every test: no price list from the network, no telemetry, and a provider on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")
os.environ.setdefault("LANGSMITH_TRACING", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
for _name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.lower(), None)

import pytest  # noqa: E402 - after the environment is set

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox, VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that moves only when the test moves it."""
    from frugal_plugins.sandbox import VirtualClock

    return VirtualClock(1_750_000_000)


@pytest.fixture
def sandbox(clock: VirtualClock) -> Iterator[Sandbox]:
    """A running provider; `sandbox.record({...})` records an answer, `clock.advance(300)` lets time pass."""
    from frugal_plugins.sandbox import Sandbox

    with Sandbox(clock=clock) as running:
        yield running
