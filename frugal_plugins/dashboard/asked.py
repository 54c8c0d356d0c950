"""What an address asks for: which time, and which rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args
from urllib.parse import urlencode

from frugal_plugins.errors import InputError
from frugal_plugins.ledger.reader import Period, Step, Wanted

Span = Literal["today", "24h", "7d", "30d", "all"]
SPANS: Final[Mapping[Span, str]] = {"today": "Today", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "all": "All"}

_HOURS: Final[Mapping[str, int]] = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24}
_HOUR: Final = 3_600
_DAY: Final = 86_400
_LONGEST: Final = 200
FILTERS: Final = ("task", "model", "technique", "outcome", "group", "team", "feature")


@dataclass(frozen=True, slots=True)
class Asked:
    """One address in our own words; it turns back into an address.

    Attributes:
        from_seconds, to_seconds: one bar of a plot; they narrow `span`.
        before: the last row of the page before, as its time and id.
    """

    span: Span = "today"
    wanted: Wanted = field(default_factory=Wanted)
    from_seconds: float | None = None
    to_seconds: float | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Read an address. Raises InputError for what no page of ours would write."""
        span = query.get("span", "today")
        if span not in get_args(Span):
            raise InputError(f"span {span[:20]!r} is not one of {', '.join(SPANS)}")
        chosen = {name: query.get(name, "")[:_LONGEST] for name in FILTERS if query.get(name) or f"{name}_none" in query}
        before = (_number(query, "at"), query["after"][:_LONGEST]) if "after" in query and "at" in query else None
        start, end = _number(query, "from") if "from" in query else None, _number(query, "to") if "to" in query else None
        return cls(span, Wanted(**chosen, before=before), start, end)  # type: ignore[arg-type,unused-ignore]

    @property
    def chosen(self) -> dict[str, str]:
        """The filters that are set, by name."""
        return {name: value for name in FILTERS if (value := getattr(self.wanted, name)) is not None}

    def href(self, page: str = "rows", **more: str) -> str:
        """The address of a page that keeps the time and the filters; `more` sets filters."""
        pairs = {"span": self.span, **self.chosen, **more}
        for name, edge in (("from", self.from_seconds), ("to", self.to_seconds)):
            if edge is not None:
                pairs.setdefault(name, f"{edge:.0f}")
        marks = {f"{name}_none": "1" for name in ("team", "feature") if pairs.get(name) == ""}
        return f"{page}?{urlencode({**pairs, **marks})}"

    def without(self, name: str) -> Asked:
        """The same with one filter taken off; `time` takes a bar's hours off."""
        if name == "time":
            return replace(self, from_seconds=None, to_seconds=None, wanted=replace(self.wanted, before=None))
        return replace(self, wanted=Wanted(**{**self.chosen, name: None}))  # type: ignore[arg-type,unused-ignore]

    def period(self, now_seconds: float) -> Period:
        """The whole hours that are meant."""
        since = self._since(now_seconds)
        if self.from_seconds is not None:
            since = self.from_seconds if since is None else max(since, self.from_seconds)
        return Period(since, self.to_seconds)

    def step(self) -> Step:
        """How wide a bar of the plot is."""
        return "hour" if self.span in ("today", "24h") else "day"

    def _since(self, now_seconds: float) -> float | None:
        if self.span == "all":
            return None
        if self.span == "today":
            return now_seconds // _DAY * _DAY
        return now_seconds // _HOUR * _HOUR - (_HOURS[self.span] - 1) * _HOUR


def _number(query: Mapping[str, str], name: str) -> float:
    try:
        value = float(query[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not 0 <= value < 1e11:
        raise InputError(f"{name} {query[name][:20]!r} is not a time in unix seconds")
    return value
