"""Anthropic's batch lane. It has no place for our name of a batch, so the custom ids carry it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from frugal_plugins.batch.http import Line, NoAnswer
from frugal_plugins.batch.lanes import NO_LIMIT, SEEN_BEFORE_SECONDS, Handed, Result, Shown, Stage, on_disk
from frugal_plugins.batch.lanes_files import unless_over


class AnthropicLane:
    """/v1/messages/batches."""

    most_rows = 100_000
    most_bytes = 256_000_000
    most_inputs = NO_LIMIT

    def __init__(self, http: Line) -> None:
        self.http = http

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the batch."""
        return f'{{"custom_id":"{custom_id}","params":{body}}}'.encode()

    def upload(self, _tag: str, _lines: Iterable[bytes], /) -> str:
        """Nothing to upload: the rows go along with the batch."""
        return ""

    def create(self, _tag: str, _file_id: str | None, lines: Iterable[bytes], /) -> str:
        """Hand the batch in, rows and all."""
        with on_disk(lines, b'{"requests":[', b",", b"]}") as data:
            headers = {"content-type": "application/json", "content-length": str(os.fstat(data.fileno()).st_size)}
            return str(self.http.ask("POST", "messages/batches", content=data, headers=headers)["id"])

    def show(self, batch_id: str) -> Shown:
        """How far it is."""
        said = self.http.ask("GET", f"messages/batches/{batch_id}")
        counts = said["request_counts"]
        ended = said["processing_status"] == "ended"
        status = "ended" if ended else str(said["processing_status"])
        stage: Stage = "ended" if ended else "stopping" if status == "canceling" else "working"
        url = said.get("results_url") or ""
        return Shown(stage, status, ended and bool(url), int(counts["succeeded"]), int(counts["errored"]), results=(url,) if url else ())

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped; one that is over stays as it is."""
        unless_over(self.http, "POST", f"messages/batches/{batch_id}/cancel")

    def find(self, handed: Handed) -> str | None:
        """By its time and size, proven by the custom ids of its results; until those can be read nobody can tell."""
        unsure = False
        for one in self._listed(handed.since):
            counts = one["request_counts"]
            if str(one["id"]) in handed.known or sum(int(value) for value in counts.values()) != handed.rows:
                continue
            if one["processing_status"] != "ended":
                unsure = True
                continue
            first = next(self.results(str(one["id"]), Shown("ended", "ended", True)), None)
            if first is not None and first.custom_id.startswith(f"{handed.tag}-"):
                return str(one["id"])
        if unsure:
            raise NoAnswer("a batch of the same size is under way; whether it is this one shows when it has ended")
        return None

    def results(self, batch_id: str, _shown: Shown, /) -> Iterator[Result | None]:
        """The results, line by line. The address is built here: one that came from outside would be trusted with the key."""
        for raw in self.http.lines(f"messages/batches/{batch_id}/results"):
            yield _anthropic_result(raw)

    def clean(self, _file_id: str | None, /) -> None:
        """Nothing was uploaded."""

    def _listed(self, since: float) -> Iterator[Mapping[str, Any]]:
        after: dict[str, Any] = {}
        while True:
            page = self.http.ask("GET", "messages/batches", params={"limit": 100, **after})
            for one in page["data"]:
                if datetime.fromisoformat(one["created_at"]).timestamp() < since - SEEN_BEFORE_SECONDS:
                    return
                yield one
            if not page.get("has_more"):
                return
            after = {"after_id": page["data"][-1]["id"]}


def _anthropic_result(raw: bytes) -> Result | None:
    try:
        said = json.loads(raw)
        name, result = str(said["custom_id"]), said["result"]
        kind = result["type"]
        if kind == "succeeded":
            return Result(name, body=result["message"])
        if kind == "errored":
            error = result["error"].get("error") or result["error"]
            final = error.get("type") in ("invalid_request_error", "not_found_error", "permission_error", "request_too_large")
            return Result(name, error=f"{error.get('type')}: {str(error.get('message'))[:300]}", again=not final)
        return Result(name, error=str(kind), again=True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
