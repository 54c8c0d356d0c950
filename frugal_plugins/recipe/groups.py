"""Which requests travel untouched, and which without one technique, so that savings are measured and not only worked out.

Whole conversations are drawn, by a hash of the session's name, so the same conversation is always in the same group; requests
without a session are drawn one by one, by their id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from frugal_plugins.flow import Context, Decision, Group, Mode, Technique
from frugal_plugins.request import Request

Steps = Sequence[tuple[Technique, Mode]]

_TECHNIQUES: Final = ("cache", "shorten", "history", "route", "cap", "prompt_cache")
"""Each has its own place among the draws, so that turning one on or off leaves the others' groups as they were."""


def group_drawn(request: Request, drawn_by: str, control_percent: float) -> Group:
    """Treated or control."""
    return "control" if _draw(request, drawn_by, 0) < control_percent else "treated"


def held_out(request: Request, drawn_by: str, each_percent: float, steps: Steps) -> str | None:
    """The one technique a treated request goes without, or None for most."""
    if not each_percent:
        return None
    place = int(_draw(request, drawn_by, 4) / each_percent)
    name = _TECHNIQUES[place] if place < len(_TECHNIQUES) else None
    return name if any(technique.name == name and mode == "on" for technique, mode in steps) else None


def left_out(name: str, steps: Steps, ctx: Context) -> list[tuple[Technique, Mode]]:
    """The steps without that technique, which says so among the request's reasons."""
    ctx.decisions.append(Decision(name, "held_out", "left out of this request, to measure what it adds to the others", "off"))
    return [step for step in steps if step[0].name != name]


def _draw(request: Request, drawn_by: str, place: int) -> float:
    """A number from 0 up to 100, always the same for a conversation; each place gives one of its own."""
    digest = hashlib.sha256((request.session or drawn_by).encode()).digest()
    return 100 * int.from_bytes(digest[place : place + 4]) / 2**32
