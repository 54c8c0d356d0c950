"""Which kind of work a request is: named by the caller, or found by rules that only speak when the words are plain.

No signal is never "cheap": a request no rule recognises is `UNKNOWN` and stays with the model it asked for. A classifier
that learns takes this module's place without changing its callers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
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

Source = Literal["declared", "rules", "unknown"]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of work and how it is known."""

    name: str
    source: Source
    why: str = ""


UNKNOWN: Final = Task("unknown", "unknown", "no rule recognised it")

_READ_CHARS: Final = 6000
"""Rules read the two ends of a long text; the instruction stands at one of them."""


def _rule(name: str, pattern: str) -> tuple[str, re.Pattern[str]]:
    return name, re.compile(pattern, re.IGNORECASE)


# The dear kinds come first: when a text speaks of two kinds of work, the one that needs the better model wins.
_WRITE: Final = r"\b(?:write|draft|compose|produce|prepare|create|give|make|sketch|rewrite|rephrase)\b[^.?!\n]{0,50}"
_CODE: Final = (
    r"```|\btraceback \(most recent|\bdef \w+\(|\bselect\b.{1,80}\bfrom\b.{1,80}\bwhere\b|"
    r"\b(?:write|fix|debug|refactor|optimi[sz]e|port)\b[^.?!\n]{0,60}\b(?:function|code|script|query|sql|regex|class|program|unit tests?)\b"
)
_REASONING: Final = (
    r"\bprove\b|\bproof\b|\bstep[- ]by[- ]step\b|\bshow your (?:work|reasoning)\b|\breason(?:ing)? through\b|"
    r"\bhow many (?:ways|different)\b|"
    r"\boptimal\b|\bminimi[sz]e\b|\bmaximi[sz]e\b|\bschedul\w+\b[^.?!\n]{0,80}\bconstraints?\b|\bsolve\b|\bderive\b"
)
_YES_NO: Final = (
    r"\byes or no\b|\byes/no\b|\btrue or false\b|"
    r"\banswer (?:only |just )?(?:with )?[\"']?(?:yes|no)\b|\breply (?:only )?(?:with )?[\"']?yes\b"
)
_CLASSIFICATION: Final = (
    r"\bclassif(?:y|ication)\b|\bcategori[sz]e\b|\bwhich (?:category|label|class|queue|department)\b|"
    r"\blabel (?:this|the)\b|\bsentiment of\b|"
    r"\b(?:exactly )?one of (?:the|these)\b[^.?!\n]{0,30}\b(?:labels|categories|classes|queues)\b"
)
_EXTRACTION: Final = r"\bextract\b|\bpull out\b|\bfill (?:in )?the (?:fields|schema)\b|\breturn (?:only )?(?:the|a|an) (?:json|fields?)\b"
_RULES: Final = (
    _rule("code", _CODE),
    _rule("reasoning", _REASONING),
    _rule("document", _WRITE + r"\b(?:report|white ?paper|specification|handbook|full document|policy document|guide)\b"),
    _rule("outline", _WRITE + r"\boutline\b|\boutline (?:of|for)\b"),
    _rule("summary", r"\bsummari[sz]e\b|\bsummary of\b|\btl;?dr\b|\bin (?:one|two|three|\d) sentences?\b"),
    _rule("drafting", _WRITE + r"\b(?:e-?mail|reply|message|post|announcement|letter|note|blurb|description|headline)\b"),
    _rule("yes_no", _YES_NO),
    _rule("classification", _CLASSIFICATION),
    _rule("extraction", _EXTRACTION),
)
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
    """What the words of the request plainly say it is, or None.

    Requests with tools are never guessed at: an agent's next step can be anything.
    """
    if request.params.get("tools") or request.params.get("functions"):
        return None
    asked, told = _ends(request.last_user_text), _ends(_system_text(request))
    for name, pattern in _RULES:
        if pattern.search(asked):
            return Task(name, "rules", f"the request's own words say {name}")
    for name, pattern in _RULES:
        if name in _CHEAP and pattern.search(told[:_HEAD_CHARS]):
            return Task(name, "rules", f"the system prompt says {name}")
    if _asks_for_fields(request):
        return Task("extraction", "rules", "a flat JSON schema is to be filled")
    if not _SUPPORT.search(told[:_HEAD_CHARS]):
        return None
    if _is_first_question(request, asked, told):
        return Task("faq", "rules", "a short first question to customer support, answered from the long text in the prompt")
    return Task("support_reply", "rules", "the system prompt describes customer support")


def _is_first_question(request: Request, asked: str, told: str) -> bool:
    """A question whose answer stands in the prompt: nothing said before, nothing to calculate."""
    alone = sum(message.get("role") == "user" for message in request.messages) == 1
    first = alone and not any(message.get("role") == "assistant" for message in request.messages)
    return first and len(told) >= _REFERENCE_CHARS and 0 < len(asked) <= _SHORT_QUESTION_CHARS and not _ARITHMETIC.search(asked)


def _ends(text: str) -> str:
    return text if len(text) <= _READ_CHARS else text[: _READ_CHARS // 2] + "\n" + text[-_READ_CHARS // 2 :]


def _system_text(request: Request) -> str:
    system = request.params.get("system") or request.params.get("instructions")
    if isinstance(system, str):
        return system
    first = request.messages[0] if request.messages else {}
    return text_of(first) if first.get("role") in ("system", "developer") else ""


def _asks_for_fields(request: Request) -> bool:
    """Whether the answer is a JSON object without nesting: filling fields, not composing."""
    wanted = request.params.get("response_format")
    schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted, Mapping) else None
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        return False
    return all(isinstance(p, Mapping) and p.get("type") != "object" and "$ref" not in p for p in properties.values())
