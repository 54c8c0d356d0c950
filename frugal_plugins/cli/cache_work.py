"""What `frugal cache stats | list | forget | reject | import` do."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from frugal_plugins.answers import NearAnswers, StoredAnswer
from frugal_plugins.answers.stored import SERVED_AT_MOST
from frugal_plugins.cached import described, hits, import_gptcache, stats
from frugal_plugins.cli.cache_open import Opened, open_store, recipe_with_cache
from frugal_plugins.cli.screen import console, line, result
from frugal_plugins.errors import InputError

_LEAST_KEY_CHARS: Final = 8
_SHOWN_KEY_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which answers are meant: those that fit everything that was said."""

    ids: tuple[str, ...] = ()
    matching: str | None = None
    tenant: str | None = None
    user: str | None = None
    team: str | None = None
    session: str | None = None
    namespace: str | None = None
    everything: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """The names that must be equal."""
        named = {"tenant": self.tenant, "user": self.user, "team": self.team, "session": self.session, "namespace": self.namespace}
        return {name: value for name, value in named.items() if value is not None}

    def fits(self, answer: StoredAnswer, asked: Mapping[str, str]) -> bool:
        """Whether an answer is meant; `asked` holds, by key, the questions it was served to."""
        if any(answer.labels.get(name) != value for name, value in self.labels.items()):
            return False
        if self.matching is None:
            return True
        words = self.matching.casefold()
        text = json.dumps(answer.message, ensure_ascii=False).casefold()
        return words in answer.question.casefold() or words in text or words in asked.get(answer.key, "").casefold()


@dataclass(frozen=True, slots=True)
class Around:
    """What belongs around imported questions: everything of a request but the question itself."""

    model: str
    system: str | None = None
    params: str | None = None
    tenant: str | None = None
    proxy_key: str | None = None


def show_stats(recipe: str | None, store: str | None, *, as_json: bool) -> None:
    """Print the figures of a store."""
    opened = open_store(recipe, store)
    meaning = None if opened.cache is None else opened.cache.meaning
    by_meaning = {} if meaning is None else {"by_meaning": meaning.figures(opened.store)}
    figures = {"store": opened.name, **stats(opened.store, opened.embedder), **by_meaning}
    opened.answered()
    result(
        figures,
        lambda: Group(*(line(f"{name.replace('_', ' '):<18} {_plain(name, value)}") for name, value in figures.items())),
        as_json=as_json,
    )


def list_entries(recipe: str | None, store: str | None, limit: int, chosen: Chosen, *, as_json: bool) -> None:
    """Print stored answers, oldest first."""
    opened, found = open_store(recipe, store), []
    for answer in _meant(opened.store, chosen):
        found.append(described(answer))
        if len(found) == limit:
            break
    opened.answered()
    result({"store": opened.name, "entries": found}, lambda: _entries(found, limit), as_json=as_json)


def list_hits(recipe: str | None, store: str | None, limit: int, *, by_meaning: bool, as_json: bool) -> None:
    """Print served answers, latest first."""
    opened = open_store(recipe, store)
    found = list(hits(opened.store, limit, by_meaning=by_meaning))
    opened.answered()
    result({"store": opened.name, "hits": found}, lambda: _hits(found), as_json=as_json)


def forget_answers(recipe: str | None, store: str | None, chosen: Chosen, *, dry_run: bool, as_json: bool) -> None:
    """Drop what is meant, or count it."""
    some = bool(chosen.ids or chosen.labels or (chosen.matching or "").strip())
    if some == chosen.everything:
        raise InputError(
            "say which answers: ids, --tenant, --user, --team, --session, --namespace, --matching; or --all alone for every one"
        )
    opened = open_store(recipe, store)
    keys = _keys(opened, chosen) if chosen.ids else [answer.key for answer in _meant(opened.store, chosen)]
    gone = 0 if dry_run else sum(opened.store.drop(key) for key in keys)
    opened.answered()
    payload = {"store": opened.name, "found": len(keys), "forgotten": gone}
    words = f"{len(keys)} answers would be forgotten" if dry_run else f"{gone} answers forgotten"
    result(payload, lambda: line(f"{words} in {opened.name}"), as_json=as_json)


def reject_hit(name: str, recipe: str | None, store: str | None, *, as_json: bool) -> None:
    """Drop the answer a request was served."""
    opened = open_store(recipe, store)
    served = opened.store.served(name)
    if served is None:
        opened.answered()
        raise InputError(f"no hit {name} is remembered in {opened.name}; `frugal cache list --hits` shows those that are")
    if opened.cache is not None:
        opened.cache.reject(name)
    else:
        opened.store.drop(served.key)
    opened.answered()
    payload = {"store": opened.name, "rejected": name, "key": served.key, "by_meaning": bool(served.asked)}
    result(payload, lambda: line(f"the answer served to {name} is dropped and will not be served again"), as_json=as_json)


def import_store(file: Path, recipe: str, around: Around, *, as_json: bool) -> None:
    """Take a GPTCache over, with progress on stderr."""
    if not file.is_file():
        raise InputError("is not there; name the SQLite file of the GPTCache, often sqlite.db", file=str(file))
    opened = open_store(recipe, None, made=True)
    _, cache = recipe_with_cache(recipe)
    cache.store = opened.store
    scope = () if around.proxy_key is None else ("proxy", _hashed(around.proxy_key))
    tags = {} if around.tenant is None else {"tenant": around.tenant}
    with progress_bar(as_json=as_json) as show:
        task = show.add_task("importing", total=None)
        taken, left = import_gptcache(
            file, cache, model=around.model, now_seconds=time.time(), system=_text(around.system), params=_params(around.params), tags=tags,
            scope=scope, progress=lambda done, of: show.update(task, completed=done, total=of),
        )  # fmt: skip
    opened.answered()
    found = opened.store.figures()
    payload = {"store": opened.name, "imported": taken, "left_out_empty": left, "entries": found.entries, "searchable": found.with_vector}
    result(payload, lambda: line(f"{taken} answers are in {opened.name}; {left} were empty and left out"), as_json=as_json)


def progress_bar(*, as_json: bool) -> AbstractContextManager[Progress]:
    """Progress on stderr, where someone watches; elsewhere one that counts and says nothing."""
    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = Progress(*columns, console=screen, transient=True)
    return shown if screen.is_terminal and not as_json else nullcontext(shown)


def _meant(store: NearAnswers, chosen: Chosen) -> Iterator[StoredAnswer]:
    asked: dict[str, str] = {}
    if chosen.matching is not None:
        for one in store.latest_served(SERVED_AT_MOST):
            asked[one.key] = f"{asked.get(one.key, '')}\n{one.asked}"
    return (answer for answer in store.every() if chosen.fits(answer, asked))


def _keys(opened: Opened, chosen: Chosen) -> list[str]:
    """The keys behind ids: a hit's id, a key, or the beginning of exactly one key."""
    answers = list(_meant(opened.store, chosen))
    keys = {answer.key for answer in answers}
    found = []
    for name in chosen.ids:
        served = opened.store.served(name)
        fitting = [served.key] if served is not None and served.key in keys else [key for key in keys if _begins(key, name)]
        if len(fitting) != 1:
            problem = "fits several answers; write more of the key" if fitting else "is no key of an answer and no id of a hit"
            raise InputError(f"{name} {problem}. Nothing was forgotten; `frugal cache list` shows the keys")
        found += fitting
    return sorted(set(found))


def _begins(key: str, name: str) -> bool:
    return key == name or (len(name) >= _LEAST_KEY_CHARS and key.startswith(name))


def _hashed(key: str) -> str:
    """A proxy's key as LiteLLM keeps it."""
    return hashlib.sha256(key.encode()).hexdigest() if key.startswith("sk-") else key


def _text(given: str | None) -> str | None:
    """A text, or with @ the text of a file."""
    return Path(given[1:]).read_text(encoding="utf-8") if given is not None and given.startswith("@") else given


def _params(given: str | None) -> Mapping[str, Any]:
    if given is None:
        return {}
    try:
        read = json.loads(given)
    except ValueError as error:
        raise InputError(f'--params is not JSON ({error}); write for example {{"temperature": 0}}') from error
    if not isinstance(read, dict):
        raise InputError('--params is not a JSON object; write for example {"temperature": 0}')
    return read


def _plain(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one.replace('_', ' ')} {told}" for one, told in value.items())
    if value is None:
        return "-"
    return when(value) if name == "oldest_seconds" else str(value)


def when(seconds: float) -> str:
    """A time as a person reads it, UTC."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M")


def _entries(found: Sequence[Mapping[str, Any]], limit: int) -> RenderableType:
    rows = [
        line(f"{one['key'][:_SHOWN_KEY_CHARS]}  {when(one['at_seconds'])}  {one['model']}  {one['question']!r}  ->  {one['answer']!r}")
        for one in found
    ]
    rest = [line(f"The first {limit}; --limit shows more.", "dim")] if len(found) == limit else []
    return Group(*rows, *rest) if rows else line("No answer fits.")


def _hits(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    rows = []
    for one in found:
        sure = (
            ""
            if one["cosine"] is None
            else f"  cosine {one['cosine']}" + ("" if one["sure_percent"] is None else f", {one['sure_percent']} % sure")
        )
        rows += [
            line(f"{one['id']}  {when(one['at_seconds'])}{sure}"),
            line(f"  asked   {one['asked']!r}" if one["asked"] else "  the same request"),
            line(f"  stored  {one['stored_question']!r}"),
            line(f"  answer  {one['answer']!r}"),
        ]
    rows.append(line("A wrong one: frugal cache reject ID", "dim"))
    return Group(*rows) if found else line("No hit is remembered.")
