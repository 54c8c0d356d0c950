"""/v1/messages/batches: in_progress, canceling, ended."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, Final

from frugal_plugins.sandbox.anthropic_messages import messages
from frugal_plugins.sandbox.api_errors import ApiError, bad_request
from frugal_plugins.sandbox.batch_work import CANCEL_SECONDS, DAY_SECONDS, WORK_SECONDS, Outcome, Row, Work, newest_first, shelf_of, spoil
from frugal_plugins.sandbox.codec import dumps
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, new_id

MOST_REQUESTS: Final = 100_000
MOST_BYTES: Final = 256 * 1000 * 1000
RESULTS_SECONDS: Final = 29 * DAY_SECONDS
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TYPES: Final = {"done": "succeeded", "refused": "errored", "failed": "errored", "cancelled": "canceled", "expired": "expired"}


@dataclass(slots=True)
class MessageBatch:
    """One batch. Its counts and results stay hidden until it has ended."""

    id: str
    created_at: float
    work: Work
    base_url: str
    cancelled_at: float | None = None

    def ended_at(self) -> float:
        """When it is over."""
        if self.cancelled_at is not None:
            return min(self.cancelled_at + CANCEL_SECONDS, self.created_at + DAY_SECONDS)
        return self.work.over_at


def create(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/messages/batches."""
    requests = call.body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise bad_request("requests: Field required")
    if len(call.raw) > MOST_BYTES:
        raise ApiError(413, f"Request exceeds the maximum size of {MOST_BYTES} bytes.", kind="request_too_large")
    if len(requests) > MOST_REQUESTS:
        raise bad_request(f"requests: List should have at most {MOST_REQUESTS} items after validation, not {len(requests)}")
    rows: dict[str, Row] = {}
    for place, one in enumerate(requests):
        name, params = (one.get("custom_id"), one.get("params")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or not _CUSTOM_ID.fullmatch(name):
            raise bad_request(f"requests.{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if not isinstance(params, dict):
            raise bad_request(f"requests.{place}.params: Field required")
        if params.get("stream"):
            raise bad_request(f"requests.{place}.params.stream: streaming is not supported in a batch")
        if name in rows:
            raise bad_request(f"requests.{place}.custom_id: custom_id '{name}' is not unique")
        rows[name] = Row(name, dumps(params))
    now = provider.clock.now()
    faults = provider.faults.for_batch(requests[0]["params"].get("model"))
    slow = next((fault.hold_seconds for fault in faults if fault.kind == "batch_slow"), WORK_SECONDS)
    inner = Call("messages", {}, call.key, call.request_id, call.headers, batch=True)
    work = Work(list(rows.values()), inner, messages, now, now + slow, now + DAY_SECONDS, faults=faults)
    batch = MessageBatch(new_id("msgbatch_01", 22), now, work, f"http://{call.headers.get('host', '')}")
    with shelf_of(provider).lock:
        shelf_of(provider).batches[call.key, batch.id] = batch
    return JsonReply(_as_json(provider, batch))


def retrieve(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/messages/batches/{batch_id}."""
    return JsonReply(_as_json(provider, _find(provider, call)))


def list_batches(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/messages/batches, newest first."""
    own = newest_first(provider, call.key, MessageBatch)
    after, limit = call.body.get("after_id"), int(call.body.get("limit") or 20)
    if after:
        own = own[next((place for place, one in enumerate(own) if one.id == after), len(own)) + 1 :]
    page = [_as_json(provider, one) for one in own[:limit]]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return JsonReply({"data": page, "first_id": first, "last_id": last, "has_more": len(own) > limit})


def cancel(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/messages/batches/{batch_id}/cancel."""
    batch = _find(provider, call)
    now = provider.clock.now()
    with shelf_of(provider).lock:
        if now >= batch.ended_at():
            raise bad_request(f"Batch {batch.id} cannot be canceled because it has already ended.")
        if batch.cancelled_at is None:
            batch.work.proceed(provider, now)
            batch.cancelled_at = now
            batch.work.cancel(now)
    return JsonReply(_as_json(provider, batch))


def delete(provider: Provider, call: Call) -> JsonReply:
    """DELETE /v1/messages/batches/{batch_id}: only when it has ended."""
    batch = _find(provider, call)
    if provider.clock.now() < batch.ended_at():
        raise bad_request(f"Batch {batch.id} cannot be deleted because it is still in progress.")
    del shelf_of(provider).batches[call.key, batch.id]
    return JsonReply({"id": batch.id, "type": "message_batch_deleted"})


def results(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/messages/batches/{batch_id}/results: JSONL, in no order."""
    batch = _find(provider, call)
    now = provider.clock.now()
    if now < batch.ended_at():
        raise ApiError(404, f"Batch {batch.id} has no results yet.", kind="not_found_error")
    if now >= batch.created_at + RESULTS_SECONDS:
        raise ApiError(404, f"The results of batch {batch.id} are no longer available.", kind="not_found_error")
    with shelf_of(provider).lock:
        batch.work.proceed(provider, now)
        lines = [
            (row.custom_id, dumps({"custom_id": row.custom_id, "result": _result(outcome)}))
            for row, outcome in zip(batch.work.rows, batch.work.outcomes, strict=True)
        ]
        return JsonReply(spoil(batch.work, lines))


def _find(provider: Provider, call: Call) -> MessageBatch:
    batch = shelf_of(provider).batches.get((call.key, call.body["batch_id"]))
    if not isinstance(batch, MessageBatch):
        raise ApiError(404, f"message batch {call.body['batch_id']} not found", kind="not_found_error")
    return batch


def _result(outcome: Outcome) -> dict[str, Any]:
    kind = _TYPES[outcome.how]
    if outcome.how == "done":
        return {"type": kind, "message": outcome.body}
    if outcome.error is not None:
        return {"type": kind, "error": outcome.error.body(anthropic=True, request_id=outcome.request_id)}
    return {"type": kind}


def _as_json(provider: Provider, batch: MessageBatch) -> dict[str, Any]:
    now, work = provider.clock.now(), batch.work
    ended = now >= batch.ended_at()
    with shelf_of(provider).lock:
        work.proceed(provider, now)
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    if ended:
        for outcome in work.outcomes:
            counts[_TYPES[outcome.how]] += 1
    else:
        counts["processing"] = len(work.rows)
    archived = now >= batch.created_at + RESULTS_SECONDS
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else "canceling" if batch.cancelled_at is not None else "in_progress",
        "request_counts": counts,
        "created_at": _iso(batch.created_at),
        "expires_at": _iso(batch.created_at + DAY_SECONDS),
        "ended_at": _iso(batch.ended_at()) if ended else None,
        "cancel_initiated_at": None if batch.cancelled_at is None else _iso(batch.cancelled_at),
        "archived_at": _iso(batch.created_at + RESULTS_SECONDS) if archived else None,
        "results_url": f"{batch.base_url}/v1/messages/batches/{batch.id}/results" if ended and not archived else None,
    }


def _iso(unix_seconds: float) -> str:
    return dt.datetime.fromtimestamp(unix_seconds, tz=dt.UTC).isoformat().replace("+00:00", "Z")
