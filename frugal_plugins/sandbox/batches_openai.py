"""/v1/batches: validating, in_progress, finalizing, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.sandbox import files
from frugal_plugins.sandbox.api_errors import ApiError, bad_request, missing
from frugal_plugins.sandbox.batch_work import (
    CANCEL_SECONDS,
    DAY_SECONDS,
    STEP_SECONDS,
    WORK_SECONDS,
    Answering,
    Row,
    Work,
    newest_first,
    shelf_of,
    spoil,
)
from frugal_plugins.sandbox.codec import dumps, loads
from frugal_plugins.sandbox.counting import count
from frugal_plugins.sandbox.embeddings import embed
from frugal_plugins.sandbox.openai_chat import chat
from frugal_plugins.sandbox.openai_responses import responses
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, new_id

MOST_LINES: Final = 50_000
_ANSWERING: Final[Mapping[str, tuple[str, Answering]]] = {
    "/v1/chat/completions": ("chat", chat),
    "/v1/responses": ("responses", responses),
    "/v1/embeddings": ("embeddings", embed),
}
_TIMES: Final = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")


@dataclass(slots=True)
class Batch:
    """One batch; `at` holds the moment of each state it has reached.

    Attributes:
        sums: how many rows were answered, how many were not, and what they used, once it has ended: the rows are in its files then.
    """

    id: str
    endpoint: str
    input_file_id: str
    metadata: Mapping[str, str] | None
    created_at: int
    expires_at: int
    work: Work
    model: str | None = None
    total: int = 0
    sums: tuple[int, int, dict[str, Any]] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    at: dict[str, int] = field(default_factory=dict)
    output_file_id: str | None = None
    error_file_id: str | None = None
    lifetime_seconds: int = 30 * DAY_SECONDS

    @property
    def status(self) -> str:
        """The state, from the moments reached."""
        for name in ("failed", "completed", "expired", "cancelled", "cancelling", "finalizing", "in_progress"):
            if f"{name}_at" in self.at:
                return name
        return "validating"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ("failed", "completed", "expired", "cancelled")


def create(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/batches."""
    body = call.body
    for name in ("input_file_id", "endpoint", "completion_window"):
        if name not in body:
            raise missing(name)
    if body["endpoint"] not in _ANSWERING:
        raise bad_request(
            f"Invalid value: '{body['endpoint']}'. Supported values are: {', '.join(_ANSWERING)}.", "endpoint", "invalid_value"
        )
    if body["completion_window"] != "24h":
        raise bad_request("Invalid value for 'completion_window': expected '24h'.", "completion_window", "invalid_value")
    _check_metadata(body.get("metadata"))
    source = files.find(provider, call.key, body["input_file_id"])
    if source.purpose != "batch":
        raise bad_request(f"File {source.id} has purpose '{source.purpose}', expected 'batch'.", "input_file_id")
    now = provider.clock.now()
    rows, errors = _read_lines(source.content, body["endpoint"])
    model = rows[0].body.get("model") if rows else None
    faults = provider.faults.for_batch(model)
    name, answering = _ANSWERING[body["endpoint"]]
    inner = Call(name, {}, call.key, call.request_id, call.headers, batch=True)
    slow = next((fault.hold_seconds for fault in faults if fault.kind == "batch_slow"), WORK_SECONDS)
    work = Work(rows, inner, answering, now + STEP_SECONDS, now + STEP_SECONDS + slow, now + DAY_SECONDS, faults=faults)
    batch = Batch(
        new_id("batch_", 32), body["endpoint"], source.id, body.get("metadata"), int(now), int(now) + DAY_SECONDS, work, model, len(rows),
        errors=errors,
    )  # fmt: skip
    batch.tokens = sum(_tokens(row.body) for row in rows) if work.fault("batch_token_limit") else 0
    _check_enqueued(provider, call.key, batch, model)
    with shelf_of(provider).lock:
        shelf_of(provider).batches[call.key, batch.id] = batch
    return JsonReply(_as_json(provider, batch))


def retrieve(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/batches/{batch_id}."""
    return JsonReply(_as_json(provider, _find(provider, call)))


def list_batches(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/batches, newest first."""
    own = newest_first(provider, call.key, Batch)
    after, limit = call.body.get("after"), int(call.body.get("limit") or 20)
    if after:
        place = next((place for place, one in enumerate(own) if one.id == after), None)
        if place is None:
            raise bad_request(f"No batch found with id '{after}'.", "after")
        own = own[place + 1 :]
    page = [_as_json(provider, one) for one in own[:limit]]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return JsonReply({"object": "list", "data": page, **ends, "has_more": len(own) > limit})


def cancel(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/batches/{batch_id}/cancel."""
    batch = _find(provider, call)
    with shelf_of(provider).lock:
        _proceed(provider, batch)
        if batch.ended:
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        now = provider.clock.now()
        batch.at.setdefault("cancelling_at", int(now))
        batch.work.cancel(now)
    return JsonReply(_as_json(provider, batch))


def _find(provider: Provider, call: Call) -> Batch:
    batch = shelf_of(provider).batches.get((call.key, call.body["batch_id"]))
    if not isinstance(batch, Batch):
        raise ApiError(404, f"No batch found with id '{call.body['batch_id']}'.")
    return batch


def _proceed(provider: Provider, batch: Batch) -> None:
    """Let a batch reach the state it has by now."""
    with shelf_of(provider).lock:
        now, work = provider.clock.now(), batch.work
        if batch.ended or now < work.starts:
            if not batch.ended and "cancelling_at" in batch.at and now >= batch.at["cancelling_at"] + CANCEL_SECONDS:
                _end(provider, batch, "cancelled", now)
            return
        if batch.errors:
            batch.at["failed_at"] = int(work.starts)
            return
        batch.at.setdefault("in_progress_at", int(work.starts))
        work.proceed(provider, now)
        if "cancelling_at" in batch.at:
            if now >= batch.at["cancelling_at"] + CANCEL_SECONDS:
                _end(provider, batch, "cancelled", batch.at["cancelling_at"] + CANCEL_SECONDS)
        elif now >= work.over_at:
            batch.at.setdefault("finalizing_at", int(work.over_at))
            if now >= work.over_at + STEP_SECONDS:
                late = any(outcome.how == "expired" for outcome in work.outcomes)
                _end(provider, batch, "expired" if late else "completed", work.over_at + STEP_SECONDS)


def _end(provider: Provider, batch: Batch, status: str, at: float) -> None:
    """The last state: the files are written."""
    work = batch.work
    work.proceed(provider, provider.clock.now())
    batch.at[f"{status}_at"] = int(at)
    good, bad = [], []
    for row, outcome in zip(work.rows, work.outcomes, strict=True):
        line: dict[str, Any] = {"id": new_id("batch_req_", 24), "custom_id": row.custom_id, "response": None, "error": None}
        if outcome.how == "done":
            line["response"] = {"status_code": 200, "request_id": outcome.request_id, "body": outcome.body}
            good.append((row.custom_id, dumps(line)))
            continue
        if outcome.error is not None:
            body = outcome.error.body(anthropic=False, request_id=outcome.request_id)
            line["response"] = {"status_code": outcome.error.status, "request_id": outcome.request_id, "body": body}
        else:
            words = "This request could not be executed before the completion window expired."
            code = "batch_expired" if outcome.how == "expired" else "batch_cancelled"
            line["error"] = {"code": code, "message": words if outcome.how == "expired" else "This request was cancelled."}
        bad.append((row.custom_id, dumps(line)))
    for lines, name in ((good, "output_file_id"), (bad, "error_file_id")):
        if lines:
            kept = files.keep(provider, work.call.key, spoil(work, lines), f"{batch.id}_{name[:6]}.jsonl", "batch_output")
            setattr(batch, name, kept.id)
    batch.sums = _sums(work)
    work.rows.clear()
    work.outcomes.clear()


def _as_json(provider: Provider, batch: Batch) -> dict[str, Any]:
    _proceed(provider, batch)
    work, now = batch.work, provider.clock.now()
    done, bad, usage = batch.sums or (*_counted(work), None)
    shown: dict[str, Any] = {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": batch.errors} if batch.status == "failed" else None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": batch.status,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
        **{name: batch.at.get(name) for name in _TIMES},
        "request_counts": {"total": 0 if batch.status in ("validating", "failed") else batch.total, "completed": done, "failed": bad},
        "metadata": batch.metadata,
        "model": batch.model,
        "usage": usage,
    }
    late = work.fault("batch_late_output")
    if late is not None and batch.ended and now < work.over_at + STEP_SECONDS + late.hold_seconds:
        shown["output_file_id"] = shown["error_file_id"] = None
    if work.fault("batch_empty_ids") is not None:
        shown |= {name: shown[name] or "" for name in ("output_file_id", "error_file_id")}
    return shown


def _counted(work: Work) -> tuple[int, int]:
    """Rows answered so far, and rows that came to nothing."""
    done = sum(outcome.how == "done" for outcome in work.outcomes)
    return done, len(work.outcomes) - done


def _sums(work: Work) -> tuple[int, int, dict[str, Any]]:
    """The same, and what they used."""
    used = [outcome.body["usage"] for outcome in work.outcomes if outcome.how == "done"]
    read = sum(one.get("prompt_tokens", one.get("input_tokens", 0)) for one in used)
    written = sum(one.get("completion_tokens", one.get("output_tokens", 0)) for one in used)
    cached = sum((one.get("prompt_tokens_details") or one.get("input_tokens_details") or {}).get("cached_tokens", 0) for one in used)
    thought = sum(
        (one.get("completion_tokens_details") or one.get("output_tokens_details") or {}).get("reasoning_tokens", 0) for one in used
    )
    usage = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }
    return (*_counted(work), usage)


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    good = isinstance(metadata, dict) and len(metadata) <= 16
    if not good or any(len(key) > 64 or not isinstance(value, str) or len(value) > 512 for key, value in metadata.items()):
        raise bad_request("Invalid 'metadata': at most 16 pairs of 64 and 512 characters.", "metadata", "invalid_value")


def _check_enqueued(provider: Provider, key: str, batch: Batch, model: str | None) -> None:
    """A batch that would have too many tokens waiting is taken in, and fails."""
    fault = batch.work.fault("batch_token_limit")
    if fault is None or batch.errors:
        return
    others = [one for (whose, _), one in shelf_of(provider).batches.items() if whose == key and isinstance(one, Batch)]
    waiting = sum(one.tokens for one in others if not one.ended and not one.errors and one.total and one.model == model)
    if batch.tokens + waiting > fault.limit_tokens:
        words = f"Enqueued token limit reached for {model} in organization sandbox. Limit: {fault.limit_tokens} enqueued tokens."
        batch.errors.append({"code": "token_limit_exceeded", "line": None, "message": words, "param": None})


def _tokens(body: Mapping[str, Any]) -> int:
    texts = [str(message.get("content") or "") for message in body.get("messages") or ()]
    return sum(count(text, "gpt-4o") for text in texts or [str(body.get("input") or "")])


def _read_lines(content: bytes, endpoint: str) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows of an input file, or what is wrong with its lines."""
    rows: list[Row] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    lines = [line for line in content.split(b"\n") if line.strip()]
    if not lines:
        errors.append({"code": "empty_file", "line": None, "message": "The input file is empty.", "param": None})
    if len(lines) > MOST_LINES:
        words = f"The batch input file contains {len(lines)} requests, the limit is {MOST_LINES}."
        return [], [{"code": "too_many_tasks", "line": None, "message": words, "param": None}]
    inputs, model = 0, None
    for number, raw in enumerate(lines, start=1):
        line, problem = _line(raw, endpoint, seen, model)
        if problem is not None:
            errors.append({"code": problem[0], "line": number, "message": problem[1], "param": problem[2]})
            continue
        seen.add(line["custom_id"])
        model = model or line["body"].get("model")
        rows.append(Row(line["custom_id"], dumps(line["body"])))
        given = line["body"].get("input")
        inputs += len(given) if isinstance(given, list) else 1
    if endpoint == "/v1/embeddings" and inputs > MOST_LINES:
        words = f"The batch has {inputs} embedding inputs, the limit is {MOST_LINES}."
        errors.append({"code": "too_many_inputs", "line": None, "message": words, "param": None})
    return rows, errors


def _line(raw: bytes, endpoint: str, seen: set[str], model: str | None) -> tuple[dict[str, Any], tuple[str, str, str | None] | None]:
    """One line, and the first thing wrong with it: code, message and parameter."""
    try:
        line = loads(raw)
    except ValueError:
        return {}, ("invalid_json_line", "This line is not parseable as valid JSON.", None)
    if not isinstance(line, dict) or not isinstance(line.get("body"), dict):
        return {}, ("missing_required_parameter", "Missing required parameter: 'body'.", "body")
    body, name = line["body"], line.get("custom_id")
    checks: list[tuple[Callable[[], bool], str, str, str]] = [
        (
            lambda: not isinstance(name, str) or not name,
            "missing_required_parameter",
            "Missing required parameter: 'custom_id'.",
            "custom_id",
        ),
        (lambda: name in seen, "duplicate_custom_id", f"The custom_id '{name}' was already used for another request.", "custom_id"),
        (lambda: line.get("method") != "POST", "invalid_method", "The method must be POST.", "method"),
        (lambda: line.get("url") != endpoint, "invalid_url", "The URL provided for this request does not match the batch endpoint.", "url"),
        (lambda: body.get("stream") is True, "invalid_request", "Streaming is not supported in a batch.", "body.stream"),
        (
            lambda: model is not None and body.get("model") != model,
            "mismatched_model",
            "All requests of a batch name one model.",
            "body.model",
        ),
    ]
    found = next(((code, words, param) for wrong, code, words, param in checks if wrong()), None)
    return line, found
