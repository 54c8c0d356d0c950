"""The LiteLLM door: the SDK (`install`), the Proxy and Router (`FrugalCallback`, `proxy`), and the plain call (`complete`).

    from frugal_plugins.litellm import install
    install("recipes/support.yaml")            # litellm.completion and acompletion now go through the recipe

In a proxy's config.yaml: `litellm_settings: {callbacks: ["frugal_plugins.litellm.proxy"]}`, with FRUGAL_RECIPE set.
LiteLLM itself is loaded when one of the names is first used.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_plugins.litellm.batch import abatch_completion, batch_completion
    from frugal_plugins.litellm.call import acomplete, complete
    from frugal_plugins.litellm.callback import FrugalCallback
    from frugal_plugins.litellm.convert import request_of
    from frugal_plugins.litellm.sdk import install, uninstall

    proxy: FrugalCallback

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # LiteLLM's own price list, not one fetched on import

__all__ = [
    "FrugalCallback",
    "abatch_completion",
    "acomplete",
    "batch_completion",
    "complete",
    "install",
    "proxy",
    "request_of",
    "uninstall",
]

_HOMES = {
    "FrugalCallback": "callback",
    "abatch_completion": "batch",
    "acomplete": "call",
    "batch_completion": "batch",
    "complete": "call",
    "install": "sdk",
    "proxy": "from_environment",
    "request_of": "convert",
    "uninstall": "sdk",
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
