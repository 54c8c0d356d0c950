"""Opens the embedding a recipe names: weights on this machine, LiteLLM's `embedding`, or one of LangChain's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from frugal_plugins.embedding.embed import Embedder, FunctionEmbedder
from frugal_plugins.embedding.weights import open_embedder
from frugal_plugins.errors import FrugalError, MissingExtra
from frugal_plugins.inside import inside

_LITELLM: Final = "litellm:"
_LANGCHAIN: Final = "langchain:"

Texts = Callable[[Sequence[str]], Sequence[Sequence[float]]]


def open_named(name: str) -> Embedder:
    """`litellm:openai/text-embedding-3-small`, `langchain:openai:text-embedding-3-small`, else a sentence-transformers model.

    A provider's embedding is asked once on opening, to learn how long its vectors are. Its price is not in the ledger.
    Raises FrugalError when it does not answer, MissingExtra when the host is not installed.
    """
    if name.startswith(_LITELLM):
        return _measured(name, _of_litellm(name.removeprefix(_LITELLM)))
    if name.startswith(_LANGCHAIN):
        return _measured(name, _of_langchain(name.removeprefix(_LANGCHAIN)))
    return open_embedder(name)


def _measured(name: str, function: Texts) -> FunctionEmbedder:
    (vector,) = function(["How long are your vectors?"])
    if not len(vector):
        raise FrugalError(f"the embedding {name} returned an empty vector; check its name in the recipe's cache.embedding.")
    return FunctionEmbedder(name, function, len(vector))


def _of_litellm(model: str) -> Texts:
    try:
        litellm = import_module("litellm")
    except ImportError as error:
        raise MissingExtra("litellm", "litellm") from error

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        with inside():
            response = litellm.embedding(model=model, input=list(texts))
        rows = sorted(response.data, key=lambda row: int(_part(row, "index") or 0))
        return [_part(row, "embedding") for row in rows]

    return vectors


def _of_langchain(model: str) -> Texts:
    try:
        host: Any = import_module("langchain.embeddings")
    except ImportError as error:
        raise MissingExtra("langchain", "langchain") from error
    found = host.init_embeddings(model)
    return lambda texts: found.embed_documents(list(texts))


def _part(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)
