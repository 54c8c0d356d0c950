"""A chat prompt as the provider reads it: runs of tokens, in the order that decides what its prompt cache can reuse."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from frugal_plugins.request import canonical
from frugal_plugins.sandbox.codec import dump_text
from frugal_plugins.sandbox.counting import Ids, count, token_ids
from frugal_plugins.sandbox.dice import seed_of
from frugal_plugins.tokens import PER_IMAGE, PER_MESSAGE

_FRAME: Ids[int] = array("I", [0xFFFF_FFF0, 0xFFFF_FFF1, 0xFFFF_FFF2])
"""Stand-ins for the tokens around a message; no vocabulary reaches these numbers."""

_BESIDE_CONTENT = ("tool_calls", "function_call", "name", "tool_call_id")


def chat_prompt(body: Mapping[str, Any], messages: Iterable[Mapping[str, Any]], model: str) -> list[Ids[int]]:
    """The prompt of a chat body: tools, the answer's schema, then the messages.

    The lengths add up to what `frugal_plugins.tokens.count_messages` says.
    """
    blocks = [_definition(body[name], model) for name in ("tools", "response_format") if body.get(name)]
    for message in messages:
        blocks.append(_FRAME[:PER_MESSAGE])
        blocks.append(token_ids(str(message.get("role", "")), model))
        blocks.extend(_content(message.get("content"), model))
        for name in _BESIDE_CONTENT:
            if message.get(name):
                value = message[name]
                blocks.append(token_ids(value if isinstance(value, str) else canonical(value), model))
    blocks.append(_FRAME)
    return blocks


def text_or_json(value: Any) -> str:
    """A string as it is, anything else as canonical JSON."""
    return value if isinstance(value, str) else canonical(value)


def part_tokens(part: Any, model: str) -> int:
    """How many tokens one content part is."""
    return len(_part(part, model))


def _definition(value: Any, model: str) -> Ids[int]:
    """Tools or a schema: counted in canonical form, told apart by the order the caller wrote them in."""
    length = count(canonical(value), model)
    ids = token_ids(dump_text(value), model)
    if len(ids) == length:
        return ids
    fitted = array("I", ids[:length])
    fitted.extend([0] * (length - len(fitted)))
    if length:
        fitted[-1] = seed_of(dump_text(value)) & 0xFFFF_FFFF
    return fitted


def _content(content: Any, model: str) -> list[Ids[int]]:
    if isinstance(content, str):
        return [token_ids(content, model)]
    return [_part(part, model) for part in content] if isinstance(content, list) else []


def _part(part: Any, model: str) -> Ids[int]:
    if not isinstance(part, Mapping):
        return token_ids(str(part), model)
    if isinstance(part.get("text"), str):
        return token_ids(part["text"], model)
    if str(part.get("type", "")).startswith(("image", "input_image")):
        return array("I", [seed_of(canonical(part)) & 0xFFFF_FFFF]) * PER_IMAGE
    return token_ids(canonical(part), model)
