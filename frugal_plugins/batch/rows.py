"""What a job store keeps of requests and replies, and how it is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.request import Reply, Request
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage

_WRITTEN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_COUNTS: Final = tuple(one.name for one in fields(Usage))


@dataclass(frozen=True, slots=True)
class NewRow:
    """One request of a job; `name` is the caller's own id for it, given back with the answer."""

    request: Request
    name: str | None = None
    told: Told = field(default_factory=Told)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it is read back."""

    job: str
    n: int
    name: str | None
    request: Request
    told: Told


@dataclass(frozen=True, slots=True)
class Journaled:
    """What came of one call: an answer or an error, and what was paid before without one.

    Attributes:
        n: the call's place in its row.
        marked_tokens: the length of the shared front that got a breakpoint; 0 where it got none.
    """

    model: str
    reply: Reply | None
    error: str | None
    lost: tuple[Usage, ...] = ()
    shared_with: int | None = None
    n: int = 0
    marked_tokens: int = 0


def to_json(value: Any) -> str:
    """Compact JSON that any store can keep: half a surrogate pair, which no UTF-8 has, is written as an escape."""
    text = _WRITTEN.encode(value)
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(value, separators=(",", ":"))


def byte_size(text: str) -> int:
    """How long a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def usage_json(usage: Usage) -> dict[str, int]:
    """Counts as plain JSON."""
    return {name: getattr(usage, name) for name in _COUNTS}


def reply_text(reply: Reply) -> str:
    """A reply as JSON, without the provider's own object."""
    return to_json(
        {
            "message": reply.message,
            "model": reply.model,
            "finish": reply.finish,
            "others": reply.others,
            "billed_as": reply.billed_as,
            "id": reply.id,
            "lane": reply.lane,
            "usage": usage_json(reply.usage),
        }
    )


def reply_from(text: str, raw: str | None) -> Reply:
    """Read what `reply_text` wrote."""
    said = json.loads(text)
    return Reply(
        message=said["message"],
        model=said["model"],
        usage=Usage(**said["usage"]),
        finish=said["finish"],
        raw=None if raw is None else json.loads(raw),
        others=tuple(said["others"]),
        billed_as=said["billed_as"],
        id=said["id"],
        lane=said["lane"],
    )


def pack_row(row: NewRow) -> str:
    """A request as JSON. Raises InputError for one that JSON cannot hold."""
    request, told = row.request, row.told
    said = {
        "model": request.model,
        "messages": request.messages,
        "params": request.params,
        "tags": request.tags,
        "scope": request.scope,
        "session": request.session,
        "stream": request.stream,
        "endpoint": request.endpoint,
        "told": {"off": told.off, "task": told.task, "session": told.session, "tags": told.tags},
    }
    try:
        return to_json(said)
    except TypeError as error:
        raise InputError(f"a request cannot be written as JSON ({error}); use plain dicts, lists, texts and numbers") from error


def unpack_row(job: str, row: Mapping[str, Any]) -> StoredRow:
    """Read what `pack_row` wrote."""
    said = json.loads(row["request"])
    told = Told(**said.pop("told"))
    said |= {"messages": tuple(said["messages"]), "scope": tuple(said["scope"])}
    return StoredRow(job, row["n"], row["name"], Request(**said), told)
