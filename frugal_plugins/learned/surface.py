"""What can be seen of a prompt without understanding it: its size, shape, signs and telling words."""

from __future__ import annotations

import re
from math import log1p
from typing import Final

READ_CHARS: Final = 4000
"""Longer prompts are read at both ends; the length itself is a feature."""

_ASKING: Final = re.compile(
    r"\b(prove|derive|compute|calculate|solve|how many|evaluate|determine|integral|equation|probability|theorem|function|algorithm|code|"
    r"python|assert|def|step by step|explain|why|compare|analy[sz]e|design|implement|debug|optimi[sz]e)\b",
    re.IGNORECASE,
)
_SIGNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(prove|proof|theorem|lemma)\b",
        r"\b(calculate|compute|evaluate|solve|find the value|how many|how much)\b",
        r"```|\bdef |\bassert |\bclass |\breturn\b|[{};]",
        r"\\[a-z]+|\$|\^",
        r"\b(why|explain|compare|contrast|analy[sz]e)\b",
        r"\b(which of the following|true|false|yes or no)\b",
        r"\b(not|except|least|incorrect)\b",
        r"\b(if|then|given|suppose|assume|let)\b",
        r"\b(write|draft|compose|summari[sz]e|rewrite|translate)\b",
        r"\b(classify|extract|list|identify|label|category)\b",
        r"\b(statement|II\.|III\.)",
        r"\b(for|while|range|append|join|split|replace|sort|index|pop)\b\W",
    )
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


def surface(text: str) -> list[float]:
    """SIZE numbers about the look of a prompt. Takes well under a millisecond, whatever its length."""
    read = ends(text)
    chars = max(1, len(read))
    words = read.split()
    count = max(1, len(words))
    lines = read.split("\n")
    options = [len(option) for option in _OPTION.findall(read)]
    numbers = [float(found) for found in _NUMBER.findall(read) if len(found) < 16]
    mean_option = sum(options) / len(options) if options else 0.0
    return [
        log1p(len(text)),
        log1p(count),
        chars / count,
        sum(map(str.isdigit, read)) / chars,
        log1p(len(numbers)),
        log1p(max(numbers, default=0.0)),
        log1p(len(set(numbers))),
        float(read.count("?")),
        sum(read.count(sign) for sign in "+-*/=<>^\\%$") / chars,
        sum(map(str.isupper, read)) / chars,
        len({word.lower() for word in words}) / count,
        log1p(len(lines)),
        log1p(len(lines[0])),
        mean_option,
        (sum((option - mean_option) ** 2 for option in options) / len(options)) ** 0.5 if options else 0.0,
        float(len(options)),
        float(len(_ASKING.findall(read))),
        float(min(64, max(map(len, words), default=0))),
        sum(ord(c) > 127 for c in read) / chars if not read.isascii() else 0.0,
        log1p(len(_BULLET.findall(read))),
        log1p(len(_INDENTED.findall(read))),
        log1p(len(_COMMAND.findall(read))),
        sum(read.count(sign) for sign in "()[]{}") / chars,
        sum(read.count(sign) for sign in ".,;:!") / chars,
        log1p(max((len(line) for line in lines), default=0)),
        *(float(bool(sign.search(read))) for sign in _SIGNS),
    ]
