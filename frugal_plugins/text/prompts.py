"""Shorter prompts by rules: layout, boilerplate and sentences said twice. Never what carries meaning.

Each line is checked after it was rewritten: a number, id, quotation, placeholder, code, negation or modal word that is not
there any more puts the line back as it was. The same text always gives the same result.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from frugal_plugins.text.facts import MODAL, NEGATION, NUMBER, WORD
from frugal_plugins.text.volatile import passages
from frugal_plugins.tokens import count_text

Level = Literal["format", "phrases", "sentences"]

PROTECTED: Final = re.compile(
    r"```.*?```|~~~.*?~~~|`[^`\n]+`|\{\{.*?\}\}|\{%.*?%\}|\$\{[^}\n]*\}|\{[A-Za-z_][\w.]*\}|<[^>\n]{1,80}>|\[[^\]\n]{1,60}\]|"
    r"https?://\S+|\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|(?<!\w)'[^'\n]{1,80}'(?!\w)|^(?: {4,}|\t)(?![-*•\d])[^\n]*$",
    re.DOTALL | re.MULTILINE,
)
_ID: Final = re.compile(r"\b\w*(?:[A-Za-z]\d|\d[A-Za-z])\w*\b|\b\w+_\w+\b|\b[a-z]+[A-Z]\w*\b|[\w.+-]+@[\w-]+\.\w+")
_HELD: Final = re.compile("\0(\\d+)\0")
_RULE_LINE: Final = re.compile(r"^\s*(?:[-*_=#~]\s?){3,}\s*$\n?", re.MULTILINE)
_FORMAT: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (_RULE_LINE, ""),
    (re.compile(r"\n{2,}"), "\n"),
    (re.compile(r"(?<=\S)[ \t]{2,}"), " "),
    (re.compile(r"\*\*([^*\n]+?)\*\*"), r"\1"),
    (re.compile(r"(?<!\w)__([^_\n]+?)__(?!\w)"), r"\1"),
    (re.compile(r"^(\s*)[*•–]\s+", re.MULTILINE), r"\1- "),
)


def _phrases(*pairs: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), plain) for pattern, plain in pairs)


_PHRASES: Final = _phrases(
    (r"\b(?:I|we) (?:want|would like|'d like|expect) you to act as\b", "Act as"),
    (r"\b(?:I|we) (?:want|would like|'d like|expect) you to\b ?", ""),
    (r"\b(?:please|kindly)\b,? ?", ""),
    (r"\b(?:make|be) sure (?:that )?(?:you|to)\b", "ensure you"),
    (r"\bin order to\b", "to"),
    (r"\bso as to\b", "to"),
    (r"\bdue to the fact that\b", "because"),
    (r"\bin the event (?:that|of)\b", "if"),
    (r"\bfor the purposes? of\b", "for"),
    (r"\bwith (?:regards?|respect) to\b|\bin (?:relation|regard) to\b", "about"),
    (r"\bprior to\b", "before"),
    (r"\bsubsequent to\b", "after"),
    (r"\bat this point in time\b", "now"),
    (r"\ba (?:large|wide|great|vast) (?:number|variety|range|array) of\b", "many"),
    (r"\bas well as\b", "and"),
    (r"\bin addition to\b", "besides"),
    (r"\bit is (?:very )?important to (?:note|remember|understand) that\b ?", ""),
    (r"(?<!\w )\b(?:note|remember|keep in mind|bear in mind) that\b ?", ""),
    (r"\byour (?:task|job|goal|role|objective) (?:is|will be) to\b", "Task:"),
    (r"\byou are tasked with\b", "Task:"),
    (r"\b(?:very|really|quite|actually|basically|simply|essentially|extremely|highly|truly)\s+(?=[a-z])", ""),
    (r"\bwhether or not\b", "whether"),
    (r"\beach and every\b", "each"),
    (r"\bany and all\b", "all"),
    (r"\b(?:is|are) able to\b", "can"),
    (r"\bha(?:s|ve) the ability to\b", "can"),
    (r"\bin a (?:clear and concise|concise and clear) (?:manner|way)\b", "clearly and concisely"),
    (r"\bin an? (\w+[^e\Wy]) (?:manner|way|fashion)\b", r"\1ly"),
    (r"\btake a (?:deep breath|step back),? and (?:think|work|consider)[^.\n]{0,200}(?:\.|$) ?", ""),
    (r"\bthink step[- ]by[- ]step about how to (?:best )?(?:accomplish|achieve) [^.\n]{0,120}(?:\.|$) ?", ""),
    (r"\bensure you follow all (?:of )?(?:these|the) instructions (?:when|while) creating your output\.? ?", ""),
    (r"\bin the form of\b", "as"),
    (r"\bwith the (?:goal|aim|purpose) of (\w+)ing\b", r"for \1ing"),
    (r"\ba number of\b", "several"),
    (r"\bin such a way that\b", "so that"),
    (r"\bthe majority of\b", "most"),
    (r"\balong with\b", "with"),
    (r"\bas to whether\b", "whether"),
    (r"(?<!\w )\bfeel free to\b", "you may"),
    (r"\bin the process of\b ?", ""),
    (r"\bby means of\b", "by"),
    (r"\bin (?:case|cases) where\b", "if"),
    (r"\bon a regular basis\b", "regularly"),
    (r"\bas part of\b", "in"),
    (r"\bprovided (?:to you )?(?:below|above) in the input\b", "in the input"),
    (r"\bthat (?:is|are|was|were) (?:provided|given|supplied) to you\b", "given"),
    (r"\bthat is to say\b", "i.e."),
    (r"\bthe user's (?:request|query|question)\b", "the request"),
    (r"\byou are an? (?:helpful|world[- ]class|highly skilled) (?:AI )?assistant\.? ?", ""),
    (r"\bthe fact that\b", "that"),
    (r"\bin terms of\b", "in"),
    (r"\ball of the\b", "all the"),
    (r"\butili[sz]e\b", "use"),
    (r"\bas follows:", ":"),
)
_TIDY: Final = _phrases((r" {2,}", " "), (r" +([,.;!?])", r"\1"), (r",+(?=[.;!?])", ""), (r"^[ ]*,\s*", ""))
_STARTS: Final = re.compile(r"(?:^|[.!?][\"'”’)]*\s+|^\s*(?:[-*#]+ |\d+[.)] ))$")
_CAPITAL: Final = re.compile("\x01+[\\s,:;]*(\\w*)")
_MOST_VOLATILE_LINES: Final = 8
_SAME_SHARE: Final = 0.85
_LEAST_WORDS: Final = 6
_LEAST_SAME_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class Shortened:
    """A shorter prompt and what was kept.

    Attributes:
        kept: for numbers, negations, modal words and protected spans, how many there are of each (before and after alike).
    """

    before: str
    after: str
    tokens_before: int
    tokens_after: int
    kept: dict[str, int]

    @property
    def saved_percent(self) -> float:
        """Share of tokens saved."""
        return 100 * (1 - self.tokens_after / self.tokens_before) if self.tokens_before else 0.0

    def diff(self) -> str:
        """A unified diff of the two."""
        return "\n".join(difflib.unified_diff(self.before.splitlines(), self.after.splitlines(), "before", "after", lineterm="", n=1))

    def usd_per_month(self, calls_per_month: int, usd_per_million_tokens: float) -> float:
        """Dollars a month saved at a price of uncached input."""
        return (self.tokens_before - self.tokens_after) * calls_per_month * usd_per_million_tokens / 1_000_000


def shorten_prompt(text: str, level: Level = "sentences", model: str = "gpt-4o") -> Shortened:
    """Shorten a prompt by rules, and count what was kept."""
    after = shortened(text, level)
    kept = {kind: sum(counts.values()) for kind, counts in constraints(after).items()}
    return Shortened(text, after, count_text(text, model), count_text(after, model), kept)


def shortened(text: str, level: Level = "sentences") -> str:
    """The shorter text alone; the text itself where a rule would lose something.

    A line with a clock or an id in it stays as it is, and what stands before and behind it is shortened by itself: the rest
    of the prompt is then the same for every call, and was worked out before.
    """
    return "".join(run if volatile else _shortened(run, level) for run, volatile in _runs(text))


def _runs(text: str) -> list[tuple[str, bool]]:
    """A prompt in steady runs and volatile lines. Code blocks are not cut, and a prompt full of dates is one run."""
    lines = text.splitlines(keepends=True)
    marks = [any(kind != "number" for passage in passages(line) for kind in passage.kinds) for line in lines]
    if not 0 < sum(marks) <= _MOST_VOLATILE_LINES:
        return [(text, False)]
    runs: list[tuple[str, bool]] = []
    held, open_fence = "", False
    for line, volatile in zip(lines, marks, strict=True):
        if volatile and not open_fence:
            runs += [(held, False), (line, True)]
            held = ""
        else:
            held += line
        open_fence ^= line.count("```") % 2 == 1
    return [*runs, (held, False)]


@lru_cache(maxsize=1024)
def _shortened(text: str, level: Level) -> str:
    short = _checked(text, _formatted)
    if short == text:
        short = "\n".join(_checked(line, _formatted) for line in _whole_lines(text))
    if level != "format":
        lines = ((line, _plainer(line)) for line in _whole_lines(short))
        short = "\n".join(new for line, new in lines if new or not line)
    if not _keeps(text, short, said_once=False):
        return text
    if level == "sentences":
        short = _checked(short, _said_once)
    short += "\n" * (text.endswith("\n") and bool(short) and not short.endswith("\n"))
    return short if len(short) < len(text) else text


def constraints(text: str, *, said_once: bool = True) -> dict[str, Counter[str]]:
    """What a rewrite must not lose, counted; a sentence that stands there twice in the same words counts once, if it may be said once."""
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    once = "\n".join({_statement(part): part for part in reversed(parts)}.values() if said_once else parts)
    bare = once.replace("’", "'").lower()
    return {
        "numbers": Counter(re.findall(r"\d[\d,.:%/-]*\d|\d", once)),
        "negations": Counter(word.lower() for word in NEGATION.findall(bare)),
        "modals": Counter(word.lower() for word in MODAL.findall(bare)),
        "protected": Counter(span.strip() for span in dict.fromkeys(PROTECTED.findall(text))),
        "ids": Counter(_ID.findall(once)),
    }


def _statement(part: str) -> str:
    """A sentence as it is compared: without list marks, heading marks and the like around; case counts only where there is an id."""
    bare = part.strip(" \t#*-•–,;:.!…")
    return bare[:1].lower() + bare[1:] if _ID.search(bare) else bare.lower()


def _keeps(before: str, after: str, *, said_once: bool = True) -> bool:
    had, has = constraints(before, said_once=said_once), constraints(after, said_once=said_once)
    return all(not counts - has[kind] for kind, counts in had.items())


def _checked(text: str, change: Callable[[str], str]) -> str:
    changed = change(text)
    return changed if changed != text and _keeps(text, changed) else text


def _outside(text: str, change: Callable[[str], str]) -> str:
    """Change a text everywhere but inside code, quotations, markup and placeholders."""
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match.group())
        return f"\0{len(held) - 1}\0"

    if "\0" in text or "\x01" in text:
        return text
    return _HELD.sub(lambda match: held[int(match.group(1))], change(PROTECTED.sub(hold, text)))


def _formatted(text: str) -> str:
    def change(bare: str) -> str:
        for pattern, plain in _FORMAT:
            bare = pattern.sub(plain, bare)
        return bare

    return _outside(text.replace("\r\n", "\n"), change).strip("\n")


@lru_cache(maxsize=8192)
def _plainer(line: str) -> str:
    """A line without boilerplate. Remembered by line, so that a clock in one of them does not cost the others again."""
    return _checked(line, _rephrased)


def _rephrased(line: str) -> str:
    def change(bare: str) -> str:
        lead = bare[: len(bare) - len(bare.lstrip())]
        body = bare.lstrip()
        for pattern, plain in (*_PHRASES, *_TIDY):
            body = _replaced(pattern, plain, body)
        body = _CAPITAL.sub(lambda match: _capital(match.group(1)), body)
        return lead + body if re.search(r"\w|\0", body) or not re.search(r"\w", bare) else ""

    return _outside(line, change)


def _capital(word: str) -> str:
    return word if _ID.search(word) else word[:1].upper() + word[1:]


def _replaced(pattern: re.Pattern[str], plain: str, text: str) -> str:
    """Other words for a phrase; where a sentence began with it, a mark says that the sentence still begins here."""

    def other(match: re.Match[str]) -> str:
        words = match.expand(plain)
        began = match.group()[:1].isupper() and _STARTS.search(text[: match.start()].replace("\x01", ""))
        return "\x01" + words if began else words

    return pattern.sub(other, text)


def _whole_lines(text: str) -> list[str]:
    """The lines of a text, a code block being one line."""
    lines, held = [], ""
    for line in text.split("\n"):
        held = f"{held}\n{line}" if held else line
        if held.count("```") % 2 == 0:
            lines.append(held)
            held = ""
    return [*lines, held] if held else lines


def _said_once(text: str) -> str:
    """Without sentences that say again, in the same words, what stands above."""

    def change(bare: str) -> str:
        seen: list[frozenset[str]] = []
        lines = []
        for line in bare.split("\n"):
            kept = [part for part in re.split(r"(?<=[.!?])\s+", line) if not _again(part, seen)]
            if kept or not line.strip():
                lines.append(" ".join(kept))
        return "\n".join(lines)

    return _outside(text, change)


def _again(sentence: str, seen: list[frozenset[str]]) -> bool:
    """Whether a sentence was said before: in the very same words, or in nearly the same where it states no number, rule or name."""
    exact = frozenset((_statement(sentence),))
    words = frozenset(word.lower() for word in WORD.findall(sentence))
    if len(words) < _LEAST_SAME_WORDS or "\0" in sentence:
        return False
    if exact in seen:
        return True
    seen.append(exact)
    if len(words) < _LEAST_WORDS or any(p.search(sentence) for p in (NUMBER, NEGATION, MODAL, _ID)):
        return False
    if any(len(words & other) >= _SAME_SHARE * len(words | other) for other in seen):
        return True
    seen.append(words)
    return False
