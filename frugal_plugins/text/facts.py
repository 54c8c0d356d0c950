"""What in a text must not get lost: numbers, ids, names, dates, quotations, negations, modal words, code and placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_WEEKDAY: Final = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_MONTH: Final = r"(?:january|february|march|april|june|july|august|september|october|november|december)"
_NUMBER_WORD: Final = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
    r"nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|quarter|first|second|third)"
)
_TIME_WORD: Final = r"(?:today|tonight|tomorrow|yesterday|morning|noon|afternoon|evening|midnight|weekend|next week|next month)"

IDENTIFIER: Final = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.]+|https?://[^\s<>\"')]+|\b\w*(?:[A-Za-z]\d|\d[A-Za-z])\w*\b|\b\w+_\w+\b|\b[A-Z]{2,}\w*\b|"
    r"#\w+|\b[a-z]+[A-Z]\w*\b"
)
NUMBER: Final = re.compile(r"[$€£]?\d[\d,]*(?:[.:/-]\d+)*%?(?:\s?(?:am|pm|AM|PM)\b)?")
QUOTED: Final = re.compile(r"\"[^\"\n]{2,60}\"|“[^”\n]{2,60}”|`[^`\n]{1,60}`")
NAME: Final = re.compile(r"\b[A-Z][\w'’&-]*(?:[ ](?:(?:of|the|and|de|la|&|von|van)\s)?[A-Z][\w'’&-]*)*")
WHEN: Final = re.compile(rf"\b(?:{_WEEKDAY}|{_MONTH}|{_NUMBER_WORD}|{_TIME_WORD})\b", re.IGNORECASE)
NEGATION: Final = re.compile(
    r"\b(?:not|never|no|none|nor|neither|without|except|unless|avoid|cannot|refuse|forbidden|prohibited)\b|n['’]t\b", re.IGNORECASE
)
MODAL: Final = re.compile(
    r"\b(?:must|shall|should|may|might|can|could|will|would|always|only|exactly|required|at least|at most|need to|needs to|"
    r"have to|has to|mandatory|optional|ought)\b",
    re.IGNORECASE,
)
DECISION: Final = re.compile(
    r"\b(?:not|never|n't|must|only|at least|at most|under|before|after|except|without|prefer\w*|want|need|instead|cancel\w*|chang\w*|"
    r"allerg\w*|budget|agree\w*|confirm\w*|decid\w*|book\w*|paid|pay|refund\w*|because|name is|i am|i'm|i live|my)\b",
    re.IGNORECASE,
)
_ORDERS: Final = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,60}\b(?:instructions?|prompts?|rules?|above|previous|prior|guidelines?)\b|"
    r"\byou (?:must|should|shall|are now|will now|have to)\b|\b(?:system prompt|new instructions?|from now on|act as|pretend to)\b|"
    r"</?(?:system|instructions?|earlier|assistant|user)\b",
    re.IGNORECASE | re.DOTALL,
)
_OWN_WORDS_SHARE: Final = 0.5
_FEWEST_WORDS: Final = 6
SENTENCE_END: Final = re.compile(r"(?<=[.!?])(?<![A-Z]\.)(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)[\"'”’)]*\s+(?=[\"'“(\w$#*-])|\n+")
WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOPWORDS: Final = _words(
    "the a an and or of to in on for with is are was were be been being i you he she it we they me him her us them my your "
    "our their this that these those at as by from have has had do does did not so but if can could would will shall should "
    "may just about what which who whom when where why how there here all any some yes no please thanks thank okay ok great "
    "sure like get got also than then too very more most such into over up out am im ive id its it's i'm i've i'd let's "
    "lets let hi hello hey well oh"
)

_OPENERS: Final = _words(
    "i the a an and but so if it he she we you they this that these those there here what which who when where why how can "
    "could would will do does did is are was were have has had please yes no okay ok sure great thanks thank hi hello hey "
    "well oh also in on at for to with as my your our their his her its not all any some one just let now then once after "
    "before since while because although however maybe perhaps right good sorry alright absolutely definitely certainly of "
    "from by or be been i'm i'd i've i'll it's that's there's you're we're they're don't let's what's"
)
_SUFFIX: Final = re.compile(r"(?:ations?|ingly|ings?|edly|ed|ies|es|s|ly|ment|ments)$")


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text."""
    return [part.strip() for part in SENTENCE_END.split(text) if part and part.strip()]


def folded(text: str) -> str:
    """Lower case and single spaces: how two mentions of a fact are compared."""
    return " ".join(text.lower().replace("’", "'").split())


def stem(word: str) -> str:
    """A word without its commonest English endings, so that "orders" finds "ordered"."""
    low = word.lower().replace("’", "'").removesuffix("'s")
    if len(low) <= 3 or low.isdigit():
        return low
    cut = _SUFFIX.sub("", low)
    cut = cut if len(cut) >= 3 else low
    return cut[:-1] if cut.endswith("e") and len(cut) > 3 else cut


def content_words(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [stem(word) for word in WORD.findall(text) if word.lower() not in STOPWORDS and (len(word) > 1 or word.isdigit())]


def hard_facts(text: str) -> list[str]:
    """Numbers, ids, addresses, quotations and names, folded, each once and in order."""
    return list(dict.fromkeys(folded(text[start:end]) for start, end in fact_spans(text)))


def fact_spans(text: str) -> list[tuple[int, int]]:
    """Where the facts of a text stand, longest first where they overlap."""
    found = [match.span() for pattern in (QUOTED, IDENTIFIER, NUMBER, WHEN) for match in pattern.finditer(text)]
    found.extend(_names(text))
    found.sort(key=lambda span: (span[0], -span[1]))
    kept: list[tuple[int, int]] = []
    for start, end in found:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _names(text: str) -> Iterator[tuple[int, int]]:
    """Capitalised words that are not just the first word of a sentence."""
    for match in NAME.finditer(text):
        start, end = match.span()
        first = match.group().split(" ", 1)[0]
        if first.lower() in _OPENERS or first.lower().split("'")[0] in _OPENERS:
            start += len(first) + 1
            if start >= end:
                continue
        yield start, end


def unfaithful(summary: str, source: str) -> list[str]:
    """Numbers, ids and names a summary states that its source does not: what it made up.

    >>> unfaithful("The order ships on 12 May.", "The order ships on 11 May.")
    ['12']
    """
    known, words = folded(source), {stem(word) for word in WORD.findall(source)}

    def stands_there(token: str) -> bool:
        if any(char.isdigit() for char in token):
            return bool(re.search(rf"(?<!\w){re.escape(token)}(?!\w)", known))
        return all(stem(part) in words for part in WORD.findall(token))

    found = ([token for token in fact.split() if not stands_there(token)] for fact in hard_facts(summary))
    return [" ".join(missing) for missing in found if missing]


def orders_in(summary: str, source: str) -> list[str]:
    """Passages of a summary that give orders its source does not: "ignore all previous instructions", "you must", a closing tag."""
    known = folded(source)
    return [match.group() for match in _ORDERS.finditer(summary) if folded(match.group()) not in known]


def strays(summary: str, source: str) -> bool:
    """Whether most of what a summary speaks of does not occur in its source."""
    words = content_words(summary)
    known = set(content_words(source))
    return len(words) >= _FEWEST_WORDS and sum(word in known for word in words) < _OWN_WORDS_SHARE * len(words)
