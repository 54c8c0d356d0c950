"""What the text of a request tells about savings, as hashes and sizes: the text itself is never kept."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import IO, Any, Final

from frugal_plugins.answers.place import NOT_IN_THE_ANSWER
from frugal_plugins.estimate.row import Row
from frugal_plugins.meaning.canonical import canonical_question
from frugal_plugins.request import Message, Request, canonical, text_of
from frugal_plugins.tasks import UNKNOWN, Task, find_task
from frugal_plugins.told import Told

_READ_BY_RULES: Final = 20_000
"""How many different questions of one file the rules read; the others take the task most of their system prompt's have."""

_REMEMBERED: Final = 4_096
_LONGEST_QUESTION: Final = 2_000
_WORD: Final = re.compile(r"\w{3,}")
_BATCH_WORDS: Final = frozenset({"batch", "nightly", "offline", "backfill", "async", "bulk", "cron", "scheduled"})
_COULD_WAIT: Final = frozenset({"extraction", "classification", "summary", "document", "outline"})
_NEEDS: Final = (
    "tools", "functions", "response_format", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "logit_bias",
    "seed", "reasoning_effort", "thinking", "reasoning", "parallel_tool_calls", "web_search_options", "prediction",
)  # fmt: skip
_SAME_IN_EFFECT: Final = {"temperature": 1, "n": 1}


@dataclass(slots=True)
class TextReading:
    """Reads requests one after the other and remembers what repeats, so that a long system prompt is hashed once.

    Attributes:
        questions: where every different question is written for the comparison by meaning; None: nowhere.
    """

    tasks: OrderedDict[int, Task] = field(default_factory=OrderedDict)
    prefixes: OrderedDict[str, int] = field(default_factory=OrderedDict)
    read: int = 0
    questions: IO[str] | None = None
    asked: set[int] = field(default_factory=set)

    def fill(self, row: Row, request: Request, told: Told, *, cacheable: bool, waits: int = 0) -> Row:
        """Put everything the text says into the row; token sizes are its share of the characters times the counted input."""
        before, last, system = _parts(request.messages)
        if isinstance(request.params.get("system"), str | list):
            system = [{"role": "system", "content": request.params["system"]}, *system]
        tools = request.params.get("tools") or request.params.get("functions") or request.params.get("response_format")
        head = canonical([system, tools]) if system or tools else ""
        row.prefix = self._prefix(head) if head else None
        row.tenant = number_of(told.tags.get("tenant") or "")
        row.session = number_of([told.tags.get("tenant"), told.session]) if told.session else self._opening(row.tenant, request)
        row.turns = sum(message.get("role") == "user" for message in request.messages)
        sizes = _sizes(head, before, last)
        total = sum(sizes) or 1
        row.prefix_tokens = row.input_tokens * sizes[0] // total
        row.history_tokens = row.input_tokens * sizes[1] // total
        row.tool_tokens = row.input_tokens * _tool_chars(request.messages) // max(1, len(head) + sum(map(_chars, request.messages)))
        row.needs = ",".join(_needs(request))
        row.bounded_tokens = _bound(request)
        if cacheable and (request.params.get("n") or 1) == 1:
            self._keys(row, request)
        self._task(row, request, told, last)
        row.can_wait = max(waits, _can_wait(request, told, row))
        return row

    def _prefix(self, head: str) -> int | None:
        if head not in self.prefixes:
            self.prefixes[head] = number_of(head) or 0
            if len(self.prefixes) > _REMEMBERED:
                self.prefixes.popitem(last=False)
        return self.prefixes[head]

    def _opening(self, tenant: int | None, request: Request) -> int | None:
        """How a conversation began, which stands for its name where it has none: the rule `route` uses."""
        first = next((i for i, message in enumerate(request.messages) if message.get("role") == "user"), len(request.messages))
        return number_of([tenant, request.messages[: first + 1]])

    def _keys(self, row: Row, request: Request) -> None:
        *before, last = request.messages or ({},)
        params = {name: value for name, value in request.params.items() if name not in NOT_IN_THE_ANSWER and value is not None}
        rest = number_of([row.tenant, request.model, before, params])
        content = last.get("content")
        row.exact = row.canonical = row.near = number_of([rest, last])
        if last.get("role") == "user" and isinstance(content, str):
            row.canonical = number_of([rest, canonical_question(content)])
            row.near = number_of([rest, sorted(set(_WORD.findall(content.lower())))])
            if self.questions is not None and row.canonical is not None and row.canonical not in self.asked:
                self.asked.add(row.canonical)
                self.questions.write(f"{rest}\t{row.canonical}\t{json.dumps(content[:_LONGEST_QUESTION])}\n")

    def _task(self, row: Row, request: Request, told: Told, last: Message) -> None:
        if told.task:
            row.task, row.task_source = told.task, "declared"
            return
        key = number_of([row.prefix, text_of(last), bool(request.params.get("tools")), row.turns == 1]) or 0
        found = self.tasks.get(key)
        if found is None:
            if self.read >= _READ_BY_RULES:
                row.task, row.task_source = "", "unread"
                return
            self.read += 1
            found = self.tasks[key] = find_task(request) or UNKNOWN
        row.task, row.task_source = found.name, found.source


def number_of(value: Any) -> int | None:
    """A hash of 63 bits; None for nothing."""
    if value in ("", None):
        return None
    text = value if isinstance(value, str) else canonical(value)
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1


def _parts(messages: Sequence[Message]) -> tuple[list[Message], Message, list[Message]]:
    """Earlier turns, what is asked now, and the system messages."""
    system = [message for message in messages if message.get("role") in ("system", "developer")]
    said = [message for message in messages if message.get("role") not in ("system", "developer")]
    last = next((i for i in range(len(said) - 1, -1, -1) if said[i].get("role") == "user"), len(said) - 1)
    return said[: max(0, last)], said[last] if said else {}, system


def _sizes(head: str, before: Sequence[Message], last: Message) -> tuple[int, int, int]:
    return len(head), sum(map(_chars, before)), len(text_of(last)) or 1


def _chars(message: Message) -> int:
    return len(text_of(message)) or len(str(message))


def _tool_chars(messages: Sequence[Message]) -> int:
    """The characters of tool results that are JSON, which `history` writes shorter."""
    return sum(len(text) for message in messages for text in _results(message) if text.lstrip()[:1] in ("{", "["))


def _results(message: Message) -> Iterator[str]:
    content = message.get("content")
    if message.get("role") == "tool":
        yield text_of(message)
    elif isinstance(content, list | tuple):
        for part in content:
            if isinstance(part, Mapping) and part.get("type") == "tool_result":
                yield text_of(part)


def _needs(request: Request) -> list[str]:
    params = request.params
    found = [name for name in _NEEDS if params.get(name) not in (None, [], {}, _SAME_IN_EFFECT.get(name))]
    images = any(
        isinstance(part, Mapping) and str(part.get("type", "")) in ("image_url", "image", "input_image")
        for message in request.messages
        if isinstance(message.get("content"), list | tuple)
        for part in message["content"]
    )
    return [*found, "images"] if images else found


def _bound(request: Request) -> int | None:
    bounds = (request.params.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
    return next((bound for bound in bounds if isinstance(bound, int) and bound > 0), None)


def _can_wait(request: Request, told: Told, row: Row) -> int:
    """2 where the tags say so; 1 for work nobody watches: no stream, no tools, one turn, a kind that is processed, not read live."""
    if any(_BATCH_WORDS & set(re.split(r"\W+|_", str(value).lower())) for value in told.tags.values()):
        return 2
    watched = request.stream or row.turns > 1 or "tools" in row.needs or told.session is not None
    return int(not watched and row.task in _COULD_WAIT)
