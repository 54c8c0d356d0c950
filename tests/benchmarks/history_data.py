"""The conversations the history and layout benchmarks replay, and what must still be in a prompt at each call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.common import rows

SYSTEM_TOKENS = 500
_FILLER = "You are a careful assistant of a service desk. Answer in the customer's language, politely and to the point. "


@dataclass(frozen=True)
class Talk:
    """A whole conversation; `calls` are the places of the assistant messages, each made from what stands before it.

    `facts` gives, for a call, the alternatives for every fact its answer needs (any one of them must be in the prompt).
    """

    name: str
    messages: tuple[Mapping[str, Any], ...]
    facts: Mapping[int, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    @property
    def calls(self) -> list[int]:
        return [place for place, message in enumerate(self.messages) if message["role"] == "assistant" and place > 1]

    def with_system(self, tokens: int) -> Talk:
        """The same conversation under a system prompt of another size."""
        return Talk(self.name, (system(tokens), *self.messages[1:]), self.facts)


def system(tokens: int = SYSTEM_TOKENS) -> Mapping[str, Any]:
    """A system prompt of about so many tokens."""
    return {"role": "system", "content": (_FILLER * (tokens // 21 + 1)).strip()}


def folded(text: str) -> str:
    """Case, quotes and spaces do not count when a fact is looked for."""
    return re.sub(r"[\"\s]", "", text.lower())


def tau(folder: Path, most: int | None = None) -> list[Talk]:
    """Agent conversations with real tool calls; a call needs the arguments of its tool calls that were said before."""
    found = []
    for file in sorted(folder.glob("history/tau_*.jsonl*")):
        for number, row in enumerate(rows(file)):
            messages = tuple(row["traj"])
            if len(messages) > 4:
                found.append(Talk(f"{file.name}:{number}", messages, dict(_arguments(messages))))
    return found[:: max(1, len(found) // most)] if most else found


def _arguments(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, tuple[tuple[str, ...], ...]]]:
    texts = [folded(spoken(message)) for message in messages]
    for place, message in enumerate(messages):
        before = "\n".join(texts[1:place])
        wanted = {folded(value) for call in message.get("tool_calls") or () for value in _leaves(call["function"]["arguments"])}
        needed = tuple((value,) for value in sorted(wanted) if len(value) >= 3 and value in before)
        if needed and place >= 11:
            yield place, needed


def _leaves(arguments: Any) -> Iterator[str]:
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except ValueError:
            parsed = None
        if isinstance(parsed, (dict, list)):
            yield from _leaves(parsed)
        else:
            yield arguments
    elif isinstance(arguments, dict):
        for value in arguments.values():
            yield from _leaves(value)
    elif isinstance(arguments, list):
        for value in arguments:
            yield from _leaves(value)
    elif isinstance(arguments, (int, float)) and not isinstance(arguments, bool):
        yield str(arguments)


def spoken(message: Mapping[str, Any]) -> str:
    """All text of a message, tool calls included."""
    content = message.get("content")
    text = content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content or ())
    calls = (f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls") or ())
    return " ".join((text, *calls))


def sgd(folder: Path, least_turns: int = 16, most: int | None = None) -> list[Talk]:
    """Task dialogues; a call needs the slot values the user has settled so far."""
    files = sorted(folder.glob("history/sgd_*.jsonl*"))
    found = [_dialogue(row) for file in files for row in rows(file) if len(row["turns"]) >= least_turns]
    return found[:: max(1, len(found) // most)] if most else found


def _dialogue(row: Mapping[str, Any]) -> Talk:
    messages: list[Mapping[str, Any]] = [system()]
    facts: dict[int, tuple[tuple[str, ...], ...]] = {}
    slots: dict[tuple[str, str], tuple[str, ...]] = {}
    for turn in row["turns"]:
        role = "user" if turn["speaker"] == "USER" else "assistant"
        if role == "assistant" and slots and len(messages) > 10:
            before = folded("\n".join(str(message["content"]) for message in messages[1:]))
            needed = (tuple(folded(v) for v in values) for values in slots.values())
            facts[len(messages)] = tuple(v for v in needed if any(one in before for one in v) and not all(len(one) < 2 for one in v))
        messages.append({"role": role, "content": turn["utterance"]})
        for frame in turn["frames"] if role == "user" else ():
            slots.update({(frame["service"], name): tuple(values) for name, values in frame["state"]["slot_values"].items()})
    return Talk(row["dialogue_id"], tuple(messages), facts)


LONG_CALLS = 180


def long_chats(folder: Path) -> list[Talk]:
    """Chats of about two hundred calls: all BFCL users' sessions in a row, and SGD dialogues one after the other."""
    remembered = [message for talk in chats(folder) for message in talk.messages[1:]]
    found = [Talk("memories", (system(), *remembered))] if remembered else []
    chained: list[Mapping[str, Any]] = []
    for talk in sgd(folder, 8):
        chained += talk.messages[1:]
        if len(chained) >= LONG_CALLS * 2:
            found.append(Talk(f"dialogues:{len(found)}", (system(), *chained)))
            chained = []
    return found


def chats(folder: Path) -> list[Talk]:
    """What each BFCL user says over all sessions, each turn acknowledged."""
    found = []
    for name, said in memories(folder).items():
        noted = {"role": "assistant", "content": "Thank you, I have taken a note of all of that."}
        pairs = (({"role": "user", "content": text}, noted) for text in said)
        found.append(Talk(f"memory:{name}", (system(), *(message for pair in pairs for message in pair))))
    return found


def memories(folder: Path) -> dict[str, list[str]]:
    """Everything a BFCL user says, by user."""
    return {
        file.name.removeprefix("bfcl_memory_").split(".", 1)[0]: [
            message["content"] for row in rows(file) for turn in row["question"] for message in turn
        ]
        for file in sorted(folder.glob("history/bfcl_memory_*.jsonl*"))
        if "questions" not in file.name
    }


def questions(folder: Path) -> list[dict[str, Any]]:
    """Questions about what a BFCL user said, with the answers."""
    return [row for file in sorted(folder.glob("history/bfcl_memory_questions.jsonl*")) for row in rows(file)]
