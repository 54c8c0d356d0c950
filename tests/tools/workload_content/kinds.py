"""From the texts of this folder to requests: one function for each kind of traffic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import Any

import yaml
from workload_content.month import Draft

HERE = Path(__file__).parent
SIZES = {"s": "simple", "m": "standard", "c": "complex"}
TODAY_SIZE = {"gpt-4o": "m", "claude-sonnet-4-5": "m", "o3-mini": "c", "claude-opus-4-5": "c"}
WRITER = "You help the {team} team of {name} to write. Plain English, correct figures, nothing invented. Return only the text asked for."


def all_drafts() -> Iterator[Draft]:
    """Every request of the month; the turns of a session follow one another."""
    return chain(faq(), dialogues(), yes_no(), labels(), extraction(), emails_and_summaries(), outlines(), documents(), agents(), hard())


def faq() -> Iterator[Draft]:
    facts, manners, number = _read("facts"), _read("manners"), count()
    policy = (HERE / "policy.md").read_text(encoding="utf-8").strip()
    for tenant in ("larkfield-eu", "larkfield-us"):
        system = policy.format(**facts[tenant])
        for at, entry in enumerate(_read(f"faq_{tenant[-2:]}")):
            answers = _with_manners(entry, manners[tenant], at)
            for text in (text for text, times in entry["ask"].items() for _ in range(times)):
                nth = next(number)
                model = "claude-sonnet-4-5" if nth % 9 == 4 else "gpt-4o"
                body = _body(model, system, text, stream=nth % 7 == 3)
                tags = _tags(tenant, "support", "faq" if nth % 3 else None)
                yield Draft("faq", body, tags, answers, _contains(entry), topic=entry["intent"])


def _with_manners(entry: dict[str, Any], manners: dict[str, list[str]], at: int) -> dict[str, Any]:
    """What the sizes say around the answer; a long answer needs nothing around it."""
    texts = {key: entry[key].strip() for key in SIZES}
    if len(texts["s"].split()) < 100:
        before = manners["before"][at % len(manners["before"])]
        after = manners["after"]
        texts["s"] = _joined(before, texts["s"], after[(at + 3) % len(after)])
        texts["m"] = _joined(texts["m"], after[at % len(after)])
    return {SIZES[key]: text for key, text in texts.items()}


def _joined(*parts: str) -> str:
    return ("\n\n" if any("\n" in part for part in parts) else " ").join(parts)


def dialogues() -> Iterator[Draft]:
    facts = _read("facts")
    prompt = (HERE / "chat_prompt.md").read_text(encoding="utf-8").strip()
    for tenant in ("larkfield-eu", "larkfield-us"):
        for at, talk in enumerate(_read(f"dialogues_{tenant[-2:]}")):
            messages = [_message("system", prompt.format(record=talk["record"], **facts[tenant]))]
            turns = talk["turns"]
            for nth, turn in enumerate(turns):
                question = turns[nth + 1].get("pre") if nth + 1 < len(turns) else None
                texts = {key: _joined(turn[key].strip(), question) if question else turn[key].strip() for key in SIZES}
                messages = [*messages, _message("user", turn["u"])]
                body = {"model": talk["model"], "messages": messages, **({"stream": True} if talk.get("stream") else {})}
                tags = _tags(tenant, "support", "support_reply" if at % 3 else None, talk["session"])
                gap = (70, 420) if nth else None
                yield Draft("dialogue", body, tags, _sized(texts), _contains(turn), day=talk.get("day"), gap_seconds=gap)
                messages = [*messages, _message("assistant", texts[TODAY_SIZE[talk["model"]]])]


def yes_no() -> Iterator[Draft]:
    seen: dict[str, int] = {}
    for group in _read("yes_no"):
        for text, word, reason in group["items"]:
            nth, said = seen.setdefault(text, len(seen)), word.capitalize()
            simple = (said, f"{said}.", f"{said}! Let me know if you have another message for me to check.")[nth % 3]
            answers = {"s": simple, "m": said if nth % 4 else f"{said}. {reason}", "c": f"{said}. {reason}" if nth % 3 else f"{said}."}
            yield _short("yes_no", group, text, answers, {"kind": "starts_with", "value": word})


def labels() -> Iterator[Draft]:
    number = count()
    for group in _read("labels"):
        for text, label in group["items"]:
            nth = next(number)
            answers = {"s": f"Label: {label}" if nth % 5 == 2 else label, "m": label, "c": f"**{label}**" if nth % 6 == 1 else label}
            draft = _short("classification", group, text, answers, {"kind": "label", "value": label})
            if nth % 12 == 5:
                draft.body["model"] = "gpt-4o-mini"
            yield draft


def extraction() -> Iterator[Draft]:
    for group in _read("extraction"):
        names, free = list(group["properties"]), group.get("free")
        for text, values, *wordings in group["items"]:
            value = dict(zip((name for name in names if name != free), values, strict=True))
            full = {key: {**value, **({free: wordings[0][at]} if free else {})} for at, key in enumerate(SIZES)}
            answers = {key: json.dumps(full[key], ensure_ascii=False, separators=(",", ":") if key == "s" else None) for key in SIZES}
            draft = _short("extraction", group, text, answers, {"kind": "json", "value": value})
            draft.body["response_format"] = {"type": "json_schema", "json_schema": _schema(group["schema"], group["properties"])}
            yield draft


def _schema(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    shown = {field: _field(kind) for field, kind in properties.items()}
    return {"name": name, "strict": True, "schema": _object(shown)}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _field(kind: Any) -> dict[str, Any]:
    if kind == "items":
        return {"type": "array", "items": _object({"product": {"type": "string"}, "quantity": {"type": "integer"}})}
    return {"type": "string", **kind} if isinstance(kind, dict) else {"type": kind}


def emails_and_summaries() -> Iterator[Draft]:
    for entry in chain(_read("emails"), _read("summaries")):
        yield _written("drafting", entry, {key: entry[key].strip() for key in SIZES})


def outlines() -> Iterator[Draft]:
    for entry in _read("outlines"):
        yield _written("drafting", entry, {key: _outline(entry, key) for key in SIZES})


def _outline(entry: dict[str, Any], size: str) -> str:
    """Small models give three points a section, middle ones all of them, large ones add what to watch."""
    points = {"s": 3, "m": 9, "c": 9}[size]
    lines = [f"# {entry['title']}" if size == "s" else f"**{entry['title']}**"]
    for at, (heading, *rest) in enumerate(entry["sections"], 1):
        lines.append(f"\n## {at}. {heading}" if size == "s" else f"\n{at}. {heading}")
        lines.extend(f"- {point}" if size == "s" else f"   - {point}" for point in rest[:points])
    return "\n".join([*lines, f"\n{entry['close']}"] if size == "c" else lines)


def documents() -> Iterator[Draft]:
    for entry in _read("documents"):
        draft = _written("document", entry, {key: _document(entry, key) for key in SIZES})
        if entry["model"] == "claude-opus-4-5":
            draft.body["max_tokens"] = 4096
        yield draft


def _document(entry: dict[str, Any], size: str) -> str:
    kept = {"s": "s", "m": "sm", "c": "smc"}[size]
    parts = [f"# {entry['title']}"]
    for heading, *paragraphs in entry["sections"]:
        parts += [f"## {heading}", *(text for mark, text in paragraphs if mark in kept)]
    return "\n\n".join(parts)


def _written(kind: str, entry: dict[str, Any], texts: dict[str, str]) -> Draft:
    """Any wording will do, but an answer cut short by a seventh is not the text that was asked for."""
    words = min(len(text.split()) for text in texts.values()) * 6 // 7
    system = WRITER.format(team=entry["team"], name=_read("facts")[entry["tenant"]]["name"])
    body = _body(entry["model"], system, entry["user"].strip())
    tags = _tags(entry["tenant"], entry["team"], entry.get("task"))
    return Draft(kind, body, tags, _sized(texts), {"kind": "any", "min_words": words}, day=entry.get("day"))


def agents() -> Iterator[Draft]:
    content = _read("agents")
    tools = [_tool(name, about, arguments) for name, (about, arguments) in content["tools"].items()]
    for loop in content["loops"]:
        messages = [_message("system", content["system"][loop["tenant"]]), _message("user", loop["user"])]
        for at, step in enumerate(loop["steps"]):
            body = {"model": loop["model"], "messages": messages, "tools": tools}
            answers, check = _step(step)
            tags = _tags(loop["tenant"], "ops", None, loop["session"])
            yield Draft("agent", body, tags, answers, check, day=loop.get("day"), gap_seconds=(4, 25) if at else None)
            if "call" in step:
                today = answers[SIZES[TODAY_SIZE[loop["model"]]]]["tool_calls"][0]
                messages = [*messages, *_call_and_result(f"call_{loop['session'][-3:]}{at}", today, step["result"])]


def _step(step: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if "call" not in step:
        return _sized({key: step[key] for key in SIZES}), _contains(step)
    answers: dict[str, Any] = {}
    for key, size in SIZES.items():
        call = {"name": step["call"], "arguments": {**step["args"], **step.get("extra", {}).get(key, {})}}
        call = step.get("wrong", {}).get(key, call)
        answers[size] = call.get("content") or {"content": None, "tool_calls": [call]}
    return answers, {"kind": "tool", "name": step["call"], "arguments": step["args"]}


def _call_and_result(identifier: str, call: dict[str, Any], result: dict[str, Any]) -> list[dict[str, Any]]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    asked = {"role": "assistant", "content": None, "tool_calls": [{"id": identifier, "type": "function", "function": function}]}
    return [asked, {"role": "tool", "tool_call_id": identifier, "content": json.dumps(result, ensure_ascii=False)}]


def _tool(name: str, about: str, arguments: dict[str, str]) -> dict[str, Any]:
    parameters = _object({field: {"type": "string", "description": text} for field, text in arguments.items()})
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}


def hard() -> Iterator[Draft]:
    for entry in _read("hard"):
        body = _body(entry["model"], None, entry["user"].strip())
        answers = _sized({key: entry[key].strip() for key in SIZES})
        yield Draft("hard", body, _tags(entry["tenant"], entry["team"], entry.get("task")), answers, _contains(entry))


def _short(kind: str, group: dict[str, Any], text: str, answers: dict[str, str], check: dict[str, Any]) -> Draft:
    """A request of a program, which asks for temperature 0 where the model allows it."""
    body = _body(group["model"], group["system"].strip(), text)
    if group["model"] != "o3-mini":
        body["temperature"] = 0
    return Draft(kind, body, _tags(group["tenant"], group["team"], group.get("task")), _sized(answers), check, day=group.get("day"))


def _body(model: str, system: str | None, user: str, *, stream: bool = False) -> dict[str, Any]:
    messages = [*([_message("system", system)] if system else []), _message("user", user)]
    return {"model": model, "messages": messages, **({"stream": True} if stream else {})}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _tags(tenant: str, team: str, task: str | None, session: str | None = None) -> dict[str, str]:
    named = {"task": task, "tenant": tenant, "session": session, "team": team}
    return {name: value for name, value in named.items() if value}


def _sized(texts: dict[str, Any]) -> dict[str, Any]:
    return {SIZES[key]: text for key, text in texts.items()}


def _contains(entry: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "contains", "all": entry["all"], **({"none": entry["none"]} if entry.get("none") else {})}


@cache
def _read(name: str) -> Any:
    return yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
