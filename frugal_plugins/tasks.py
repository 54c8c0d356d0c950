"""Which kind of work a request is: named by the caller, found by rules that only speak when the words are plain, or by a classifier.

No signal is never "cheap": the classifier must be surer of a cheap kind of work than of a dear one, and what neither
recognises is `UNKNOWN` and stays with the model it asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from frugal_plugins.request import Request, text_of

TASKS: Final = (
    "yes_no",
    "classification",
    "extraction",
    "faq",
    "support_reply",
    "outline",
    "summary",
    "drafting",
    "document",
    "code",
    "reasoning",
)
"""The kinds of work a recipe can name without declaring more of its own."""

Source = Literal["declared", "rules", "classifier", "unknown"]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of work and how it is known."""

    name: str
    source: Source
    why: str = ""

    @property
    def unplanned(self) -> str:
        """Why a recipe that does not name it has no tier for it."""
        return self.why if self.source == "unknown" else f"the recipe has no task {self.name} ({self.source})"


UNKNOWN: Final = Task("unknown", "unknown", "neither a rule nor the classifier recognised it")

_KINDS: Final = {
    "clf": "classification",
    "extract": "extraction",
    "qa": "question",
    "summarize": "summary",
    "draft": "drafting",
    "reason": "reasoning",
    "code": "code",
}
_SURE: Final = {"clf": 0.9, "extract": 0.9, "qa": 0.93}
"""How sure the classifier must be of work that goes to a cheap model; of the others `_FAIRLY_SURE`."""

_FAIRLY_SURE: Final = 0.7
_FEWEST_WORDS: Final = 12
_SHORT_SYSTEM_CHARS: Final = 400

_READ_CHARS: Final = 6000
"""Rules read the two ends of a long text; the instruction stands at one of them."""


@dataclass(frozen=True, slots=True)
class _Sign:
    """Words to look for in lower-case text, behind a quick look for letters of which any match has one from each group.

    The `re` module needs a tenth of a millisecond for such words in 2,000 characters; looking for a few letters needs a microsecond.
    """

    words: re.Pattern[str]
    letters: tuple[tuple[str, ...], ...]

    def stands_in(self, text: str) -> bool:
        """Whether the words are in the text."""
        for group in self.letters:
            for letters in group:
                if letters in text:
                    break
            else:
                return False
        return self.words.search(text) is not None


def _sign(words: str, *letters: str) -> _Sign:
    return _Sign(re.compile(words), tuple(tuple(group.split("|")) for group in letters))


_WRITE: Final = r"\b(?:write|draft|compose|produce|prepare|create|give|make|sketch|rewrite|rephrase)\b[^.?!\n]{0,50}"
_WRITES: Final = "write|draft|compose|produce|prepare|create|give|make|sketch|rephrase"
# The dear kinds come first: when a text speaks of two kinds of work, the one that needs the better model wins.
_RULES: Final[tuple[tuple[str, tuple[_Sign, ...]], ...]] = (
    (
        "code",
        (
            _sign(r"```|\btraceback \(most recent|\bdef \w+\(", "```|traceback (most|def "),
            _sign(r"\bselect\b.{1,80}\bfrom\b.{1,80}\bwhere\b", "select", "from", "where"),
            _sign(
                r"\b(?:write|fix|debug|refactor|optimi[sz]e|port)\b[^.?!\n]{0,60}"
                r"\b(?:function|code|script|query|sql|regex|class|program|unit tests?)\b",
                "write|fix|debug|refactor|optimi|port",
                "function|code|script|query|sql|regex|class|program|unit test",
            ),
        ),
    ),
    (
        "reasoning",
        (
            _sign(r"\b(?:prove|proof|optimal|minimi[sz]e|maximi[sz]e|solve|derive)\b", "prove|proof|optimal|minimi|maximi|solve|derive"),
            _sign(r"\bstep[- ]by[- ]step\b|\bshow your (?:work|reasoning)\b", "step by|step-by|show your"),
            _sign(r"\breason(?:ing)? through\b|\bhow many (?:ways|different)\b", "through|how many"),
            _sign(r"\bschedul\w+\b[^.?!\n]{0,80}\bconstraints?\b", "schedul", "constraint"),
        ),
    ),
    (
        "document",
        (
            _sign(
                _WRITE + r"\b(?:report|white ?paper|specification|handbook|full document|policy document|guide)\b",
                _WRITES,
                "report|paper|specification|handbook|document|guide",
            ),
        ),
    ),
    ("outline", (_sign(_WRITE + r"\boutline\b|\boutline (?:of|for)\b", "outline"),)),
    (
        "summary",
        (
            _sign(r"\bsummari[sz]e\b|\bsummary of\b|\btl;?dr\b", "summar|tldr|tl;dr"),
            _sign(r"\bin (?:one|two|three|\d) sentences?\b", " sentence", "in "),
        ),
    ),
    (
        "drafting",
        (
            _sign(
                _WRITE + r"\b(?:e-?mail|reply|message|post|announcement|letter|note|blurb|description|headline)\b",
                _WRITES,
                "mail|reply|message|post|announcement|letter|note|blurb|description|headline",
            ),
        ),
    ),
    (
        "yes_no",
        (
            _sign(r"\byes or no\b|\byes/no\b|\btrue or false\b", "yes or|yes/no|true or"),
            _sign(
                r"\banswer (?:only |just )?(?:with )?[\"']?(?:yes|no)\b|\breply (?:only )?(?:with )?[\"']?yes\b", "answer |reply ", "yes|no"
            ),
        ),
    ),
    (
        "classification",
        (
            _sign(
                r"\bclassif(?:y|ication)\b|\bcategori[sz]e\b|\blabel (?:this|the)\b|\bsentiment of\b",
                "classif|categori|label th|sentiment of",
            ),
            _sign(r"\bwhich (?:category|label|class|queue|department)\b", "which c|which l|which q|which d"),
            _sign(
                r"\b(?:exactly )?one of (?:the|these)\b[^.?!\n]{0,30}\b(?:labels|categories|classes|queues)\b",
                "one of the",
                "labels|categories|classes|queues",
            ),
        ),
    ),
    (
        "extraction",
        (
            _sign(r"\bextract\b|\bpull out\b|\bfill (?:in )?the (?:fields|schema)\b", "extract|pull out|fill "),
            _sign(r"\breturn (?:only )?(?:the|a|an) (?:json|fields?)\b", "return ", "json|field"),
        ),
    ),
)
_SIGNS: Final = tuple((name, sign.letters[0], sign) for name, signs in _RULES for sign in signs)
"""The same one by one, each beside letters of which it needs one."""

_SUPPORT: Final = re.compile(
    r"\bcustomer (?:support|service|care|assistant)\b|\bhelp ?desk\b|"
    r"\b(?:support|live[- ]chat|service) (?:agent|assistant|team|colleague|chat)\b",
    re.IGNORECASE,
)
_ARITHMETIC: Final = re.compile(
    r"\b(?:in total|altogether|calculate|add(?:s|ed)? up|comes? to|percent(?:age)?)\b|%|"
    r"\bhow much (?:would|will|do|does|is left)\b|\d[^?]*\d{2}",
    re.IGNORECASE,
)
_REFERENCE_CHARS: Final = 2000
_SHORT_QUESTION_CHARS: Final = 400
_HEAD_CHARS: Final = 600
"""Where a long system prompt says what the work is; further down its words are reference, not instruction."""
_CHEAP: Final = frozenset({"yes_no", "classification", "extraction"})


def find_task(request: Request) -> Task | None:
    """What the words of the request say it is, or None.

    Requests with tools are never guessed at: an agent's next step can be anything.
    """
    if request.params.get("tools") or request.params.get("functions"):
        return None
    asked, told = _ends(request.last_user_text), _ends(_system_text(request))
    lowered = asked.lower()
    for name, letters, sign in _SIGNS:
        for some in letters:
            if some in lowered:
                break
        else:
            continue  # the usual case, without the call of a method
        if sign.stands_in(lowered):
            return Task(name, "rules", f"the request's own words say {name}")
    said = _said_in_head(told[:_HEAD_CHARS])
    if said not in (None, "support"):
        return Task(said, "rules", f"the system prompt says {said}")
    if _asks_for_fields(request):
        return Task("extraction", "rules", "a flat JSON schema is to be filled")
    if said is None:
        return _classified(asked, told)
    if _is_first_question(request, asked, told):
        return Task("faq", "rules", "a short first question to customer support, answered from the long text in the prompt")
    return Task("support_reply", "rules", "the system prompt describes customer support")


@lru_cache(maxsize=256)
def _said_in_head(head: str) -> str | None:
    """The kind of work the beginning of a system prompt names, `support` where it describes customer support; read once for each."""
    lowered = head.lower()
    for name, signs in _RULES:
        if name in _CHEAP and any(sign.stands_in(lowered) for sign in signs):
            return name
    return "support" if _SUPPORT.search(head) else None


def _classified(asked: str, told: str) -> Task | None:
    """The classifier's opinion, where there is enough text and it is sure.

    It learned English: other scripts are left alone. It reads what the user asked only, so under a long system prompt, which
    may ask for anything, it never speaks for a cheap kind of work.
    """
    if len(asked.split()) < _FEWEST_WORDS or len(asked.encode("ascii", "ignore")) < 0.9 * len(asked):
        return None
    from frugal_plugins.learned.kinds import kind_of

    kind, likely = kind_of(asked)
    cheap = kind in _SURE
    if likely < _SURE.get(kind, _FAIRLY_SURE) or (cheap and len(told) > _SHORT_SYSTEM_CHARS):
        return None
    return Task(_KINDS[kind], "classifier", f"looks like {_KINDS[kind]}, {100 * likely:.0f} % sure")


def _is_first_question(request: Request, asked: str, told: str) -> bool:
    """A question whose answer stands in the prompt: nothing said before, nothing to calculate."""
    alone = sum(message.get("role") == "user" for message in request.messages) == 1
    first = alone and not any(message.get("role") == "assistant" for message in request.messages)
    return first and len(told) >= _REFERENCE_CHARS and 0 < len(asked) <= _SHORT_QUESTION_CHARS and not _ARITHMETIC.search(asked)


def _ends(text: str) -> str:
    return text if len(text) <= _READ_CHARS else text[: _READ_CHARS // 2] + "\n" + text[-_READ_CHARS // 2 :]


def _system_text(request: Request) -> str:
    system = request.params.get("system") or request.params.get("instructions")
    if system:
        return text_of({"content": system})
    first = request.messages[0] if request.messages else {}
    return text_of(first) if first.get("role") in ("system", "developer") else ""


def _asks_for_fields(request: Request) -> bool:
    """Whether the answer is a JSON object without nesting: filling fields, not composing."""
    wanted = request.params.get("response_format")
    if wanted is None:
        return False
    schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return False
    return all(isinstance(p, Mapping) and p.get("type") != "object" and "$ref" not in p for p in properties.values())
