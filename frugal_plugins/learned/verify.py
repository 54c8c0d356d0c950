"""Looking at one answer without asking anyone: is it there, is it whole, does it parse, does the provider say it is sure?

Every check here is deterministic and free. Whether two answers say the same is the business of `agreement.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from frugal_plugins.request import Reply, Request

Finding = Literal["empty", "truncated", "refused", "unparsable", "not_matching", "unsure", "judged_bad"]

_APOLOGY: Final = r"(?:(?:i(?:'|\u2019)?m|i am)(?: (?:very|so|really))? sorry|sorry|unfortunately|apologies)\W+(?:but\W+|however\W+)?"
_CANNOT: Final = (
    r"(?:i can(?:'|\u2019)?t|i cannot|i can not|i(?:'|\u2019)?m (?:unable|not able)|i am (?:unable|not able)|i won(?:'|\u2019)?t)"
)
_DOING: Final = (
    r"(?:help|assist|answer|provide|comply|fulfil|fulfill|do that|do this|discuss|create|generate|write|engage|continue|access|determine)"
)
_REFUSAL: Final = re.compile(
    rf"^\W*(?:{_APOLOGY})?(?:{_CANNOT}\W+(?:be able to\W+|to\W+)?{_DOING}\b|as an ai\b|"
    r"i (?:do not|don(?:'|\u2019)?t) have (?:access|enough (?:information|context)|the (?:information|context)))",
    re.IGNORECASE,
)
"""An apology alone is no refusal: support says sorry for late parcels. One that goes on with what it will not or cannot do is."""
FENCE: Final = re.compile(r"```[a-z]*\n?(.*?)```", re.DOTALL | re.IGNORECASE)
"""What stands between code fences."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at one answer found. `finding` is None where nothing speaks against it."""

    finding: Finding | None
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing was found."""
        return self.finding is None


GOOD: Final = Verdict(None)


def look(request: Request, reply: Reply, *, pattern: str | None = None, least_logprob: float | None = None) -> Verdict:
    """The free checks, the plainest first: empty, refused, cut short, not the structure asked for, not the pattern, unsure.

    `pattern` is a regular expression a good answer contains; `least_logprob` the lowest mean log probability per token that
    still counts as sure (natural logarithm, for example -0.35), where the provider sent them.
    """
    text = reply.text.strip()
    if reply.message.get("tool_calls"):
        return _whole_tool_calls(reply)
    if not text:
        return Verdict("empty", "the answer is empty")
    if reply.finish == "content_filter" or _REFUSAL.match(text):
        return Verdict("refused", "the answer is a refusal")
    if reply.finish == "length":
        return Verdict("truncated", "the answer ended at the token limit")
    structure = _structure(request, text)
    if structure is not None:
        return Verdict("unparsable", structure)
    if pattern is not None and not re.search(pattern, text):
        return Verdict("not_matching", "the answer does not match the pattern of its task")
    sure = mean_logprob(reply.raw) if least_logprob is not None else None
    if sure is not None and least_logprob is not None and sure < least_logprob:
        return Verdict("unsure", f"mean log probability {sure:.2f} is below {least_logprob:.2f}")
    return GOOD


def _whole_tool_calls(reply: Reply) -> Verdict:
    """Tool calls are good when their arguments parse."""
    for call in reply.message["tool_calls"]:
        function = call.get("function") if isinstance(call, Mapping) else None
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(arguments, str) and arguments.strip() and parsed(arguments) is None:
            return Verdict("unparsable", "the arguments of a tool call are not JSON")
    return GOOD


def _structure(request: Request, text: str) -> str | None:
    """What is wrong with a structured answer, or None."""
    wanted = request.params.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") not in ("json_object", "json_schema"):
        return None
    value = parsed(text)
    if value is None:
        return "the answer is not JSON"
    schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted.get("json_schema"), Mapping) else None
    return schema_problem(value, schema) if isinstance(schema, Mapping) else None


_JSON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def schema_problem(value: Any, schema: Mapping[str, Any], where: str = "the answer") -> str | None:
    """The first thing in `value` that a JSON Schema forbids: type, required, enum, const, items, properties.

    Other keywords are not judged. Returns words that name the place, never the value.
    """
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        return f"{where} is not {' or '.join(map(str, kinds))}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is none of the allowed values"
    if "const" in schema and value != schema["const"]:
        return f"{where} is not the one allowed value"
    if isinstance(value, dict):
        missing = next((name for name in schema.get("required", ()) if name not in value), None)
        if missing is not None:
            return f"{where} lacks {missing}"
        properties = schema.get("properties", {})
        inner = ((value[name], part, f"{where}.{name}") for name, part in properties.items() if name in value and isinstance(part, Mapping))
    elif isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        inner = ((item, schema["items"], f"{where}[{number}]") for number, item in enumerate(value))
    else:
        return None
    return next((problem for item, part, place in inner if (problem := schema_problem(item, part, place))), None)


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _JSON_TYPES.get(kind, (object,)))


def parsed(text: str) -> Any:
    """The JSON of an answer, also inside a code fence; None where there is none."""
    for candidate in (text, *(FENCE.findall(text)[-1:])):
        try:
            return json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
    return None


def mean_logprob(raw: Any) -> float | None:
    """The mean log probability per token of a chat response, where the provider sent them (`logprobs.content[].logprob`)."""
    try:
        body = raw if isinstance(raw, Mapping) else raw.model_dump()
        tokens = body["choices"][0]["logprobs"]["content"]
        values = [float(token["logprob"]) for token in tokens]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None
    return sum(values) / len(values) if values else None
