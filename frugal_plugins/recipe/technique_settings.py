"""What a recipe may say about each technique."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from frugal_plugins.recipe.fields import FileName, Flag, ModeWord, Money, Number, Section, TierName, Whole

_QUALITY_WORDS = {"economy": 90.0, "balanced": 95.0, "high": 99.0}


def _quality(value: Any) -> Any:
    return _QUALITY_WORDS.get(value, value) if isinstance(value, str) else value


KeepPercent = Annotated[
    Number | Whole,
    BeforeValidator(_quality),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 50, "maximum": 110}, {"enum": list(_QUALITY_WORDS)}]}),
]


class TechniqueSettings(Section):
    """What every technique has."""

    mode: ModeWord = Field(
        default="on",
        description="off: not used. shadow: decides and records, changes nothing. on: acts. Never more than the recipe's own mode.",
    )


class CacheSettings(TechniqueSettings):
    """Answers a repeated request from the answer it got before. A hit costs nothing."""

    scope: tuple[Literal["tenant", "session", "team", "user"], ...] = Field(
        default=("tenant",), min_length=1, description="Two requests share an answer only when all of these are the same for both."
    )
    ttl_seconds: Whole = Field(default=86_400, ge=1, le=31_536_000, description="How long an answer may be served again, in seconds.")
    max_entries: Whole = Field(default=10_000, ge=1, le=10_000_000, description="The most answers that are kept.")
    path: FileName | None = Field(
        default=None,
        description="An SQLite file that outlives the process, or a postgresql:// address for several proxies. Without it: in memory.",
    )
    match: Literal["exact", "canonical"] = Field(
        default="canonical",
        description="exact: the very same request. "
        "canonical: a short last question may also differ in case, spaces, greeting, 'please' and end marks.",
    )
    max_temperature: Number | None = Field(
        default=None, ge=0, le=2, description="Requests hotter than this are neither stored nor served. Without it: no bound."
    )
    similarity: Number | None = Field(
        default=None,
        ge=0.5,
        le=1,
        description="Also answer a question that means the same, above this cosine (0.95), behind guards. Without it: equal ones only.",
    )
    max_wrong_percent: Number | Whole = Field(
        default=1.0,
        gt=0,
        le=20,
        description="The budget for wrong answers by meaning, in percent of requests; above it matching stops.",
    )
    audit_percent: Number | Whole = Field(
        default=1.0, ge=0, le=100, description="Share of answers by meaning that is asked again and compared, to watch the budget."
    )
    embedding: str = Field(
        default="all-MiniLM-L6-v2",
        min_length=1,
        max_length=300,
        description="Sentence-transformers name or folder, litellm:MODEL, langchain:MODEL.",
    )
    embedding_seconds: Number | Whole = Field(
        default=0.25, gt=0, le=30, description="How long a lookup waits for its question's embedding; after that it is a miss."
    )
    calibration: FileName | None = Field(default=None, description="A file fitted on your own traffic; it replaces the fixed cosine.")


class RouteSettings(TechniqueSettings):
    """Sends each kind of work to the tier that `tasks` names for it. Work that nobody named and no rule recognised stays where it is."""

    sticky: Literal["session", "none"] = Field(
        default="session",
        description="session: a conversation stays with its model, whose prompt cache is warm. none: every request is routed anew.",
    )
    learned: FileName | None = Field(
        default=None,
        description="A file fitted on outcomes of your own traffic; it decides where no task is declared.",
    )
    keep_quality_percent: KeepPercent = Field(
        default=95.0,
        ge=50,
        le=110,
        description="The share of the best model's correct answers `learned` keeps, in percent; or economy (90), balanced (95), high (99).",
    )
    outcomes: FileName | None = Field(
        default=None,
        description="An SQLite file for frugal calibrate: what became of requests, in numbers and fingerprints. Without it: not kept.",
    )
    floor: TierName | None = Field(default=None, description="No request goes below this tier. Without it: the first tier is the lowest.")
    escalate: Flag = Field(
        default=True,
        description="Ask the model the caller named when the cheaper one's answer is empty, refused or not in the form asked for.",
    )
    least_logprob: Number | None = Field(
        default=None,
        ge=-20,
        le=0,
        description="An answer whose mean log probability per token is below this is asked again, where the provider sends it.",
    )
    judge: TierName | None = Field(
        default=None,
        description="A tier whose first model labels samples for frugal calibrate --judge. Without it: the baseline tier.",
    )
    judge_answers: Flag = Field(
        default=False,
        description="true: the judge looks at each answer of a cheaper model before it is given out; bad ones are asked again.",
    )
    streaming: Literal["skip", "buffer"] = Field(
        default="skip", description="skip: streams are never compared. buffer: they are held back until an answer is accepted."
    )
    most_dear_percent: Number | Whole = Field(
        default=100.0, gt=0, le=100, description="The most of the last 500 requests that may go to the dearest tier, in percent."
    )
    most_dear_usd_per_hour: Money | None = Field(default=None, description="The most the dearest tier may cost in an hour, in US dollars.")


class CapSettings(TechniqueSettings):
    """Bounds the length of an answer by what its kind of work needs (`output_tokens` of its task)."""

    reasoning_tokens: Whole = Field(
        default=2000, ge=0, le=100_000, description="Added to the budget of models that think before they answer, which counts against it."
    )
    retry_factor: Whole = Field(
        default=4, ge=1, le=16, description="An answer that was cut short is asked once more with this many times the budget. 1: never."
    )


class HistorySettings(TechniqueSettings):
    """Replaces the beginning of a long conversation by a summary, when that makes the conversation cheaper."""

    when: Literal["it_pays", "always"] = Field(
        default="it_pays",
        description="it_pays: only where the price list says a rewrite costs less than going on. always: every 'every_turns' turns.",
    )
    every_turns: Whole = Field(default=5, ge=1, le=100, description="For 'always': user turns between two summaries.")
    keep_turns: Whole = Field(default=2, ge=1, le=50, description="The last user turns that stay word for word.")
    summary_tokens: Whole = Field(default=400, ge=50, le=8000, description="The most tokens a summary may take.")
    recall_tokens: Whole = Field(
        default=300, ge=0, le=8000, description="Earlier messages a question asks back for are quoted at its end, up to this. 0: never."
    )
    compact_results: Flag = Field(default=True, description="Write tool results in fewer tokens, without loss.")
    summarizer: TierName | None = Field(
        default=None, description="A tier whose first model writes the summaries. Without it sentences are picked locally, free of charge."
    )
    path: FileName | None = Field(
        default=None,
        description="An SQLite file for conversations, or a postgresql:// address for several proxies. Without it they stay in memory.",
    )


class ShortenSettings(TechniqueSettings):
    """Takes boilerplate, layout and repetition out of the developer's prompt; what users write is never changed."""

    level: Literal["format", "phrases", "sentences"] = Field(
        default="sentences", description="format: layout only. phrases: also boilerplate. sentences: also what is said twice."
    )
    schemas: Literal["response_format", "notation", "off"] = Field(
        default="response_format", description="A JSON Schema spelled out in a prompt becomes response_format, or a short notation."
    )
    tools: Flag = Field(default=True, description="Trim tool descriptions that only repeat names.")
    select_tools: Whole | None = Field(
        default=None,
        ge=3,
        le=128,
        description="About how many tools to send at most, chosen by what is asked, where the provider does not read them from its cache "
        "anyway. The others can still be called. Without it all are sent.",
    )


class PromptCacheSettings(TechniqueSettings):
    """Puts what stays the same in front, and marks it for the provider's cache where a mark pays."""

    volatile: Literal["move", "report", "off"] = Field(
        default="move", description="Clocks, UUIDs and request ids in the prompt: moved to the end, only noted, or left."
    )
    breakpoints: Flag = Field(default=True, description="Set Anthropic breakpoints where they pay.")
    hour: Flag = Field(default=True, description="Allow the one-hour lifetime for breakpoints, where it pays.")


class BatchSectionSettings(Section):
    """How jobs of `frugal batch` and BatchExecutor are run: half the price for work that can wait."""

    window_hours: Number | Whole = Field(default=24, gt=0, le=168, description="When every answer of a job must be there, in hours.")
    deadline_lane: Literal["realtime", "flex", "none"] = Field(
        default="realtime",
        description="What answers the rest before the deadline: realtime (full price), flex (nothing dearer than batch), or none.",
    )
    max_usd: Money | None = Field(default=None, description="Stop before one job could cost more than this, in US dollars.")
    no_lane: Literal["refuse", "realtime"] = Field(
        default="refuse", description="A row whose model has no batch lane: refuse it, or answer it in real time at the full price."
    )
    share_fronts: bool = Field(
        default=True, description="Send rows whose prompts begin alike side by side, and mark their front for an hour where that pays."
    )
