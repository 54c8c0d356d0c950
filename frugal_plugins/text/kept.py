"""What a rewritten prompt must still say: the list of its constraints, compared before and after.

Values (numbers, ids, names, placeholders, quotations, code) are compared as they stand. Rules are compared by what they say: a
sentence with a negation or a modal word must find one of the same sense and the same force in the rewrite, about the same things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from frugal_plugins.text.facts import NEGATION, content_words, folded, hard_facts, sentences, unfaithful

_CODE: Final = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]+`", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$\{[^}\n]*\}|\{[A-Za-z_][\w.]*\}|<[A-Za-z/][^>\n]{0,79}>", re.DOTALL)
_QUOTE: Final = re.compile(r"\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|(?<!\w)'[^'\n]{1,80}'(?!\w)")
_NUMBER: Final = re.compile(r"\d[\d,.:%/-]*\d|\d%?")
_ID: Final = re.compile(
    r"https?://[^\s<>\"')]+|[\w.+-]+@[\w-]+\.\w+|\b[A-Z]+-\d[\w-]*|\b\w*(?:[A-Za-z]\d|\d[A-Za-z])\w*\b|\b\w+_\w+\b|\b[a-z]+[A-Z]\w*\b"
)
_LIST_MARK: Final = re.compile(r"^\s*(?:\d+[.)]|[-*•#]+)\s+", re.MULTILINE)
_FORCES: Final = (
    ("must", re.compile(r"\b(?:must|shall|always|only|exactly|required?|mandatory|at least|at most|(?:need|has|have|needs) to)\b", re.I)),
    ("should", re.compile(r"\b(?:should|ought)\b", re.I)),
    ("may", re.compile(r"\b(?:may|might|optional(?:ly)?|allowed|permitted)\b", re.I)),
)
_FIRST_WORD: Final = re.compile(r"(?:(?<=^)|(?<=[.!?:]\s))[A-Z](?=[a-z]*\b)", re.MULTILINE)
_LOUD: Final = frozenset(
    ("important", "note", "warning", "must", "never", "always", "do", "not", "all", "only", "please", "remember", "critical", "you", "no")
)
_ABOUT_SHARE: Final = 0.5
_SAID_SHARE: Final = 0.5
_ONE_PLACE_SHARE: Final = 0.34
_LEAST_WORDS: Final = 3
_SHOWN_CHARS: Final = 120

VALUES: Final = ("numbers", "ids", "names", "placeholders", "quotes", "code")
RULES: Final = ("negations", "modals", "statements")


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of constraint: which are still there, which are gone, which are new.

    Attributes:
        kind: `numbers`, `ids`, `names`, `placeholders`, `quotes`, `code`, `negations`, `modals` or `statements` (sentences that
            say something the rewrite says nothing about).
    """

    kind: str
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is gone and nothing was made up."""
        return not self.lost and not self.added


def compare(before: str, after: str) -> tuple[Kept, ...]:
    """Every kind of constraint of a prompt beside its rewrite.

    >>> [(k.kind, k.lost) for k in compare("Never offer more than 20 %.", "Offer at most 20 %.") if k.lost]
    [('negations', ('Never offer more than 20 %.',))]
    """
    values = [_values(kind, before, after) for kind in VALUES]
    invented = tuple(dict.fromkeys(one for one in unfaithful(_quiet(after), before) if not any(char.isdigit() for char in one)))
    had, has = _statements(before), _statements(after)
    rules = [
        _rules("negations", had, has, lambda text: "no" * len(NEGATION.findall(text))),
        _rules("modals", had, has, _force),
        _said(had, has),
    ]
    names = next(place for place, kept in enumerate(values) if kept.kind == "names")
    values[names] = Kept("names", values[names].kept, values[names].lost, invented)
    return (*values, *rules)


def problems(before: str, after: str) -> list[str]:
    """Why a rewrite is not used: what it lost or made up, in words for whoever is to mend it. Empty when nothing."""
    found = []
    for kept in compare(before, after):
        found += [f"{kept.kind} missing: {one}" for one in kept.lost]
        found += [f"{kept.kind} not in the original: {one}" for one in kept.added]
    return found


def _values(kind: str, before: str, after: str) -> Kept:
    had, has = _found(kind, before), _found(kind, after)
    plain = folded(after)
    kept = tuple(one for one in had if one in has or (kind in ("quotes", "code", "names") and folded(one) in plain))
    lost = tuple(one for one in had if one not in kept)
    known = folded(before)
    added = () if kind == "names" else tuple(one for one in has if one not in had and folded(one) not in known)
    return Kept(kind, kept, lost, added)


def _found(kind: str, text: str) -> dict[str, None]:
    """The values of one kind, each once and in order. Numbers of a list are its layout, not its content."""
    if kind == "code":
        return dict.fromkeys(_CODE.findall(text))
    bare = _LIST_MARK.sub("", _CODE.sub(" ", text))
    if kind == "placeholders":
        return dict.fromkeys(_PLACEHOLDER.findall(bare))
    bare = _PLACEHOLDER.sub(" ", bare)
    if kind == "quotes":
        return dict.fromkeys(_QUOTE.findall(bare))
    if kind == "numbers":
        return dict.fromkeys(_NUMBER.findall(bare))
    if kind == "ids":
        return dict.fromkeys(_ID.findall(_QUOTE.sub(" ", bare)))
    facts = (one for one in hard_facts(_quiet(bare)) if one not in _LOUD and not any(char.isdigit() or char in '"“`_@' for char in one))
    return dict.fromkeys(facts)


def _quiet(text: str) -> str:
    """A text whose sentences start in lower case, so that a first word is not taken for a name."""
    return _FIRST_WORD.sub(lambda match: match.group().lower(), _LIST_MARK.sub("", text))


def _statements(text: str) -> list[str]:
    bare = _LIST_MARK.sub("", _CODE.sub(" ", text))
    return list(dict.fromkeys(one.strip() for one in sentences(bare) if one.strip()))


def _force(text: str) -> str:
    return next((name for name, pattern in _FORCES if pattern.search(text)), "")


def _rules(kind: str, had: Sequence[str], has: Sequence[str], sense: Callable[[str], str]) -> Kept:
    """Sentences of a sense that have, or lack, a counterpart of the same sense (and as many negations) about the same things."""
    now = [(sense(one), frozenset(content_words(one))) for one in has]
    then = [(sense(one), frozenset(content_words(one))) for one in had]
    kept: list[str] = []
    lost: list[str] = []
    added: list[str] = []
    for one, (what, words) in zip(had, then, strict=True):
        if what:
            (kept if any(other.startswith(what) and _about(words, more) for other, more in now) else lost).append(_shown(one))
    for one, (what, words) in zip(has, now, strict=True):
        if what and not any(other[:2] == what[:2] and _about(words, more) for other, more in then):
            added.append(_shown(one))
    return Kept(kind, tuple(kept), tuple(lost), tuple(added))


def _about(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sentences speak of the same things; a sentence without content words of its own speaks of anything."""
    smaller = min(len(one), len(other))
    return not smaller or len(one & other) >= _ABOUT_SHARE * smaller


def _said(had: Sequence[str], has: Sequence[str]) -> Kept:
    """Sentences whose words the rewrite has no trace of, together or in one place: an instruction that was dropped."""
    places = [frozenset(content_words(one)) for one in has]
    everything = frozenset().union(*places)
    kept: list[str] = []
    lost: list[str] = []
    for one in had:
        own = frozenset(content_words(one))
        nearest = max((len(own & place) for place in places), default=0)
        said = len(own) < _LEAST_WORDS or (len(own & everything) >= _SAID_SHARE * len(own) and nearest >= _ONE_PLACE_SHARE * len(own))
        (kept if said else lost).append(_shown(one))
    return Kept("statements", tuple(kept), tuple(lost), ())


def _shown(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN_CHARS else f"{plain[: _SHOWN_CHARS - 1]}…"


def summary(found: Iterable[Kept]) -> dict[str, dict[str, list[str]]]:
    """The list for JSON."""
    return {one.kind: {"kept": list(one.kept), "lost": list(one.lost), "added": list(one.added)} for one in found}
