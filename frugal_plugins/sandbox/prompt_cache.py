"""The providers' prompt caches: what was read before is cheaper to read again, for a while, for the same key and model."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from frugal_plugins.sandbox.clock import Clock
from frugal_plugins.sandbox.counting import Ids

FIVE_MINUTES = 300
ONE_HOUR = 3600
ONE_DAY = 86_400

STEP_TOKENS = 128
LOOKBACK_BLOCKS = 20

Scope = tuple[str, ...]
"""Who shares a cache: key, model, and OpenAI's `prompt_cache_key` where the caller set one."""


class AutomaticCache:
    """OpenAI's: any prompt from the model's minimum on, found again by its prefix in steps of 128 tokens."""

    def __init__(self, clock: Clock) -> None:
        self._store = _Store(clock)

    def read(self, scope: Scope, blocks: Sequence[Ids[int]], minimum_tokens: int | None, ttl_seconds: int = FIVE_MINUTES) -> int:
        """How many tokens of this prompt were cached; from now on all of it is. The last token is always read anew."""
        total = sum(map(len, blocks))
        if minimum_tokens is None or total < minimum_tokens:
            return 0
        prefixes = _stepped(scope, blocks, minimum_tokens, total)
        found = self._store.longest([digest for size, digest in prefixes if size < total])
        self._store.keep([(digest, ttl_seconds) for _, digest in prefixes])
        return prefixes[found][0] if found >= 0 else 0

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of an Anthropic prompt: a tool, a system block or a content block.

    `ttl_seconds` is set where the caller put a breakpoint.
    """

    tokens: int
    identity: bytes
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class CacheCount:
    """Tokens read from and written to the cache."""

    read_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0


class BreakpointCache:
    """Anthropic's: only where the caller marks a breakpoint; each looks back over twenty blocks for an earlier write."""

    def __init__(self, clock: Clock) -> None:
        self._store = _Store(clock)

    def use(self, scope: Scope, blocks: Sequence[Block], minimum_tokens: int | None) -> CacheCount:
        """Read the longest cached prefix among the breakpoints, and write up to the last of them."""
        marks = [place for place, block in enumerate(blocks) if block.ttl_seconds is not None]
        if not marks or minimum_tokens is None:
            return CacheCount()
        digests, sizes = _chained(scope, blocks)
        hit = self._hit(marks, digests)
        read = sizes[hit] if hit >= 0 else 0
        written = {FIVE_MINUTES: 0, ONE_HOUR: 0}
        done = read
        for mark in marks:
            ttl = blocks[mark].ttl_seconds or FIVE_MINUTES
            if sizes[mark] < minimum_tokens or mark <= hit:
                continue
            written[ttl] += sizes[mark] - done
            done = sizes[mark]
            self._store.keep([(digests[mark], ttl)])
        if hit >= 0:
            self._store.refresh(digests[: hit + 1])
        return CacheCount(read, written[FIVE_MINUTES], written[ONE_HOUR])

    def _hit(self, marks: Sequence[int], digests: Sequence[bytes]) -> int:
        """The place of the longest prefix that is cached, or -1."""
        for mark in reversed(marks):
            first = max(0, mark - LOOKBACK_BLOCKS + 1)
            found = self._store.longest(digests[first : mark + 1])
            if found >= 0:
                return first + found
        return -1

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()


class _Store:
    """Digests of prefixes and when each is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[bytes, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def longest(self, digests: Sequence[bytes]) -> int:
        """The last place whose digest is still cached, or -1."""
        now = self._clock.now()
        for place in range(len(digests) - 1, -1, -1):
            entry = self._until.get(digests[place])
            if entry is not None and now < entry[0]:
                return place
        return -1

    def keep(self, entries: Sequence[tuple[bytes, int]]) -> None:
        now = self._clock.now()
        with self._lock:
            for digest, ttl_seconds in entries:
                self._until[digest] = (now + ttl_seconds, ttl_seconds)
            if len(self._until) > 500_000:
                self._until = {digest: entry for digest, entry in self._until.items() if entry[0] > now}

    def refresh(self, digests: Sequence[bytes]) -> None:
        """Reading keeps a prefix alive for its own lifetime."""
        now = self._clock.now()
        with self._lock:
            for digest in digests:
                entry = self._until.get(digest)
                if entry is not None and now < entry[0]:
                    self._until[digest] = (now + entry[1], entry[1])

    def clear(self) -> None:
        with self._lock:
            self._until.clear()


def _stepped(scope: Scope, blocks: Sequence[Ids[int]], first_tokens: int, last_tokens: int) -> list[tuple[int, bytes]]:
    """The digest of every prefix of `first_tokens`, then every 128 tokens more, up to `last_tokens`."""
    flat = array("I")
    for block in blocks:
        flat.extend(block)
    running = blake2b("\0".join(scope).encode("utf-8", "surrogatepass"), digest_size=16)
    prefixes = []
    start = 0
    for end in range(first_tokens, last_tokens + 1, STEP_TOKENS):
        running.update(flat[start:end].tobytes())
        prefixes.append((end, running.digest()))
        start = end
    return prefixes


def _chained(scope: Scope, blocks: Sequence[Block]) -> tuple[list[bytes], list[int]]:
    """After each block: the digest of everything up to it, and its size in tokens."""
    running = blake2b("\0".join(scope).encode("utf-8", "surrogatepass"), digest_size=16)
    digests, sizes, total = [], [], 0
    for block in blocks:
        running.update(len(block.identity).to_bytes(8, "little"))
        running.update(block.identity)
        total += block.tokens
        digests.append(running.digest())
        sizes.append(total)
    return digests, sizes
