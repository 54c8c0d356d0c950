"""Mistral's batch lane: files as OpenAI's, jobs under /v1/batch/jobs. Our name for a batch stands in its metadata."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from frugal_plugins.batch.lanes import SEEN_BEFORE_SECONDS, Shown, Stage
from frugal_plugins.batch.lanes_files import FileLane

_PAGE: Final = 100
_WORDS: Final[Mapping[str, tuple[Stage, str]]] = {
    "QUEUED": ("working", "validating"),
    "RUNNING": ("working", "in_progress"),
    "SUCCESS": ("ended", "completed"),
    "TIMEOUT_EXCEEDED": ("ended", "expired"),
    "CANCELLATION_REQUESTED": ("stopping", "cancelling"),
    "CANCELLED": ("ended", "cancelled"),
    "FAILED": ("refused", "failed"),
}
"""Mistral's states in OpenAI's words, which a job is shown in."""


class MistralLane(FileLane):
    """/v1/files and /v1/batch/jobs, for chat completions."""

    most_rows = 1_000_000
    most_bytes = 512_000_000
    batches = "batch/jobs"

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the file."""
        return f'{{"custom_id":"{custom_id}","body":{body}}}'.encode()

    def create(self, tag: str, file_id: str | None, lines: Iterable[bytes], /) -> str:
        """Hand the batch in. The model, which Mistral wants to be told for the whole job, is that of its first row."""
        model = json.loads(next(iter(lines)))["body"]["model"]
        body = {"input_files": [file_id], "endpoint": self.url, "model": model, "metadata": {"frugal_batch": tag}, "timeout_hours": 24}
        return str(self.http.ask("POST", "batch/jobs", json=body)["id"])

    def show(self, batch_id: str) -> Shown:
        """How far it is. One that ended without the ids of its files is not whole yet."""
        said = self.http.ask("GET", f"batch/jobs/{batch_id}")
        stage, status = _WORDS.get(str(said["status"]), ("working", str(said["status"]).lower()))
        done, failed = int(said.get("succeeded_requests") or 0), int(said.get("failed_requests") or 0)
        files = tuple(said.get(name) or "" for name in ("output_file", "error_file"))
        if stage == "refused" and any(files):  # it broke off, and what it had done is there
            stage = "ended"
        missing = (done and not files[0]) or (failed and not files[1])
        problems = tuple((None, "mistral", str(one.get("message") or "")) for one in said.get("errors") or ())
        return Shown(stage, status, stage == "ended" and not missing, done, failed, problems, tuple(filter(None, files)))

    def listed(self, since: float, /) -> Iterator[Mapping[str, Any]]:
        """Every job made since then, newest first."""
        after = dt.datetime.fromtimestamp(since - SEEN_BEFORE_SECONDS, tz=dt.UTC).isoformat()
        page = 0
        while True:
            said = self.http.ask("GET", "batch/jobs", params={"page": page, "page_size": _PAGE, "created_after": after})
            jobs = said.get("data") or []
            yield from jobs
            if len(jobs) < _PAGE:
                return
            page += 1
