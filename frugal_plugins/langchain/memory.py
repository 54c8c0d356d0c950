"""`SummarizingMemory`: long conversations sent shorter, as a Runnable of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage, HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config

from frugal_plugins.drivers import Run
from frugal_plugins.errors import FrugalError
from frugal_plugins.flow import Call, Context, Mode, compose
from frugal_plugins.inside import inside
from frugal_plugins.langchain.hearing import hear
from frugal_plugins.langchain.messages import Conversation, as_dict
from frugal_plugins.langchain.remembered import note_in, noted, owed_for
from frugal_plugins.langchain.replies import read_reply
from frugal_plugins.langchain.tiers import Tiers
from frugal_plugins.prefix.reading import Reading
from frugal_plugins.prefix.sessions import session_key
from frugal_plugins.prefix.sizes import summary_budget
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request
from frugal_plugins.techniques.history import History
from frugal_plugins.text.summary import summarise
from frugal_plugins.text.view import said_shortly

_MOST_OWED: Final = 10_000


class SummarizingMemory(Runnable[LanguageModelInput, list[BaseMessage]]):
    """Sends a long conversation shorter, when that is cheaper: messages in, messages out.

    It is the `history` technique of a recipe on its own: the beginning of a conversation becomes a quoted summary once that pays (or
    every `every_turns` turns), tool results are written in fewer tokens, and earlier messages a question asks back for are quoted at
    its end. It cuts only before a user turn, keeps every tool call with its result, and never changes the messages you keep.

    Setup:
        `pip install 'frugal-plugins[langchain]'` and a recipe with a `history:` section. No key is needed unless the recipe names a
        `summarizer` tier; then its first model writes the summaries, in the background, for a later turn.

    Key init args:
        recipe: the recipe; its history settings, session store and prices are used.
        models, model_kwargs: as `FrugalRouter.from_recipe` takes them; for the summarizer only.
        model: the model the conversation goes to, whose price decides whether a summary pays. Without it: the recipe's baseline.

    Instantiate:
        ```python
        memory = SummarizingMemory.from_recipe(Recipe.load("support"))
        ```

    Use in a chain:
        ```python
        chain = prompt | memory | llm
        chain.invoke({"history": history, "question": "..."}, {"configurable": {"thread_id": "7"}})
        ```

    Use alone:
        ```python
        shorter = memory.invoke(messages, {"configurable": {"thread_id": "7"}})
        ```

    Sessions:
        The conversation is named by `thread_id`, `session_id` or `frugal_session` in the config's `configurable`, else by how it began.
        Its state outlives the process where the recipe says `history: {path: sessions.sqlite}`.

    In front of `FrugalRouter`:
        Its recipe's own history then stands aside, so nothing is summed up twice, and what was saved (and paid for summaries) is
        booked with the router's request. With any other model there is no ledger row.

    Errors:
        A memory that fails hands the messages on as they are. `from_recipe` raises FrugalError when the recipe has no history.
    """

    def __init__(self, recipe: Recipe, tiers: Tiers, model: str = "") -> None:
        found = next((step for step in recipe.steps if isinstance(step[0], History)), None)
        if found is None and recipe.settings.history is None:
            raise FrugalError(f"recipe {recipe.name} has no history; add a 'history:' section to it.")
        self.recipe = recipe
        self.tiers = tiers
        self.model = model or recipe.name
        self._step: tuple[History, Mode] | None = (found[0], found[1]) if found and isinstance(found[0], History) else None
        self._owed: OrderedDict[str, list[Mapping[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()
        self._writer: ThreadPoolExecutor | None = None
        self._under_way: set[Future[None]] = set()

    @classmethod
    def from_recipe(
        cls,
        recipe: Recipe,
        *,
        models: Mapping[str, BaseChatModel | str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        model: str = "",
    ) -> SummarizingMemory:
        """The memory of a recipe.

        >>> tiny = {"recipe": "tiny", "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}, "history": {}, "ledger": "off"}
        >>> SummarizingMemory.from_recipe(Recipe.load(tiny)).invoke("Hello.")[0].text
        'Hello.'
        """
        return cls(recipe, Tiers(recipe, models or {}, model_kwargs or {}), model)

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> list[BaseMessage]:  # noqa: A002
        """The messages to send instead."""
        shown: list[BaseMessage] = self._call_with_config(cast("Any", self._shorter), input, config, **kwargs)
        return shown

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[BaseMessage]:
        """The messages to send instead."""

        async def shorter(given: LanguageModelInput, config: RunnableConfig) -> list[BaseMessage]:
            return self._shorter(given, config)

        shown: list[BaseMessage] = await self._acall_with_config(cast("Any", shorter), input, config, **kwargs)
        return shown

    def summary(self, messages: Sequence[BaseMessage]) -> str:
        """The most telling sentences of a conversation, word for word: a `summarizer=` for LangChain's SummarizationMiddleware.

        Nothing is invented and no model is asked. Pass `trim_tokens_to_summarize=None` beside it, or LangChain drops what is oldest
        before this sees it.

        ```python
        SummarizationMiddleware("openai:gpt-4o", trigger=("tokens", 8000), trim_tokens_to_summarize=None, summarizer=memory.summary)
        ```
        """
        dicts = tuple(as_dict(message) for message in messages)
        settings = self.recipe.settings.history
        assert settings is not None
        terms = self._step[0].terms if self._step is not None else History().terms
        reading = Reading.of(Request(self.recipe.baseline_model(Request(self.model, ())), dicts))
        return summarise(said_shortly(dicts), summary_budget(reading, len(dicts), terms))

    def wait(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until the summaries that models are writing are there; False when it took longer."""
        with self._lock:
            under_way = set(self._under_way)
        return not wait(under_way, timeout_seconds).not_done

    def _shorter(self, given: LanguageModelInput, config: RunnableConfig) -> list[BaseMessage]:
        messages, recipe = as_messages(given), self.recipe
        whole = ensure_config(config)
        told = hear(whole.get("metadata") or {}, whole.get("configurable") or {})
        if self._step is None or recipe.off or not messages or note_in(messages) is not None:
            return messages
        conversation = Conversation.of(messages)
        request = Request(self.model, conversation.dicts, tags=told.tags, scope=("memory", recipe.name), session=told.session)
        alone = bool(recipe.settings.control_percent) and told.session is None  # a router draws such requests itself, one by one
        if alone or recipe.group_of(request, told) != "treated":
            return messages
        ctx = Context(recipe=recipe.name, clock=recipe.clock, host="langchain", one_answer=True)
        run = Run(compose([self._step], ctx)(request), ctx)
        assert run.call is not None  # the guard sees to it that a request always goes on
        shown = conversation.back(run.call.request.messages)
        run.answer(Reply({"role": "assistant", "content": ""}, self.model))
        key = session_key(request, "memory")
        with self._lock:
            owed = self._owed.pop(key, [])
        if run.call is not None:
            self._go_on(run, key)
        return noted(shown, ctx, owed)

    def _go_on(self, run: Run, key: str) -> None:
        """Let a model write its summary out of the caller's way."""
        with self._lock:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(max_workers=2, thread_name_prefix="frugal-summary")
            future = self._writer.submit(self._write, run, key)
            self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)

    def _write(self, run: Run, key: str) -> None:
        while (call := run.call) is not None:
            with run, inside():
                run.answer(self._ask(call))
        with self._lock:
            self._owed.setdefault(key, []).extend(owed_for(run.ctx.attempts))
            while len(self._owed) > _MOST_OWED:
                self._owed.popitem(last=False)

    def _ask(self, call: Call) -> Reply:
        name = self.tiers.stand_in(self.tiers.name_of(call.request.model))
        messages = Conversation((), ()).back(call.request.messages)
        config: RunnableConfig = {"run_name": "frugal_summary", "tags": ["nostream"], "metadata": {"frugal_recipe": self.recipe.name}}
        answer = self.tiers.model(name).invoke(messages, config, **call.request.params)
        return read_reply(answer, name=name, request=call.request)


def as_messages(given: LanguageModelInput) -> list[BaseMessage]:
    """What a chat model takes, as messages."""
    if isinstance(given, PromptValue):
        return given.to_messages()
    return [HumanMessage(given)] if isinstance(given, str) else convert_to_messages(given)
