"""The cost calculator: reads logs people have, says what they cost today, where that leaks, and what each technique would save."""

from __future__ import annotations

from frugal_plugins.estimate.estimate import Elsewhere, Estimate, Numbers, estimate_logs, estimate_numbers

__all__ = ["Elsewhere", "Estimate", "Numbers", "estimate_logs", "estimate_numbers"]
