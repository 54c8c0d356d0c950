"""From a settled request to the rows that are written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from frugal_plugins.flow import Decision
from frugal_plugins.ledger.settle import Entry, Paid, Settled
from frugal_plugins.ledger.shape import answer_fits
from frugal_plugins.ledger.tables import pico, usd
from frugal_plugins.request import fingerprint, text_of

__all__ = ["COLUMNS", "KEYS", "Batch", "RequestRows", "pico", "rows_of", "usd"]

Row = tuple[Any, ...]

COLUMNS: Final = {
    "requests": (
        "id, at_seconds, recipe, host, endpoint, grp, mode, task, task_source, tenant_hash, session_hash, team, request_hash, stream, "
        "model_asked, model_baseline, model_answered, outcome, finish_reason, error, input_tokens, cache_read_tokens, "
        "cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, actual_picousd, "
        "baseline_picousd, basis, price_source, price_date, text, "
        "feature, user_hash, answer_key, schema_valid, retries, held_out, judge_picousd"
    ),
    "calls": (
        "request_id, n, purpose, technique, replaced_by, model, lane, provider_id, error, finish_reason, input_tokens, cache_read_tokens, "
        "cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, picousd"
    ),
    "decisions": "request_id, n, technique, action, why, mode, tokens_before, tokens_after",
    "savings": "request_id, technique, picousd, basis",
    "losses": "at_seconds, rows, why",
    "feedback": "request_id, source, good, at_seconds",
    "alerts": "name, what, period_seconds, at_seconds, picousd, limit_picousd",
}
"""The columns that are written, by table, in the order the rows have them."""

KEYS: Final = {
    "requests": "id",
    "calls": "request_id, n",
    "decisions": "request_id, n",
    "savings": "request_id, technique",
    "feedback": "request_id, source",
    "alerts": "name, what, period_seconds",
}
"""What makes a row of a table one of its kind."""

_COUNTS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_counts: Final = attrgetter(*_COUNTS)
_NOTHING: Final = (0,) * len(_COUNTS)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LARGEST: Final = 2**50
_LONGEST_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class RequestRows:
    """One request's rows in four tables."""

    request: Row
    calls: tuple[Row, ...] = ()
    decisions: tuple[Row, ...] = ()
    savings: tuple[Row, ...] = ()


@dataclass(slots=True)
class Batch:
    """Rows that are written in one transaction."""

    requests: list[RequestRows] = field(default_factory=list)
    feedback: list[Row] = field(default_factory=list)
    losses: list[Row] = field(default_factory=list)
    alerts: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.requests) + len(self.feedback) + len(self.losses) + len(self.alerts)


def rows_of(entry: Entry, settled: Settled, *, keep_text: bool) -> RequestRows:
    """What is written down of one request: numbers, names and fingerprints, and text only where the recipe says `keep_text: true`."""
    name = plain(entry.ctx.id)
    return RequestRows(
        _request(entry, settled, keep_text=keep_text),
        tuple(_call(name, n, paid) for n, paid in enumerate(settled.paid)),
        tuple(_decision(name, n, decision) for n, decision in enumerate(entry.ctx.decisions)),
        (
            *((name, technique, whole(pico(saved)), settled.basis) for technique, saved in settled.saved_usd.items()),
            *((name, technique, whole(pico(would)), "shadow") for technique, would in _only_would(settled)),
        ),
    )


def _only_would(settled: Settled) -> list[tuple[str, Decimal]]:
    return [(technique, would) for technique, would in settled.would_usd.items() if technique not in settled.saved_usd]


def _request(entry: Entry, settled: Settled, *, keep_text: bool) -> Row:
    request, ctx, reply, tags = entry.request, entry.ctx, entry.reply, entry.request.tags
    task = ctx.task(request)
    travelled = settled.travelled
    last = travelled[-1] if travelled else None
    rates = next((paid.rates for paid in settled.paid if paid.rates is not None), None)
    usage = [whole(sum(counts)) for counts in zip(_NOTHING, *(_counts(paid.usage) for paid in travelled), strict=True)]
    answers = sum(paid.attempt.call.purpose == "answer" for paid in settled.paid)
    return (
        plain(ctx.id), entry.at.timestamp(), ctx.recipe, plain(ctx.host), request.endpoint, ctx.group, ctx.mode, plain(task.name),
        task.source, _hashed(tags.get("tenant")), _hashed(request.session), _tag(tags.get("team")),
        fingerprint([request.model, request.messages, request.params]), int(request.stream),
        plain(request.model), plain(entry.baseline_model), plain(last.model if last else (reply.model if reply else "")) or None,
        settled.outcome, _tag(reply.finish) if reply else None, _tag(entry.error), *usage,
        whole(pico(settled.actual_usd)), whole(pico(settled.baseline_usd)), settled.basis,
        plain(rates.source) if rates else None, rates.as_of.isoformat() if rates else None, _text(entry) if keep_text else None,
        _tag(tags.get("feature")), _hashed(tags.get("user")), ctx.answer_key, answer_fits(request, reply), max(0, answers - 1),
        ctx.held_out, whole(pico(settled.judge_usd)),
    )  # fmt: skip


def _call(name: str, n: int, paid: Paid) -> Row:
    attempt, answer = paid.attempt, paid.attempt.reply
    return (
        name, n, attempt.call.purpose, attempt.call.technique, attempt.replaced_by, plain(paid.model),
        answer.lane if answer else "standard", _tag(answer.id) if answer else None, _tag(attempt.error),
        _tag(answer.finish) if answer else None,
        *map(whole, _counts(paid.usage)), whole(pico(paid.usd)),
    )  # fmt: skip


def _decision(name: str, n: int, decision: Decision) -> Row:
    before, after = whole(decision.tokens_before), whole(decision.tokens_after)
    return name, n, plain(decision.technique), plain(decision.action), plain(decision.why), decision.mode, before, after


def plain(text: str, longest: int = _LONGEST_CHARS) -> str:
    """One line a terminal, a log and a spreadsheet can show: no control characters (line ends, colour codes, NUL), no half characters.

    >>> plain("red\\x1b[31m\\r\\nalert")
    'red [31m  alert'
    """
    if text.__class__ is str and len(text) <= longest and text.isprintable():
        return text
    said = str(text)[:longest]
    return said if said.isprintable() else _CONTROL.sub(" ", said).encode("utf-8", "replace").decode()


def whole(number: int | None) -> int | None:
    """A whole number any database can hold; absurd ones end at 2**50."""
    if number is None or (number.__class__ is int and -_LARGEST <= number <= _LARGEST):
        return number
    return max(-_LARGEST, min(_LARGEST, int(number)))


def _hashed(value: str | None) -> str | None:
    return fingerprint(value)[:16] if value else None


def _tag(value: str | None) -> str | None:
    return plain(value) if value else None


def _text(entry: Entry) -> str:
    """What was asked and answered, kept only when the recipe says `keep_text: true`."""
    asked = [{"role": message.get("role"), "content": text_of(message)} for message in entry.request.messages]
    kept = json.dumps({"asked": asked, "answered": entry.reply.text if entry.reply else None}, ensure_ascii=False)
    return kept.encode("utf-8", "replace").decode()
