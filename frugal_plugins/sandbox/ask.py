"""One question to a model, whichever API it came through, and what the model answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from frugal_plugins.sandbox.counting import Ids, count, spell, token_ids
from frugal_plugins.sandbox.price_sheet import ModelCard

Finish = Literal["stop", "length", "tool_calls", "stop_sequence"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message's text; `role` is system, user, assistant or tool."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model makes; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What every API asks of a model.

    Attributes:
        tool_choice: `auto`, `none`, `required`, or `named` (then `named_tool` says which).
        json_only: the answer must be a JSON object.
        output_schema: the answer must be JSON of this schema.
        max_output_tokens: the caller's limit, reasoning included.
        effort: how hard a reasoning model should think.
        thinking_tokens: an Anthropic thinking budget; None when the caller did not turn thinking on.
        choice: which of `n` answers this is.
    """

    card: ModelCard
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    named_tool: str | None = None
    json_only: bool = False
    output_schema: Mapping[str, Any] | None = None
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    effort: str | None = None
    thinking_tokens: int | None = None
    choice: int = 0

    def for_choice(self, choice: int) -> Ask:
        """The same question, for another of `n` answers."""
        return replace(self, choice=choice) if choice else self

    @property
    def last_user(self) -> int:
        """The place of the last user turn, or -1."""
        for place in range(len(self.turns) - 1, -1, -1):
            if self.turns[place].role == "user":
                return place
        return -1

    @property
    def user_text(self) -> str:
        """The text of the last user turn."""
        place = self.last_user
        return self.turns[place].text if place >= 0 else ""

    @property
    def system_text(self) -> str:
        """Everything the system turns say."""
        return "\n".join(turn.text for turn in self.turns if turn.role == "system")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model would say with no limit on length. `reasoning_tokens` None lets the sandbox choose."""

    text: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What the model did say, within the caller's limit.

    Attributes:
        ids: the tokens of `text`.
        finish: why it ended; `stop_sequence` then holds the text it stopped at.
        output_tokens: all of it, reasoning included.
    """

    text: str | None
    ids: Ids[int]
    tool_calls: tuple[ToolCall, ...]
    reasoning_tokens: int
    output_tokens: int
    finish: Finish
    stop_sequence: str | None = None
    thinking: str = ""
    model: str = field(default="gpt-4o", repr=False)

    def pieces(self) -> list[tuple[str, int]]:
        """The text as it would be streamed: (text, tokens)."""
        return spell(self.ids, self.model)


def write(ask: Ask, answer: Answer, reasoning_tokens: int, thinking: str = "") -> Written:
    """Say `answer` within the limit: thinking first, then the text, then the tool calls."""
    limit = ask.max_output_tokens or ask.card.max_output_tokens
    reasoning = min(limit, reasoning_tokens)
    thinking = _cut(thinking, reasoning, ask.model)
    text, stopped_at = _up_to_stop(answer.text, ask.stop)
    ids = token_ids(text or "", ask.model)
    left = limit - reasoning
    finish: Finish = "tool_calls" if answer.tool_calls else "stop"
    if stopped_at is not None:
        finish = "stop_sequence"
    if len(ids) > left or (reasoning == limit and (text or answer.tool_calls)):
        ids, finish, stopped_at = ids[:left], "length", None
        text = "".join(piece for piece, _ in spell(ids, ask.model))
    calls, call_tokens = _calls_within(answer.tool_calls if stopped_at is None else (), left - len(ids), ask.model)
    if finish == "tool_calls" and sum(len(c.arguments) for c in calls) < sum(len(c.arguments) for c in answer.tool_calls):
        finish = "length"
    output_tokens = reasoning + len(ids) + call_tokens
    return Written(text, ids, calls, reasoning, output_tokens, finish, stopped_at, thinking, ask.model)


def _cut(text: str, tokens: int, model: str) -> str:
    ids = token_ids(text, model)
    return text if len(ids) <= tokens else "".join(piece for piece, _ in spell(ids[:tokens], model))


def _up_to_stop(text: str | None, stops: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The text before the first stop sequence, and the sequence."""
    if not text or not stops:
        return text, None
    found = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    if not found:
        return text, None
    place, stop = min(found)
    return text[:place], stop


def _calls_within(calls: tuple[ToolCall, ...], left: int, model: str) -> tuple[tuple[ToolCall, ...], int]:
    """The calls that fit in `left` tokens, the last one cut in its arguments if need be, and the tokens they take."""
    fitting: list[ToolCall] = []
    spent = 0
    for call in calls:
        name_tokens = count(call.name, model)
        room = left - spent - name_tokens
        if room <= 0:
            break
        ids = token_ids(call.arguments, model)
        if len(ids) > room:
            fitting.append(ToolCall(call.name, "".join(piece for piece, _ in spell(ids[:room], model))))
            return tuple(fitting), left
        fitting.append(call)
        spent += name_tokens + len(ids)
    return tuple(fitting), spent
