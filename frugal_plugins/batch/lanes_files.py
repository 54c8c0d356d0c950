"""What the lanes have in common whose rows go into a file first, and whose batches carry our name in their metadata."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from frugal_plugins.batch.http import Line, NoAnswer, Refusal
from frugal_plugins.batch.lanes import Handed, Result, Shown, on_disk
from frugal_plugins.batch.places import MOST_INPUTS


class FileLane(ABC):
    """/v1/files, and batches under an address of their own, for one endpoint."""

    most_inputs = MOST_INPUTS
    batches: str
    """Where the batches are."""

    def __init__(self, http: Line, url: str = "/v1/chat/completions") -> None:
        self.http = http
        self.url = url

    @abstractmethod
    def listed(self, since: float, /) -> Iterator[Mapping[str, Any]]:
        """Every batch made since then, newest first."""

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Upload the file; one that an earlier try left behind is taken away first."""
        name = f"frugal-{tag}.jsonl"
        for file in self.http.ask("GET", "files", params={"purpose": "batch", "limit": 100})["data"]:
            if file.get("filename") == name:
                self.clean(file["id"])
        with on_disk(lines) as data:
            said = self.http.ask("POST", "files", files={"file": (name, data, "application/jsonl")}, data={"purpose": "batch"})
        return str(said["id"])

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped; one that is over stays as it is."""
        unless_over(self.http, "POST", f"{self.batches}/{batch_id}/cancel")

    def find(self, handed: Handed) -> str | None:
        """By the name in its metadata; the oldest counts, further ones of that name are cancelled."""
        found = [str(one["id"]) for one in self.listed(handed.since) if (one.get("metadata") or {}).get("frugal_batch") == handed.tag]
        for twin in found[:-1]:
            self.cancel(twin)
        return found[-1] if found else None

    def results(self, _batch_id: str, shown: Shown, /) -> Iterator[Result | None]:
        """Both files, line by line."""
        for file_id in shown.results:
            for raw in self.http.lines(f"files/{file_id}/content"):
                yield _result(raw)

    def clean(self, file_id: str | None, /) -> None:
        """Delete the input file; one that is gone already is as good."""
        if file_id:
            unless_over(self.http, "DELETE", f"files/{file_id}")


def unless_over(http: Line, method: str, path: str) -> None:
    """Ask for something that may be done already, in which case no is as good as yes. Raises Refusal for what may work later."""
    try:
        http.ask(method, path)
    except NoAnswer:
        return
    except Refusal as error:
        if error.again:
            raise


def _result(raw: bytes) -> Result | None:
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
