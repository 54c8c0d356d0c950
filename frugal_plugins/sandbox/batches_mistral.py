"""/v1/batch/jobs, Mistral's batches: files as OpenAI's, jobs in words of their own, results in the shape of OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.sandbox import files
from frugal_plugins.sandbox.api_errors import ApiError, bad_request, missing
from frugal_plugins.sandbox.batch_work import CANCEL_SECONDS, STEP_SECONDS, WORK_SECONDS, Row, Work, newest_first, shelf_of, spoil
from frugal_plugins.sandbox.codec import dumps, loads
from frugal_plugins.sandbox.openai_chat import chat
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, new_id

MOST_LINES: Final = 1_000_000
_ENDPOINT: Final = "/v1/chat/completions"
_PAGE: Final = 100
_ENDS: Final = {"expired": "TIMEOUT_EXCEEDED", "cancelled": "CANCELLED"}


@dataclass(slots=True)
class Job:
    """One job of one model."""

    id: str
    model: str
    input_files: list[str]
    metadata: Mapping[str, str] | None
    created_at: float
    work: Work
    errors: list[dict[str, Any]] = field(default_factory=list)
    cancelled_at: float | None = None
    output_file: str | None = None
    error_file: str | None = None
    ended: str = ""


def create(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/batch/jobs."""
    body = call.body
    for name in ("input_files", "endpoint"):
        if not body.get(name):
            raise missing(name)
    if body["endpoint"] != _ENDPOINT:
        raise bad_request(f"Invalid endpoint '{body['endpoint']}'. Supported here: {_ENDPOINT}.", "endpoint", "invalid_value")
    content = b"\n".join(files.find(provider, call.key, one).content for one in body["input_files"])
    rows, problem, model = _read_lines(content, body.get("model"))
    now, hours = provider.clock.now(), float(body.get("timeout_hours") or 24)
    faults = provider.faults.for_batch(model)
    slow = next((fault.hold_seconds for fault in faults if fault.kind == "batch_slow"), WORK_SECONDS)
    inner = Call("chat", {}, call.key, call.request_id, call.headers, batch=True)
    work = Work(rows, inner, chat, now + STEP_SECONDS, now + STEP_SECONDS + slow, now + hours * 3600, faults=faults)
    job = Job(new_id("", 32), model or "", list(body["input_files"]), body.get("metadata"), now, work)
    if problem is not None:
        job.errors, job.ended = [{"message": problem, "count": 1}], "FAILED"
    with shelf_of(provider).lock:
        shelf_of(provider).batches[call.key, job.id] = job
    return JsonReply(_as_json(provider, job))


def retrieve(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/batch/jobs/{job_id}."""
    return JsonReply(_as_json(provider, _find(provider, call)))


def list_jobs(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/batch/jobs, newest first, by page."""
    own = newest_first(provider, call.key, Job)
    size, page = int(call.body.get("page_size") or _PAGE), int(call.body.get("page") or 0)
    shown = [_as_json(provider, one) for one in own[page * size : (page + 1) * size]]
    return JsonReply({"object": "list", "data": shown, "total": len(own)})


def cancel(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/batch/jobs/{job_id}/cancel."""
    job = _find(provider, call)
    with shelf_of(provider).lock:
        _proceed(provider, job)
        if not job.ended and job.cancelled_at is None:
            job.cancelled_at = provider.clock.now()
            job.work.cancel(job.cancelled_at)
    return JsonReply(_as_json(provider, job))


def _find(provider: Provider, call: Call) -> Job:
    job = shelf_of(provider).batches.get((call.key, call.body["job_id"]))
    if not isinstance(job, Job):
        raise ApiError(404, f"No batch job found with id '{call.body['job_id']}'.")
    return job


def _proceed(provider: Provider, job: Job) -> None:
    now, work = provider.clock.now(), job.work
    if job.ended or now < work.starts:
        return
    work.proceed(provider, now)
    over = work.over_at if job.cancelled_at is None else job.cancelled_at + CANCEL_SECONDS
    if now >= over:
        hows = {outcome.how for outcome in work.outcomes}
        job.ended = "CANCELLED" if job.cancelled_at is not None else next((_ENDS[how] for how in hows if how in _ENDS), "SUCCESS")
        _write(provider, job)


def _write(provider: Provider, job: Job) -> None:
    good, bad = [], []
    for row, outcome in zip(job.work.rows, job.work.outcomes, strict=True):
        line: dict[str, Any] = {"id": new_id("", 24), "custom_id": row.custom_id, "response": None, "error": None}
        if outcome.how == "done":
            line["response"] = {"status_code": 200, "body": outcome.body}
            good.append((row.custom_id, dumps(line)))
        elif outcome.error is not None:
            said = outcome.error.body(anthropic=False, request_id=outcome.request_id)
            bad.append((row.custom_id, dumps(line | {"response": {"status_code": outcome.error.status, "body": said}})))
    for lines, name in ((good, "output_file"), (bad, "error_file")):
        if lines:
            kept = files.keep(provider, job.work.call.key, spoil(job.work, lines), f"{job.id}_{name}.jsonl", "batch")
            setattr(job, name, kept.id)


def _as_json(provider: Provider, job: Job) -> dict[str, Any]:
    with shelf_of(provider).lock:
        _proceed(provider, job)
    done = sum(outcome.how == "done" for outcome in job.work.outcomes)
    failed = sum(outcome.error is not None for outcome in job.work.outcomes)
    under_way = "CANCELLATION_REQUESTED" if job.cancelled_at is not None else "RUNNING"
    return {
        "id": job.id,
        "object": "batch",
        "input_files": job.input_files,
        "endpoint": _ENDPOINT,
        "model": job.model,
        "metadata": job.metadata,
        "status": job.ended or ("QUEUED" if provider.clock.now() < job.work.starts else under_way),
        "created_at": int(job.created_at),
        "total_requests": len(job.work.rows),
        "completed_requests": done + failed,
        "succeeded_requests": done,
        "failed_requests": failed,
        "output_file": job.output_file,
        "error_file": job.error_file,
        "errors": job.errors,
    }


def _read_lines(content: bytes, model: str | None) -> tuple[list[Row], str | None, str | None]:
    """The rows of an input file, what is wrong with it, and the model they ask."""
    rows: list[Row] = []
    seen: set[str] = set()
    lines = [line for line in content.split(b"\n") if line.strip()]
    if not lines or len(lines) > MOST_LINES:
        return [], f"The input has {len(lines)} requests; from 1 to {MOST_LINES} are allowed.", model
    for number, raw in enumerate(lines, start=1):
        try:
            said = loads(raw)
            name, body = said["custom_id"], said["body"]
            model = model or body.get("model")
        except (ValueError, KeyError, TypeError, AttributeError):
            return [], f"Line {number} is not a request with custom_id and body.", model
        if name in seen:
            return [], f"Line {number} uses the custom_id '{name}' again.", model
        seen.add(name)
        own = {"seed" if field == "random_seed" else field: value for field, value in body.items()}
        rows.append(Row(name, dumps({**own, "model": model})))
    return rows, None if model else "No model is named.", model
