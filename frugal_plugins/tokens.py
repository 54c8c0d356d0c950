"""Counting tokens without asking anyone.

tiktoken's own loader fetches its vocabularies from the network. LiteLLM ships the same files, so we point tiktoken at
them. Anthropic publishes no tokenizer; there the count is an estimate and a bill is always settled on the provider's usage.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.errors import MissingExtra
from frugal_plugins.request import canonical

if TYPE_CHECKING:
    from tiktoken import Encoding

PER_MESSAGE = 3
"""Tokens OpenAI spends on each message's frame, from its cookbook (`<|start|>role<|message|>`)."""

_UTF8_BYTES = 4
"""The most bytes a character has."""

PER_IMAGE = 85
"""OpenAI's price of a low-detail image; more detail costs more, which the provider's usage then shows."""


@lru_cache(maxsize=4)
def encoding(name: str) -> Encoding:
    """A tiktoken encoding, loaded from the files LiteLLM ships, never from the network."""
    _point_tiktoken_at_local_files()
    try:
        import tiktoken
    except ImportError as error:
        raise MissingExtra("tiktoken", "all") from error
    return tiktoken.get_encoding(name)


def _point_tiktoken_at_local_files() -> None:
    if os.environ.get("TIKTOKEN_CACHE_DIR"):
        return
    spec = find_spec("litellm")
    for root in spec.submodule_search_locations or () if spec else ():
        folder = Path(root, "litellm_core_utils", "tokenizers")
        if folder.is_dir():
            os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
            return


@lru_cache(maxsize=1024)
def encoding_name(model: str) -> str:
    """The vocabulary a model reads with: cl100k for GPT-3.5 and GPT-4, o200k for everything newer or unknown."""
    bare = model.rpartition("/")[2]
    return "cl100k_base" if bare.startswith(("gpt-3.5", "gpt-4-", "text-embedding")) or bare == "gpt-4" else "o200k_base"


def count_text(text: str, model: str = "gpt-4o") -> int:
    """How many tokens `text` is for `model`. Special-token lookalikes count as plain text."""
    return len(encoding(encoding_name(model)).encode_ordinary(text)) if text else 0


def developer_tokens(message: Mapping[str, Any], model: str) -> int | None:
    """Input tokens of a developer's message, its frame included; None for other roles and for contents that are no text.

    Such a text comes with every request. It is remembered itself, not by a digest, since that takes longer than all else here.
    """
    role, content = message.get("role"), message.get("content")
    if len(message) != 2 or content.__class__ is not str or role not in ("system", "developer"):
        return None
    return _developer_tokens(role, content, encoding_name(model))


def most_tokens(message: Mapping[str, Any], model: str) -> int | None:
    """As many input tokens a message can be at most, without counting; None where its content is no text.

    A token is at least a byte. A developer's message is remembered, so of that the number is exact.
    """
    role, content = message.get("role"), message.get("content")
    if len(message) != 2 or content.__class__ is not str or role.__class__ is not str:
        return None
    if role in ("system", "developer"):
        return _developer_tokens(role, content, encoding_name(model))
    return PER_MESSAGE + len(role) + len(content) * (1 if content.isascii() else _UTF8_BYTES)


@lru_cache(maxsize=128)
def _developer_tokens(role: str, text: str, vocabulary: str) -> int:
    encode = encoding(vocabulary).encode_ordinary
    return PER_MESSAGE + len(encode(role)) + len(encode(text))


def count_messages(messages: Iterable[Mapping[str, Any]], model: str = "gpt-4o", *, params: Mapping[str, Any] | None = None) -> int:
    """How many input tokens a chat body is, tools and response schema included.

    >>> count_messages([{"role": "user", "content": "hi"}])
    8
    """
    total = 3
    for message in messages:
        total += PER_MESSAGE + count_text(str(message.get("role", "")), model) + _content_tokens(message, model)
    for name in ("tools", "functions", "response_format", "system", "instructions"):
        if params and params.get(name):
            value = params[name]
            total += count_text(value if isinstance(value, str) else canonical(value), model)
    return total


def part_tokens(parts: Iterable[Any], model: str = "gpt-4o") -> int:
    """How many input tokens content blocks are: texts, and images at a low-detail price."""
    return sum(_part_tokens(part, model) for part in parts)


def _content_tokens(message: Mapping[str, Any], model: str) -> int:
    content = message.get("content")
    total = count_text(content, model) if isinstance(content, str) else 0
    for part in content if isinstance(content, (list, tuple)) else ():
        total += _part_tokens(part, model)
    for name in _COUNTED_ITEM if "type" in message else _COUNTED_MESSAGE:
        if message.get(name):
            value = message[name]
            if name == "output" and isinstance(value, (list, tuple)):  # may hold pictures, whose bytes are no text
                total += part_tokens(value, model)
            else:
                total += count_text(value if isinstance(value, str) else canonical(value), model)
    return total


_COUNTED_MESSAGE: Final = ("tool_calls", "function_call", "name", "tool_call_id")
_COUNTED_ITEM: Final = (*_COUNTED_MESSAGE, "call_id", "arguments", "input", "output", "summary")
"""What an item of the Responses API says outside of its content."""


def _part_tokens(part: Any, model: str) -> int:
    if not isinstance(part, Mapping):
        return count_text(str(part), model)
    if isinstance(part.get("text"), str):
        return count_text(part["text"], model)
    if str(part.get("type", "")).startswith(("image", "input_image")):
        return PER_IMAGE
    inside = part.get("content")
    if part.get("type") == "tool_result" and isinstance(inside, (list, tuple)):
        rest = {name: value for name, value in part.items() if name != "content"}
        return count_text(canonical(rest), model) + part_tokens(inside, model)
    return count_text(canonical(part), model)
