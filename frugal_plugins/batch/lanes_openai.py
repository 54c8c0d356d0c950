"""OpenAI's batch lane, which is Azure's as well. Our name for a batch stands in its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from frugal_plugins.batch.lanes import SEEN_BEFORE_SECONDS, Shown, Stage
from frugal_plugins.batch.lanes_files import FileLane


class OpenAILane(FileLane):
    """/v1/files and /v1/batches, for one endpoint (`/v1/chat/completions`, `/v1/responses` or `/v1/embeddings`)."""

    most_rows = 50_000
    most_bytes = 200_000_000
    batches = "batches"

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the file."""
        return f'{{"custom_id":"{custom_id}","method":"POST","url":"{self.url}","body":{body}}}'.encode()

    def create(self, tag: str, file_id: str | None, _lines: Iterable[bytes], /) -> str:
        """Hand the batch in."""
        body = {"input_file_id": file_id, "endpoint": self.url, "completion_window": "24h", "metadata": {"frugal_batch": tag}}
        return str(self.http.ask("POST", "batches", json=body)["id"])

    def show(self, batch_id: str) -> Shown:
        """How far it is. Empty file ids are none; a completed batch without ids for its rows is not whole yet."""
        said = self.http.ask("GET", f"batches/{batch_id}")
        status, counts = str(said["status"]), said.get("request_counts") or {}
        done, failed = int(counts.get("completed") or 0), int(counts.get("failed") or 0)
        files = tuple(said.get(name) or "" for name in ("output_file_id", "error_file_id"))
        ended = status in ("completed", "expired", "cancelled")
        missing = (done and not files[0]) or (failed and not files[1])
        problems = tuple(
            (one.get("line"), str(one.get("code") or ""), str(one.get("message") or ""))
            for one in (said.get("errors") or {}).get("data") or ()
        )
        stage: Stage = "ended" if ended else "refused" if status == "failed" else "stopping" if status == "cancelling" else "working"
        return Shown(stage, status, ended and not missing, done, failed, problems, tuple(filter(None, files)), said.get("usage"))

    def listed(self, since: float, /) -> Iterator[Mapping[str, Any]]:
        """Every batch made since then, newest first."""
        after: dict[str, Any] = {}
        while True:
            page = self.http.ask("GET", "batches", params={"limit": 100, **after})
            for one in page["data"]:
                if one["created_at"] < since - SEEN_BEFORE_SECONDS:
                    return
                yield one
            if not page.get("has_more"):
                return
            after = {"after": page["data"][-1]["id"]}


class GroqLane(OpenAILane):
    """The same API at Groq, whose files are smaller; for chat completions only."""

    most_bytes = 100_000_000
