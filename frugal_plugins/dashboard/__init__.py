"""The ledger as pages in a browser: today's spend and saving, what was decided and why, stored answers to review."""

from __future__ import annotations

from frugal_plugins.dashboard.app import dashboard_app
from frugal_plugins.dashboard.door import Admit, Visit, on_loopback, with_token
from frugal_plugins.dashboard.judging import judge_of

__all__ = ["Admit", "Visit", "dashboard_app", "judge_of", "on_loopback", "with_token"]
