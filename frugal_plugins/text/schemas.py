"""JSON Schemas in fewer tokens: without what says nothing, as a short notation for prompts; tool descriptions that say more than names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from frugal_plugins.text.facts import MODAL, NEGATION, NUMBER, QUOTED, content_words, sentences, stem

_SILENT: Final = frozenset({"$schema", "$id", "title", "$comment"})
_MAPS_OF_SCHEMAS: Final = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
_SHORT_TYPES: Final = {
    "string": "str",
    "integer": "int",
    "number": "num",
    "boolean": "bool",
    "dict": "object",
    "tuple": "array",
    "float": "num",
}
_BOUNDS: Final = (
    ("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"), ("multipleOf", "step "),
    ("minLength", "len>="), ("maxLength", "len<="), ("minItems", "items>="), ("maxItems", "items<="),
    ("minProperties", "keys>="), ("maxProperties", "keys<="),
)  # fmt: skip
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$][\w$.-]*")
_GENERIC: Final = frozenset(
    stem(word)
    for word in (
        *("value", "field", "parameter", "argument", "string", "integer", "number", "boolean", "list", "array", "object", "option"),
        *("optional", "required", "name", "given", "provided", "specified", "specific", "used", "use", "input", "text", "data"),
        *("whether", "flag", "indicating", "indicates"),
    )
)
_TELLS: Final = re.compile(
    r"[\d\"'`(:/%]|\be\.?g\b|\bi\.?e\b|\bformat\b|\bdefaults?\b|\bunits?\b|\bone of\b|\beither\b|\bexample\b", re.IGNORECASE
)

_TERSE: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), plain)
    for pattern, plain in (
        (
            (
                r"\bif (?:it is )?(?:not (?:provided|specified|given|set)|omitted),? (?:it )?"
                r"(?:defaults?(?: value)?(?: is| to)?|will default to)\b:?"
            ),
            "default",
        ),
        (r"\bdefaults?(?: value)?(?: is| to|:)(?= )", "default"),
        (r"\bdefaults to\b", "default"),
        (r"^(?:this )?(?:parameter )?(?:specifies|indicates|represents|denotes|defines|determines) ", ""),
        (r"\b(?:where|that|which) you (?:want|would like|wish) to\b", "to"),
        (
            (
                r"(?<!\bneed )(?<!\bneeds )(?<!\bhas )(?<!\bhave )"
                r"\b(?:that is |which is )?(?:to be|being) (?:used|searched|queried|calculated|considered)\b"
            ),
            "",
        ),
        (r"\bin question\b", ""),
        (r"\bwhether or not\b", "whether"),
        (r"\bin order to\b", "to"),
        (r"\b(?:the|an?) (?=[a-z])", ""),
        (r"\b(?:specific|certain|particular|specified) (?=[a-z])", ""),
        (r" {2,}", " "),
        (r" +([.,;])", r"\1"),
    )
)
_LAST_OF: Final = re.compile(
    r" (?:of|for|in|on) (?:(?:the|an?|this|your) )?([a-z]+)$|"
    r" where (?:(?:the|an?|this|your) )?([a-z]+) (?:is|are) (?:located|situated|held|taking place)$"
)
_PARTS: Final = re.compile(r"[_.-]|(?<=[a-z])(?=[A-Z])")
_ID_WORD: Final = re.compile(r"\bids?\b|\bidentifiers?\b", re.IGNORECASE)
_SAYS_LITTLE: Final = frozenset(map(stem, ("id", "ids", "code", "type", "key", "kind", "date", "time", "number", "amount", "status")))
_QUOTE: Final = re.compile(r"('[^']*'|\"[^\"]*\"|`[^`]*`|\([^)]*\))")
_OPTIONAL: Final = re.compile(r"\s*\(?\b(?:this (?:parameter )?is )?(?:an )?optional(?: parameter)?\b[.)]+", re.IGNORECASE)


def minimised(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema without titles, `$schema` and null defaults, and with definitions used once put in place.

    What it accepts does not change. Property names, enums, bounds, required lists and descriptions stay.
    """
    plain = _plain(schema)
    definitions = {f"#/{home}/{name}": value for home in ("$defs", "definitions") for name, value in (plain.get(home) or {}).items()}
    once = {ref for ref in definitions if json.dumps(plain).count(json.dumps(ref)) == 1 and not _refers(definitions[ref], ref)}
    put: dict[str, Any] = _placed(plain, definitions, once)
    for home in ("$defs", "definitions"):
        left = {name: value for name, value in (put.get(home) or {}).items() if f"#/{home}/{name}" not in once}
        if home in put:
            put = {name: value for name, value in put.items() if name != home} | ({home: left} if left else {})
    return put


def _plain(schema: Any, names: bool = False) -> Any:
    if isinstance(schema, Mapping):
        if names:
            return {name: _plain(value) for name, value in schema.items()}
        kept = {name: value for name, value in schema.items() if name not in _SILENT and not (name == "default" and value is None)}
        return {
            name: value if name in ("enum", "const", "default", "required") else _plain(value, name in _MAPS_OF_SCHEMAS)
            for name, value in kept.items()
        }
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema


def _refers(value: Any, ref: str) -> bool:
    return json.dumps(ref) in json.dumps(value)


def _placed(value: Any, definitions: Mapping[str, Any], once: set[str]) -> Any:
    if isinstance(value, Mapping):
        ref = value.get("$ref")
        if isinstance(ref, str) and ref in once:
            inner = _placed(definitions[ref], definitions, once)
            return {**inner, **{name: part for name, part in value.items() if name != "$ref"}}
        return {name: _placed(part, definitions, once) for name, part in value.items()}
    return [_placed(part, definitions, once) for part in value] if isinstance(value, list) else value


def notation(schema: Mapping[str, Any]) -> str:
    """A schema as one line a model reads like a type: `{id: int, tags?: str[], kind: "a"|"b"}`.

    `?` marks what is optional, `#` starts a description, bounds stand in brackets. Every property name, enum value,
    constant, bound, format and description of the schema is there.

    >>> notation({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}, "k": {"enum": ["a", "b"]}}, "required": ["n"]})
    '{n: int[>=1], k?: "a"|"b"}'
    """
    plain = minimised(schema)
    shared = {f"#/{home}/{name}": name for home in ("$defs", "definitions") for name in plain.get(home) or {}}
    written = _type(plain, shared)
    for home in ("$defs", "definitions"):
        for name, value in (plain.get(home) or {}).items():
            written += f"\n{name} = {_type(value, shared)}"
    return written


def _type(schema: Any, shared: Mapping[str, str]) -> str:
    if not isinstance(schema, Mapping):
        return "any" if schema is True else "never"
    return _core(schema, shared) + _bounds(schema)


def _core(schema: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    if "$ref" in schema:
        return shared.get(str(schema["$ref"]), str(schema["$ref"]))
    if "enum" in schema:
        return "|".join(_literal(value) for value in schema["enum"]) or "never"
    if "const" in schema:
        return _literal(schema["const"])
    parts = [
        _joined([_type(part, shared) for part in schema[name]], mark)
        for name, mark in (("anyOf", "|"), ("oneOf", "|"), ("allOf", " & "))
        if isinstance(schema.get(name), list) and schema[name]
    ]
    own = _own(schema, shared)
    if own and own != "any":
        parts.insert(0, own)
    parts += [f"not {_type(schema['not'], shared)}"] if "not" in schema else []
    parts += [f"{word} {_type(schema[word], shared)}" for word in ("if", "then", "else") if word in schema]
    return " & ".join(parts) or "any"


def _joined(parts: Sequence[str], mark: str) -> str:
    text = mark.join(dict.fromkeys(parts))
    return f"({text})" if len(parts) > 1 and (mark != "|" or " & " in text) else text


def _own(schema: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return "|".join(_own({**schema, "type": one}, shared) for one in kind)
    if "properties" in schema or "patternProperties" in schema or kind in ("object", "dict"):
        return _object(schema, shared)
    if kind in ("array", "tuple") or "items" in schema or "prefixItems" in schema:
        return _array(schema, shared)
    return _SHORT_TYPES.get(str(kind), str(kind)) if kind else "any"


def _object(schema: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    required = set(schema.get("required") or ()) if isinstance(schema.get("required"), (list, tuple)) else set()
    fields = []
    properties = schema.get("properties")
    for name, value in (properties if isinstance(properties, Mapping) else {}).items():
        fields.append(f"{_name(name)}{'' if name in required else '?'}: {_type(value, shared)}{_comment(value)}")
        required.discard(name)
    fields += [f"/{name}/: {_type(value, shared)}" for name, value in (schema.get("patternProperties") or {}).items()]
    fields += [f"{_name(name)}: any" for name in sorted(map(str, required))]
    more = schema.get("additionalProperties")
    if isinstance(more, Mapping) and more:
        fields.append(f"...: {_type(more, shared)}")
    if not fields:
        return "object"
    return "{" + _listed(fields) + ("" if more is not False else "; nothing else") + "}"


def _listed(fields: Sequence[str]) -> str:
    """Fields on one line; a description ends its line."""
    text = ""
    for place, field in enumerate(fields):
        last = place == len(fields) - 1
        text += field + ("\n" if " # " in field.rsplit("\n", 1)[-1] else "" if last else ", ")
    return text


def _comment(schema: Any) -> str:
    said = schema.get("description") if isinstance(schema, Mapping) else None
    default = f" (default {_literal(schema['default'])})" if isinstance(schema, Mapping) and "default" in schema else ""
    text = " ".join(str(said).split()) if said else ""
    return f" # {text}{default}" if text or default else ""


def _array(schema: Mapping[str, Any], shared: Mapping[str, str]) -> str:
    first, items = schema.get("prefixItems"), schema.get("items")
    if isinstance(items, list):
        first, items = items, None
    if isinstance(first, list):
        return f"[{', '.join(_type(part, shared) for part in first)}]"
    inner = _type(items, shared) if isinstance(items, Mapping) and items else "any"
    return f"({inner})[]" if "|" in inner or " & " in inner else f"{inner}[]"


def _bounds(schema: Mapping[str, Any]) -> str:
    told = [f"{sign}{schema[name]}" for name, sign in _BOUNDS if schema.get(name) is not None and not isinstance(schema[name], bool)]
    told += [str(schema["format"])] if isinstance(schema.get("format"), str) else []
    told += [f"/{schema['pattern']}/"] if isinstance(schema.get("pattern"), str) else []
    told += ["unique"] if schema.get("uniqueItems") is True else []
    return f"[{' '.join(told)}]" if told else ""


def _name(name: Any) -> str:
    return str(name) if _PLAIN_NAME.fullmatch(str(name)) else json.dumps(str(name), ensure_ascii=False)


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def trimmed_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool whose descriptions lost the sentences that only repeat names; anything with a number, a quotation, a format, a
    default, a rule or a negation stays. Works on OpenAI's and Anthropic's shape; the same object where nothing goes.
    """
    inner = tool.get("function")
    if isinstance(inner, Mapping):
        changed = trimmed_tool(inner)
        return tool if changed is inner else {**tool, "function": changed}
    name = " ".join((str(tool.get("name") or ""), str(tool.get("description") or "")))
    slim = dict(tool)
    for key in ("parameters", "input_schema"):
        if isinstance(tool.get(key), Mapping):
            slim[key] = _trimmed(tool[key], name)
    if isinstance(tool.get("description"), str):
        slim["description"] = _terse(_first_and_telling(tool["description"]))
    return tool if slim == tool else slim


def _trimmed(schema: Any, about: str) -> Any:
    if isinstance(schema, list):
        return [_trimmed(part, about) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SILENT and isinstance(value, (str, list)):
            continue
        if key == "properties" and isinstance(value, Mapping):
            required = schema.get("required") or ()
            changed[key] = {name: _described(name, part, about, optional=name not in required) for name, part in value.items()}
        elif key in ("enum", "const", "default", "required"):
            changed[key] = value
        else:
            changed[key] = _trimmed(value, about) if key != "description" else value
    return changed


def _described(name: str, schema: Any, about: str, *, optional: bool) -> Any:
    """A property without a description that says no more than its name does."""
    if not isinstance(schema, Mapping):
        return schema
    slim: dict[str, Any] = dict(_trimmed(schema, about))
    said = slim.get("description")
    if isinstance(said, str):
        kept = _first_and_telling(said)
        if _repeats(kept, f"{name} {about}"):
            slim.pop("description")
        else:
            slim["description"] = _without_known_end(_terse(_OPTIONAL.sub("", kept) if optional else kept), about)
    return slim


def _without_known_end(text: str, about: str) -> str:
    """A description without a last "of the order" in a tool that is about orders, if what is left says something by itself."""
    end = _LAST_OF.search(text)
    if end is None or stem(end.group(1) or end.group(2)) not in _words_of(about):
        return text
    left = text[: end.start()]
    return left if set(content_words(left)) - _GENERIC - _SAYS_LITTLE else text


def _words_of(names: str) -> set[str]:
    return set(content_words(_PARTS.sub(" ", names)))


def _terse(text: str) -> str:
    """A description without articles and wrapping; quotations and what stands in brackets stay as they are."""
    parts = _QUOTE.split(text)
    for place in range(0, len(parts), 2):
        for pattern, plain in _TERSE:
            parts[place] = pattern.sub(plain, parts[place])
    short = "".join(parts).strip().removesuffix(".")
    return short[:1].upper() + short[1:] if text[:1].isupper() else short


def _first_and_telling(text: str) -> str:
    """The first sentence and all that tell more than prose."""
    parts = sentences(text)
    kept = [part for place, part in enumerate(parts) if place == 0 or _tells(part)]
    return text if len(kept) == len(parts) else " ".join(kept)


def _tells(sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in (_TELLS, NEGATION, MODAL, NUMBER, QUOTED))


def _repeats(text: str, names: str) -> bool:
    if _tells(text) or (_ID_WORD.search(text) and not _ID_WORD.search(_PARTS.sub(" ", names))):
        return False
    known = _words_of(names)
    return all(word in known or word in _GENERIC for word in content_words(text))
