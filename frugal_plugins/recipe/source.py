"""Finds and reads a recipe, and remembers where every key stands."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.strict_yaml import MAX_DEPTH, MAX_DIGITS, MAX_NODES, UNWRITABLE, KeyPath, Places, place_after, read_yaml

MAX_BYTES: Final = 256_000
_ROOM: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe as it was written: plain values and their places.

    Attributes:
        data: the recipe's keys and values: dicts, lists, text, numbers, true, false and None.
        name_hint: what to call the recipe when it does not say: the file's name without its ending.
        path: the file it came from; None for a mapping.
        places: line and column, counted from 1, of every key and list item.
    """

    data: dict[str, Any]
    name_hint: str
    path: Path | None = None
    places: Places = field(default_factory=dict)

    def where(self, key_path: KeyPath) -> str | None:
        """`file:line:column` of a key, or of what contains it when it is not there; None without a file."""
        if self.path is None:
            return None
        line, column = self.place(key_path)
        return f"{self.path}:{line}:{column}"

    def place(self, key_path: KeyPath) -> tuple[int, int]:
        """Line and column of a key, or of the nearest thing around it."""
        known = (self.places[key_path[:end]] for end in range(len(key_path), -1, -1) if key_path[:end] in self.places)
        return next(known, (1, 1))


def read_recipe(source: str | os.PathLike[str] | Mapping[str, Any]) -> Loaded:
    """Read a recipe from a file, from the shipped ones by name, or from a mapping.

    Args:
        source: a path (it ends in .yaml or .yml, contains a slash, or is a file that exists), the name of a shipped recipe, or
            a mapping, which is copied.

    Raises:
        RecipeError: it cannot be found, read or understood; with `file:line:column` where there is a file.
    """
    if isinstance(source, Mapping):
        return Loaded(_Plain().mapping(source, (), 1), "recipe")
    if not isinstance(source, str | os.PathLike):
        raise RecipeError(f"a recipe cannot be read from {type(source).__name__}; give a path, the name of a shipped recipe, or a mapping")
    path = _find(os.fspath(source), is_path=not isinstance(source, str))
    data, places = read_yaml(_text(path), path)
    return Loaded(data, path.stem, path, places)


def shipped_recipes() -> tuple[str, ...]:
    """The names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))


def shipped_folder() -> Path:
    """Where the shipped recipes are: inside the installed package, or at the top of a checkout."""
    installed = _ROOM.parent / "recipes"
    return installed if installed.is_dir() else _ROOM.parent.parent / "recipes"


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the known word most like this one, or nothing."""
    close = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def _find(source: str, *, is_path: bool) -> Path:
    if is_path or source.endswith((".yaml", ".yml")) or "/" in source or os.sep in source:
        return Path(source)
    names = shipped_recipes()
    try:
        if Path(source).is_file():
            return Path(source)
    except (OSError, ValueError):  # too long, or not a name a file can have: it may only be an unknown name
        pass
    if source in names:
        return shipped_folder() / f"{source}.yaml"
    what = f"no shipped recipe is called {_shown(source)}{nearest(source, names) or '.'}"
    raise RecipeError(f"{what} Choose one of {', '.join(names)}, or give the path of a .yaml file.")


def _text(path: Path) -> str:
    """The file's text: UTF-8, bounded."""
    name = _shown(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        names = ", ".join(shipped_recipes())
        raise RecipeError(f"there is no file {name}; check the path, or name a shipped recipe: {names}") from None
    except IsADirectoryError:
        raise RecipeError(f"{name} is a folder; give the path of a .yaml file in it") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(f"{name} cannot be read ({why}); give the path of a .yaml file you may read") from error
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"the file is larger than {MAX_BYTES // 1000} kB; keep a recipe to a page or two", where=f"{path}:1:1")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecipeError("the file is in UTF-16; save it as UTF-8", where=f"{path}:1:1")
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = f"{path}:{place_after(raw[: error.start].decode('utf-8'))}"
        raise RecipeError(f"byte 0x{raw[error.start]:02X} is not UTF-8; save the file as UTF-8", where=where) from None


class _Plain:
    """Copies a caller's mapping under the same bounds as a file."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 0

    def mapping(self, source: Mapping[Any, Any], path: KeyPath, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in source.items():
            if not isinstance(key, str):
                raise RecipeError(f"the key {_shown(str(key))} is not text; write keys as str", key=dotted(path))
            found[key] = self.value(value, (*path, key), depth + 1)
        return found

    def value(self, value: Any, path: KeyPath, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES or (depth > MAX_DEPTH and isinstance(value, Mapping | list | tuple)):
            raise _unusable(path, f"a recipe has at most {MAX_NODES} values, {MAX_DEPTH} levels deep; make it smaller")
        if isinstance(value, Mapping):
            return self.mapping(value, path, depth)
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, index), depth + 1) for index, item in enumerate(value)]
        return _plain_scalar(os.fspath(value) if isinstance(value, os.PathLike) else value, path)


def _plain_scalar(value: Any, path: KeyPath) -> str | int | float | Decimal | bool | None:
    if isinstance(value, str) and UNWRITABLE.search(value):
        raise _unusable(path, "the text contains a NUL or half a character; delete it")
    if isinstance(value, float) and not math.isfinite(value):
        raise _unusable(path, f"{value} is not a finite number; write a number")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise _unusable(path, "this number is too large; write a smaller one")
    if value is None or isinstance(value, str | int | float | Decimal):
        return value
    raise _unusable(path, f"a {type(value).__name__} cannot stand in a recipe; use text, numbers, True, False, lists and mappings")


def _unusable(path: KeyPath, why: str) -> RecipeError:
    return RecipeError(f"{dotted(path)}: {why}", key=dotted(path))


def dotted(path: KeyPath) -> str:
    """A key as people write it: `pipeline.prompt[0].user`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _shown(text: str) -> str:
    """A caller's text in a message: short, and printable whatever it contains."""
    return ascii(text[:100]) if UNWRITABLE.search(text) or not text.isprintable() else f"'{text[:100]}'"
