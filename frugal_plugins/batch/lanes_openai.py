"""OpenAI's batch lane, which is Azure's as well. Our name for a batch stands in its metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from frugal_plugins.batch.http import Line, NoAnswer, Refusal
from frugal_plugins.batch.lanes import SEEN_BEFORE_SECONDS, Handed, Result, Shown, Stage, on_disk
from frugal_plugins.batch.places import MOST_INPUTS


class OpenAILane:
    """/v1/files and /v1/batches, for one endpoint (`/v1/chat/completions`, `/v1/responses` or `/v1/embeddings`)."""

    most_rows = 50_000
    most_bytes = 200_000_000
    most_inputs = MOST_INPUTS

    def __init__(self, http: Line, url: str = "/v1/chat/completions") -> None:
        self.http = http
        self.url = url

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the file."""
        return f'{{"custom_id":"{custom_id}","method":"POST","url":"{self.url}","body":{body}}}'.encode()

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Upload the file; one that an earlier try left behind is taken away first."""
        name = f"frugal-{tag}.jsonl"
        for file in self.http.ask("GET", "files", params={"purpose": "batch", "limit": 100})["data"]:
            if file.get("filename") == name:
                self.clean(file["id"])
        with on_disk(lines) as data:
            said = self.http.ask("POST", "files", files={"file": (name, data, "application/jsonl")}, data={"purpose": "batch"})
        return str(said["id"])

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

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped; one that is over stays as it is."""
        try:
            self.http.ask("POST", f"batches/{batch_id}/cancel")
        except (Refusal, NoAnswer) as error:
            if isinstance(error, Refusal) and error.again:
                raise

    def find(self, handed: Handed) -> str | None:
        """By the name in its metadata; the oldest counts, further ones of that name are cancelled."""
        found = [str(one["id"]) for one in self._listed(handed.since) if (one.get("metadata") or {}).get("frugal_batch") == handed.tag]
        for twin in found[:-1]:
            self.cancel(twin)
        return found[-1] if found else None

    def results(self, _batch_id: str, shown: Shown, /) -> Iterator[Result | None]:
        """Both files, line by line."""
        for file_id in shown.results:
            for raw in self.http.lines(f"files/{file_id}/content"):
                yield _openai_result(raw)

    def clean(self, file_id: str | None, /) -> None:
        """Delete the input file; one that is gone already is as good."""
        if file_id:
            try:
                self.http.ask("DELETE", f"files/{file_id}")
            except (Refusal, NoAnswer) as error:
                if isinstance(error, Refusal) and error.again:
                    raise

    def _listed(self, since: float) -> Iterator[Mapping[str, Any]]:
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


def _openai_result(raw: bytes) -> Result | None:
    try:
        said = json.loads(raw)
        name, response, error = str(said["custom_id"]), said.get("response"), said.get("error")
        if error:
            return Result(name, error=f"{error.get('code')}: {error.get('message')}", again=True)
        status, body = int(response["status_code"]), response["body"]
        if status < 300:
            return Result(name, body=body)
        words = str((body.get("error") or {}).get("message") or "no reason given")[:300]
        return Result(name, error=f"refused ({status}): {words}", again=status >= 500 or status in (408, 409, 429))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
