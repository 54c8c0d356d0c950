"""Everything the pretended provider knows and remembers: prices, recorded answers, prompt caches, its bill."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frugal_plugins.sandbox.answers import AnswerBook, Recorded
from frugal_plugins.sandbox.ask import Ask, Written, write
from frugal_plugins.sandbox.clock import Clock, WallClock
from frugal_plugins.sandbox.codec import dumps
from frugal_plugins.sandbox.counting import count
from frugal_plugins.sandbox.faults import Faults
from frugal_plugins.sandbox.generator import conversation_seed, generate, hidden_tokens, thinking_text
from frugal_plugins.sandbox.invoice import Journal
from frugal_plugins.sandbox.price_sheet import Lane, ModelCard, PriceSheet
from frugal_plugins.sandbox.prompt_cache import AutomaticCache, BreakpointCache
from frugal_plugins.usage import Usage


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed the door, or one row of a batch.

    Attributes:
        body: the parsed JSON object, with the variable parts of the URL added.
        key: the hash of the API key.
        raw: the body as it came, for endpoints that do not take JSON.
        batch: whether this is a row of a batch, billed at the batch price.
    """

    endpoint: str
    body: Mapping[str, Any]
    key: str
    request_id: str
    headers: Mapping[str, str]
    raw: bytes = field(default=b"", repr=False)
    batch: bool = False

    @property
    def lane(self) -> Lane:
        """What the call is billed as."""
        if self.batch:
            return "batch"
        return "flex" if self.body.get("service_tier") == "flex" else "standard"


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """What arrived, byte for byte. `body` is None where `raw` is not JSON."""

    method: str
    path: str
    body: Any
    raw: bytes
    headers: Mapping[str, str]
    api_key: str | None = field(repr=False)
    at_unix_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class JsonReply:
    """An answer in one piece; a `body` of bytes goes out as it is."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event: its bytes, the output tokens it carries, and whether it belongs to the regular end of the stream."""

    data: bytes
    tokens: int = 0
    closing: bool = False


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer in pieces. `settle(tokens_sent, closed)` books it, once, when it has ended or was left."""

    events: list[Event]
    settle: Callable[[int, bool], None]
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider:
    """The state behind the endpoints. All of it can be read from other threads; only the invoice and the request log are written."""

    def __init__(
        self,
        *,
        recorded: Iterable[Recorded] = (),
        clock: Clock | None = None,
        prices: Mapping[str, Mapping[str, Any]] | None = None,
        price_file: Path | None = None,
        keys: Iterable[str] | None = None,
        latency_seconds: float = 0.0,
        chunk_seconds: float = 0.0,
        keep_requests: int = 100_000,
    ) -> None:
        self.clock: Clock = clock or WallClock()
        self.prices = PriceSheet.load(prices, price_file)
        self.book = AnswerBook(recorded)
        self.keys = None if keys is None else frozenset(keys)
        self.latency_seconds = latency_seconds
        self.chunk_seconds = chunk_seconds
        self.journal = Journal()
        self.faults = Faults()
        self.automatic_cache = AutomaticCache(self.clock)
        self.breakpoint_cache = BreakpointCache(self.clock)
        self.stored_responses: dict[tuple[str, str], tuple[tuple[Any, ...], Mapping[str, Any]]] = {}
        self.stopping = False
        self.in_flight = 0
        self._log: deque[ReceivedRequest] = deque(maxlen=keep_requests)
        self._lock = threading.Lock()

    def answer(self, ask: Ask) -> Written:
        """What the model says: the recorded answer where there is one, else one made up."""
        seed = conversation_seed(ask)
        answer = self.book.find(ask)
        if answer is None or (answer.tool_calls and (not ask.tools or ask.tool_choice == "none")):
            answer = generate(ask, seed)
        if ask.thinking_tokens is not None:
            thinking = thinking_text(ask, seed)
            return write(ask, answer, min(ask.thinking_tokens, count(thinking, ask.model)), thinking)
        if ask.card.reasoning and answer.reasoning_tokens is not None:
            return write(ask, answer, answer.reasoning_tokens)
        return write(ask, answer, hidden_tokens(ask, seed))

    def bill(self, call: Call, *, response_id: str, model: str, card: ModelCard, usage: Usage, closed: bool = False) -> None:
        """Book one call."""
        self.journal.bill(
            response_id=response_id,
            key=call.key,
            model=model,
            card=card,
            endpoint=call.endpoint,
            usage=usage,
            lane=call.lane,
            at_unix_seconds=self.clock.now(),
            closed=closed,
        )

    def log(self, request: ReceivedRequest) -> None:
        """Remember what arrived."""
        with self._lock:
            self._log.append(request)

    def requests(self) -> tuple[ReceivedRequest, ...]:
        """What has arrived so far, in order."""
        with self._lock:
            return tuple(self._log)

    def remember(self, key: str, response_id: str, items: tuple[Any, ...], body: Mapping[str, Any], *, at_most: int = 5_000) -> None:
        """Keep a response and the conversation it ends, for `previous_response_id` and for reading it back."""
        self.stored_responses[key, response_id] = (items, body)
        while len(self.stored_responses) > at_most:
            self.stored_responses.pop(next(iter(self.stored_responses)))

    def reset(self) -> None:
        """Forget invoice, requests, faults, caches and stored responses. Clock, prices and recorded answers stay."""
        self.journal.clear()
        self.faults.clear()
        self.automatic_cache.clear()
        self.breakpoint_cache.clear()
        self.stored_responses.clear()
        with self._lock:
            self._log.clear()


def new_id(prefix: str, size: int = 24) -> str:
    """A fresh id, as long as the providers' own."""
    return prefix + secrets.token_hex(size // 2)


def sse(value: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + dumps(value) + b"\n\n"
