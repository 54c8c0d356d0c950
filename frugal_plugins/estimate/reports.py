"""The providers' own usage reports: buckets of many requests, by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.estimate.features import TextReading
from frugal_plugins.estimate.row import Row, Unusable, counted, lane_of, moment, whole, word
from frugal_plugins.usage import Usage

_BUCKETS: Final = (
    "single requests and prompts",
    (
        "repeats, kinds of work, sessions and prefixes are not visible, so cache, history and prompt_cache cannot be judged and route and "
        "cap only by average size"
    ),
)
_LONG_TOKENS: Final = 200_001


@dataclass(slots=True)
class OpenAIUsage:
    """`GET /v1/organization/usage/completions`, pages, buckets or results."""

    name: str = "OpenAI organization usage"
    missing: tuple[tuple[str, str], ...] = (
        _BUCKETS,
        ("the size of each request", "long-context prices are chosen by the average request of a bucket"),
    )
    reading: TextReading = field(default_factory=TextReading)
    uncounted: int = 0
    zoneless: int = 0

    def fits(self, record: Mapping[str, Any]) -> bool:
        """A bucket with OpenAI's results, or one of its results."""
        if isinstance(record.get("results"), list) and "start_time" in record:
            return True
        return "num_model_requests" in record

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """A row for every result of a bucket; results without tokens are left out."""
        results = record.get("results")
        if not isinstance(results, list):
            return self._row(record, record.get("start_time") or record.get("start_time_iso"))
        return [row for result in results if isinstance(result, Mapping) for row in self._row(result, record.get("start_time"))]

    def _row(self, result: Mapping[str, Any], at: Any) -> list[Row]:
        paid, out = whole(result.get("input_tokens")), whole(result.get("output_tokens"))
        if not (paid or out):
            return []
        if not result.get("model"):
            raise Unusable("usage without a model has no price; ask for the report with group_by=model (and batch, service_tier)")
        lane = lane_of(str(result.get("batch")).lower() == "true", result.get("service_tier"))
        row = Row(moment(at)[0], word(result["model"]), lane, requests=max(1, whole(result.get("num_model_requests"))))
        usage = Usage(paid, whole(result.get("input_cached_tokens")), whole(result.get("input_cache_write_tokens")), 0, out)
        return [counted(row, usage)]


@dataclass(slots=True)
class AnthropicUsage:
    """`GET /v1/organizations/usage_report/messages`, pages, buckets or results."""

    name: str = "Anthropic usage report"
    missing: tuple[tuple[str, str], ...] = (
        _BUCKETS,
        ("the number of requests", "requests are counted as unknown; dollars are not affected"),
    )
    reading: TextReading = field(default_factory=TextReading)
    uncounted: int = 0
    zoneless: int = 0

    def fits(self, record: Mapping[str, Any]) -> bool:
        """A bucket with Anthropic's results, or one of its results."""
        return (isinstance(record.get("results"), list) and "starting_at" in record) or "uncached_input_tokens" in record

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """A row for every result of a bucket; results without tokens are left out."""
        results = record.get("results")
        if not isinstance(results, list):
            return self._row(record, record.get("starting_at"))
        return [row for result in results if isinstance(result, Mapping) for row in self._row(result, record.get("starting_at"))]

    def _row(self, result: Mapping[str, Any], at: Any) -> list[Row]:
        created = result.get("cache_creation")
        created = created if isinstance(created, Mapping) else {}
        write, hour = whole(created.get("ephemeral_5m_input_tokens")), whole(created.get("ephemeral_1h_input_tokens"))
        read, paid, out = (whole(result.get(name)) for name in ("cache_read_input_tokens", "uncached_input_tokens", "output_tokens"))
        if not (read or paid or out or write or hour):
            return []
        if not result.get("model"):
            raise Unusable(
                "usage without a model has no price; ask for the report with group_by[]=model (and service_tier, context_window)"
            )
        long = str(result.get("context_window") or "").lower().startswith("200k")
        row = Row(
            moment(at)[0], word(result["model"]), lane_of(result.get("service_tier")), requests=0, size_tokens=_LONG_TOKENS if long else 1
        )
        return [counted(row, Usage(paid + read + write + hour, read, write, hour, out))]
