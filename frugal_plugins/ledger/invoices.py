"""What a provider says was used or owed: usage reports, cost reports, and the sandbox's invoice, in one shape.

OpenAI: `/v1/organization/usage/completions` (or `/embeddings`) and `/v1/organization/costs`. Anthropic:
`/v1/organizations/usage_report/messages` and `/v1/organizations/cost_report`. A page, a list of buckets, or one bucket a line.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

from frugal_plugins.errors import InputError
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.usage import Usage

Kind = Literal["calls", "tokens", "dollars"]
MOST_BYTES: Final = 2**28
_DATED: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_CENTS: Final = Decimal(100)
_LANES: Final = {"batch": "batch", "flex": "flex", "priority": "priority"}


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """One line of what a provider reports; `start_seconds` to `end_seconds` is its bucket, None where a line is one call."""

    provider: str | None
    model: str
    lane: str
    id: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    usage: Usage | None = None
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """One file: what kind it is, its rows, and the time it covers."""

    file: str
    kind: Kind
    rows: tuple[InvoiceRow, ...]
    start_seconds: float | None = None
    end_seconds: float | None = None


def plain_model(model: str) -> str:
    """A model's name without provider prefix and date, so that an alias and its snapshot are one.

    >>> plain_model("openai/gpt-4o-mini-2024-07-18")
    'gpt-4o-mini'
    """
    return _DATED.sub("", bare_name(model))


def read_report(path: Path) -> ProviderReport:
    """Read a report. Raises InputError when it is none we know, with what to ask the provider for."""
    records = [*_records(path)]
    kind = next((found for number, record in records if (found := _kind(record)) is not None), None)
    if kind is None:
        raise InputError(
            "is no invoice this program knows; give OpenAI's organization usage or costs, Anthropic's usage_report or cost_report, or the "
            "sandbox's /_sandbox/invoice, as JSON",
            file=str(path),
        )
    rows: list[InvoiceRow] = []
    for number, record in records:
        try:
            rows.extend(_rows(record))
        except (ValueError, TypeError, KeyError, InvalidOperation, OverflowError) as error:
            raise InputError(f"cannot be used: {error}", file=str(path), line=number) from error
    starts = [moment for _, record in records if (moment := _edge(record, "start_time", "starting_at")) is not None]
    ends = [moment for _, record in records if (moment := _edge(record, "end_time", "ending_at")) is not None]
    return ProviderReport(str(path), kind, tuple(rows), min(starts, default=None), max(ends, default=None))


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Buckets or lines, from a whole document or from JSON lines."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES // 2**20} MB; ask the provider for daily buckets", file=str(path))
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text; save the provider's JSON as it came", file=str(path)) from error
    try:
        whole = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield from ((number, record) for record in _flat(_line(path, number, line)))
        return
    yield from ((1, record) for record in _flat(whole))


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", file=str(path), line=number) from error


def _flat(value: Any) -> Iterator[Mapping[str, Any]]:
    """Pages into buckets, the sandbox's invoice into lines."""
    if isinstance(value, list):
        for one in value:
            yield from _flat(one)
    elif isinstance(value, Mapping):
        inner = value.get("data", value.get("lines"))
        if isinstance(inner, list):
            yield from _flat(inner)
        else:
            yield value


def _kind(record: Mapping[str, Any]) -> Kind | None:
    if "id" in record and "usd" in record and isinstance(record.get("usage"), Mapping):
        return "calls"
    results = record.get("results")
    if not isinstance(results, list) or not ("start_time" in record or "starting_at" in record):
        return None
    first = results[0] if results and isinstance(results[0], Mapping) else {}
    if not first:
        return None
    return "dollars" if "amount" in first else "tokens" if "input_tokens" in first or "uncached_input_tokens" in first else None


def _rows(record: Mapping[str, Any]) -> Iterator[InvoiceRow]:
    if "usd" in record and "id" in record:
        usage = Usage(**{name: _count(record["usage"], name) for name in Usage.__dataclass_fields__})
        model = str(record["model"])
        yield InvoiceRow(
            provider_of(model), plain_model(model), str(record.get("lane") or "standard"), str(record["id"]), usage=usage,
            usd=Decimal(str(record["usd"])),
        )  # fmt: skip
        return
    openai = "start_time" in record
    start, end = _edge(record, "start_time", "starting_at"), _edge(record, "end_time", "ending_at")
    for result in record.get("results") or ():
        reading = _cost if "amount" in result else _openai_usage if openai else _anthropic_usage
        row = reading(result, start, end)
        if row is not None:
            yield row


def _cost(result: Mapping[str, Any], start: float | None, end: float | None) -> InvoiceRow | None:
    """OpenAI gives dollars and a line item ("gpt-4o-mini, input"), Anthropic cents as text and the model."""
    amount = result["amount"]
    if isinstance(amount, Mapping):
        model = str(result.get("line_item") or "").split(",")[0].strip()
        return InvoiceRow("openai", plain_model(model), "", start_seconds=start, end_seconds=end, usd=Decimal(str(amount["value"])))
    usd = Decimal(str(amount)) / _CENTS
    return InvoiceRow("anthropic", plain_model(str(result.get("model") or "")), "", start_seconds=start, end_seconds=end, usd=usd)


def _openai_usage(result: Mapping[str, Any], start: float | None, end: float | None) -> InvoiceRow | None:
    usage = Usage(
        _count(result, "input_tokens"), _count(result, "input_cached_tokens"), _count(result, "input_cache_write_tokens"), 0,
        _count(result, "output_tokens"),
    )  # fmt: skip
    lane = "batch" if result.get("batch") in (True, "true", "True") else _LANES.get(str(result.get("service_tier")), "standard")
    return _used("openai", result, lane, start, end, usage, "group_by=model,batch,service_tier")


def _anthropic_usage(result: Mapping[str, Any], start: float | None, end: float | None) -> InvoiceRow | None:
    created = result.get("cache_creation") or {}
    short, hour = _count(created, "ephemeral_5m_input_tokens"), _count(created, "ephemeral_1h_input_tokens")
    read, plain = _count(result, "cache_read_input_tokens"), _count(result, "uncached_input_tokens")
    usage = Usage(plain + read + short + hour, read, short, hour, _count(result, "output_tokens"))
    lane = _LANES.get(str(result.get("service_tier")), "standard")
    return _used("anthropic", result, lane, start, end, usage, "group_by[]=model&group_by[]=service_tier")


def _used(
    provider: str, result: Mapping[str, Any], lane: str, start: float | None, end: float | None, usage: Usage, grouping: str
) -> InvoiceRow | None:
    if usage == Usage():
        return None
    if not result.get("model"):
        raise ValueError(f"usage without a model; ask for the report with {grouping}")
    return InvoiceRow(provider, plain_model(str(result["model"])), lane, None, start, end, usage)


def _count(of: Any, name: str) -> int:
    value = of.get(name) if isinstance(of, Mapping) else None
    number = int(value or 0)
    if number < 0:
        raise ValueError(f"{name} is negative ({number})")
    return number


def _edge(record: Mapping[str, Any], unix: str, iso: str) -> float | None:
    if isinstance(record.get(unix), (int, float, Decimal)):
        return float(record[unix])
    if not isinstance(record.get(iso), str):
        return None
    moment = dt.datetime.fromisoformat(record[iso])
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
