"""kill -9 at every step that is on disk, at both providers, in a job with several batches and several waves."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from tests.batch.kills import kill_at, mortal
from tests.batch.scene import PROVIDERS

EVERY = int(os.environ.get("FRUGAL_KILL_EVERY", "9"))
"""The tests take every ninth point; the benchmark takes all of them."""

CUT_ANSWERS = {"cap": {"retry_factor": 4}, "tasks": {"summary": {"tier": "only", "output_tokens": 5}}}
ASKED = {"text": "Sum up chapter {n} of the handbook.", "max_tokens": 400, "task": "summary"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_killed_anywhere_each_row_comes_once_and_is_paid_once(provider: str, tmp_path: Path) -> None:
    settings = {"most_rows": 4, "poll_seconds": 120}
    points = 0
    with mortal() as process:
        for die_at in range(1, 200, EVERY):
            after = kill_at(process, provider, tmp_path / str(die_at), die_at, rows=9, settings=settings, more=CUT_ANSWERS, how=ASKED)
            assert (after.delivered, after.in_order) == (9, True), after
            assert after.double_paid == 0, after
            assert after.ledger_minus_invoice == Decimal(0), after
            points += after.killed
            if not after.killed:
                break
    assert points * EVERY >= 20


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("cancel_at", [2, 6, 13])
def test_cancelled_and_killed_anywhere_no_row_is_lost_and_none_paid_twice(provider: str, cancel_at: int, tmp_path: Path) -> None:
    settings = {"most_rows": 4, "poll_seconds": 120}
    points = 0
    with mortal() as process:
        for die_at in range(cancel_at, 200, max(2, EVERY // 2)):
            after = kill_at(
                process, provider, tmp_path / str(die_at), die_at, rows=9, settings=settings, more=CUT_ANSWERS, how=ASKED,
                cancel_at=cancel_at,
            )  # fmt: skip
            assert (after.delivered + after.failed, after.in_order, after.state) == (9, True, "cancelled"), after
            assert (after.double_paid, after.paid_later, after.ledger_minus_invoice) == (0, 0, Decimal(0)), after
            points += after.killed
            if not after.killed:
                break
    assert points >= 1
