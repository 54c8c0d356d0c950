"""One form for questions that differ only in case, spaces, politeness and end marks."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_LONGEST_FOLDED_CHARS: Final = 300
_LITERAL: Final = re.compile(r"[`{}<>\[\]\"\\|=#@$^~*_]|https?:|(?<!\w)['’]\w")
_GREETING: Final = re.compile(
    r"^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|dear)(?: (?:there|team|all|everyone))?\s*[,.!:;-]*\s+)+"
)
_LEADING: Final = re.compile(r"^(?:(?:please|pls|quick question|question)\s*[,:.!-]*\s+)+")
_TRAILING: Final = re.compile(r"(?:[\s,.!?;-]+(?:please|pls|thanks|thank you|thx|cheers)(?: (?:a lot|so much|in advance|very much))?)+$")
_GREETS, _LEADS = ("hi", "hello", "hey", "good", "dear"), ("please", "pls", "quick question", "question")
_TRAILS: Final = ("please", "pls", "thanks", "you", "thx", "cheers", "a lot", "so much", "in advance", "very much")
"""How a text begins or ends where one of the expressions above finds something: they take longer to say that they find nothing."""
_EDGE_MARKS: Final = " \t\n.!?,;:-…"
# Words that mean another thing in capitals, or with a capital in the middle of a sentence.
_CAPITALS_MATTER: Final = frozenset({"aids", "it", "us", "who"})
_NAMES_TOO: Final = frozenset({"august", "china", "job", "march", "may", "mobile", "nice", "polish", "reading", "turkey"})


def canonical_question(text: str) -> str:
    """One form for questions that differ only in case, spaces, greeting, politeness and end marks.

    Long texts, code, quotations, markup and addresses are returned as they are.

    >>> canonical_question("Hi there,  do you ship to Norway? Thanks!") == canonical_question("do you ship to norway")
    True
    >>> canonical_question("Do you ship to us") == canonical_question("Do you ship to US")
    False
    """
    if len(text) > _LONGEST_FOLDED_CHARS or _LITERAL.search(text):
        return text
    plain = " ".join(unicodedata.normalize("NFC", text).replace("\u2019", "'").split())
    first, *words = plain.split(" ")
    folded = " ".join([_fold(first, first=True), *map(_fold, words)]).strip(_EDGE_MARKS)
    if folded.startswith(_GREETS):
        folded = _GREETING.sub("", folded)
    if folded.startswith(_LEADS):
        folded = _LEADING.sub("", folded)
    if folded.endswith(_TRAILS):
        folded = _TRAILING.sub("", folded)
    kept = folded.strip(_EDGE_MARKS)
    return "\u2248" + kept if kept else text


@lru_cache(maxsize=4096)
def _fold(word: str, *, first: bool = False) -> str:
    bare = word.strip(_EDGE_MARKS)
    low = bare.casefold()
    keeps = (low in _CAPITALS_MATTER and bare.isupper()) or (low in _NAMES_TOO and not first and bare != low)
    return word if keeps else word.casefold()
