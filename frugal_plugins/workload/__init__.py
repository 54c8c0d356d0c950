"""A month of chat traffic of a small shop, shipped with the package: what `frugal try` runs.

Larkfield is made up. It sells home-office furniture in Europe and in the United States; its teams ask one model, out of
habit, for everything. Each request comes with the answers of three model sizes and a rule that says when an answer is right.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from frugal_plugins.errors import InputError
from frugal_plugins.request import canonical, text_of

FILE = "month.jsonl.gz"
TIERS: Mapping[str, tuple[str, ...]] = {
    "simple": ("gpt-4o-mini", "claude-haiku-4-5", "gpt-4.1-nano", "gpt-5-nano"),
    "standard": ("gpt-4o", "claude-sonnet-4-5", "gpt-4.1", "gpt-5-mini"),
    "complex": ("o3-mini", "claude-opus-4-5", "gpt-5", "*"),
}
"""Which models give the answer of which size; `*` stands for every model that is not named."""

TENANT_PHRASES = ("Larkfield EU", "Larkfield US")
"""What tells in a system prompt for which of the two shops a request is."""

Answer = str | Mapping[str, Any]
"""A text, or `{"content": None, "tool_calls": [{"name": ..., "arguments": {...}}]}`."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One request of the month.

    Attributes:
        id: its kind and its number within the kind, `faq-0017`.
        kind: faq, dialogue, yes_no, classification, extraction, drafting, document, agent or hard.
        body: the chat completion body the team sends today.
        frugal: what the team declares in `metadata.frugal` (tenant, team, sometimes task and session).
        at_seconds: when it is sent, in seconds since the start of the month.
        answers: what a simple, a standard and a complex model answer.
        check: the rule for `is_right`.
    """

    id: str
    kind: str
    body: Mapping[str, Any]
    frugal: Mapping[str, str]
    at_seconds: int
    answers: Mapping[str, Answer]
    check: Mapping[str, Any]


def load_month() -> tuple[WorkItem, ...]:
    """The shipped month, in time order. Each call reads it anew, so the bodies may be changed freely.

    Raises InputError when the shipped file is damaged.
    """
    try:
        text = gzip.decompress(files(__package__).joinpath(FILE).read_bytes()).decode("utf-8")
        return tuple(WorkItem(**json.loads(line)) for line in text.splitlines())
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        raise InputError(f"the shipped workload cannot be read ({error}). Reinstall frugal-plugins.", file=FILE) from error


def is_right(item_check: Mapping[str, Any], reply_text: str, tool_calls: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Whether an answer is right by the item's own rule.

    Args:
        item_check: `WorkItem.check`.
        reply_text: the answer's text, "" where there is none.
        tool_calls: the answer's tool calls, as OpenAI sends them or as `{"name", "arguments"}`.
    """
    kind = item_check["kind"]
    if kind == "tool":
        return any(_is_call(item_check, call) for call in tool_calls)
    if tool_calls:
        return False
    if kind == "contains":
        return _contains(item_check, reply_text)
    if kind in {"starts_with", "label"}:
        return _begins_with(reply_text, item_check["value"], after_heading=kind == "label")
    if kind == "json":
        return _has_values(item_check["value"], reply_text)
    return len(reply_text.split()) >= int(item_check["min_words"])


def _contains(check: Mapping[str, Any], text: str) -> bool:
    low = text.lower()
    return all(phrase.lower() in low for phrase in check["all"]) and not any(phrase.lower() in low for phrase in check.get("none", ()))


def _begins_with(text: str, word: str, *, after_heading: bool) -> bool:
    """Markdown and quotes around the word do not matter, nor does "Label:" before a label."""
    start = re.sub(r"^[\s*\"'`]+", "", text.lower())
    if after_heading:
        start = re.sub(r"^(label|category|urgency)\s*:[\s*\"'`]*", "", start)
    return re.match(re.escape(word.lower()) + r"(?!\w)", start) is not None


def _has_values(wanted: Mapping[str, Any], text: str) -> bool:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return False
    return isinstance(found, dict) and all(name in found and found[name] == value for name, value in wanted.items())


def _is_call(check: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    function = call.get("function", call)
    if function.get("name") != check["name"]:
        return False
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        return _has_values(check.get("arguments", {}), arguments)
    return all(name in arguments and arguments[name] == value for name, value in check.get("arguments", {}).items())


def recorded_lines(items: Iterable[WorkItem]) -> list[dict[str, Any]]:
    """The month's answers as lines for the sandbox provider, one for each different question.

    A line names the text of the last user message, and whatever else is needed to find the one right answer: a phrase of
    the system prompt that tells the shop, a phrase of an earlier message that tells the dialogue, and the tool results that
    came after the user's message. `outputs` maps model ids to answers.
    """
    groups: dict[str, list[WorkItem]] = {}
    for item in items:
        groups.setdefault(canonical(_question(item)), []).append(item)
    return [line for group in groups.values() for line in _lines(group)]


def _question(item: WorkItem) -> dict[str, Any]:
    messages = item.body["messages"]
    last = _last_user(messages)
    line: dict[str, Any] = {"user": text_of(messages[last])}
    system = " ".join(text_of(message) for message in messages if message["role"] == "system")
    phrase = next((phrase for phrase in TENANT_PHRASES if phrase in system), None)
    if phrase:
        line["system_contains"] = phrase
    if "tools" in item.body:
        line["after"] = [text_of(message) for message in messages[last + 1 :] if message["role"] == "tool"]
    return line


def _last_user(messages: Sequence[Mapping[str, Any]]) -> int:
    return max(at for at, message in enumerate(messages) if message["role"] == "user")


def _lines(group: Sequence[WorkItem]) -> list[dict[str, Any]]:
    """One line for a group of equal questions, or one for each dialogue where the same words want different answers."""
    different = {canonical(item.answers): item for item in group}
    lines = []
    for item in different.values():
        line = _question(item)
        if len(different) > 1:
            others = [other for other in group if canonical(other.answers) != canonical(item.answers)]
            line["context_contains"] = _telling_phrase(item, others)
        line["outputs"] = {model: item.answers[tier] for tier, models in TIERS.items() for model in models}
        lines.append(line)
    return lines


def _telling_phrase(item: WorkItem, others: Sequence[WorkItem]) -> str:
    """An order number from the earlier messages, because a summary keeps those; otherwise the dialogue's first user text."""
    mine, theirs = _earlier(item), [_earlier(other) for other in others]
    first = next((text_of(message) for message in item.body["messages"] if message["role"] == "user"), "")
    for phrase in [*re.findall(r"\b[A-Z]{2}-\d{5}\b", mine), first]:
        if not any(phrase in other for other in theirs):
            return str(phrase)
    raise InputError(f"{item.id} asks the same as {others[0].id} and nothing before tells them apart. Reword one of them.")


def _earlier(item: WorkItem) -> str:
    messages = item.body["messages"]
    return "\n".join(text_of(message) for message in messages[: _last_user(messages)])
