"""Reading a conversation in the shapes the APIs have: who speaks, which tool call a result answers, where it may be cut.

Three shapes are read: OpenAI's chat (`tool_calls`, role `tool`), its Responses (`function_call` and `function_call_output` items) and
Anthropic's (`tool_use` and `tool_result` blocks). A message we do not understand is nobody's turn: nothing is cut next to it and
nothing of it is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from frugal_plugins.request import Message, Request, canonical
from frugal_plugins.tokens import count_messages, encoding_name

_MOST_COUNTS: Final = 20_000
_EMPTY_BODY_TOKENS: Final = 3
MARKS: Final = ("cache_control", "prompt_cache_breakpoint")
"""The keys that mark where a prompt may be cached: Anthropic's and OpenAI's."""

_TOLD_APART: Final = frozenset({"role", "content", *MARKS})
_counts: dict[bytes, int] = {}


def digest(message: Message) -> bytes:
    """16 bytes that tell a message apart, the same in every process. Cache markers do not count: clients move them along."""
    content = message.get("content")
    if isinstance(content, str) or content is None:
        others = sorted(name for name in message if name not in _TOLD_APART) if len(message) > 2 else ()
        rest = "".join(f"\0{name}={_flat(message[name])}" for name in others)
        text = f"{message.get('role')}\0{content}{rest}"
    else:
        text = canonical(without_marks(message))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def chained(digests: Sequence[bytes]) -> str:
    """One name for a run of messages, from their digests."""
    return blake2b(b"".join(digests), digest_size=16).hexdigest()


def without_marks(value: Any, names: Sequence[str] = MARKS) -> Any:
    """The same message, block or tool without cache marks, or without those of one name. Returned as it is where there are none."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, (dict, Mapping)):
        changed = {name: without_marks(part, names) for name, part in value.items() if name not in names}
        same = len(changed) == len(value) and all(changed[name] is part for name, part in value.items())
        return value if same else changed
    if isinstance(value, (list, tuple)):
        parts = [without_marks(part, names) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else parts
    return value


def has_marks(value: Any, names: Sequence[str] = MARKS) -> bool:
    """Whether a cache mark is set anywhere inside."""
    if value is None or isinstance(value, str):
        return False
    if isinstance(value, Mapping):
        if any(value.get(name) is not None for name in names):
            return True
        return any(has_marks(part, names) for part in value.values() if isinstance(part, (list, Mapping)))
    return isinstance(value, (list, tuple)) and any(has_marks(part, names) for part in value)


def is_marked(message: Message, names: Sequence[str] = MARKS) -> bool:
    """Whether a message or one of its blocks carries a cache mark."""
    content = message.get("content")
    for name in names:
        if message.get(name) is not None:
            return True
    return isinstance(content, (list, tuple)) and any(has_marks(block, names) for block in content)


def tokens_of(message: Message, model: str, known: bytes | None = None) -> int:
    """Input tokens of one message, its frame included. Counted once for each text; only digests are remembered."""
    key = (known or digest(message)) + _vocabulary(model)
    found = _counts.get(key)
    if found is None:
        if len(_counts) >= _MOST_COUNTS:
            _counts.clear()
        found = _counts[key] = count_messages((message,), model) - _EMPTY_BODY_TOKENS
    return found


@lru_cache(maxsize=1024)
def _vocabulary(model: str) -> bytes:
    """A letter for the vocabulary a model reads with."""
    return encoding_name(model).encode()[:1]


def blocks_of(message: Message) -> Iterator[Mapping[str, Any]]:
    """The content blocks of a message whose content is a list."""
    content = message.get("content")
    if isinstance(content, (list, tuple)):
        yield from (block for block in content if isinstance(block, Mapping))


def is_system(message: Message) -> bool:
    """Whether a message is the developer's word."""
    return message.get("role") in ("system", "developer")


CALL_ITEMS: Final = frozenset({"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"})
RESULT_ITEMS: Final = frozenset(f"{name}_output" for name in CALL_ITEMS)
_OTHER_ITEMS: Final = frozenset({"reasoning", "web_search_call", "file_search_call", "code_interpreter_call", "mcp_call", "mcp_list_tools"})
_SAID_ITEMS: Final = CALL_ITEMS | _OTHER_ITEMS
"""Items of the Responses API beside messages: what the model calls, what came of it, and what it did by itself."""


def kind_of(message: Message) -> str:
    """The type of an item of the Responses API; "" for a chat's message."""
    kind = message.get("type")
    return kind if isinstance(kind, str) else ""


def is_user_turn(message: Message) -> bool:
    """Whether a person (or the program that asks) speaks: a user message that carries no tool result."""
    return message.get("role") == "user" and not has_results(message)


def has_results(message: Message) -> bool:
    """Whether a message answers a tool call."""
    if message.get("role") in ("tool", "function") or kind_of(message) in RESULT_ITEMS:
        return True
    content = message.get("content")
    return not isinstance(content, str) and content is not None and any(True for _ in results_in(message))


def calls_in(message: Message) -> Iterator[str]:
    """The ids of the tool calls a message makes."""
    calls = message.get("tool_calls")
    if isinstance(calls, (list, tuple)):
        yield from (str(call.get("id")) for call in calls if isinstance(call, Mapping))
    if message.get("function_call"):
        yield "function_call"
    if kind_of(message) in CALL_ITEMS:
        yield str(message.get("call_id"))
    yield from (str(block.get("id")) for block in blocks_of(message) if block.get("type") in ("tool_use", "server_tool_use"))


def results_in(message: Message) -> Iterator[str]:
    """The ids of the tool calls a message answers."""
    if message.get("role") == "tool":
        yield str(message.get("tool_call_id"))
    elif message.get("role") == "function":
        yield "function_call"
    elif kind_of(message) in RESULT_ITEMS:
        yield str(message.get("call_id"))
    else:
        kinds = ("tool_result", "web_search_tool_result", "code_execution_tool_result")
        yield from (str(block.get("tool_use_id")) for block in blocks_of(message) if block.get("type") in kinds)


def head_length(messages: Sequence[Message]) -> int:
    """How many developer messages the conversation starts with."""
    place = 0
    for message in messages:
        if message.get("role") not in ("system", "developer"):
            return place
        place += 1
    return place


def cuts(messages: Sequence[Message]) -> list[int]:
    """Where the conversation may be cut: before a user turn, with every tool call and its result on the same side.

    >>> cuts([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}])
    [0, 2]
    """
    last_use: dict[str, int] = {}
    for place, message in enumerate(messages):
        for name in results_in(message):
            last_use[name] = place
    found: list[int] = []
    open_until = -1
    for place, message in enumerate(messages):
        if place > open_until and is_user_turn(message):
            found.append(place)
        for name in calls_in(message):
            open_until = max(open_until, last_use.get(name, place))
    return found


def answers_in(messages: Sequence[Message]) -> int:
    """How many answers of a model a conversation holds; the items of one answer follow each other."""
    said = [message.get("role") == "assistant" or kind_of(message) in _SAID_ITEMS for message in messages]
    return sum(now and not before for before, now in zip([False, *said], said, strict=False))


_SPOKEN: Final = frozenset({"system", "developer", "user", "assistant"})


def unreadable(request: Request) -> str | None:
    """Why a conversation cannot be written anew: the Responses API keeps it itself, or it holds items nobody knows here; else None."""
    if request.endpoint != "responses":
        return None
    if request.params.get("previous_response_id") or request.params.get("conversation"):
        return "the conversation is kept at the provider"
    return None if all(map(_is_known_item, request.messages)) else "it holds items of a kind that is not known here"


def _is_known_item(item: Message) -> bool:
    kind = kind_of(item)
    if kind == "message" or item.get("type") is None:
        return item.get("role") in _SPOKEN and isinstance(item.get("content"), (str, list, tuple))
    return kind in CALL_ITEMS or kind in RESULT_ITEMS or kind in _OTHER_ITEMS
