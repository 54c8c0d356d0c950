"""Things that go wrong on order: the next call, the next three, or one in twenty."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from typing import Any, Literal

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox.dice import Dice

CallKind = Literal[
    "rate_limit", "server_error", "overloaded", "timeout", "truncated_stream", "malformed_body", "disconnect", "unauthorized", "forbidden"
]
AcceptedKind = Literal["accepted_error", "accepted_disconnect", "accepted_timeout"]
BatchKind = Literal[
    "batch_slow",
    "batch_expires",
    "batch_lost_lines",
    "batch_broken_lines",
    "batch_duplicate_lines",
    "batch_line_error",
    "batch_line_refused",
    "batch_late_output",
    "batch_empty_ids",
    "batch_token_limit",
]
Kind = CallKind | AcceptedKind | BatchKind

ACCEPTED: tuple[str, ...] = AcceptedKind.__args__  # type: ignore[attr-defined]
BATCH: tuple[str, ...] = BatchKind.__args__  # type: ignore[attr-defined]
KINDS: tuple[str, ...] = (*CallKind.__args__, *ACCEPTED, *BATCH)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that will go wrong.

    Attributes:
        kind: `rate_limit` (429 with Retry-After), `server_error` (500), `overloaded` (503, Anthropic 529), `unauthorized` (401),
            `forbidden` (403), `timeout` (no answer until the caller gives up, at most `hold_seconds`), `truncated_stream` (the
            stream ends early without its closing events), `malformed_body` (status 200, broken JSON), `disconnect` (the connection
            drops). `accepted_error`, `accepted_disconnect` and `accepted_timeout`: the call takes effect and is billed, but its
            caller gets a 500, a dropped connection or silence. The `batch_` kinds wait for a batch that is created: `batch_slow`
            (takes `hold_seconds`), `batch_expires` (only the share `probability` is done when it expires), `batch_lost_lines`,
            `batch_broken_lines`, `batch_duplicate_lines`, `batch_line_error` (500) and `batch_line_refused` (400) for the share
            `probability` of the lines, `batch_late_output` (completed, but its file ids come `hold_seconds` later),
            `batch_empty_ids` ("" for a file that is not there), `batch_token_limit` (fails when more than `limit_tokens` would be
            enqueued).
        times: how many calls it hits; with `probability`, how many at most.
        model: only calls to this model, as the caller names it.
        endpoint: only this endpoint: `chat`, `responses`, `messages`, `embeddings`, `count_tokens`, `models`, `files`, `file_content`,
            `batches` (creating one), `batches_get`, `batches_list`, `batches_cancel`, `batches_results`.
        after_chunks: how many pieces of a stream get through before it is cut.
        retry_after_seconds: what a 429 asks the caller to wait.
        probability: the share of matching calls it hits, drawn from `seed`; None hits them all.
        hold_seconds: the longest a `timeout` holds a call; how long a batch takes or its output is late.
        limit_tokens: how many input tokens may wait in all unfinished batches of a key and model.
    """

    kind: Kind
    times: int = 1
    model: str | None = None
    endpoint: str | None = None
    after_chunks: int = 3
    retry_after_seconds: float = 1
    probability: float | None = None
    seed: int = 0
    hold_seconds: float = 60
    limit_tokens: int = 0

    @classmethod
    def from_json(cls, body: Any) -> Fault:
        """A fault from a plain dict, as the admin endpoint gets it."""
        known = {field.name for field in fields(cls)}
        if not isinstance(body, dict) or body.get("kind") not in KINDS or set(body) - known:
            raise InputError(f"not a fault: send an object with 'kind' ({', '.join(KINDS)}) and only the fields {', '.join(sorted(known))}")
        return cls(**body)


class Faults:
    """The faults still to come, in the order they were added; usable from any thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, list[int], Dice]] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Let these happen to the next calls they fit."""
        with self._lock:
            self._waiting.extend((fault, [fault.times], Dice(fault.seed)) for fault in faults)

    def for_batch(self, model: str | None) -> tuple[Fault, ...]:
        """Everything that was ordered for the next batch: each kind at most once."""
        taken: dict[str, Fault] = {}
        with self._lock:
            for fault, left, _ in self._waiting:
                if fault.kind in BATCH and fault.kind not in taken and fault.model in (None, model):
                    taken[fault.kind] = fault
                    left[0] -= 1
            self._waiting = [entry for entry in self._waiting if entry[1][0] > 0]
        return tuple(taken.values())

    def clear(self) -> None:
        """Nothing goes wrong from here on."""
        with self._lock:
            self._waiting.clear()

    def take(self, endpoint: str, model: str | None, *, streamed: bool) -> Fault | None:
        """The fault that hits this call, if any. A truncated stream waits for a call that streams."""
        if not self._waiting:
            return None
        with self._lock:
            for fault, left, dice in self._waiting:
                if not _fits(fault, endpoint, model, streamed):
                    continue
                if fault.probability is not None and dice.share() >= fault.probability:
                    continue
                left[0] -= 1
                self._waiting = [entry for entry in self._waiting if entry[1][0] > 0]
                return fault
        return None


def _fits(fault: Fault, endpoint: str, model: str | None, streamed: bool) -> bool:
    if (fault.kind == "truncated_stream" and not streamed) or fault.kind in BATCH:
        return False
    return fault.endpoint in (None, endpoint) and fault.model in (None, model)
