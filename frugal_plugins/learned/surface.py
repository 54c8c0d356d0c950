"""What can be seen of a prompt without understanding it: its size, shape, signs and telling words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import log1p
from typing import Final

READ_CHARS: Final = 4000
"""Longer prompts are read at both ends; the length itself is a feature."""

_ASKING: Final = re.compile(
    r"\b(prove|derive|compute|calculate|solve|how many|evaluate|determine|integral|equation|probability|theorem|function|algorithm|code|"
    r"python|assert|def|step by step|explain|why|compare|analy[sz]e|design|implement|debug|optimi[sz]e)\b"
)
"""Read in lower case, as the signs are: the `re` module looks for a word much faster than for a word in any case."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Words to look for in lower-case text, behind a quick look for letters without which they cannot be there.

    The `re` module needs twenty microseconds for such words in 500 characters; looking for a few letters needs one.
    """

    words: re.Pattern[str]
    letters: tuple[str, ...]

    def possible(self, text: str) -> bool:
        """Whether the words may be in the text."""
        for letters in self.letters:  # noqa: SIM110 - a generator costs more than the looking
            if letters in text:
                return True
        return False


def sign(words: str, letters: str) -> Sign:
    """A sign from a regular expression and the letters, of which any match contains one, with `|` between them."""
    return Sign(re.compile(words, re.MULTILINE), tuple(letters.split("|")))


_SIGNS: Final = (
    sign(r"\b(prove|proof|theorem|lemma)\b", "proof|prove|theorem|lemma"),
    sign(r"\b(calculate|compute|evaluate|solve|find the value|how many|how much)\b", "calculate|compute|evaluate|solve|find the|how m"),
    sign(r"```|\bdef |\bassert |\bclass |\breturn\b|[{};]", "```|def |assert |class |return|{|}|;"),
    sign(r"\\[a-z]+|\$|\^", "\\|$|^"),
    sign(r"\b(why|explain|compare|contrast|analy[sz]e)\b", "why|explain|compare|contrast|analy"),
    sign(r"\b(which of the following|true|false|yes or no)\b", "which of|true|false|yes or no"),
    sign(r"\b(not|except|least|incorrect)\b", "not|except|least|incorrect"),
    sign(r"\b(if|then|given|suppose|assume|let)\b", "if|then|given|suppose|assume|let"),
    sign(r"\b(write|draft|compose|summari[sz]e|rewrite|translate)\b", "write|draft|compose|summari|translate"),
    sign(r"\b(classify|extract|list|identify|label|category)\b", "classify|extract|list|identify|label|category"),
    sign(r"\b(statement|iii?\.)", "statement|ii."),
    sign(
        r"\b(for|while|range|append|join|split|replace|sort|index|pop)\b\W",
        "for|while|range|append|join|split|replace|sort|index|pop",
    ),
)
_OPTION: Final = re.compile(r"^\(?[A-J][.)] ?(.*)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_BULLET: Final = re.compile(r"^\s*(?:[-*]|\d+\.)\s", re.MULTILINE)
_INDENTED: Final = re.compile(r"^(?: {4}|\t)", re.MULTILINE)
_COMMAND: Final = re.compile(r"\\([a-z]+)", re.IGNORECASE)

SIZE: Final = 25 + len(_SIGNS)


def ends(text: str, characters: int = READ_CHARS) -> str:
    """The text, or its two ends where it is longer than that: instructions stand at one of them."""
    return text if len(text) <= characters else text[: characters // 2] + "\n" + text[-characters // 2 :]


def surface(read: str, length_chars: int) -> list[float]:
    """SIZE numbers about the look of a prompt that is `length_chars` long and of which `read` is to be looked at."""
    lowered = read.lower()
    chars = max(1, len(read))
    words = read.split()
    count = max(1, len(words))
    lines = read.split("\n")
    options = [len(option) for option in _OPTION.findall(read)]
    numbers = [float(found) for found in _NUMBER.findall(read) if len(found) < 16]
    mean_option = sum(options) / len(options) if options else 0.0
    marks = Counter(read)
    return [
        log1p(length_chars),
        log1p(count),
        chars / count,
        sum(times for mark, times in marks.items() if mark.isdigit()) / chars,
        log1p(len(numbers)),
        log1p(max(numbers, default=0.0)),
        log1p(len(set(numbers))),
        float(marks["?"]),
        sum(marks[mark] for mark in "+-*/=<>^\\%$") / chars,
        sum(times for mark, times in marks.items() if mark.isupper()) / chars,
        len(set(lowered.split())) / count,
        log1p(len(lines)),
        log1p(len(lines[0])),
        mean_option,
        (sum((option - mean_option) ** 2 for option in options) / len(options)) ** 0.5 if options else 0.0,
        float(len(options)),
        float(len(_ASKING.findall(lowered))),
        float(min(64, max(map(len, words), default=0))),
        sum(times for mark, times in marks.items() if ord(mark) > 127) / chars,
        log1p(len(_BULLET.findall(read))),
        log1p(len(_INDENTED.findall(read))),
        log1p(len(_COMMAND.findall(read))),
        sum(marks[mark] for mark in "()[]{}") / chars,
        sum(marks[mark] for mark in ".,;:!") / chars,
        log1p(max((len(line) for line in lines), default=0)),
        *(float(found.possible(lowered) and bool(found.words.search(lowered))) for found in _SIGNS),
    ]
