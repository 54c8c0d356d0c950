"""How long batches and single calls take, from what this store has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.batch.settings import BatchSettings
from frugal_plugins.batch.store import JobStore

_LATEST: Final = 50
_FEWEST_CALLS: Final = 5
_SLOW_SHARE: Final = 0.9
"""Plans are made for the slow ones: nine of ten took no longer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The store's own history."""

    store: JobStore
    settings: BatchSettings

    def batch_seconds(self, provider: str, model: str) -> float | None:
        """How long batches of a model have taken, the slow ones; those of its provider where the model is new; None without any."""
        for where, values in (("provider = ? AND model = ?", (provider, model)), ("provider = ?", (provider,))):
            found = self.store.all(
                f"SELECT ended_at - submitted_at AS s FROM batches WHERE state = 'harvested' AND status IN ('completed', 'ended') "
                f"AND {where} ORDER BY id DESC LIMIT ?",
                *values, _LATEST,
            )  # fmt: skip
            if found:
                return _slow([one["s"] for one in found])
        return None

    def call_seconds(self) -> float:
        """How long a call outside of batches takes, the slow ones; the setting's guess until a few have been seen."""
        found = self.store.all(
            "SELECT took_seconds AS s FROM calls WHERE took_seconds IS NOT NULL ORDER BY took_seconds DESC LIMIT ?", _LATEST
        )
        return self.settings.seconds_per_call if len(found) < _FEWEST_CALLS else max(0.05, _slow([one["s"] for one in found]))

    def ends_at(self, batch: Mapping[str, Any], now: float) -> float | None:
        """When a batch under way is expected to end: from how far it is, else from how long others took; None where nobody can tell."""
        if batch["submitted_at"] is None:
            return None
        shown = json.loads(batch["shown"] or "{}")
        share = (shown.get("done", 0) + shown.get("failed", 0)) / max(1, batch["rows"])
        gone = now - batch["submitted_at"]
        if share > 0 and gone > 0:
            return float(batch["submitted_at"] + gone / share)
        usual = self.batch_seconds(batch["provider"], batch["model"])
        return None if usual is None else max(now, batch["submitted_at"] + usual)


def _slow(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * _SLOW_SHARE))])
