"""The results of a job as JSONL or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from frugal_plugins.batch import RowResult
from frugal_plugins.request import Reply

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run when a cell begins with it."""


def jsonl_writer(file: Any) -> Callable[[RowResult], None]:
    """Rows as lines in the shape of `frugal run`'s output."""

    def write(row: RowResult) -> None:
        said: dict[str, Any] = {"line": row.n + 1}
        if row.name is not None:
            said["custom_id"] = row.name
        if row.reply is not None:
            said |= {"response": response_of(row.reply), "frugal": row.frugal}
        elif row.error is not None:
            said["error"] = {"message": row.error}
        file.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


def csv_writer(file: Any) -> Callable[[RowResult], None]:
    """Rows as a table with a header."""
    out = csv.writer(file)
    out.writerow(("line", "custom_id", "answer", "error", "model", "input_tokens", "output_tokens"))

    def write(row: RowResult) -> None:
        reply: Reply | None = row.reply
        counts: Mapping[str, Any] = {} if reply is None else {"in": reply.usage.input_tokens, "out": reply.usage.output_tokens}
        words = (
            row.n + 1,
            row.name,
            None if reply is None else reply.text,
            row.error,
            row.frugal.get("model"),
            counts.get("in"),
            counts.get("out"),
        )
        out.writerow([_harmless(word) for word in words])

    return write


def _harmless(word: Any) -> Any:
    """A cell that a spreadsheet shows and does not run."""
    return f"'{word}" if isinstance(word, str) and word.startswith(_FORMULA) else word


def response_of(reply: Reply) -> dict[str, Any]:
    """A reply as a chat completion, whichever provider gave it."""
    usage = reply.usage
    counted = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    messages = (reply.message, *reply.others)
    choices = [{"index": place, "message": message, "finish_reason": reply.finish} for place, message in enumerate(messages)]
    return {"id": reply.id, "object": "chat.completion", "model": reply.model, "choices": choices, "usage": counted}
