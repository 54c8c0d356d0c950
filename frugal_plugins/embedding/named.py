"""Opens the embedding a recipe names: weights on this machine, LiteLLM's `embedding`, or one of LangChain's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from frugal_plugins.embedding.embed import Embedder, FunctionEmbedder, Meter
from frugal_plugins.embedding.weights import open_embedder
from frugal_plugins.errors import FrugalError, MissingExtra
from frugal_plugins.inside import inside
from frugal_plugins.tokens import count_text

_log = logging.getLogger("frugal_plugins")

_LITELLM: Final = "litellm:"
_LANGCHAIN: Final = "langchain:"

Texts = Callable[[Sequence[str]], Sequence[Sequence[float]]]


def open_named(name: str, priced: Callable[[str], bool] = lambda _: True) -> Embedder:
    """`litellm:openai/text-embedding-3-small`, `langchain:openai:text-embedding-3-small`, else a sentence-transformers model.

    A provider's embedding is asked once on opening, to learn how long its vectors are. What it reads is booked in the ledger as
    calls of the cache when its model is `priced`; else a log line says that it is not.
    Raises FrugalError when it does not answer, MissingExtra when the host is not installed.
    """
    if name.startswith(_LITELLM):
        meter = Meter(name.removeprefix(_LITELLM))
        return _measured(name, _of_litellm(meter), meter, priced)
    if name.startswith(_LANGCHAIN):
        named = name.removeprefix(_LANGCHAIN)
        meter = Meter(named.replace(":", "/", 1))
        return _measured(name, _of_langchain(named, meter), meter, priced)
    return open_embedder(name)


def _measured(name: str, function: Texts, meter: Meter, priced: Callable[[str], bool]) -> FunctionEmbedder:
    (vector,) = function(["How long are your vectors?"])
    if not len(vector):
        raise FrugalError(f"the embedding {name} returned an empty vector; check its name in the recipe's cache.embedding.")
    known = priced(meter.model)
    if not known:
        _log.warning("No price is known for %s: what the cache's embedding costs is not in the ledger. Add it under 'prices'.", meter.model)
    return FunctionEmbedder(name, function, len(vector), meter=meter if known else None)


def _of_litellm(meter: Meter) -> Texts:
    try:
        litellm = import_module("litellm")
    except ImportError as error:
        raise MissingExtra("litellm", "litellm") from error

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        with inside():
            response = litellm.embedding(model=meter.model, input=list(texts))
        meter.read(int(_part(_part(response, "usage"), "prompt_tokens") or 0) or _counted(texts))
        rows = sorted(response.data, key=lambda row: int(_part(row, "index") or 0))
        return [_part(row, "embedding") for row in rows]

    return vectors


def _of_langchain(model: str, meter: Meter) -> Texts:
    try:
        host: Any = import_module("langchain.embeddings")
    except ImportError as error:
        raise MissingExtra("langchain", "langchain") from error
    found = host.init_embeddings(model)

    def vectors(texts: Sequence[str]) -> Sequence[Sequence[float]]:
        made: Sequence[Sequence[float]] = found.embed_documents(list(texts))
        meter.read(_counted(texts))
        return made

    return vectors


def _counted(texts: Sequence[str]) -> int:
    """Where the host does not say how much was read."""
    return sum(count_text(text) for text in texts)


def _part(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)
