"""Exports of the tools that watch LLM calls: LiteLLM's spend logs, Langfuse's observations, Helicone's requests, and plain tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.estimate.chats import priced_name, usage_of
from frugal_plugins.estimate.features import TextReading, number_of
from frugal_plugins.estimate.row import Row, Unusable, counted, lane_of, moment, whole, word
from frugal_plugins.request import Request
from frugal_plugins.told import Told
from frugal_plugins.usage import Usage

_NO_TEXT: Final = (
    "prompts, unless the tool was told to keep them",
    "without text, repeats, kinds of work and prefixes are not visible, so cache, route and cap are judged by size alone",
)
_TRUE: Final = frozenset({"true", "True", "1", "t", "TRUE"})


@dataclass(slots=True)
class _Tool:
    """What the tools' exports have in common."""

    name: str = ""
    missing: tuple[tuple[str, str], ...] = (_NO_TEXT,)
    reading: TextReading = field(default_factory=TextReading)
    uncounted: int = 0
    zoneless: int = 0

    def _time(self, record: Mapping[str, Any], *names: str) -> float | None:
        for name in names:
            if record.get(name) not in (None, ""):
                seconds, zoned = moment(record[name])
                self.zoneless += not zoned
                return seconds
        return None

    def _text(self, row: Row, body: Mapping[str, Any], tenant: Any, session: Any, tags: Any = None) -> None:
        """Read the prompt where the export kept it, else at least whose session this is."""
        messages = body.get("messages")
        tagged = {"tenant": str(tenant)} if tenant else {}
        if isinstance(messages, list) and messages and all(isinstance(message, Mapping) for message in messages):
            params = {name: value for name, value in body.items() if name not in ("messages", "model", "stream", "metadata")}
            told = Told(tags={**tagged, **({"tags": str(tags)} if tags else {})}, session=str(session) if session else None)
            request = Request(row.model, tuple(messages), params, told.tags, session=told.session, stream=body.get("stream") is True)
            self.reading.fill(row, request, told, cacheable=True)
            return
        row.tenant = number_of(str(tenant)) if tenant else None
        row.session = number_of(str(session)) if session else None
        row.can_wait = 2 * int(bool(tags) and any(word in str(tags).lower() for word in ("batch", "nightly", "offline", "backfill")))


@dataclass(slots=True)
class LiteLLMSpend(_Tool):
    """Rows of `LiteLLM_SpendLogs`: the table's export as CSV or JSON, or the proxy's /spend/logs."""

    name: str = "LiteLLM spend logs"

    def fits(self, record: Mapping[str, Any]) -> bool:
        """By two columns only this table has."""
        return "spend" in record and "startTime" in record

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The row of one spend log; a failed call cost nothing and is left out."""
        if record.get("status") == "failure":
            return []
        metadata = record.get("metadata")
        if isinstance(metadata, str):
            metadata = _object(metadata) if "usage_object" in metadata or "tags" in metadata else None
        metadata = metadata if isinstance(metadata, Mapping) else {}
        usage = metadata.get("usage_object")
        usage = usage if isinstance(usage, Mapping) else {}
        model, provider = word(record.get("model")), word(record.get("custom_llm_provider"))
        if not model:
            raise Unusable("it names no model; export the table with its 'model' column")
        name = priced_name(f"{provider}/{model}" if provider and "/" not in model else model, model)
        batch = "batch" in str(record.get("call_type") or "")
        row = Row(self._time(record, "startTime", "endTime"), name, lane_of(batch, usage.get("service_tier")))
        counted(row, _litellm_usage(usage, whole(record.get("prompt_tokens")), whole(record.get("completion_tokens"))))
        row.stored_answer = str(record.get("cache_hit")) in _TRUE
        body = _object(record.get("proxy_server_request"))
        if "messages" not in body:
            body = {"messages": _list(record.get("messages"))}
        self._text(row, body, record.get("team_id") or record.get("end_user"), record.get("session_id"), record.get("request_tags"))
        key = str(record.get("cache_key") or "")
        if row.exact is None and len(key) >= 32:
            row.exact = row.canonical = row.near = number_of(key)
        return [row]


def _litellm_usage(usage: Mapping[str, Any], asked: int, answered: int) -> Usage:
    """LiteLLM's `prompt_tokens` includes cached tokens at every provider."""
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    read = whole(details.get("cached_tokens")) or whole(usage.get("cache_read_input_tokens"))
    write = whole(usage.get("cache_creation_input_tokens")) or whole(details.get("cache_creation_tokens"))
    split = details.get("cache_creation_token_details")
    hour = whole(split.get("ephemeral_1h_input_tokens")) if isinstance(split, Mapping) else 0
    thought = usage.get("completion_tokens_details")
    return Usage(
        input_tokens=asked or whole(usage.get("prompt_tokens")),
        cache_read_tokens=read,
        cache_write_5m_tokens=max(0, write - hour),
        cache_write_1h_tokens=hour,
        output_tokens=answered or whole(usage.get("completion_tokens")),
        reasoning_tokens=whole(thought.get("reasoning_tokens")) if isinstance(thought, Mapping) else 0,
    )


@dataclass(slots=True)
class Langfuse(_Tool):
    """Langfuse observations, from the UI, the API or blob storage; only generations cost tokens."""

    name: str = "Langfuse observations"

    def fits(self, record: Mapping[str, Any]) -> bool:
        """By the names Langfuse gives to what it observed."""
        return ("traceId" in record or "trace_id" in record) and any(
            name in record for name in ("usageDetails", "usage_details", "promptTokens", "completionStartTime", "provided_model_name")
        )

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The row of one generation; spans and events are left out."""
        if str(record.get("type") or "GENERATION").upper() != "GENERATION":
            return []
        details = _object(record.get("usageDetails") or record.get("usage_details") or record.get("usage"))
        model = word(record.get("model") or record.get("provided_model_name") or record.get("providedModelName"))
        if not model:
            raise Unusable("this generation names no model; export it with its model name")
        tier = _object(record.get("modelParameters") or record.get("model_parameters")).get("service_tier")
        row = Row(self._time(record, "startTime", "start_time"), priced_name(model, model), lane_of(tier))
        counted(row, _langfuse_usage(details, record))
        asked = record.get("input")
        body = {"messages": asked} if isinstance(asked := _list(asked) or asked, list) else _object(asked)
        owner = record.get("userId") or record.get("user_id")
        self._text(row, body, owner, record.get("sessionId") or record.get("session_id"), record.get("tags"))
        return [row]


def _langfuse_usage(details: Mapping[str, Any], record: Mapping[str, Any]) -> Usage:
    """Langfuse keeps any names; whether `input` includes cached tokens shows in the total."""
    read = sum(whole(details.get(name)) for name in ("input_cached_tokens", "cache_read_input_tokens", "input_cache_read"))
    hour = whole(details.get("cache_creation_1h_input_tokens")) + whole(details.get("input_cache_creation_1h"))
    write = sum(whole(details.get(name)) for name in ("cache_creation_input_tokens", "input_cache_creation", "input_cache_creation_5m"))
    paid = whole(details.get("input")) or whole(record.get("promptTokens") or record.get("prompt_tokens"))
    out = whole(details.get("output")) or whole(record.get("completionTokens") or record.get("completion_tokens"))
    thought = whole(details.get("output_reasoning_tokens")) or whole(details.get("output_reasoning"))
    total = whole(details.get("total")) or whole(record.get("totalTokens"))
    cached = read + write + hour
    included = cached > 0 and total > 0 and abs(paid + out - total) <= abs(paid + out + cached - total) and abs(paid + out - total) < cached
    out += thought if total and paid + out + (0 if included else cached) + thought <= total else 0
    return Usage(paid if included else paid + cached, read, write, hour, out, thought)


@dataclass(slots=True)
class Helicone(_Tool):
    """Helicone requests, from its export tool or its API."""

    name: str = "Helicone requests"

    def fits(self, record: Mapping[str, Any]) -> bool:
        """By the names Helicone gives to a request."""
        return "request_created_at" in record or ("request_id" in record and "response_status" in record)

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The row of one request; one that failed cost nothing and is left out."""
        status = whole(record.get("response_status"))
        if status >= 400 or status < 0:
            return []
        body, answer = _object(record.get("request_body")), _object(record.get("response_body"))
        model = word(record.get("request_model") or record.get("model") or body.get("model"))
        answered = word(record.get("response_model") or answer.get("model"))
        if not (model or answered):
            raise Unusable("it names no model; export it with 'request_model' or its body")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, Mapping) else {}
        row = Row(self._time(record, "request_created_at", "response_created_at"), priced_name(model or answered, answered))
        row.lane = lane_of(answer.get("service_tier"), usage.get("service_tier"), body.get("service_tier"))
        counted(row, usage_of(usage, row.model, answer) if usage else _helicone_usage(record, row.model))
        row.stored_answer = bool(record.get("cache_reference_id")) and not str(record["cache_reference_id"]).startswith("00000000-0000")
        properties = _object(record.get("request_properties") or record.get("properties"))
        owner = record.get("request_user_id") or record.get("user_id")
        self._text(row, body, owner, properties.get("Helicone-Session-Id"), ",".join(map(str, properties.values())))
        return [row]


def _helicone_usage(record: Mapping[str, Any], model: str) -> Usage:
    """Without the body: Anthropic's prompt_tokens leave cached tokens out, OpenAI's include them."""
    read, write = whole(record.get("prompt_cache_read_tokens")), whole(record.get("prompt_cache_write_tokens"))
    paid = whole(record.get("prompt_tokens"))
    return Usage(paid + read + write if "claude" in model else paid, read, write, 0, whole(record.get("completion_tokens")))


@dataclass(slots=True)
class PlainTable(_Tool):
    """Any table with a model and token counts."""

    name: str = "a table of models and token counts"

    def fits(self, record: Mapping[str, Any]) -> bool:
        """A model and at least one count we know the name of."""
        return "model" in record and any(name in record for name in ("input_tokens", "prompt_tokens", "output_tokens", "completion_tokens"))

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The row of one line; `requests` says how many it stands for, else one."""
        if not record.get("model"):
            raise Unusable("it names no model; fill the 'model' column")
        at = self._time(record, "timestamp", "time", "at", "date", "created_at", "start_time")
        lane = lane_of(str(record.get("batch")) in _TRUE, record.get("service_tier"), record.get("lane"))
        row = Row(at, word(record["model"]), lane, requests=whole(record.get("requests")) or 1)
        paid = whole(record.get("input_tokens")) or whole(record.get("prompt_tokens"))
        out = whole(record.get("output_tokens")) or whole(record.get("completion_tokens"))
        read = whole(record.get("cached_tokens")) or whole(record.get("cache_read_tokens"))
        writes = whole(record.get("cache_write_5m_tokens")), whole(record.get("cache_write_1h_tokens"))
        counted(row, Usage(paid, read, *writes, out, whole(record.get("reasoning_tokens"))))
        row.task, row.task_source = (word(record["task"]), "declared") if record.get("task") else ("", "")
        row.session = number_of(str(record["session"])) if record.get("session") else None
        return [row]


def _object(value: Any) -> Mapping[str, Any]:
    """A mapping, or one written as JSON in a cell; an empty one for anything else."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    if isinstance(value, str) and value[:1] == "[":
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []
