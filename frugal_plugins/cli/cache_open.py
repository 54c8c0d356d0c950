"""Which store a `frugal cache` command means, opened so that a wrong name is said and nothing is made by looking."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from frugal_plugins.answers import AnswerFile, NearAnswers, PostgresAnswers
from frugal_plugins.errors import FrugalError, InputError
from frugal_plugins.postgres import is_postgres, shown
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.techniques.cache import Cache

_ANY_NUMBER: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, its name, and the recipe's cache on top of it where a recipe was named."""

    name: str
    store: NearAnswers
    cache: Cache | None = None

    @property
    def embedder(self) -> str:
        """The fingerprint of the recipe's embedding model, where it is open already; "" otherwise."""
        return self.cache.meaning.embeddings.fingerprint if self.cache is not None and self.cache.meaning is not None else ""

    def answered(self) -> None:
        """Raises FrugalError when the store is a PostgreSQL that did not answer."""
        if isinstance(self.store, PostgresAnswers) and self.store.unavailable:
            raise FrugalError("PostgreSQL did not answer; check the address, the server and the vector extension, and try again.")


def open_store(recipe: str | None, store: str | None, *, made: bool = False) -> Opened:
    """Open what was named. With `made`, a file that is not there yet is made; otherwise that is an error."""
    if store is not None:
        return Opened(shown(store) if is_postgres(store) else store, _store(store, made=made))
    if recipe is None:
        raise InputError("name the store: --recipe RECIPE (or set FRUGAL_RECIPE), or --store FILE")
    loaded, cache = recipe_with_cache(recipe)
    path = loaded.settings.cache.path if loaded.settings.cache is not None else None
    if path is None:
        raise InputError(f"recipe {loaded.name} keeps its answers in memory, where no other program sees them; set cache.path to a file")
    kept = _store(path, made=made)
    cache.store = kept
    return Opened(shown(path) if is_postgres(path) else path, kept, cache)


def recipe_with_cache(name: str) -> tuple[Recipe, Cache]:
    """A recipe and its cache; a cache that is off, or in shadow, counts too."""
    loaded = Recipe.load(name)
    cache = next((step for step, _ in loaded.steps if isinstance(step, Cache)), None)
    if cache is None:
        raise InputError(f"recipe {loaded.name} has no cache that is on or in shadow; add a 'cache:' section with a path to it")
    return loaded, cache


def _store(path: str, *, made: bool) -> NearAnswers:
    if is_postgres(path):
        return PostgresAnswers(path)
    if not made and not Path(path).is_file():
        raise InputError(f"{path} is not there; it is made with the first stored answer. Check cache.path and the folder you are in")
    if not made and not _holds_answers(path):
        raise InputError(f"{path} holds no stored answers; name the file of cache.path")
    return AnswerFile(path, max_entries=_ANY_NUMBER)


def _holds_answers(path: str) -> bool:
    """False for a file that is empty or another program's; a damaged one is the store's to mend, what is no SQLite its to refuse."""
    try:
        with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is not None
    except sqlite3.DatabaseError:
        return True
