"""What a recipe may say: every section, its keys, their bounds and what they mean.

The descriptions here are the help an editor shows, by way of the JSON Schema made from these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.config import JsonDict

from frugal_plugins.recipe.alert_settings import AlertSettings, ObserveSettings
from frugal_plugins.recipe.budget_settings import BudgetSettings
from frugal_plugins.recipe.checks import missing_names, refuse
from frugal_plugins.recipe.evaluate_settings import EvaluateSettings
from frugal_plugins.recipe.fields import FileName, Flag, ModelName, ModeWord, Money, Number, Pattern, Section, TaskName, TierName, Whole
from frugal_plugins.recipe.judge_settings import JudgeSettings
from frugal_plugins.recipe.pipeline_settings import PipelineSettings
from frugal_plugins.recipe.problems import Problem, as_error, found_by_pydantic
from frugal_plugins.recipe.source import Loaded
from frugal_plugins.recipe.strict_yaml import KeyPath
from frugal_plugins.recipe.technique_settings import (
    BatchSectionSettings,
    CacheSettings,
    CapSettings,
    HistorySettings,
    PromptCacheSettings,
    RouteSettings,
    ShortenSettings,
)

COMING: Final[Mapping[str, str]] = {
    "pipeline.memory": "memory is not built yet: pass earlier messages as a variable of the prompt; remove this key",
}
"""Keys of techniques that come later, and what to do today."""

_EMPTY: Final[Mapping[str, str]] = {
    "cache": "is empty; write 'cache: {}' to turn it on with its defaults, or 'cache: off'",
    "route": "is empty; write 'route: {}' to turn it on with its defaults, or 'route: off'",
    "history": "is empty; write 'history: {}' to turn it on with its defaults, or 'history: off'",
    "shorten": "is empty; write 'shorten: {}' to turn it on with its defaults, or 'shorten: off'",
    "prompt_cache": "is empty; write 'prompt_cache: {}' to turn it on with its defaults, or 'prompt_cache: off'",
    "cap": "is empty; write 'cap: {}' to turn it on with its defaults, or 'cap: off'",
    "batch": "is empty; write 'batch: {}' for its defaults",
    "evaluate": "is empty; write 'evaluate: {}' for its defaults",
    "budget": "is empty; write a limit under it, as 'run_usd: 0.50', or remove this key",
    "pipeline": "is empty; write a prompt under it, or remove this key",
    "observe": "is empty; write 'observe: {}' for OpenTelemetry, or remove this key",
    "alerts": "is empty; write a list of budgets under it, or remove this key",
    "judge": "is empty; write 'judge: {}' for its defaults, or remove this key",
    "ledger": "is empty; write 'ledger: {}' for its defaults, or 'ledger: off'",
}


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


class Tier(Section):
    """Models of about the same ability and price."""

    models: tuple[ModelName, ...] = Field(
        min_length=1, max_length=10, description="The models of this tier as LiteLLM names them, the preferred one first."
    )


class TaskSettings(Section):
    """What one kind of work needs."""

    tier: str = Field(description="The tier that is good enough for this kind of work.")
    output_tokens: Whole | None = Field(
        default=None, ge=1, le=100_000, description="The most tokens an answer needs. Without it, cap leaves answers of this kind alone."
    )
    pattern: Pattern | None = Field(
        default=None, description="A regular expression that a good answer contains; a cheaper model's answer without it is asked again."
    )


class Price(Section):
    """What you pay for a model, in US dollars per million tokens; it wins over the list price."""

    input_usd_per_mtok: Money = Field(description="Input, US dollars per million tokens.")
    output_usd_per_mtok: Money = Field(description="Output, US dollars per million tokens.")
    cache_read_usd_per_mtok: Money | None = Field(default=None, description="Read from the provider's prompt cache. Without it: as input.")
    cache_write_usd_per_mtok: Money | None = Field(default=None, description="Written to the prompt cache. Without it: as input.")
    cache_write_1h_usd_per_mtok: Money | None = Field(
        default=None, description="Written to the prompt cache for an hour. Without it: as any write."
    )

    def rates(self) -> dict[str, Decimal]:
        """The prices under the names `prices.own_rates` takes."""
        prices: dict[str, Decimal] = self.model_dump(exclude_none=True)
        return {name.removesuffix("_per_mtok"): usd for name, usd in prices.items()}


class LedgerSettings(Section):
    """Writes down what was asked, sent, paid and avoided."""

    path: FileName = Field(default="frugal-ledger.sqlite", description="An SQLite file, postgresql://user:password@host/database, or off.")
    keep_text: Flag = Field(default=False, description="true: also keep prompts and answers. They can be personal data.")
    queue_rows: Whole = Field(default=10_000, ge=1, le=1_000_000, description="Rows that may wait to be written to the disk.")
    held_path: FileName = Field(
        default="frugal-ledger-held.sqlite", description="With PostgreSQL: the local file rows wait in while the server is gone."
    )
    held_rows: Whole = Field(default=1_000_000, ge=1, le=100_000_000, description="Rows that may wait in that file.")


class RecipeSettings(Section):
    """Turns on ways to pay less for LLM calls. A section that is absent leaves its technique off."""

    recipe: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,40}$", description="The recipe's name in ledgers, headers and reports. Without it: the file's name."
    )
    mode: ModeWord = Field(
        default="on",
        description="off: no technique acts. shadow: techniques decide and record, nothing changes. on: they act.",
    )
    control_percent: Number = Field(
        default=0, ge=0, le=50, description="Share of traffic left untouched, in percent, to measure savings and quality against."
    )
    control_each_percent: Number = Field(
        default=0,
        ge=0,
        le=10,
        description="Share of traffic that goes without one technique, in percent, for each that is on: what each adds is then measured.",
    )
    judge: JudgeSettings | None = Field(default=None, description="Has a model judge a sample of answers, with the recipe and without.")
    tiers: Mapping[TierName, Tier] = Field(min_length=1, max_length=20, description="Groups of models by name, the cheapest first.")
    baseline: str = Field(
        default="",
        description="The tier this traffic would have gone to without a recipe. Without it: the last tier.",
        json_schema_extra=_without_default,
    )
    tasks: Mapping[TaskName, TaskSettings] = Field(
        default_factory=dict, max_length=100, description="Kinds of work, by the name a caller gives in metadata or the rules find."
    )
    prices: Mapping[ModelName, Price] = Field(default_factory=dict, max_length=200, description="Your own prices, by model.")
    cache: CacheSettings | None = Field(default=None, description="Answer repeated requests from memory.")
    history: HistorySettings | None = Field(default=None, description="Send long conversations shorter, when that is cheaper.")
    shorten: ShortenSettings | None = Field(default=None, description="Take boilerplate and repetition out of the developer's prompt.")
    route: RouteSettings | None = Field(default=None, description="Send each kind of work to the tier named for it.")
    cap: CapSettings | None = Field(default=None, description="Bound answers by what their kind of work needs.")
    prompt_cache: PromptCacheSettings | None = Field(default=None, description="Make the most of the provider's prompt cache.")
    batch: BatchSectionSettings | None = Field(default=None, description="How jobs of `frugal batch` and BatchExecutor are run.")
    evaluate: EvaluateSettings | None = Field(default=None, description="How `frugal evaluate` scores answers.")
    budget: BudgetSettings | None = Field(default=None, description="The most an agent may spend.")
    observe: ObserveSettings | None = Field(default=None, description="What monitoring is told of each request.")
    alerts: tuple[AlertSettings, ...] = Field(default=(), max_length=50, description="Budgets, and what happens when one is reached.")
    ledger: LedgerSettings = Field(default_factory=LedgerSettings, description="Where savings are proved.")
    pipeline: PipelineSettings | None = Field(default=None, description="A whole pipeline, for use without code.")

    @field_validator("cache", "history", "shorten", "route", "cap", "prompt_cache", mode="before")
    @classmethod
    def _technique_in_short(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, Mapping | Section) else {"mode": value}

    @field_validator("ledger", mode="before")
    @classmethod
    def _ledger_in_short(cls, value: Any) -> Any:
        return {"path": "off"} if value is False or value == "off" else value

    @model_validator(mode="before")
    @classmethod
    def _last_tier_is_baseline(cls, data: Any) -> Any:
        tiers = data.get("tiers") if isinstance(data, Mapping) else None
        return {**data, "baseline": list(tiers)[-1]} if isinstance(tiers, Mapping) and tiers and "baseline" not in data else data

    @model_validator(mode="after")
    def _names_exist(self) -> RecipeSettings:
        wanted: dict[KeyPath, str] = {("baseline",): self.baseline}
        wanted |= {("tasks", name, "tier"): task.tier for name, task in self.tasks.items()}
        wanted |= {("judge", "tier"): self.judge.tier} if self.judge is not None and self.judge.tier is not None else {}
        if self.route is not None:
            wanted |= {("route", key): tier for key in ("floor", "judge") if (tier := getattr(self.route, key)) is not None}
        named: dict[KeyPath, str] = {("pipeline", "task"): self.pipeline.task} if self.pipeline and self.pipeline.task else {}
        refuse(*missing_names("tier", wanted, tuple(self.tiers)), *missing_names("task", named, tuple(self.tasks)))
        return self


def parse(loaded: Loaded) -> RecipeSettings:
    """Check a recipe that was read.

    Raises:
        RecipeError: with the place of the first problem, what to do about it, and the others on further lines.
    """
    problems = [Problem((key,), words) for key, words in _EMPTY.items() if key in loaded.data and loaded.data[key] is None]
    try:
        settings = RecipeSettings.model_validate({"recipe": loaded.name_hint, **loaded.data})
    except ValidationError as error:
        raise as_error([*problems, *found_by_pydantic(error, RecipeSettings, COMING)], loaded) from None
    if problems:
        raise as_error(problems, loaded)
    return settings
