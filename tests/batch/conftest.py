"""The scene of a batch test: provider, clock and folder, with no settings from outside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.sandbox import Sandbox, VirtualClock
from tests.answers.conftest import postgres  # noqa: F401 - a fixture
from tests.batch.scene import START, Scene, keys_for


@pytest.fixture(autouse=True)
def _environment_as_it_was() -> Iterator[None]:
    """A scene writes the provider's keys into the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def clock() -> VirtualClock:
    """Today, so that the ledger's dated prices are those the sandbox charges."""
    return VirtualClock(START)


@pytest.fixture
def scene(sandbox: Sandbox, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    """Builds the scene for a provider."""
    for name in keys_for("", ""):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")
    for name in ("FRUGAL_LEDGER", "FRUGAL_MODE", "FRUGAL_OFF"):
        monkeypatch.delenv(name, raising=False)

    def build(provider: str, **how: Any) -> Scene:
        return Scene(provider, sandbox, clock, tmp_path, **how)

    return build
