"""Reads a question once: its numbers, times, units, negations, names and the words that carry it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from frugal_plugins.meaning.guards.lexicon import (
    LARGER_NUMBERS,
    LIGHT_WORDS,
    NEGATIONS,
    NUMBER_WORDS,
    ORDINALS,
    STOP_WORDS,
    STOPS_AN_ACTION,
    TELLTALE,
    TIMES,
    UNITS,
)

LONGEST_CHARS: Final = 2_000
"""Longer texts are not compared word by word; the caller treats them as a conflict."""

_TOKEN: Final = re.compile(
    r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+|\d+(?:[.,:/-]\d+)*[^\W\d_]*|[^\W\d_]+(?:[-'’][^\W_]+)*\d*|[$€£¥₹%]|(?<=\s)[-+](?=\d)"
)
_NUMBER: Final = re.compile(r"(\d+(?:[.,:/-]\d+)*)([^\W\d_]*)")
_GROUPED: Final = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_SCALE: Final = {
    "k": 1_000,
    "m": 1_000_000,
    "mn": 1_000_000,
    "bn": 1_000_000_000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
    "thousand": 1_000,
}
_AMBIGUOUS_TIMES: Final = frozenset(
    {"may", "march", "sun", "sat", "mon", "second", "last", "current", "currently", "next", "following", "past", "spring", "fall", "am"}
)
_WHICH: Final = frozenset({"next", "last", "upcoming", "previous", "past", "following"})
_QUESTIONS: Final = (
    (re.compile(r"\b(?:what|which|at what) (?:time|day|date|hour)s?\b|\bwhen\b|\bhow (?:soon|long)\b"), "when"),
    (re.compile(r"\bhow many\b"), "how many"),
    (re.compile(r"\bhow (?:often|frequently)\b|\bhow many times\b"), "how often"),
    (re.compile(r"\bhow (?:old)\b|\bwhat age\b"), "how old"),
    (re.compile(r"\bhow far\b"), "how far"),
    (re.compile(r"\bwhere\b|\b(?:what|which) (?:place|address|location)\b"), "where"),
    (re.compile(r"\bwhy\b|\bhow come\b|\bwhat (?:is the )?(?:reason|causes?)\b"), "why"),
    (re.compile(r"\bwho(?:m|se)?\b"), "who"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question says, part by part; each part is compared on its own.

    Attributes:
        words: the words that carry the question, in order, each in one form.
        light: words that rarely change an answer ("want", "possible", "exactly").
        numbers, times, units, names: sorted, so that order and repetition of a phrase do not matter.
        negations: how many negations there are; `stopped`: whether an action is told to stop or not to be done.
        asks: which specific things are asked for (when, where, why, who, how many, how often, how far).
    """

    words: tuple[str, ...]
    light: frozenset[str]
    numbers: tuple[str, ...]
    times: frozenset[str]
    units: frozenset[str]
    names: frozenset[str]
    negations: int
    stopped: bool
    asks: frozenset[str]
    language: str
    relations: bool
    too_long: bool = False


@lru_cache(maxsize=16_384)
def read(text: str) -> Reading:
    """Read a text. Long texts are only marked as such."""
    if len(text) > LONGEST_CHARS:
        return Reading((), frozenset(), (), frozenset(), frozenset(), frozenset(), 0, False, frozenset(), "en", False, too_long=True)
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    written = _TOKEN.findall(plain)
    tokens = [token.casefold() for token in written]
    language = _language(tokens)
    numbers, units, used = _numbers(tokens, language)
    times = _times(tokens, written, used)
    words = [(i, _one_form(t)) for i, t in enumerate(tokens) if i not in used and _carries(t, language)]
    kept = [word for _, word in words if word]
    return Reading(
        words=tuple(word for word in kept if word not in _LIGHT),
        light=frozenset(word for word in kept if word in _LIGHT),
        numbers=tuple(sorted(numbers)),
        times=frozenset(times),
        units=frozenset(units),
        names=_names(written, tokens, plain),
        negations=sum(_negates(token, language) for token in tokens),
        stopped=_stops(tokens),
        asks=frozenset(name for pattern, name in _QUESTIONS if pattern.search(plain.casefold())),
        language=language,
        relations=not {"to", "from", "than", "before", "after", "over", "into", "versus", "by", "of"}.isdisjoint(tokens),
    )


def _language(tokens: list[str]) -> str:
    counted = {name: sum(token in words for token in tokens) for name, words in TELLTALE.items()}
    best = max(counted, key=lambda name: (counted[name], name == "en"))
    return best if counted[best] > counted["en"] else "en"


def _numbers(tokens: list[str], language: str) -> tuple[list[str], set[str], set[int]]:
    """Numbers in one form, the units named, and which tokens they took."""
    numbers, units, used = [], set(), set()
    named = {word: str(value) for value, word in enumerate(NUMBER_WORDS.get(language, ()))}
    if language == "en":
        named |= dict(LARGER_NUMBERS) | dict(ORDINALS)
        del named["one"], named["second"]
    for i, token in enumerate(tokens):
        found = _NUMBER.fullmatch(token)
        if found:
            value, tail = _digits(found.group(1)), found.group(2)
            if tail in UNITS:
                units.add(UNITS[tail])
            elif tail in _SCALE:
                value = f"{float(value) * _SCALE[tail]:g}" if _plain_number(value) else value + tail
            elif tail:
                value += tail
            numbers.append(value)
            used.add(i)
        elif token in named or (token in ("one", "second") and i + 1 < len(tokens) and tokens[i + 1] in UNITS):
            numbers.append(named.get(token, "1"))
            used.add(i)
        elif token in UNITS:
            units.add(UNITS[token])
            used.add(i)
    return numbers, units, used


def _digits(written: str) -> str:
    if _GROUPED.fullmatch(written):
        return re.sub(r"[.,]", "", written)
    if re.fullmatch(r"\d+[.,]\d+", written):
        return f"{float(written.replace(',', '.')):g}"
    return written.removesuffix(":00") if re.fullmatch(r"\d{1,2}:00", written) else (str(int(written)) if written.isdecimal() else written)


def _plain_number(value: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", value) is not None


def _times(tokens: list[str], written: list[str], used: set[int]) -> set[str]:
    times = set()
    for i, token in enumerate(tokens):
        if token not in TIMES or i in used:
            continue
        if token in _AMBIGUOUS_TIMES and not _is_a_time(i, tokens, written):
            continue
        times.add(TIMES[token])
        used.add(i)
    return times


def _is_a_time(i: int, tokens: list[str], written: list[str]) -> bool:
    """Whether an ambiguous word (may, march, sun, last, am) names a time here."""
    said, after, before = tokens[i], tokens[i + 1 : i + 2], tokens[max(0, i - 1) : i]
    if said in _WHICH:
        return any(word in TIMES or word in UNITS for word in after)
    if said == "am":
        return any(word[0].isdigit() for word in before)
    beside_a_number = any(word[:1].isdigit() for word in before + after)
    return beside_a_number or (written[i][:1].isupper() and i > 0) or before in (["in"], ["on"])


def _carries(said: str, language: str) -> bool:
    if said.removesuffix("'s") in STOP_WORDS or _negates(said, language) or said in "$€£¥₹%-+":
        return False
    return language == "en" or said not in TELLTALE[language]


def _negates(said: str, language: str) -> bool:
    return said.endswith("n't") or said in NEGATIONS["en" if language == "en" else language] or (language == "en" and said == "sans")


def _stops(tokens: list[str]) -> bool:
    """Whether an action is told to end or not to be done: "stop watering", "avoid", "banned"."""
    for i, said in enumerate(tokens):
        if said in STOPS_AN_ACTION:
            after = tokens[i + 1] if i + 1 < len(tokens) else ""
            if said not in ("stop", "stops", "quit", "skip") or after.endswith("ing") or after == "from":
                return True
    return False


def _names(written: list[str], tokens: list[str], plain: str) -> frozenset[str]:
    """Capitalised words that do not begin a sentence, codes with digits, addresses, quotations."""
    capitals = sum(word[:1].isupper() for word in written)
    shouted = capitals > 3 and capitals * 2 > len(written)
    starts = {match.start() for match in re.finditer(r"(?:^|[.!?:]\s+)\W*(?=\w)", plain)}
    found, place = set(), 0
    for i, word in enumerate(written):
        place = plain.find(word, place)
        begins = i == 0 or any(place - 3 <= start <= place and not plain[start:place].strip(" .!?:\"'") for start in starts)
        low = tokens[i]
        if (
            "@" in low
            or low.startswith("http")
            or (any(c.isdigit() for c in word) and any(c.isalpha() for c in word) and not word[0].isdigit())
        ):
            found.add(low)
        elif word[:1].isupper() and not shouted and (not begins or (len(word) > 1 and word.isupper())) and _may_be_a_name(low):
            found.add(_one_form(low.removesuffix("'s")))
        place += len(word)
    found.update(quoted.casefold() for quoted in re.findall(r"[\"“«]([^\"”»]{1,80})[\"”»]", plain))
    return frozenset(found)


def _may_be_a_name(low: str) -> bool:
    return low not in STOP_WORDS and low not in TIMES and low not in UNITS and "'" not in low.removesuffix("'s")


@lru_cache(maxsize=16_384)
def _one_form(word: str) -> str:
    """A word without its English ending: enough to tell `cards` and `card` the same, never two different words."""
    word = word.removesuffix("'s").replace("-", "")
    for ending, put in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word[: len(word) - len(ending)] + put
            if ending in ("ing", "ed") and len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


_LIGHT: Final = frozenset(_one_form(word) for word in LIGHT_WORDS)


def forms(words: frozenset[str]) -> frozenset[str]:
    """The one form of each word."""
    return frozenset(_one_form(word) for word in words)


def one_form(word: str) -> str:
    """A single word in the form readings are compared in."""
    return _one_form(word)
