"""One structured log line a request, at INFO on the logger `frugal_plugins.requests`."""

from __future__ import annotations

import logging
from typing import Any, Final

from frugal_plugins.ledger.rows import plain
from frugal_plugins.ledger.settle import Entry, Settled

_log = logging.getLogger("frugal_plugins.requests")
_LONGEST_CHARS: Final = 1000


class Lines:
    """The fields are on the record as `frugal_...`, for any JSON formatter; the message says the same to a person."""

    def __call__(self, entry: Entry, settled: Settled) -> None:
        """Write the line."""
        if not _log.isEnabledFor(logging.INFO):
            return
        fields = fields_of(entry, settled)
        why = "; ".join(f"{d.technique} {'would ' if d.mode == 'shadow' else ''}{d.action}" for d in entry.ctx.decisions)
        fields["why"] = plain(why, _LONGEST_CHARS)
        _log.info(
            "%s %s %s by %s: paid %s, saved %s (%s)",
            fields["recipe"], fields["task"], fields["outcome"], fields["model"], _dollars(fields["actual_usd"]),
            _dollars(fields["saved_usd"]), fields["why"] or fields["group"], extra={f"frugal_{key}": said for key, said in fields.items()},
        )  # fmt: skip


def fields_of(entry: Entry, settled: Settled) -> dict[str, Any]:
    """What every form of monitoring says of a request: numbers and names. Dollars are floats here; the ledger has them exactly."""
    ctx = entry.ctx
    travelled = settled.travelled
    last = travelled[-1].model if travelled else (entry.reply.model if entry.reply else "")
    actual, baseline = settled.actual_usd, settled.baseline_usd
    return {
        "id": plain(ctx.id),
        "recipe": ctx.recipe,
        "host": plain(ctx.host),
        "task": plain(ctx.task(entry.request).name),
        "group": ctx.group,
        "outcome": settled.outcome,
        "basis": settled.basis,
        "model_asked": plain(entry.request.model),
        "model": plain(last),
        "error": plain(entry.error) if entry.error else None,
        "team": plain(entry.request.tags["team"]) if entry.request.tags.get("team") else None,
        "feature": plain(entry.request.tags["feature"]) if entry.request.tags.get("feature") else None,
        "input_tokens": sum(paid.usage.input_tokens for paid in travelled),
        "output_tokens": sum(paid.usage.output_tokens for paid in travelled),
        "calls": len(settled.paid),
        "actual_usd": None if actual is None else float(actual),
        "baseline_usd": None if baseline is None else float(baseline),
        "saved_usd": None if actual is None or baseline is None else float(baseline - actual),
    }


def _dollars(usd: float | None) -> str:
    return "unpriced" if usd is None else f"${usd:.6f}"
