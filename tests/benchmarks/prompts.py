"""Shorter prompts: schemas in prompt text, tool definitions, prose by rules, and JSON instructions turned into response_format.

    python -m tests.benchmarks.prompts --data ../shared/data --json

`text_saved` compares our notation with pretty-printed JSON in a prompt; `tools_saved` compares tool definitions as LiteLLM counts
them for OpenAI (white space is not billed there). `names_kept` is the share of property names, enum values and required marks that
still stand in the notation and in the trimmed tools. For prose, the `_kept` figures count what stands in the shorter prompt
against the original; a sentence said twice in the same words counts once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from frugal_plugins.request import Request
from frugal_plugins.structured import with_response_format
from frugal_plugins.text.prompts import constraints, shorten_prompt
from frugal_plugins.text.schemas import notation, trimmed_tool
from frugal_plugins.tokens import count_text
from tests.benchmarks.common import arguments, print_result, rows

MODEL = "gpt-4o"
ASKS = (
    "Format your response as JSON. The JSON must be an object with exactly the following structure. Do not include any text before "
    "or after the JSON. Do not wrap it in markdown code fences. Make sure that all the keys are present and that the types match the "
    "following JSON schema:\n"
)


def functions(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Function definitions by file; BFCL's own type names in JSON Schema's."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("prompts/*tools*.jsonl*")):
        found[file.name.split(".", 1)[0]] = [_standard(function) for row in rows(file) for function in row["function"]]
    return found


def _standard(value: Any) -> Any:
    names = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
    if isinstance(value, dict):
        return {k: names.get(v, v) if k == "type" and isinstance(v, str) else _standard(v) for k, v in value.items()}
    return [_standard(part) for part in value] if isinstance(value, list) else value


def services(folder: Path) -> list[dict[str, Any]]:
    """SGD's services as schemas: one object for each intent, slots with their possible values."""
    found = []
    for file in sorted(folder.glob("history/sgd_schema*.json")):
        for service in json.loads(file.read_text()):
            slots = {slot["name"]: slot for slot in service["slots"]}
            found.extend(_intent(intent, slots) for intent in service["intents"])
    return found


def _intent(intent: Mapping[str, Any], slots: Mapping[str, Any]) -> dict[str, Any]:
    def slot(name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "string", "description": slots[name]["description"]}
        return made | ({"enum": slots[name]["possible_values"]} if slots[name]["is_categorical"] else {})

    names = [*intent["required_slots"], *intent["optional_slots"]]
    properties = {name: slot(name) for name in names if name in slots}
    parameters = {"type": "object", "properties": properties, "required": [n for n in intent["required_slots"] if n in slots]}
    return {"name": intent["name"], "description": intent["description"], "parameters": parameters}


def names(schema: Any) -> Iterator[tuple[str, str]]:
    """(`name` or `enum` or `required` or `optional`, what must be there) of every schema inside."""
    if isinstance(schema, list):
        for part in schema:
            yield from names(part)
    if not isinstance(schema, dict):
        return
    required = schema.get("required") or ()
    for name in schema.get("properties") or {}:
        yield ("required" if name in required else "optional"), name
    for value in schema.get("enum") or ():
        yield "enum", json.dumps(value, ensure_ascii=False)
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            for part in value.values():
                yield from names(part)
        elif key not in ("enum", "required"):
            yield from names(value)


def kept_in(text: str, wanted: Iterable[tuple[str, str]]) -> tuple[int, int]:
    have = need = 0
    for kind, name in wanted:
        plain = name if f"{name}:" in text or f"{name}?:" in text else json.dumps(name, ensure_ascii=False)
        marks = {"required": f"{plain}:", "optional": f"{plain}?:", "enum": name}
        need += 1
        have += marks[kind] in text
    return have, need


def schema_figures(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    import litellm

    def billed(tools: Sequence[Mapping[str, Any]]) -> int:
        body = [{"role": "user", "content": "hi"}]
        empty = litellm.token_counter(MODEL, messages=body)
        return sum(litellm.token_counter(MODEL, messages=body, tools=[tool]) - empty for tool in tools)

    pretty = short = have = need = 0
    for function in found:
        text = notation(function["parameters"])
        pretty += count_text(json.dumps(function["parameters"], indent=2, ensure_ascii=False))
        short += count_text(text)
        one, all_of = kept_in(text, names(function["parameters"]))
        have, need = have + one, need + all_of
    tools = [{"type": "function", "function": function} for function in found]
    slim = [trimmed_tool(tool) for tool in tools]
    for old, new in zip(tools, slim, strict=True):
        before, after = Counter(names(old["function"]["parameters"])), Counter(names(new["function"]["parameters"]))
        have, need = have + sum((before & after).values()), need + sum(before.values())
    return {
        "text_saved": round(1 - short / pretty, 4),
        "tools_saved": round(1 - billed(slim) / billed(tools), 4),
        "names_kept": round(have / need, 4),
        "schemas": len(found),
    }


def prose(folder: Path) -> dict[str, list[str]]:
    """System prompts by set."""
    found = {
        file.name.split(".", 1)[0]: [row["text"] for row in rows(file) if row.get("text")]
        for file in sorted(folder.glob("prompts/*.jsonl*"))
        if "tools" not in file.name
    }
    manuals = [file.read_text() for file in sorted([*folder.glob("prompts/*.md"), *folder.glob("history/*.md")]) if file.name != "NOTE.md"]
    return {name: texts for name, texts in (*found.items(), ("manuals", manuals)) if texts}


def prose_figures(texts: Sequence[str]) -> dict[str, Any]:
    before = after = 0
    had: dict[str, int] = {}
    has: dict[str, int] = {}
    for text in texts:
        short = shorten_prompt(text)
        before, after = before + short.tokens_before, after + short.tokens_after
        old, new = constraints(text), constraints(short.after)
        for kind, counts in old.items():
            had[kind] = had.get(kind, 0) + sum(counts.values())
            has[kind] = has.get(kind, 0) + sum((counts & new[kind]).values())
    shares = {f"{kind}_kept": round(has[kind] / had[kind], 4) if had[kind] else None for kind in had}
    return {"saved": round(1 - after / before, 4), **shares, "prompts": len(texts)}


def response_format_saved(found: Sequence[dict[str, Any]]) -> float:
    """Tokens of "format as JSON" with a pretty schema, over the schema alone in `response_format`.

    Objects with three fields or more, each with the title pydantic's `model_json_schema` gives it.
    """
    before = after = 0
    for function in found:
        schema = function["parameters"]
        if len(schema.get("properties") or {}) < 3:
            continue
        properties = {name: {**part, "title": name.replace("_", " ").title()} for name, part in schema["properties"].items()}
        titled = {"title": function["name"], **schema, "properties": properties}
        text = "You read letters.\n\n" + ASKS + json.dumps(titled, indent=2)
        request = Request(MODEL, ({"role": "system", "content": text}, {"role": "user", "content": "Dear sirs"}))
        made = with_response_format(request, text)
        assert made is not None, text
        before += count_text(text)
        after += count_text(made[0]) + count_text(json.dumps(made[1]["response_format"]["json_schema"]["schema"], separators=(",", ":")))
    return round(1 - after / before, 4)


def main() -> None:
    """Run and print."""
    asked = arguments(str(__doc__).split("\n", 1)[0])
    sets = {**functions(asked.data), "sgd_services": services(asked.data)}
    sets = {name: found[: 200 if asked.quick else None] for name, found in sets.items() if found}
    result = {
        "schemas": {name: schema_figures(found) for name, found in sets.items()},
        "prose": {name: prose_figures(texts) for name, texts in prose(asked.data).items()},
        "response_format_saved": response_format_saved([function for found in sets.values() for function in found]),
        "quick": "200 schemas a set" if asked.quick else None,
    }
    print_result(result, asked.json)


if __name__ == "__main__":
    main()
