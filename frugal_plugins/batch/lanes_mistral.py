"""Mistral's batch lane: files as OpenAI's, jobs under /v1/batch/jobs. Our name for a batch stands in its metadata."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from frugal_plugins.batch.http import Line, NoAnswer, Refusal
from frugal_plugins.batch.lanes import SEEN_BEFORE_SECONDS, Handed, Result, Shown, Stage
from frugal_plugins.batch.lanes_openai import OpenAILane

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


class MistralLane:
    """/v1/files and /v1/batch/jobs, for chat completions."""

    most_rows = 1_000_000
    most_bytes = 512_000_000
    most_inputs = OpenAILane.most_inputs

    def __init__(self, http: Line, url: str = "/v1/chat/completions") -> None:
        self.http = http
        self.url = url
        self._files = OpenAILane(http, url)

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the file."""
        return f'{{"custom_id":"{custom_id}","body":{body}}}'.encode()

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Upload the file; one that an earlier try left behind is taken away first."""
        return self._files.upload(tag, lines)

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

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped; one that is over stays as it is."""
        try:
            self.http.ask("POST", f"batch/jobs/{batch_id}/cancel")
        except (Refusal, NoAnswer) as error:
            if isinstance(error, Refusal) and error.again:
                raise

    def find(self, handed: Handed) -> str | None:
        """By the name in its metadata; the oldest counts, further ones of that name are cancelled."""
        found = [str(one["id"]) for one in self._listed(handed.since) if (one.get("metadata") or {}).get("frugal_batch") == handed.tag]
        for twin in found[:-1]:
            self.cancel(twin)
        return found[-1] if found else None

    def results(self, batch_id: str, shown: Shown, /) -> Iterator[Result | None]:
        """Both files, line by line."""
        return self._files.results(batch_id, shown)

    def clean(self, file_id: str | None, /) -> None:
        """Delete the input file; one that is gone already is as good."""
        self._files.clean(file_id)

    def _listed(self, since: float) -> Iterator[Mapping[str, Any]]:
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
