"""Raw requests and responses as programs write them down, in OpenAI's and Anthropic's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from frugal_plugins.estimate.features import TextReading
from frugal_plugins.estimate.row import Row, Unusable, counted, lane_of, moment, word
from frugal_plugins.prices import PriceBook
from frugal_plugins.request import Request
from frugal_plugins.tokens import count_messages, count_text
from frugal_plugins.told import Told, read_told
from frugal_plugins.usage import Usage, from_anthropic, from_openai

_TIMES: Final = ("timestamp", "at", "time", "created_at", "created", "start_time", "startTime", "date")
_REQUESTS: Final = ("request", "body", "input", "params", "kwargs")
_RESPONSES: Final = ("response", "output", "completion", "result")
_FRAME: Final = frozenset({"messages", "model", "input", "stream", "metadata", "frugal", "usage", "response", "output", "body", "request"})
_FINISHED: Final = frozenset({"stop", "end_turn", "completed", "stop_sequence"})


@dataclass(slots=True)
class Chats:
    """Lines with a request, a response, or both."""

    name: str = "raw requests and responses"
    missing: tuple[tuple[str, str], ...] = ()
    reading: TextReading = field(default_factory=TextReading)
    uncounted: int = 0
    zoneless: int = 0

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a record has a chat request or a billed response in it."""
        return _body(record) is not None or _answer(record) is not None

    def rows(self, record: Mapping[str, Any]) -> list[Row]:
        """The row of one record."""
        body, answer = _body(record) or {}, _answer(record) or {}
        usage = answer.get("usage") or record.get("usage")
        model = priced_name(word(body.get("model") or record.get("model")), word(answer.get("model")))
        if not model:
            raise Unusable("it names no model; add the request's or the response's 'model'")
        if answer.get("error") or record.get("error"):
            return []
        at, zoned = _time(record, answer)
        lane = lane_of(record.get("batch"), answer.get("service_tier"), _of(usage, "service_tier"), body.get("service_tier"))
        row = Row(at, model, "batch" if _is_batch_line(record) else lane)
        counted(row, self._usage(usage, body, answer, model))
        row.stored_answer = record.get("cache_hit") is True
        self.zoneless += not zoned
        messages = body.get("messages")
        if messages is None and isinstance(body.get("input"), str):
            messages = [{"role": "user", "content": body["input"]}]
        elif messages is None:
            messages = body.get("input")
        if isinstance(messages, list) and all(isinstance(message, Mapping) for message in messages):
            self._read(row, body, messages, answer, record)
        return [row]

    def _read(self, row: Row, body: Mapping[str, Any], messages: list[Any], answer: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        said = record.get("frugal") or (body.get("metadata") or {}).get("frugal") or {}
        told = read_told({"frugal": said}) if isinstance(said, Mapping) else Told()
        params = {name: value for name, value in body.items() if name not in _FRAME}
        request = Request(row.model, tuple(messages), params, told.tags, session=told.session, stream=body.get("stream") is True)
        metadata = record.get("metadata")
        marked = 2 if record.get("deferrable") is True or (isinstance(metadata, Mapping) and metadata.get("deferrable") is True) else 0
        finish = _finish(answer)
        self.reading.fill(row, request, told, cacheable=finish in _FINISHED or finish is None, waits=marked)

    def _usage(self, usage: Any, body: Mapping[str, Any], answer: Mapping[str, Any], model: str) -> Usage:
        if isinstance(usage, Mapping) and usage:
            try:
                return usage_of(usage, model, answer)
            except (TypeError, ValueError, OverflowError, AttributeError):
                raise Unusable("its 'usage' does not hold numbers of tokens; export the line again or remove it") from None
        self.uncounted += 1
        messages = body.get("messages")
        if not isinstance(messages, list):
            raise Unusable("it has neither a 'usage' nor the messages to count; log the response's 'usage' as well")
        asked = count_messages([m for m in messages if isinstance(m, Mapping)], model, params=body)
        return Usage(input_tokens=asked, output_tokens=count_text(_text(answer), model))


def usage_of(usage: Mapping[str, Any], model: str, answer: Mapping[str, Any]) -> Usage:
    """Either provider's counts; Anthropic's input leaves cached tokens out, OpenAI's includes them."""
    native = answer.get("type") == "message" or "cache_read_input_tokens" in usage or "cache_creation" in usage or "claude" in model
    if "prompt_tokens" not in usage and native and "input_tokens_details" not in usage:
        return from_anthropic(usage)
    return from_openai(usage)


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _body(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name in _REQUESTS:
        inner = record.get(name)
        if isinstance(inner, Mapping) and ("messages" in inner or "input" in inner or "model" in inner):
            return inner
    return (
        record if isinstance(record.get("messages"), list) or (isinstance(record.get("input"), str | list) and "model" in record) else None
    )


def _answer(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for name in _RESPONSES:
        inner = record.get(name)
        if isinstance(inner, Mapping):
            inside = inner.get("body")
            return inside if isinstance(inside, Mapping) else inner
    return record if isinstance(record.get("usage"), Mapping) and "model" in record else None


def _is_batch_line(record: Mapping[str, Any]) -> bool:
    """A line of a provider's batch result file."""
    response = record.get("response")
    return "custom_id" in record and isinstance(response, Mapping) and "status_code" in response


@lru_cache(maxsize=2048)
def priced_name(asked: str, answered: str) -> str:
    """The name to price by: the first of the two that has a price, else the first."""
    named = [name for name in (asked, answered) if name]
    book = PriceBook()
    return next((name for name in named if book.rates(name) is not None), named[0] if named else "")


def _time(record: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[float | None, bool]:
    for source in (record, answer):
        for name in _TIMES:
            if source.get(name) not in (None, ""):
                return moment(source[name])
    return None, True


def _finish(answer: Mapping[str, Any]) -> str | None:
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return str(choices[0].get("finish_reason") or "") or None
    return answer.get("stop_reason") or answer.get("status")


def _text(answer: Mapping[str, Any]) -> str:
    """The text of an answer without counts."""
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return str((choices[0].get("message") or {}).get("content") or "")
    content = answer.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return str(content or answer.get("text") or "")
