"""From what a recipe says to the techniques that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from frugal_plugins.answers import AnswerFile, AnswerStore, MemoryAnswers, PostgresAnswers
from frugal_plugins.errors import RecipeError
from frugal_plugins.learned.breaker import Breaker
from frugal_plugins.learned.collecting import OutcomeLog
from frugal_plugins.learned.outcomes import OutcomeFile
from frugal_plugins.observe import Observer, observers
from frugal_plugins.postgres import is_postgres
from frugal_plugins.prefix.postgres import PostgresSessions
from frugal_plugins.prefix.sessions import MemorySessions, SessionFile, SessionStore
from frugal_plugins.prefix.sizes import Terms
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.alert_settings import ObserveSettings
from frugal_plugins.recipe.sampling import SampleJudge
from frugal_plugins.recipe.settings import RecipeSettings
from frugal_plugins.recipe.technique_settings import CacheSettings, HistorySettings, RouteSettings
from frugal_plugins.techniques.cache import Cache
from frugal_plugins.techniques.history import History
from frugal_plugins.techniques.route import Route, Tier


def build_store(settings: CacheSettings | None) -> AnswerStore:
    """Where answers are kept: memory, a SQLite file, or PostgreSQL."""
    if settings is None:
        return MemoryAnswers(0)
    path = settings.path
    if path is not None and is_postgres(path):
        return PostgresAnswers(path, max_entries=settings.max_entries)
    return AnswerFile(path, max_entries=settings.max_entries) if path else MemoryAnswers(settings.max_entries)


def build_cache(settings: CacheSettings, store: AnswerStore, name: str, prices: PriceBook) -> Cache:
    """The cache, with the search by meaning when a similarity is named."""
    cache = Cache(store, name, tuple(settings.scope), settings.ttl_seconds, settings.match, settings.max_temperature)
    if settings.similarity is None:
        return cache
    from frugal_plugins.embedding.embed import Embeddings
    from frugal_plugins.embedding.named import open_named
    from frugal_plugins.meaning.calibration import load
    from frugal_plugins.meaning.search import Meaning

    cache.meaning = Meaning(
        Embeddings(
            lambda: open_named(settings.embedding, lambda model: prices.rates(model) is not None),
            limit_seconds=float(settings.embedding_seconds),
        ),
        settings.similarity,
        float(settings.max_wrong_percent),
        float(settings.audit_percent),
        load(settings.calibration) if settings.calibration else None,
    )
    return cache


def build_route(
    settings: RouteSettings, whole: RecipeSettings, tiers: Sequence[Tier], baseline: str, own_names: frozenset[str], prices: PriceBook
) -> Route:
    """The router, with what was learned when a file is named."""
    route = Route(tuple(tiers), {name: task.tier for name, task in whole.tasks.items()}, baseline, own_names, prices, settings.sticky)
    route.keep_percent = float(settings.keep_quality_percent)
    route.streaming = settings.streaming
    most_usd = settings.most_dear_usd_per_hour
    route.breaker = Breaker(float(settings.most_dear_percent), None if most_usd is None else float(most_usd))
    route.floor, route.escalate = settings.floor, settings.escalate
    route.least_logprob = settings.least_logprob
    route.patterns = {name: task.pattern for name, task in whole.tasks.items() if task.pattern is not None}
    if settings.judge_answers:
        route.judge = judge_of(whole)
    if settings.learned is not None:
        from frugal_plugins.learned.artifact import read_ladder

        if not Path(settings.learned).is_file():
            raise RecipeError(
                f"route.learned names {settings.learned}, which is not there; run frugal calibrate to make it", key="route.learned"
            )
        route.ladder = read_ladder(settings.learned, models=frozenset(model for tier in tiers for model in tier.models))
    return route


def judge_of(whole: RecipeSettings) -> str:
    """The model that judges answers: the first of the tier `route.judge` names, else of the baseline tier."""
    named = whole.route.judge if whole.route is not None else None
    return whole.tiers[named or whole.baseline].models[0]


def judge_model(whole: RecipeSettings) -> str:
    """The model that judges a sample: the first of the tier `judge.tier` names, else whoever judges for the router."""
    named = whole.judge.tier if whole.judge is not None else None
    return whole.tiers[named].models[0] if named is not None else judge_of(whole)


def build_judge(whole: RecipeSettings, prices: PriceBook, clock: Callable[[], float]) -> SampleJudge | None:
    """Who judges a sample of answers, where the recipe asks for it."""
    said = whole.judge
    if said is None:
        return None
    return SampleJudge(judge_model(whole), prices, clock, float(said.percent), float(said.control_percent), said.usd_per_day)


def build_outcomes(whole: RecipeSettings, tiers: Sequence[Tier], prices: PriceBook) -> OutcomeLog | None:
    """Where the router's lessons are kept, when the recipe names a file for them."""
    if whole.route is None or whole.route.outcomes is None:
        return None
    return OutcomeLog(OutcomeFile(whole.route.outcomes), prices, [model for tier in tiers for model in tier.models])


def build_sessions(path: str | None) -> SessionStore:
    """Where conversations are kept: memory, a SQLite file, or PostgreSQL."""
    if path is None:
        return MemorySessions()
    return PostgresSessions(path) if is_postgres(path) else SessionFile(path)


def build_observers(settings: ObserveSettings | None) -> tuple[Observer, ...]:
    """Who is told of each request, as the recipe's `observe` section says."""
    if settings is None:
        return ()
    return observers(opentelemetry=settings.opentelemetry, prometheus=settings.prometheus, log=settings.log, calls=settings.calls)


def build_history(settings: HistorySettings, tiers: Sequence[Tier], prices: PriceBook, *, marks_come: bool) -> History:
    """The history technique; a tier's first model writes the summaries where one is named."""
    tier = next((tier for tier in tiers if tier.name == settings.summarizer), None)
    return History(
        terms=Terms(settings.when, settings.every_turns, settings.keep_turns, settings.summary_tokens),
        prices=prices,
        store=build_sessions(settings.path),
        recall_tokens=settings.recall_tokens,
        compact_results=settings.compact_results,
        summariser=tier.models[0] if tier else None,
        marks_come=marks_come,
        embed=_vector,
    )


def _vector(text: str) -> Any:
    """The vector of a sentence in the table that ships with the package, which is read when it is first needed."""
    from frugal_plugins.learned.embedding import static_embedding

    return static_embedding()(text)
