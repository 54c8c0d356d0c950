"""Pay less for LLM calls: one YAML recipe, the LiteLLM or LangChain pipeline you already have, and a ledger that proves it.

Importing this package loads nothing heavy; each name below is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_plugins.errors import FrugalError
    from frugal_plugins.flow import Call, Context, Decision, Flow, Next, Technique
    from frugal_plugins.ledger import Ledger
    from frugal_plugins.prices import PriceBook, Rates
    from frugal_plugins.recipe.recipe import Recipe
    from frugal_plugins.request import Reply, Request
    from frugal_plugins.structured import response_format
    from frugal_plugins.usage import Usage

__version__ = "0.1.0"
__all__ = [
    "Call",
    "Context",
    "Decision",
    "Flow",
    "FrugalError",
    "Ledger",
    "Next",
    "PriceBook",
    "Rates",
    "Recipe",
    "Reply",
    "Request",
    "Technique",
    "Usage",
    "response_format",
]

_HOMES = {
    "errors": ("FrugalError",),
    "flow": ("Call", "Context", "Decision", "Flow", "Next", "Technique"),
    "ledger": ("Ledger",),
    "prices": ("PriceBook", "Rates"),
    "recipe.recipe": ("Recipe",),
    "request": ("Reply", "Request"),
    "structured": ("response_format",),
    "usage": ("Usage",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
