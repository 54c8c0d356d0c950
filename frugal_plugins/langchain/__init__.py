"""The LangChain door: a chat model that drives a recipe, and a recipe's whole pipeline as a Runnable.

    from frugal_plugins.langchain import FrugalRouter
    llm = FrugalRouter.from_recipe(Recipe.load("recipes/support.yaml"))
    chain = prompt | llm

Nothing of LangChain is loaded until one of the names below is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_plugins.langchain.batch import BatchExecutor as BatchExecutor
    from frugal_plugins.langchain.cache import FaissSemanticCache as FaissSemanticCache
    from frugal_plugins.langchain.chat_history import SummarizedChatHistory as SummarizedChatHistory
    from frugal_plugins.langchain.costs import get_frugal_callback as get_frugal_callback
    from frugal_plugins.langchain.memory import SummarizingMemory as SummarizingMemory
    from frugal_plugins.langchain.middleware import frugal_middleware as frugal_middleware
    from frugal_plugins.langchain.pipeline import runnable as runnable
    from frugal_plugins.langchain.router import FrugalRouter as FrugalRouter

__all__ = [
    "BatchExecutor",
    "FaissSemanticCache",
    "FrugalRouter",
    "SummarizedChatHistory",
    "SummarizingMemory",
    "frugal_middleware",
    "get_frugal_callback",
    "runnable",
]

_HOMES = {
    "BatchExecutor": "batch",
    "FaissSemanticCache": "cache",
    "FrugalRouter": "router",
    "SummarizedChatHistory": "chat_history",
    "SummarizingMemory": "memory",
    "frugal_middleware": "middleware",
    "get_frugal_callback": "costs",
    "runnable": "pipeline",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
