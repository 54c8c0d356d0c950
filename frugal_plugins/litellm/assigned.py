"""Which recipe a proxy's request travels through: its key's, its team's, its model's, else the one FRUGAL_RECIPE names."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import FrugalError
from frugal_plugins.recipe.recipe import Recipe

FIELD: Final = "frugal_recipe"
"""The word in a key's or team's metadata and in a deployment's `model_info`."""

_OFF: Final = "off"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_log = logging.getLogger("frugal_plugins.litellm")


@dataclass(slots=True)
class Assigned:
    """Recipes by the name they are asked for, each loaded once.

    A key and a team may name a recipe (`metadata: {frugal_recipe: cautious}`) that lies beside the default one as NAME.yaml, or a
    shipped one; never a path, since a key's metadata may be its user's to write. A deployment (`model_info: {frugal_recipe: ...}`)
    is configured by the proxy's owner and may name a path. `off` leaves the traffic alone. A recipe that cannot be used is said
    in the log, once, and traffic that names it is left alone.
    """

    default: Recipe | None
    _loaded: dict[str, Recipe | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def recipe_for(self, key: Any, model_info: Any) -> Recipe | None:
        """The recipe for a request of this key (LiteLLM's UserAPIKeyAuth) to a model with this `model_info`."""
        for named in (_named(getattr(key, "metadata", None)), _named(getattr(key, "team_metadata", None))):
            if named is not None:
                return self._load(named, by_name=True)
        named = _named(model_info)
        return self.default if named is None else self._load(named, by_name=False)

    def _load(self, named: str, *, by_name: bool) -> Recipe | None:
        if named == _OFF:
            return None
        if self.default is not None and named == self.default.name:
            return self.default
        with self._lock:
            asked = f"{by_name} {named}"
            if asked not in self._loaded:
                self._loaded[asked] = self._read(named, by_name=by_name)
            return self._loaded[asked]

    def _read(self, named: str, *, by_name: bool) -> Recipe | None:
        try:
            if by_name and not _NAME.fullmatch(named):
                raise FrugalError("a key or a team names a recipe by its name, not by a path")
            return Recipe.load(self._place(named) if by_name else named)
        except FrugalError as error:
            said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
            _log.error("frugal_recipe %r cannot be used, traffic that names it goes through untouched: %s", named[:64], said)
            return None

    def _place(self, named: str) -> str | Path:
        """The file of that name beside the default recipe's, else the name itself, for a shipped one."""
        path = self.default.path if self.default is not None else None
        beside = None if path is None else path.with_name(f"{named}.yaml")
        return beside if beside is not None and beside.is_file() else named


def _named(source: Any) -> str | None:
    said = source.get(FIELD) if isinstance(source, Mapping) else None
    return said if isinstance(said, str) and said else None
