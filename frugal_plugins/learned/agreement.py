"""Whether two answers say the same: numbers by value, literals by content, labels by their letters.

Two cheap models that agree are right far more often than either alone; that is only worth something where answers can be
compared. Free text cannot, and this module says so (None) instead of guessing.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from frugal_plugins.learned.verify import FENCE, parsed

_LONGEST_ANSWER_CHARS: Final = 2000
_LONGEST_LABEL_CHARS: Final = 120
_LABEL_WORDS: Final = 6
_ANSWER_FIELD: Final = re.compile(
    r"[\"'](?:final_?)?(?:answer|result|label|category|value|verdict|output)[\"']\s*:\s*"
    r"(\"(?:[^\"\\]|\\.)*\"|\[[^\n]*\]|\{[^\n{}]*\}|[^,}\n]+)",
    re.IGNORECASE | re.DOTALL,
)
_SAID: Final = re.compile(
    r"(?:final answer|the answer|correct answer|answer)\s*(?:is|:|=)\s*:?\s*(?:\*\*)?(.+?)(?:\*\*)?(?:\.\s|\.?$|\n)", re.IGNORECASE
)
_FRACTION: Final = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_WRAPPER: Final = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{([^{}]*)\}")
_NOISE: Final = re.compile(
    r"\\[!,;: ()\[\]]|\\(?:left|right|displaystyle|quad|circ)\b|\^\{?\\circ\}?|[$\u20ac\u00a3*`\s]|\\?%|,(?=\d{3}(?!\d))"
)
_QUANTITY: Final = re.compile(
    r"[^\w-]*?([-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?)\s*"
    r"(?:%|\u00b0|(?:\s|(?<=\d)(?=k?[gmls]\b|km|cm|mm))[a-z][a-z ]{0,24})?[.\s$*`]*"
)
_OPTION: Final = re.compile(r"\(?([A-Ja-j])[).:](?:\s.*)?|\(?([A-J])\)?", re.DOTALL)
_LITERAL: Final = re.compile(r"^[\[\({'\"]|^(?:True|False|None|true|false|null)$")
_BARE: Final = re.compile(r"[\s\"'`]")


@dataclass(frozen=True, slots=True)
class Stated:
    """What an answer says, in one spelling.

    Attributes:
        form: numbers by value, literals by content, text without case, spaces and quotes.
        exact: the content with case and spaces where the answer was written as a literal (`'a B'`), else None.
    """

    form: str
    exact: str | None = None

    def same(self, other: Stated) -> bool:
        """Whether both say the same; case and spaces count only where both wrote a literal."""
        if self.exact is not None and other.exact is not None:
            return self.exact == other.exact
        return self.form == other.form


def stated(text: str) -> Stated | None:
    r"""The part of an answer that can be compared with another's, or None for free text.

    A number, a label, an option letter, a Python or JSON literal, a LaTeX fraction: `"$1,200.00"`, `{"answer": 1200}` and
    `\boxed{1200}` all say `1200`.

    >>> stated('{"reasoning": "6 * 7", "answer": "42 apples"}') == stated("The answer is 42.")
    True
    >>> stated("Dear Anna, thank you for writing. We are looking into it and come back to you within two days.") is None
    True
    """
    found = _written(text.strip())
    return None if found is None or len(found) > _LONGEST_ANSWER_CHARS else _in_one_spelling(found)


def agree(texts: Sequence[str]) -> bool | None:
    """Whether all answers say the same. None where one of them cannot be compared."""
    forms = [stated(text) for text in texts]
    first = forms[0] if forms else None
    if first is None or any(form is None for form in forms):
        return None
    return all(form is not None and first.same(form) for form in forms)


def _written(text: str) -> str | None:
    """The answer as it is written: in its JSON field, in a box, after "the answer is", or the whole of a short reply."""
    fields = _ANSWER_FIELD.findall(text)
    if fields:
        return _unquoted(fields[-1])
    boxed = _boxed(text)
    if boxed is not None:
        return boxed
    said = _SAID.findall(text)
    if said and len(said[-1]) <= _LONGEST_LABEL_CHARS:
        return str(said[-1])
    fenced = FENCE.findall(text)
    whole = fenced[-1].strip() if fenced else text
    if whole[:1] in ("{", "[") and (value := parsed(whole)) is not None:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    short = "\n" not in whole and len(whole) <= _LONGEST_LABEL_CHARS and len(whole.split()) <= _LABEL_WORDS
    return whole if whole and short else None


def _unquoted(field: str) -> str:
    field = field.strip()
    if field.startswith('"'):
        try:
            return str(json.loads(field, strict=False))
        except ValueError:
            return field.strip('"')
    return field


def _boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}`, braces counted."""
    start = text.rfind("\\boxed{")
    depth, begin = 0, start + len("\\boxed{")
    for place in range(begin, min(len(text), begin + _LONGEST_ANSWER_CHARS) if start >= 0 else 0):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            if depth == 0:
                return text[begin:place]
            depth -= 1
    return None


def _in_one_spelling(answer: str) -> Stated:
    inner = _boxed(answer)
    answer = (inner if inner is not None else answer).strip(" \t`")
    literal = _literal(answer)
    if literal is not None:
        return literal
    number = _QUANTITY.fullmatch(answer.lower())
    if number:
        return Stated(_number(number[1].replace(",", "")))
    option = _OPTION.fullmatch(answer)
    if option:
        return Stated((option[1] or option[2]).lower())
    plain = _WRAPPER.sub(r"\1", answer.replace("\\\\", "\\"))
    plain = _FRACTION.sub(lambda m: f"({m[1] or m[2]})/({m[3] or m[4]})", plain)
    plain = re.sub(r"\((-?\d+)\)/\((\d+)\)", r"\1/\2", plain)
    plain = _NOISE.sub("", plain).lower().strip(".\"' ")
    plain = re.sub(r"^(?:[a-z]|f\(x\))=(?=[^=])", "", plain)
    return Stated(_number(plain) if re.fullmatch(r"[-+]?\d+(?:\.\d+)?(?:/\d+)?", plain) else _BARE.sub("", plain))


def _number(digits: str) -> str:
    try:
        value = Fraction(digits)
    except (ValueError, ZeroDivisionError):
        return digits
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6g}"


def _literal(answer: str) -> Stated | None:
    """A Python or JSON literal; a quoted string stands for its content."""
    if not _LITERAL.match(answer):
        return None
    try:
        value = ast.literal_eval(answer)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return Stated(answer) if answer in ("true", "false", "null") else None
    if isinstance(value, str):
        return Stated(_in_one_spelling(value).form if value.strip() and value[:1] not in "'\"[({" else _BARE.sub("", value.lower()), value)
    return Stated(_BARE.sub("", repr(value).lower()), repr(value))
