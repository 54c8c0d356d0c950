"""What a caller says about one request in `metadata["frugal"]`.

`{"off": true}` always wins. `task`, `tenant`, `session`, `team`, `user` and `feature` are names; `cache` takes LiteLLM's own words
(`no-cache`, `no-store`, `ttl`, `namespace`); `feedback` (`{"id": ..., "good": false}`) speaks of an earlier answer. Words we do
not know are left alone: a typo must not break a call; it is logged once, with the word that may be meant.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

_log = logging.getLogger("frugal_plugins")

_TAGS: Final = ("tenant", "team", "user", "feature")
_WORDS: Final = frozenset({"off", "task", "session", "cache", "feedback", "lane", *_TAGS})
_TASK: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LONGEST_CHARS: Final = 256
_LONGEST_SAID_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Told:
    """The caller's own words about a request, checked and bounded."""

    off: bool = False
    task: str | None = None
    session: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    feedback: tuple[str, float] | None = None


NOTHING: Final = Told()


def read_told(metadata: Any, cache: Any = None) -> Told:
    """Read `metadata["frugal"]` and, from LiteLLM, the call's own `cache=` argument.

    >>> read_told({"frugal": {"task": "yes_no", "tenant": "acme"}}).tags["tenant"]
    'acme'
    """
    said = _object(metadata.get("frugal")) if isinstance(metadata, Mapping) else {}
    controls = {**(said["cache"] if isinstance(said.get("cache"), Mapping) else {}), **(cache if isinstance(cache, Mapping) else {})}
    if not said and not controls:
        return NOTHING
    for word in said.keys() - _WORDS:
        _hint(str(word)[:_LONGEST_CHARS])
    tags = {name: str(said[name])[:_LONGEST_CHARS] for name in _TAGS if said.get(name) not in (None, "")}
    return Told(
        off=_off(said.get("off")),
        task=_task(said.get("task")),
        session=str(said["session"])[:_LONGEST_CHARS] if said.get("session") else None,
        tags={**tags, **_cache_tags(controls)},
        feedback=_feedback(said.get("feedback")),
    )


def _object(said: Any) -> Mapping[str, Any]:
    """What was said as a mapping; the Responses API's metadata holds only texts, so there it may be one of JSON."""
    if isinstance(said, str) and len(said) <= _LONGEST_SAID_CHARS:
        try:
            said = json.loads(said)
        except ValueError:
            _log.warning("metadata.frugal is not a JSON object and is left out.")
    return said if isinstance(said, Mapping) else {}


def _off(value: Any) -> bool:
    """Switched off, also where a host has made text of it; what is neither yes nor no is said and counts as no."""
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (None, False, "", "false", "no", "off", "0"):
        return False
    if word in (True, "true", "yes", "on", "1"):
        return True
    _log.warning("metadata.frugal.off is neither true nor false and is left out.")
    return False


@lru_cache(maxsize=256)
def _hint(word: str) -> None:
    """A typo must not break a call, but it is said, once."""
    near = get_close_matches(word, _WORDS, 1, 0.7)
    if near:
        _log.warning("metadata.frugal has %r, which nothing reads; did you mean %r?", word, near[0])


def _feedback(value: Any) -> tuple[str, float] | None:
    """The id of an earlier request and how good its answer was, from 0 to 1."""
    if value is None:
        return None
    name, good = (value.get("id"), value.get("good")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(name, str) or not name or not isinstance(good, (bool, int, float)) or not 0 <= good <= 1:
        _log.warning('metadata.frugal.feedback is not {"id": a request\'s id, "good": true or false} and is left out.')
        return None
    return name[:_LONGEST_CHARS], float(good)


def _task(value: Any) -> str | None:
    if isinstance(value, str) and _TASK.fullmatch(value):
        return value
    if value is not None:
        _log.warning("metadata.frugal.task is not a task name (small letters, digits, _); the task is found by rules instead.")
    return None


def _cache_tags(controls: Mapping[str, Any]) -> dict[str, str]:
    tags = {tag: "yes" for word, tag in (("no-cache", "no_cache"), ("no-store", "no_store")) if controls.get(word) is True}
    if isinstance(controls.get("ttl"), (int, float)) and controls["ttl"] >= 0:
        tags["ttl_seconds"] = str(controls["ttl"])
    if isinstance(controls.get("namespace"), str):
        tags["namespace"] = controls["namespace"][:_LONGEST_CHARS]
    return tags
