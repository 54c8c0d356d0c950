"""Answers nobody recorded: plain English, JSON or tool calls, the same every time for the same model and conversation."""

from __future__ import annotations

import json
import re
from typing import Any

from frugal_plugins.sandbox.ask import Answer, Ask, Tool, ToolCall
from frugal_plugins.sandbox.codec import dump_text, words
from frugal_plugins.sandbox.dice import Dice, seed_of
from frugal_plugins.sandbox.json_instance import instance

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]{3,}")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n+")
_YES_NO = re.compile(
    r"^(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|might|am|must|shall)\b[^?]*\?", re.IGNORECASE
)
_ASKED_FOR_A_VERDICT = re.compile(r"\byes or no\b|\byes/no\b|\btrue or false\b", re.IGNORECASE)
_ONE_OF_TWO_WORDS = re.compile(r"\bexactly one word:\s+([A-Za-z]+) or ([A-Za-z]+)\b", re.IGNORECASE)
_SUMMARY = re.compile(r"\b(?:summari[sz]e|summary|tl;?dr)\b", re.IGNORECASE)

_COMMON = words(
    """
    about above after again also answer been before being below between both could does doing down during each from give have
    having here into just more most much must only other over please question same should show some such tell than that their
    them then there these they this those through under until using very want were what when where which while will with would
    write your yours
    """
)

_OPENINGS = (
    "The short answer depends on {a}, and the rest follows from there.",
    "There are two things to keep apart here: {a} and {b}.",
    "In most cases {a} comes first, because {b} builds on it.",
    "A good starting point is {a}.",
    "What matters most is how {a} and {b} fit together.",
    "Here is a plain way to look at {a}.",
)

_MIDDLES = (
    "Once {a} is clear, {b} becomes much easier to judge.",
    "It helps to write down what you already know about {a} before changing anything.",
    "People often overlook {a}, which then shows up later as a problem with {b}.",
    "If {a} changes, check {b} again rather than assuming it still holds.",
    "The usual range is between {n} and {m}, although your own case may differ.",
    "You can test this with a small example of {a} and compare the result with {b}.",
    "For {a}, the simplest option is normally the one that is easiest to undo.",
    "Keep {a} separate from {b} until both have been checked.",
    "In practice it takes about {n} minutes to confirm {a}.",
    "Where {a} is missing, fall back to what the records say about {b}.",
    "That is also why {b} should be reviewed together with {a}.",
    "A second look at {a} usually explains the difference.",
)

_VERDICTS = (
    "that holds for {a}, as long as {b} stays as it is.",
    "and the main reason is {a}.",
    "although {a} can change that.",
    "at least where {a} is concerned; {b} is a separate matter.",
)

_CLOSINGS = (
    "If something does not match, start again from {a}.",
    "With that in place, {b} should work as expected.",
    "Let me know if you want more detail about {a}.",
    "In short: settle {a} first, then {b}.",
)

_EFFORT = {"none": 0.0, "minimal": 0.0, "low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 4.0}


def generate(ask: Ask, seed: int) -> Answer:
    """The answer to `ask`; `seed` is `conversation_seed(ask)`."""
    dice = Dice(seed)
    if ask.tools and ask.tool_choice in ("required", "named"):
        return Answer(None, (_call(ask, dice),))
    text = _json(ask, dice) if ask.output_schema is not None or ask.json_only else _text(ask, dice)
    return Answer(text)


def conversation_seed(ask: Ask) -> int:
    """One number for a model, a conversation and which of `n` answers it is."""
    texts = [part for turn in ask.turns for part in (turn.role, turn.text)]
    return seed_of(ask.card.id, str(ask.choice), *texts)


def hidden_tokens(ask: Ask, seed: int) -> int:
    """How long a reasoning model thinks about this: multiples of 32 from a few dozen to a few hundred, more with more effort."""
    if not ask.card.reasoning:
        return 0
    return int((64 + 64 * (seed % 6)) * _EFFORT.get(ask.effort or "medium", 1.0))


def thinking_text(ask: Ask, seed: int) -> str:
    """What a model with visible thinking thinks: a few sentences, other ones than its answer."""
    dice = Dice(seed ^ 0x7417)
    return "Let me think about this step by step. " + _prose(ask, dice, dice.between(3, 12))


def _call(ask: Ask, dice: Dice) -> ToolCall:
    named = [tool for tool in ask.tools if tool.name == ask.named_tool]
    tool: Tool = named[0] if named else dice.pick(ask.tools)
    value = instance(tool.schema, dice, ask.user_text) if tool.schema else {}
    return ToolCall(tool.name, dump_text(value if isinstance(value, dict) else {}))


def _json(ask: Ask, dice: Dice) -> str:
    if ask.output_schema is not None:
        return dump_text(instance(ask.output_schema, dice, ask.user_text))
    return dump_text(_filled_template(ask, dice))


def _filled_template(ask: Ask, dice: Dice) -> dict[str, Any]:
    """The JSON object the prompt shows, with its values filled in; without one, an object with an answer."""
    for text in (ask.user_text, ask.system_text):
        start = text.rfind("\n{") + 1 or text.find("{")
        if start >= 0:
            try:
                shown, _ = json.JSONDecoder().raw_decode(text, start)
            except json.JSONDecodeError:
                continue
            if isinstance(shown, dict):
                return {key: _filled(value, ask, dice) for key, value in shown.items()}
    return {"answer": _prose(ask, dice, 1)}


def _filled(shown: Any, ask: Ask, dice: Dice) -> Any:
    if isinstance(shown, dict):
        return {key: _filled(value, ask, dice) for key, value in shown.items()}
    if isinstance(shown, list):
        return [_filled(value, ask, dice) for value in shown]
    if isinstance(shown, bool):
        return dice.below(2) == 1
    if isinstance(shown, (int, float)):
        return dice.between(1, 100)
    return _prose(ask, dice, 1)


def _text(ask: Ask, dice: Dice) -> str:
    """Prose of a natural length: most answers a few sentences, some one, a few a page."""
    question = ask.user_text.strip()
    if re.search(r"\bjson\b", question[-2000:], re.IGNORECASE):
        return "```json\n" + dump_text(_filled_template(ask, dice)) + "\n```"
    if _SUMMARY.search(question[:400]) or _SUMMARY.search(ask.system_text[:400]):
        return _extract(ask)
    asked = _sentences(question[-2000:])
    words_asked = _ONE_OF_TWO_WORDS.search(question[-2000:]) or _ONE_OF_TWO_WORDS.search(ask.system_text[:2000])
    if words_asked is not None:
        return dice.pick(words_asked.groups())
    verdict = _ASKED_FOR_A_VERDICT.search(question[-2000:]) or _ASKED_FOR_A_VERDICT.search(ask.system_text[:2000])
    if verdict or (asked and _YES_NO.match(asked[-1])):
        return dice.pick(("Yes, ", "No, ")) + dice.pick(_VERDICTS).format(**_two_topics(_words_of(ask), dice))
    size = dice.below(100)
    sentences = 1 if size < 20 else dice.between(2, 5) if size < 70 else dice.between(6, 12) if size < 94 else dice.between(14, 28)
    return _prose(ask, dice, sentences)


def _prose(ask: Ask, dice: Dice, sentences: int) -> str:
    words = _words_of(ask)
    templates = [
        dice.pick(_OPENINGS),
        *(dice.pick(_MIDDLES) for _ in range(sentences - 2)),
        *([dice.pick(_CLOSINGS)] if sentences > 1 else []),
    ]
    written = []
    for place, template in enumerate(templates):
        low = dice.between(2, 40)
        sentence = template.format(**_two_topics(words, dice), n=low, m=low * 3)
        written.append(sentence[0].upper() + sentence[1:] + ("\n\n" if place % 5 == 4 else " "))
    return "".join(written).strip()


def _words_of(ask: Ask) -> list[str]:
    words = _topics(ask.user_text)
    return words if len(words) > 2 else [*words, "the plan", "the details", "the context"]


def _two_topics(words: list[str], dice: Dice) -> dict[str, str]:
    """Two different words to write about."""
    first = dice.below(len(words))
    return {"a": words[first], "b": words[(first + 1 + dice.below(len(words) - 1)) % len(words)]}


def _topics(text: str) -> list[str]:
    """Up to twelve of the question's own words, in order."""
    seen: dict[str, None] = {}
    for word in _WORD.findall(text[:4000]):
        lowered = word.lower()
        if lowered not in _COMMON:
            seen[lowered] = None
            if len(seen) == 12:
                break
    return list(seen)


def _extract(ask: Ask) -> str:
    """A summary made of the first sentence of each turn, at most twelve."""
    texts = [turn.text for turn in ask.turns if turn.role != "system"]
    firsts = [_sentences(text[:4000])[:1] for text in texts] if len(texts) > 1 else [_sentences("".join(texts)[:20_000])]
    return " ".join([sentence for first in firsts for sentence in first][:12]) or "There is nothing to sum up."


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _BETWEEN_SENTENCES.split(text) if sentence.strip()]
