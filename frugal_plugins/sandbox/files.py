"""/v1/files: what OpenAI's batches read and write. Files live thirty days unless they say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final

from frugal_plugins.sandbox.api_errors import ApiError, bad_request, missing
from frugal_plugins.sandbox.batch_work import DAY_SECONDS, shelf_of
from frugal_plugins.sandbox.provider import Call, JsonReply, Provider, new_id

MOST_BYTES: Final = 200 * 1000 * 1000
"""The largest file a batch may read."""

_PURPOSES: Final = ("assistants", "batch", "batch_output", "evals", "fine-tune", "user_data", "vision")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file and what the API says about it."""

    id: str
    content: bytes
    filename: str
    purpose: str
    created_at: int
    expires_at: int

    def as_json(self) -> dict[str, Any]:
        """The file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


def upload(provider: Provider, call: Call) -> JsonReply:
    """POST /v1/files (multipart)."""
    fields = _fields(call)
    if "file" not in fields:
        raise missing("file")
    purpose = fields.get("purpose", (b"", ""))[0].decode()
    if purpose not in _PURPOSES:
        raise bad_request(f"'{purpose}' is not one of {list(_PURPOSES)} - 'purpose'", "purpose")
    content, filename = fields["file"]
    if purpose == "batch" and not filename.endswith(".jsonl"):
        raise bad_request("Invalid file format for Batch API. Must be .jsonl")
    if purpose == "batch" and len(content) > MOST_BYTES:
        raise ApiError(413, f"File is too large. The maximum size of a batch input file is {MOST_BYTES} bytes.")
    lifetime = int(fields.get("expires_after[seconds]", (b"2592000", ""))[0])
    if not 3600 <= lifetime <= 30 * DAY_SECONDS:
        raise bad_request("Invalid 'expires_after.seconds': expected a number from 3600 to 2592000.", "expires_after.seconds")
    return JsonReply(keep(provider, call.key, content, filename, purpose, lifetime).as_json())


def list_files(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/files."""
    with shelf_of(provider).lock:
        found = [file.as_json() for (key, _), file in shelf_of(provider).files.items() if key == call.key and _lives(provider, file)]
    found.reverse()
    return JsonReply({"object": "list", "data": found, "has_more": False})


def get_file(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/files/{file_id}."""
    return JsonReply(find(provider, call.key, call.body["file_id"]).as_json())


def file_content(provider: Provider, call: Call) -> JsonReply:
    """GET /v1/files/{file_id}/content."""
    return JsonReply(find(provider, call.key, call.body["file_id"]).content)


def delete_file(provider: Provider, call: Call) -> JsonReply:
    """DELETE /v1/files/{file_id}."""
    file = find(provider, call.key, call.body["file_id"])
    del shelf_of(provider).files[call.key, file.id]
    return JsonReply({"id": file.id, "object": "file", "deleted": True})


def keep(provider: Provider, key: str, content: bytes, filename: str, purpose: str, lifetime_seconds: int = 30 * DAY_SECONDS) -> StoredFile:
    """Put a file on the shelf."""
    now = int(provider.clock.now())
    file = StoredFile(new_id("file-", 22), content, filename, purpose, now, now + lifetime_seconds)
    with shelf_of(provider).lock:
        shelf_of(provider).files[key, file.id] = file
    return file


def find(provider: Provider, key: str, file_id: str) -> StoredFile:
    """A file of this key; raises the provider's 404 once it is deleted, expired or another key's."""
    file: StoredFile | None = shelf_of(provider).files.get((key, file_id))
    if file is None or not _lives(provider, file):
        raise ApiError(404, f"No such File object: {file_id}", param="id")
    return file


def _lives(provider: Provider, file: StoredFile) -> bool:
    return provider.clock.now() < file.expires_at


def _fields(call: Call) -> dict[str, tuple[bytes, str]]:
    """The parts of a multipart body: content and filename by field name."""
    kind = call.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise bad_request(f"Invalid Content-Type header ({kind or 'none'}), expected multipart/form-data.")
    boundary = BytesParser(policy=HTTP).parsebytes(f"content-type: {kind}\r\n\r\n".encode()).get_boundary()
    if not boundary:
        raise bad_request("The multipart body has no boundary.")
    found: dict[str, tuple[bytes, str]] = {}
    for part in call.raw.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        about = BytesParser(policy=HTTP).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        name = about.get_param("name", header="content-disposition")
        if isinstance(name, str):
            found[name] = (content.removesuffix(b"\r\n"), about.get_filename() or "")
    return found
