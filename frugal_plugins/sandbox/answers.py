"""Recorded answers: what a real model said, replayed to whoever asks the same question."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.sandbox.ask import Answer, Ask, ToolCall
from frugal_plugins.sandbox.codec import dump_text, loads
from frugal_plugins.sandbox.price_sheet import base_id

Recorded = Mapping[str, Any] | str | Path
"""One recorded line, or a JSONL file of them (`.gz` too)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One recorded exchange and the conditions under which it is replayed.

    Attributes:
        user: the exact text of the last user message.
        system_contains: must occur in the system text.
        context_contains: must occur in a message before the last user message.
        after: the tool results since the last user message, in order; none means none have come in yet.
        outputs: answers by model id; `*` answers for any model.
    """

    user: str
    system_contains: str
    context_contains: str
    after: tuple[str, ...]
    outputs: Mapping[str, Answer]

    def matches(self, ask: Ask, *, exactly: bool = True) -> bool:
        """Whether this is the question; the user text is taken as compared already.

        Not `exactly`: as many tool results have come in, in whatever words, since what was sent may be a rewritten form.
        """
        last = ask.last_user
        results = tuple(turn.text for turn in ask.turns[last + 1 :] if turn.role == "tool")
        if results != self.after if exactly else len(results) != len(self.after):
            return False
        if self.system_contains and self.system_contains not in ask.system_text:
            return False
        return not self.context_contains or any(self.context_contains in turn.text for turn in ask.turns[:last])

    @property
    def conditions(self) -> int:
        """How many further conditions it sets: the more, the more specific."""
        return bool(self.system_contains) + bool(self.context_contains)

    def answer_for(self, model: str) -> Answer | None:
        """Exact id first, then the undated one, then `*`."""
        return self.outputs.get(model) or self.outputs.get(base_id(model)) or self.outputs.get("*")


_NEEDS: Final = "a recorded line needs 'user' (or ZeroEval's 'prompt') and 'outputs': add them"


class AnswerBook:
    """Recorded exchanges by question: exact tool results before rewritten ones, then the most conditions, then the first."""

    def __init__(self, recorded: Iterable[Recorded] = ()) -> None:
        self._by_user: dict[str, list[Record]] = {}
        for item in recorded:
            for line in _lines(item):
                self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in one recorded line."""
        record = _record(line if "user" in line else recorded_from_zeroeval(line))
        records = [*self._by_user.get(record.user, ()), record]
        self._by_user[record.user] = sorted(records, key=lambda known: -known.conditions)

    def find(self, ask: Ask) -> Answer | None:
        """The recorded answer, or None when nobody recorded this question for this model."""
        records = self._by_user.get(ask.user_text, ())
        for exactly in (True, False):
            for record in records:
                answer = record.answer_for(ask.model) if record.matches(ask, exactly=exactly) else None
                if answer is not None:
                    return answer
        return None


def recorded_from_zeroeval(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a ZeroEval result file (`prompt`, `outputs` by model) as a recorded line."""
    if "prompt" not in line or "outputs" not in line:
        raise InputError(_NEEDS)
    return {"user": line["prompt"], "outputs": line["outputs"]}


def _lines(item: Recorded) -> Iterator[Mapping[str, Any]]:
    if isinstance(item, Mapping):
        yield item
        return
    path = Path(item)
    if not path.is_file():
        raise InputError("no such file of recorded answers: check the path", file=str(path))
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                yield _parse(text, path, number)


def _parse(text: bytes, path: Path, number: int) -> Mapping[str, Any]:
    try:
        line = loads(text)
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8: save it as UTF-8", file=str(path), line=number) from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg}): write one JSON object per line", file=str(path), line=number) from error
    if not isinstance(line, Mapping):
        raise InputError("not a JSON object: write one JSON object per line", file=str(path), line=number)
    if not isinstance(line.get("user", line.get("prompt")), str):
        raise InputError(_NEEDS, file=str(path), line=number)
    if not isinstance(line.get("outputs"), Mapping):
        raise InputError('\'outputs\' has to be answers by model: write {"gpt-4o": "..."}, or {"*": "..."}', file=str(path), line=number)
    return line


def _record(line: Mapping[str, Any]) -> Record:
    outputs: dict[str, Answer] = {}
    for model, output in line["outputs"].items():
        answer = _answer(output)
        outputs[model] = answer
        outputs.setdefault(base_id(model), answer)
    return Record(
        user=line["user"],
        system_contains=line.get("system_contains") or "",
        context_contains=line.get("context_contains") or "",
        after=tuple(line.get("after") or ()),
        outputs=outputs,
    )


def _answer(output: str | Mapping[str, Any]) -> Answer:
    if isinstance(output, str):
        return Answer(output)
    calls = tuple(_tool_call(call) for call in output.get("tool_calls") or ())
    return Answer(output.get("content"), calls, output.get("reasoning_tokens"))


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    arguments = call.get("arguments", {})
    return ToolCall(call["name"], arguments if isinstance(arguments, str) else dump_text(arguments))
