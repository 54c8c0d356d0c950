"""`FrugalRouter`: a chat model that sends each request where the recipe says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.config import merge_configs
from langchain_core.tools import BaseTool
from pydantic import BaseModel, model_validator

from frugal_plugins.flow import Context, ask
from frugal_plugins.inside import INSIDE
from frugal_plugins.langchain.asking import Asking
from frugal_plugins.langchain.batch_lane import BatchLane
from frugal_plugins.langchain.calls import request_of, streams
from frugal_plugins.langchain.described import Described
from frugal_plugins.langchain.hearing import hear
from frugal_plugins.langchain.messages import Conversation
from frugal_plugins.langchain.output import Output, routed_output
from frugal_plugins.langchain.remembered import book, note_in
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.langchain.voices import InnerVoice, PublicVoice, Voice, as_chunk
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request


class FrugalRouter(BatchLane, Described):
    """A chat model that sends each request where the recipe says: cache, history, route, cap, then the chosen model itself.

    The chosen model is called through its public methods with the same config, so its callbacks, rate limiter, cache and its real name
    in traces stay, and tokens are counted once. Errors of the provider and of LangChain reach the caller as the same object.

    Setup:
        `pip install 'frugal-plugins[langchain]'`, the keys of your providers in the environment (`OPENAI_API_KEY`, ...), and a recipe.
        `FRUGAL_OFF=1` makes the router a plain chat model; `mode: shadow` in the recipe decides and books, but changes nothing.

    Key init args:
        recipe: the recipe.
        models: chat models of yours by the recipe's names (`openai/gpt-4o-mini`), or what `init_chat_model` takes (`openai:gpt-4o`).
        model_kwargs: arguments for the models that are built here, from the environment.
        model: the model requests name. Empty lets the recipe choose. A named model is never replaced by a dearer one.
        task: which kind of work this router's requests are, unless the caller says otherwise.

    Instantiate:
        ```python
        from frugal_plugins import Recipe
        from frugal_plugins.langchain import FrugalRouter

        llm = FrugalRouter.from_recipe(Recipe.load("support"), model="openai/gpt-4o")
        ```

    Invoke:
    >>> from frugal_plugins import Recipe
    >>> from langchain_core.language_models.fake_chat_models import FakeListChatModel
    >>> tiers = {"small": {"models": ["openai/gpt-4o-mini"]}, "large": {"models": ["openai/gpt-4o"]}}
    >>> tasks = {"yes_no": {"tier": "small"}}
    >>> recipe = Recipe.load({"recipe": "shop", "tiers": tiers, "tasks": tasks, "route": {}, "cache": {}, "ledger": "off"})
    >>> models = {name: FakeListChatModel(responses=[name]) for name in ("openai/gpt-4o-mini", "openai/gpt-4o")}
    >>> llm = FrugalRouter.from_recipe(recipe, models=models)
    >>> llm.invoke("Is it late?", {"metadata": {"frugal": {"task": "yes_no"}}}).content
    'openai/gpt-4o-mini'
    >>> llm.invoke("Weigh the risks of both offers.").content
    'openai/gpt-4o'

        In the config, `metadata={"frugal": {...}}` takes `task`, `tenant`, `session`, `user`, `team`, `off` and `cache`;
        `configurable` takes `frugal_task` and `frugal_session`. A `thread_id` is the session when nothing else is named.

    Stream:
    >>> "".join(chunk.content for chunk in llm.stream("Weigh the risks of both offers, again."))
    'openai/gpt-4o'

        The first piece carries the note. An answer that is shown piece by piece is never asked again.

    Async:
        `ainvoke`, `astream`, `abatch` and `astream_events` do the same.

    Tool calling:
        ```python
        llm.bind_tools([get_weather]).invoke("What is the weather in Oslo?").tool_calls
        ```
        Tools are put into the provider's own form once a model is chosen. Answers that call tools are never cached.

    Structured output:
        ```python
        llm.with_structured_output(Person, include_raw=False).invoke("John is 41 years old.")
        ```
        Every `method` the chosen model knows. An answer that ended at the token limit raises TruncatedOutput instead of being guessed.

    Batch:
        `batch` keeps the order. With `metadata={"frugal": {"lane": "batch"}}` on a list, or with `BatchExecutor`, rows go to the
        provider's batch API at half the price.

    Usage metadata:
    >>> hit = llm.invoke("Weigh the risks of both offers.")
    >>> hit.response_metadata["frugal"]["cache"], hit.usage_metadata["total_tokens"]
    ('hit', 0)

        A stored answer passes the callbacks with zero usage and a fresh id; what it once cost is in `frugal.saved_usage`.
        `get_frugal_callback()` sums up tokens, dollars and savings by technique.

    Response metadata:
    >>> sorted(llm.invoke("Weigh the risks of both offers.").response_metadata["frugal"])
    ['cache', 'id', 'model', 'recipe', 'saved_usage', 'why']

        `id` names the request in the ledger. Runs in traces have `frugal_id`, `frugal_recipe`, `frugal_model` and `frugal_why` in their
        metadata; where LangSmith traces, the note also has `cost_usd` and `saved_usd`.

    Raises:
        MissingExtra: no integration for a needed model is installed.
        NotReachable: a needed model cannot be built, for want of a key.
    """

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        models: Mapping[str, BaseChatModel | str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        model: str = "",
        task: str | None = None,
    ) -> FrugalRouter:
        """A router for a recipe. Models are built on first use from the environment's keys, unless you give your own."""
        return cls(recipe=recipe, models=models or {}, model_kwargs=model_kwargs or {}, model=model, task=task)

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "recipe" not in values or values.get("tiers") is not None:
            return values
        recipe = values["recipe"] if isinstance(values["recipe"], Recipe) else Recipe.load(values["recipe"])
        tiers = Tiers(recipe, values.get("models") or {}, values.get("model_kwargs") or {})
        return {**values, "recipe": recipe, "tiers": tiers}

    # What LangChain calls.

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Ask, and wait for the answer."""
        return self._asking(input, config, stop, kwargs).answer()

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Ask, and await the answer."""
        return await self._asking(input, config, stop, kwargs).aanswer()

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Ask, and read the answer piece by piece."""
        if self._streaming_disabled(**kwargs):
            yield as_chunk(self.invoke(input, config, stop=stop, **kwargs))
            return
        yield from self._asking(input, config, stop, kwargs, stream=True).pieces()

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Ask, and read the answer piece by piece with `async for`."""
        if self._streaming_disabled(**kwargs):
            yield as_chunk(await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        async with aclosing(self._asking(input, config, stop, kwargs, stream=True).apieces()) as chunks:
            async for chunk in chunks:
                yield chunk

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools. They are put into the provider's own form once a model is chosen."""
        chosen = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=list(tools), **chosen, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answers as objects of `schema`, from whichever model is chosen, in the way that model does it best.

        `method` and `strict` are handed on to it. An answer that ended at the token limit raises TruncatedOutput (with
        `include_raw=True` it is in `parsing_error`), where models by themselves may return None or repaired data.
        """
        options = {name: value for name, value in kwargs.items() if value is not None}
        return routed_output(self, Output(schema, options), include_raw=include_raw)

    def plain_model(self) -> str:
        """The model a request goes to when the recipe has no say: the one it names, else the baseline."""
        named = self.model or self._recipe.name
        return self.tiers_in_use.stand_in(self.tiers_in_use.name_of(self._recipe.baseline_model(Request(named, ()))))

    # What LangChain calls from within a run of the router's own: generate, stream_events(version="v3").

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        answer = self._inner(messages, stop, InnerVoice(run_manager), run_manager, kwargs).answer()
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = await self._inner(messages, stop, InnerVoice(run_manager), run_manager, kwargs).aanswer()
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._inner(messages, stop, InnerVoice(run_manager), run_manager, kwargs, stream=True).pieces():
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._inner(messages, stop, InnerVoice(run_manager), run_manager, kwargs, stream=True).apieces()) as chunks:
            async for chunk in chunks:
                yield ChatGenerationChunk(message=chunk)

    # How a request starts on its way.

    def _asking(
        self,
        given: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        stream: bool = False,
    ) -> Asking:
        whole = ensure_config(config)
        own = {"callbacks": self.callbacks, "tags": self.tags, "metadata": self._own_metadata()}
        own = {name: value for name, value in own.items() if value}
        if own:
            whole = merge_configs(cast("RunnableConfig", own), whole)
        messages = self._messages(given)
        voice = PublicVoice(whole)
        metadata, configurable = whole.get("metadata") or {}, whole.get("configurable") or {}
        return self._started(messages, stop, voice, metadata, configurable, kwargs, stream=stream or streams(whole))

    def _own_metadata(self) -> dict[str, Any]:
        """What the owner of the router says in traces; LangChain's note of its own versions each tier has by itself."""
        return {name: value for name, value in (self.metadata or {}).items() if name != "lc_versions"}

    def _messages(self, given: LanguageModelInput) -> list[BaseMessage]:
        """What was asked; a list of messages is what it is already."""
        if type(given) is list and all(isinstance(message, BaseMessage) for message in given):
            return list(given)
        return self._convert_input(given).to_messages()

    def _inner(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        voice: Voice,
        manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
        *,
        stream: bool = False,
    ) -> Asking:
        metadata = manager.metadata if manager is not None else {}
        configurable = ensure_config().get("configurable") or {}
        return self._started(messages, stop, voice, metadata, configurable, kwargs, stream=stream)

    def _started(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        voice: Voice,
        metadata: Mapping[str, Any],
        configurable: Mapping[str, Any],
        kwargs: dict[str, Any],
        *,
        stream: bool,
    ) -> Asking:
        recipe, tiers = self._recipe, self.tiers_in_use
        kwargs = kwargs if stop is None else {**kwargs, "stop": stop}
        output: Output | None = kwargs.pop("frugal_output", None)
        model: str = kwargs.pop("model", None) or self.model or recipe.name
        conversation = Conversation.of(messages)
        request = request_of(conversation, model, kwargs, output, scope=(tiers.fingerprint,), stream=stream)
        untouched = recipe.off or INSIDE.get()
        if untouched:
            flow, ctx = ask(request.with_(model=recipe.baseline_model(request))), Context(recipe=recipe.name)
        else:
            told, remembered = hear(metadata, configurable, self.task), note_in(messages)
            without = () if remembered is None else ("history",)
            flow, ctx = recipe.flow(
                request, told=told, host="langchain", reachable=tiers.reachable, own_limit=self._own_limit, without=without
            )
            ctx.one_answer = request.stream  # callbacks of the model inside tell its tokens as they come
            if remembered is not None:
                book(remembered, ctx)
            request = request.with_(tags={**request.tags, **told.tags}, session=told.session)
        return Asking(recipe, tiers, voice, conversation, kwargs, request, flow, ctx, output, untouched)
