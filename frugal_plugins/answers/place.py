"""Where a request's answer is kept: a key of everything it depends on, and the one text that may be compared by meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.meaning.canonical import canonical_question
from frugal_plugins.request import Message, Request, fingerprint, text_of

NOT_IN_THE_ANSWER: Final = frozenset(
    {"metadata", "stream_options", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "store"}
)
"""Body fields that say who asks or how it is billed, not what is asked."""

_LABELS: Final = ("tenant", "team", "user", "namespace")
_TEXT_PARTS: Final = frozenset({"text", "input_text"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request's answer is looked for: its key, everything but the last user text (`partition`), and that text."""

    key: str
    partition: str
    owner: str
    question: str | None
    labels: Mapping[str, str] = field(default_factory=dict)


def place_of(request: Request, *, recipe: str, scope: Sequence[str], canonical: bool, by_meaning: bool) -> Place:
    """Key and partition of a request; `canonical`: how the last question is spelled out does not matter."""
    *before, last = request.messages or ({},)
    params = {name: value for name, value in request.params.items() if name not in NOT_IN_THE_ANSWER and value is not None}
    owner = _owner(request, scope)
    around = [recipe, owner, request.endpoint, request.model, before]
    question = _question(last) if by_meaning else None
    return Place(
        fingerprint([*around, _last(last, canonical), params]),
        "" if question is None else fingerprint([*around, params, _without_text(last)]),
        owner,
        question,
        _labels(request),
    )


def _owner(request: Request, scope: Sequence[str]) -> str:
    tags = request.tags
    named = tuple([(name, tags.get(name, "")) for name in scope if name != "session"])
    session = request.session or "" if "session" in scope else ""
    namespace = tags.get("namespace", "")
    if all(value.__class__ is str for _, value in named):
        return _owner_name(request.scope, named, session, namespace)
    return fingerprint([request.scope, dict(named), session, namespace])


@lru_cache(maxsize=4096)
def _owner_name(scope: tuple[str, ...], tags: tuple[tuple[str, str], ...], session: str, namespace: str) -> str:
    return fingerprint([scope, dict(tags), session, namespace])


def _last(message: Message, canonical: bool) -> Mapping[str, Any]:
    content = message.get("content")
    if canonical and message.get("role") == "user" and isinstance(content, str):
        return {**message, "content": canonical_question(content)}
    return message


def _question(last: Message) -> str | None:
    """The text that may be compared by meaning: only a user's own words at the very end."""
    if last.get("role") != "user":
        return None
    content = last.get("content")
    if isinstance(content, (list, tuple)) and not all(isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS for part in content):
        return None
    return text_of(last) or None


def _labels(request: Request) -> Mapping[str, str]:
    named = {name: request.tags[name] for name in _LABELS if request.tags.get(name)}
    return {**named, "session": request.session} if request.session else named


def _without_text(message: Message) -> Mapping[str, Any]:
    return {name: value for name, value in message.items() if name != "content"}
