"""Turns questions into unit vectors: sentence-transformers, a fast int8 form of the same weights, or the host's own embedding.

Vectors of two models must never be mixed, so every embedder has a `fingerprint`, which the store keeps beside each vector and the
calibration names. The int8 form is another model in this sense: its cosines lie about 0.007 lower.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from frugal_plugins.errors import FrugalError

_log = logging.getLogger("frugal_plugins")

DEFAULT_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
_BATCH: Final = 32


class Embedder(Protocol):
    """Makes unit vectors.

    Attributes:
        fingerprint: names the weights and how they are run; equal fingerprint, comparable vectors.
        dimensions: the length of a vector.
    """

    fingerprint: str
    dimensions: int

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """One unit vector (numpy, 32-bit) for each text, or None for a text longer than the model can read."""


@dataclass(slots=True)
class SentenceEmbedder:
    """A sentence-transformers model, as `SentenceTransformer(model)` loads it."""

    model: Any
    fingerprint: str
    dimensions: int
    window_tokens: int

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """Encode what fits the model's window."""
        import numpy as np

        counted = [len(self.model.tokenizer(text, add_special_tokens=True)["input_ids"]) for text in texts]
        short = [i for i, tokens in enumerate(counted) if tokens <= self.window_tokens]
        found: list[Any] = [None] * len(texts)
        if short:
            made = self.model.encode([texts[i] for i in short], normalize_embeddings=True, show_progress_bar=False)
            for i, vector in zip(short, made, strict=True):
                found[i] = np.asarray(vector, dtype=np.float32)
        return found


@dataclass(slots=True)
class Meter:
    """Tokens a provider's embedding has read and nobody has booked yet.

    Attributes:
        model: whose price they have.
    """

    model: str
    _tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, tokens: int) -> None:
        """Tokens were read."""
        with self._lock:
            self._tokens += tokens

    def taken(self) -> int:
        """What is to be booked; the one who asks books it."""
        with self._lock:
            tokens, self._tokens = self._tokens, 0
        return tokens


@dataclass(slots=True)
class FunctionEmbedder:
    """Any function from texts to vectors: LiteLLM's `embedding`, a LangChain `Embeddings.embed_documents`, your own.

    `name` must change when the model behind it changes. With a `meter` the function says there what its provider has read.
    """

    name: str
    function: Callable[[Sequence[str]], Sequence[Sequence[float]]]
    dimensions: int
    longest_chars: int = 2_000
    meter: Meter | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprint = f"function:{self.name}:{self.dimensions}"

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """Call the function for the texts that are short enough, and bring the vectors to unit length."""
        import numpy as np

        short = [i for i, text in enumerate(texts) if len(text) <= self.longest_chars]
        found: list[Any] = [None] * len(texts)
        made = self.function([texts[i] for i in short]) if short else []
        if len(made) != len(short):
            raise FrugalError(f"the embedding {self.name} returned {len(made)} vectors for {len(short)} texts; return one for each.")
        for i, vector in zip(short, made, strict=True):
            own = np.asarray(vector, dtype=np.float32)
            length = float(np.linalg.norm(own))
            if own.shape != (self.dimensions,) or not length or not np.isfinite(length):
                raise FrugalError(
                    f"the embedding {self.name} returned a vector that is not {self.dimensions} finite numbers; check its name."
                )
            found[i] = own / length
        return found


@dataclass(slots=True)
class EmbeddingCounts:
    """What happened so far: vectors made, found in memory, lookups that did not wait longer, and failures by error name."""

    made: int = 0
    remembered: int = 0
    too_slow: int = 0
    failed: dict[str, int] = field(default_factory=dict)


class Embeddings:
    """Embeds on a thread of its own, several waiting texts in one batch, and remembers the latest vectors.

    `vector` waits at most `limit_seconds` and then returns None, so that a slow model makes a cache miss and never a slow request.
    An async host awaits `embeddings.ahead(text)` first; `vector` then finds the result at hand, and where it was not there in time
    it is a miss at once. The model itself is opened on the thread, by the first text; until it is ready lookups are misses.

    >>> from frugal_plugins.embedding.embed import Embeddings, FunctionEmbedder
    >>> letters = FunctionEmbedder("letters", lambda texts: [[text.count("a"), 1.0] for text in texts], 2)
    >>> vectors = Embeddings(lambda: letters, limit_seconds=60)
    >>> [round(float(x), 2) for x in vectors.vector("banana")]
    [0.95, 0.32]
    """

    def __init__(self, opened: Callable[[], Embedder], *, limit_seconds: float = 0.25, remember: int = 2_048) -> None:
        self.limit_seconds = limit_seconds
        self.counts = EmbeddingCounts()
        self._open = opened
        self._remember = remember
        self._embedder: Embedder | None = None
        self._refused: str | None = None
        self._late: dict[str, None] = {}
        self._known: OrderedDict[str, Future[Any]] = OrderedDict()
        self._waiting: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def fingerprint(self) -> str:
        """The embedder's, or "" until it is open."""
        return self._embedder.fingerprint if self._embedder else ""

    @property
    def embedder(self) -> Embedder:
        """The open model; FrugalError when it could not be opened."""
        if self._embedder is None and not self.ready():
            raise FrugalError(
                f"the embedding model could not be opened: {self._refused}. Name another one in the recipe's cache.embedding."
            )
        assert self._embedder is not None
        return self._embedder

    @property
    def refused(self) -> str | None:
        """Why the model could not be opened; lookups by meaning are then misses."""
        return self._refused

    @property
    def meter(self) -> Meter | None:
        """What a provider's embedding has read, where it is paid for."""
        return getattr(self._embedder, "meter", None)

    def ready(self, wait_seconds: float = 60.0) -> bool:
        """Open the model now rather than with the first question; says whether it is there."""
        try:
            self.start("warm up").result(wait_seconds)
        except (TookTooLong, FrugalError):
            return False
        return self._embedder is not None

    def vector(self, text: str) -> Any:
        """The unit vector of a text, or None when it takes too long, does not fit the model or cannot be made."""
        future = self.start(text)
        try:
            return future.result(0 if text in self._late else self.limit_seconds)
        except TookTooLong:
            self.counts.too_slow += 1
        except FrugalError as error:
            self.counts.failed[type(error).__name__] = self.counts.failed.get(type(error).__name__, 0) + 1
        return None

    async def ahead(self, text: str) -> None:
        """Await a text's vector, for as long as `limit_seconds`: afterwards `vector` returns at once, with it or without."""
        import asyncio

        future = self.start(text)
        if future.done():
            return
        self._late[text] = None
        future.add_done_callback(lambda _: self._late.pop(text, None))
        await asyncio.wait({asyncio.wrap_future(future)}, timeout=self.limit_seconds)

    def start(self, text: str) -> Future[Any]:
        """Begin to embed a text, or find the vector that is already there; the future never raises anything but FrugalError."""
        with self._lock:
            known = self._known.get(text)
            if known is not None and not (known.done() and known.exception() is not None):
                self._known.move_to_end(text)
                self.counts.remembered += known.done()
                return known
            future: Future[Any] = Future()
            self._known[text] = future
            while len(self._known) > self._remember:
                self._known.popitem(last=False)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="frugal-embeddings", daemon=True)
                self._thread.start()
        self._waiting.put((text, future))
        return future

    def embed_many(self, texts: Sequence[str]) -> list[Any]:
        """Vectors of many texts at once, without the time limit: for imports and calibration."""
        embedder = self.embedder
        found: list[Any] = []
        for start in range(0, len(texts), _BATCH):
            found += embedder.embed([clean(text) for text in texts[start : start + _BATCH]])
        return found

    def know(self, texts: Sequence[str]) -> None:
        """Embed several texts at once, without the time limit, and remember them: what follows finds them at hand."""
        for future in [self.start(text) for text in texts]:
            future.exception()

    def _work(self) -> None:
        """The thread: take what waits, up to a batch, and answer it. It ends after a quiet minute."""
        while True:
            try:
                batch = [self._waiting.get(timeout=60)]
            except queue.Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._thread = None
                        return
                continue
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            self._answer(batch)

    def _answer(self, batch: list[tuple[str, Future[Any]]]) -> None:
        with _Outcome(batch) as outcome:
            if self._embedder is None:
                self._embedder = self._opened()
            made = self._embedder.embed([clean(text) for text, _ in batch])
            self.counts.made += len(batch)
            outcome.vectors = made

    def _opened(self) -> Embedder:
        if self._refused is not None:
            raise FrugalError(self._refused)
        started = time.monotonic()
        self._refused = "opening it failed; the log says why"
        embedder = self._open()
        self._refused = None
        _log.info("The embedding model %s is ready after %.1f s.", embedder.fingerprint, time.monotonic() - started)
        return embedder


class _Outcome:
    """Hands each waiting text its vector, or tells all of them that the batch failed, whatever the embedder raised."""

    __slots__ = ("batch", "vectors")

    def __init__(self, batch: list[tuple[str, Future[Any]]]) -> None:
        self.batch = batch
        self.vectors: list[Any] | None = None

    def __enter__(self) -> _Outcome:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if self.vectors is not None and len(self.vectors) == len(self.batch):
            for (_, future), vector in zip(self.batch, self.vectors, strict=True):
                future.set_result(vector)
            return False
        _log.warning(
            "%d questions could not be embedded (%s: %.300s). They are cache misses.", len(self.batch), kind and kind.__name__, error
        )
        for _, future in self.batch:
            future.set_exception(FrugalError("the embedding failed; the lookup is a miss. The log names the error."))
        return isinstance(error, Exception)


def clean(text: str) -> str:
    """A text any tokenizer can read: no half characters, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")
