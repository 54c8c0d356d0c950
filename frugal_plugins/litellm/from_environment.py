"""The instance a proxy's config names: `callbacks: ["frugal_plugins.litellm.proxy"]`."""

from __future__ import annotations

import logging
import os
import sys

from frugal_plugins.errors import FrugalError
from frugal_plugins.litellm.callback import FrugalCallback
from frugal_plugins.litellm.delivery import offer
from frugal_plugins.recipe.recipe import Recipe

_log = logging.getLogger("frugal_plugins.litellm")


def from_environment() -> FrugalCallback:
    """The callback for the recipe FRUGAL_RECIPE names. A recipe that cannot be used is said in the log, and traffic is left alone."""
    named = os.environ.get("FRUGAL_RECIPE", "")
    if not named:
        _log.error(
            "FRUGAL_RECIPE is not set: traffic goes through untouched, but for models, teams and keys that name a frugal_recipe. "
            "Set it to a recipe's path or name and restart the proxy."
        )
        offer()
        return FrugalCallback(None)
    try:
        recipe = Recipe.load(named)
    except FrugalError as error:
        said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        _log.error("FRUGAL_RECIPE cannot be used, traffic goes through untouched: %s", said)
        return FrugalCallback(None)
    if recipe.steps and not offer():
        _log.info("litellm.cache is set by the configuration and stays; the recipe's hits are delivered beside it.")
    _offer_page(recipe)
    return FrugalCallback(recipe)


def _offer_page(recipe: Recipe) -> None:
    """The dashboard, where this process is a proxy."""
    if "litellm.proxy.proxy_server" in sys.modules:
        from frugal_plugins.litellm.page import mount_page

        mount_page(recipe)


proxy = from_environment()
