"""The two batch lanes: how a batch is handed in, looked at, stopped, found again and read.

OpenAI names our batch in its metadata. Anthropic has no place for a name, so the custom ids carry it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from frugal_plugins.batch.http import Line, NoAnswer, Refusal

Stage = Literal["working", "stopping", "ended", "refused"]

_SEEN_BEFORE_SECONDS: Final = 300
"""How far the provider's clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a provider shows of a batch.

    Attributes:
        stage: what it means for us; `refused` is a batch whose input was not accepted.
        whole: whether results can be read, or are none to come.
        problems: what was wrong with the input: (line counted from 1 or None, code, message).
        usage: OpenAI's sum over all rows, where it says it.
    """

    stage: Stage
    status: str
    whole: bool = False
    done: int = 0
    failed: int = 0
    problems: tuple[tuple[int | None, str, str], ...] = ()
    results: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the results.

    Attributes:
        body: the answer, when there is one.
        again: whether asking again can help.
    """

    custom_id: str
    body: Mapping[str, Any] | None = None
    error: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """What is known of a batch when it is looked for: our name for it, its size, and since when it may exist."""

    tag: str
    rows: int
    since: float
    known: frozenset[str] = field(default_factory=frozenset)


class Lane(Protocol):
    """One provider's batch API."""

    most_rows: int
    most_bytes: int

    def line(self, custom_id: str, body: Mapping[str, Any]) -> bytes:
        """One row as it goes into the batch."""

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Put the rows where the batch can read them; "" where they go along with the batch. Costs nothing."""

    def create(self, tag: str, file_id: str | None, lines: Iterable[bytes], /) -> str:
        """Hand the batch in: from here on it costs money. Returns its id; raises Refusal or NoAnswer."""

    def show(self, batch_id: str) -> Shown:
        """How far it is."""

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped."""

    def find(self, handed: Handed) -> str | None:
        """The id of a batch that was handed in without an answer; None when it is not there. Raises NoAnswer while it cannot be told."""

    def results(self, batch_id: str, shown: Shown, /) -> Iterator[Result | None]:
        """Every line of the results; None for one that cannot be read."""

    def clean(self, file_id: str | None, /) -> None:
        """Remove the rows from the provider."""


class OpenAILane:
    """/v1/files and /v1/batches with chat completions."""

    most_rows = 50_000
    most_bytes = 200_000_000

    def __init__(self, http: Line) -> None:
        self.http = http

    def line(self, custom_id: str, body: Mapping[str, Any]) -> bytes:
        """One row as it goes into the file."""
        said = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Upload the file; one that an earlier try left behind is taken away first."""
        name = f"frugal-{tag}.jsonl"
        for file in self.http.ask("GET", "files", params={"purpose": "batch", "limit": 100})["data"]:
            if file.get("filename") == name:
                self.clean(file["id"])
        data = b"\n".join(lines) + b"\n"
        return str(self.http.ask("POST", "files", files={"file": (name, data, "application/jsonl")}, data={"purpose": "batch"})["id"])

    def create(self, tag: str, file_id: str | None, _lines: Iterable[bytes], /) -> str:
        """Hand the batch in."""
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"frugal_batch": tag}}
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
                if one["created_at"] < since - _SEEN_BEFORE_SECONDS:
                    return
                yield one
            if not page.get("has_more"):
                return
            after = {"after": page["data"][-1]["id"]}


class AnthropicLane:
    """/v1/messages/batches."""

    most_rows = 100_000
    most_bytes = 256_000_000

    def __init__(self, http: Line) -> None:
        self.http = http

    def line(self, custom_id: str, body: Mapping[str, Any]) -> bytes:
        """One row as it goes into the batch."""
        return json.dumps({"custom_id": custom_id, "params": body}, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    def upload(self, _tag: str, _lines: Iterable[bytes], /) -> str:
        """Nothing to upload: the rows go along with the batch."""
        return ""

    def create(self, _tag: str, _file_id: str | None, lines: Iterable[bytes], /) -> str:
        """Hand the batch in, rows and all."""
        data = b'{"requests":[' + b",".join(lines) + b"]}"
        return str(self.http.ask("POST", "messages/batches", content=data, headers={"content-type": "application/json"})["id"])

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
        try:
            self.http.ask("POST", f"messages/batches/{batch_id}/cancel")
        except (Refusal, NoAnswer) as error:
            if isinstance(error, Refusal) and error.again:
                raise

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
                if datetime.fromisoformat(one["created_at"]).timestamp() < since - _SEEN_BEFORE_SECONDS:
                    return
                yield one
            if not page.get("has_more"):
                return
            after = {"after_id": page["data"][-1]["id"]}


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
