"""What a provider says it counted: one shape for OpenAI, Anthropic and the hosts that pass them on.

The providers disagree on what "input" means. OpenAI's `prompt_tokens` includes cached tokens; Anthropic's `input_tokens`
leaves them out. `Usage.input_tokens` always *includes* cache reads and writes, as OpenTelemetry's `gen_ai.usage.input_tokens` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more calls.

    Attributes:
        input_tokens: everything that was read, cached or not.
        cache_read_tokens: the part of the input served from the provider's prompt cache.
        cache_write_5m_tokens: the part written to a cache that lives five minutes (or the provider's only lifetime).
        cache_write_1h_tokens: the part written to a cache that lives one hour.
        output_tokens: everything that was generated, reasoning included.
        reasoning_tokens: the part of the output nobody sees.

    >>> Usage(input_tokens=10, output_tokens=2) + Usage(input_tokens=5)
    Usage(input_tokens=15, cache_read_tokens=0, cache_write_5m_tokens=0, cache_write_1h_tokens=0, output_tokens=2, reasoning_tokens=0)
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def with_(self, **changes: int) -> Usage:
        """A copy with some counts changed."""
        return replace(self, **changes)

    @property
    def cache_write_tokens(self) -> int:
        """Everything written to the provider's cache."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def uncached_input_tokens(self) -> int:
        """The input billed at the plain price."""
        return max(0, self.input_tokens - self.cache_read_tokens - self.cache_write_tokens)


def read_instead(usage: Usage, read_tokens: int) -> Usage:
    """The same tokens, had at least so many of them been read from the provider's cache instead of anew."""
    more = min(read_tokens, usage.input_tokens) - usage.cache_read_tokens
    if more <= 0:
        return usage
    rest = max(0, more - usage.uncached_input_tokens)
    five = min(rest, usage.cache_write_5m_tokens)
    return usage.with_(
        cache_read_tokens=usage.cache_read_tokens + more,
        cache_write_5m_tokens=usage.cache_write_5m_tokens - five,
        cache_write_1h_tokens=usage.cache_write_1h_tokens - (rest - five),
    )


_NO_MODEL: Final[Any] = object()


def part_of(source: Any, name: str) -> Any:
    """A field of a mapping or an object; None where there is none.

    Looked for where objects keep their fields: asking a pydantic model by `getattr` for what it lacks takes ten times as long.
    """
    if type(source) is dict:
        return source.get(name)
    own = getattr(source, "__dict__", None)
    if own is not None and name in own:
        return own[name]
    extra = getattr(source, "__pydantic_extra__", _NO_MODEL)
    if extra is not _NO_MODEL:
        return extra.get(name) if extra else None
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _count(source: Any, *path: str) -> int:
    """The number at `path` in nested mappings or objects; 0 where any step is absent."""
    for name in path:
        if source is None:
            return 0
        source = part_of(source, name)
    return 0 if source is None else int(source)


def from_openai(usage: Any) -> Usage:
    """Read `usage` of a chat completion, a Responses answer or LiteLLM's own usage object.

    LiteLLM adds Anthropic's counts to the OpenAI shape; its `prompt_tokens` includes them.
    """
    if usage is None:
        return Usage()
    asked = _count(usage, "prompt_tokens")
    details = part_of(usage, "prompt_tokens_details")
    write = _count(details, "cache_write_tokens") or _count(usage, "cache_creation_input_tokens")
    read = details if asked else part_of(usage, "input_tokens_details")
    hour = _count(read, "cache_creation_token_details", "ephemeral_1h_input_tokens")
    return Usage(
        input_tokens=asked or _count(usage, "input_tokens"),
        cache_read_tokens=_count(read, "cached_tokens"),
        cache_write_5m_tokens=max(0, write - hour),
        cache_write_1h_tokens=hour,
        output_tokens=_count(usage, "completion_tokens") or _count(usage, "output_tokens"),
        reasoning_tokens=_count(usage, "completion_tokens_details", "reasoning_tokens")
        or _count(usage, "output_tokens_details", "reasoning_tokens"),
    )


def from_anthropic(usage: Any) -> Usage:
    """Read `usage` of an Anthropic message: its `input_tokens` leaves cached tokens out, ours includes them."""
    if usage is None:
        return Usage()
    read = _count(usage, "cache_read_input_tokens")
    write = _count(usage, "cache_creation_input_tokens")
    hour = _count(usage, "cache_creation", "ephemeral_1h_input_tokens")
    return Usage(
        input_tokens=_count(usage, "input_tokens") + read + write,
        cache_read_tokens=read,
        cache_write_5m_tokens=max(0, write - hour),
        cache_write_1h_tokens=hour,
        output_tokens=_count(usage, "output_tokens"),
    )
