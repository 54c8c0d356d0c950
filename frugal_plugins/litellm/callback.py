"""One CustomLogger that splits a recipe's flow over LiteLLM's hooks, for the Proxy and for `litellm.callbacks`."""

# ruff: noqa: ARG002 (LiteLLM calls its hooks with these names, used or not)

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from functools import partial
from typing import Any, Final

from litellm.integrations.custom_logger import CustomLogger

from frugal_plugins.drivers import Run, Shown, ago_on, prepared
from frugal_plugins.flow import Call
from frugal_plugins.inside import INSIDE, inside
from frugal_plugins.litellm.access import Configured, may_use
from frugal_plugins.litellm.assigned import Assigned
from frugal_plugins.litellm.convert import from_proxy, read_call, reply_of, why
from frugal_plugins.litellm.delivery import deliver, through_the_cache
from frugal_plugins.litellm.dialects import CHAT, DIALECTS, OF_ENDPOINT, Dialect
from frugal_plugins.litellm.headers import headers_of
from frugal_plugins.litellm.live import UNDERWAY, Live, marked
from frugal_plugins.litellm.sdk import originals
from frugal_plugins.litellm.stored import response_of
from frugal_plugins.litellm.streams import OPENED, counted
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Reply, Request

_OF_THE_FIRST_CALL: Final = ("litellm_logging_obj", "litellm_call_id", "stream", "stream_options", "_litellm_strip_stream_usage")


class FrugalCallback(CustomLogger):  # type: ignore[misc]
    """A recipe for LiteLLM's Proxy, and for `acompletion` in code that only sets `litellm.callbacks`.

    In the Proxy (`/v1/chat/completions`, `/v1/messages` and `/v1/responses`, streamed or not) a recipe is on: hits cost nothing,
    requests are routed to a configured `model_name` the key may use, answers are capped, answers cut short are asked again
    through the router, and each request is one row of the ledger. On the latter two routing stays with the provider whose API
    it is. A key's or team's metadata and a deployment's `model_info` may name another recipe as `frugal_recipe`. The
    recipe's own name works as a model; a key with a list of models must have it there, so give it a `model_name` in the
    config that points at the baseline model.

    Without the Proxy, LiteLLM's hooks reach `acompletion` only: hits, caps and the ledger work there; named models are never
    replaced, and the recipe's own name means its baseline model. Each attempt of a Router is a request of its own. The
    blocking `completion`, and an `acompletion` whose model or messages are given by position, have no such hook and are
    left alone: use `install` for them. With `install` in the same process, each request still travels once.

    Args:
        recipe: a Recipe, a path, a shipped recipe's name, or a dict; None lets all traffic through untouched.
    """

    def __init__(self, recipe: Recipe | str | os.PathLike[str] | Mapping[str, Any] | None) -> None:
        super().__init__()
        self.recipe = recipe if isinstance(recipe, Recipe) or recipe is None else Recipe.load(recipe)
        self.assigned = Assigned(self.recipe)

    # The Proxy.

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str) -> dict[str, Any] | None:
        """Start the flow of a proxy's request and apply its first call, or deliver the stored answer it found."""
        dialect = DIALECTS.get(call_type)
        if dialect is None:
            return None
        configured = Configured.of(_router(), getattr(user_api_key_dict, "team_id", None))
        recipe = self.assigned.recipe_for(user_api_key_dict, configured.info_behind(data.get("model")))
        if recipe is None or recipe.off or dialect is None or INSIDE.get() or marked(data) is not None:
            return None
        user_id = getattr(user_api_key_dict, "user_id", None)
        user = await cache.async_get_cache(key=user_id) if user_id and cache is not None else None
        live = await _begin_in_proxy(recipe, dialect, configured, user_api_key_dict, user, data)
        if live is None:
            return None
        UNDERWAY.add(data, live)
        await self._ask_helpers(live)
        call = live.run.call
        if call is None:
            live.reply = live.hit = live.run.result()
            data["model"] = live.name_for(recipe.baseline_model(live.asked.request)) or live.asked_name
            deliver(live, data, _router())
            ago_on(live.run.ctx, partial(self._ask, live))
            live.let_go()
            return data
        changed = live.kwargs_for(call)
        for name in data.keys() - changed.keys():
            del data[name]
        data.update(changed)
        return data

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> Any:
        """Finish the flow of an answer in one piece; an answer that was asked again replaces the first."""
        live = marked(data)
        if live is None or live.over or live.streaming:
            return None
        reply = await self._finish(live, response)
        return None if reply.raw is response else reply.raw

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Pass the chunks on, and finish the flow when they end, however they end."""
        live = marked(request_data)
        if live is None or live.over or live.streaming or live.run.call is None:
            UNDERWAY.drop(request_data)
            async for chunk in response:
                yield chunk
            return
        live.streaming = True
        UNDERWAY.drop(request_data)
        reading = live.run.chunks = live.dialect.reading(response, live.run.call.request)
        shown = Shown[Any]()
        shown.begin(live.run.call, reading)
        with live.run:
            async for chunk in reading:
                for ready in () if chunk is OPENED else shown.with_(chunk):
                    yield ready
            for ready in shown.rest():
                yield ready
            live.run.ctx.later = []
            live.finish(_billed(reading.reply(), response))
        if not shown.anything:
            for piece in await self._instead(live):
                yield piece
        live.end()
        ago_on(live.run.ctx, partial(self._ask, live))

    async def async_post_call_failure_hook(
        self, request_data: dict[str, Any], original_exception: Exception, user_api_key_dict: Any, traceback_str: str | None = None
    ) -> None:
        """Book a request that failed."""
        live = UNDERWAY.find(request_data)
        if live is not None and not live.over and not live.streaming:
            live.fail(original_exception)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Tell the caller, in `x-frugal-*`, what happened to his request."""
        live = UNDERWAY.find(data)
        if live is None:
            return None
        if live.over:
            UNDERWAY.drop(data)
        return headers_of(live)

    # `litellm.callbacks` without the Proxy.

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """Start the flow of an `acompletion` that nothing of ours has seen yet."""
        recipe = self.recipe
        named = getattr(call_type, "value", call_type)
        if recipe is None or recipe.off or named != "acompletion" or INSIDE.get() or marked(kwargs) is not None or from_proxy(kwargs):
            return None
        asked = read_call(kwargs)
        if asked is None:
            return None
        flow, ctx = asked.start(recipe, reachable=lambda model: model == asked.request.model)
        ctx.one_answer = asked.request.stream  # LiteLLM tells of it when it is over
        await prepared(ctx)
        live = Live(recipe, asked, Run(flow, ctx), asked_name=asked.request.model, name_for=lambda model: model)
        UNDERWAY.add(kwargs, live)
        await self._ask_helpers(live)
        if live.run.call is not None:
            return live.kwargs_for(live.run.call)
        live.reply = live.hit = live.run.result()
        UNDERWAY.drop(kwargs)
        ready = {"mock_response": response_of(live.hit, {"id": ctx.id}), "cache": {"no-cache": True, "no-store": True}}
        return {**kwargs, "model": recipe.baseline_model(asked.request), **ready}

    async def async_post_call_success_deployment_hook(self, request_data: dict[str, Any], response: Any, call_type: Any) -> Any:
        """Finish the flow of an `acompletion` in one piece."""
        live = marked(request_data)
        if live is None or live.over or from_proxy(request_data) or INSIDE.get():
            return None
        reply = await self._finish(live, response)
        UNDERWAY.drop(request_data)
        return None if reply.raw is response else reply.raw

    async def async_log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Finish the flow of an `acompletion` that was streamed; LiteLLM hands the whole answer in here."""
        live = UNDERWAY.find(kwargs)
        if live is None or live.over or live.streaming or not live.asked.request.stream or live.of_proxy:
            return
        live.run.ctx.later = []
        live.finish(_as_streamed(reply_of(response_obj, asked_model=live.asked.request.model), live.asked.request))
        live.end()
        ago_on(live.run.ctx, partial(self._ask, live))
        UNDERWAY.drop(kwargs)

    async def async_log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Book an `acompletion` that failed."""
        live, error = UNDERWAY.find(kwargs), kwargs.get("exception")
        if live is None or live.over or live.of_proxy or not isinstance(error, Exception):
            return
        live.fail(error)
        UNDERWAY.drop(kwargs)

    # Both.

    async def _finish(self, live: Live, response: Any) -> Reply:
        """Tell the flow the answer, make the further calls it wants, and mark what the caller gets."""
        live.run.ctx.later = []
        live.finish(_billed(live.dialect.reply_of(response, asked_model=live.asked.request.model), response))
        await self._ask_further(live)
        ago_on(live.run.ctx, partial(self._ask, live))
        reply = live.run.result()
        if isinstance(getattr(reply.raw, "_hidden_params", None), dict):
            reply.raw._hidden_params["frugal"] = {
                "id": live.run.ctx.id,
                "why": why(live.run.ctx.decisions),
                "model": reply.model,
                "recipe": live.recipe.name,
            }
        return reply

    async def _instead(self, live: Live) -> Iterable[Any]:
        """An answer that had to be waited for, because the one that was streamed was not meant for the caller."""
        asked, dialect = live.asked, live.dialect
        await self._ask_further(live)
        options = asked.kwargs.get("stream_options")
        with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        return dialect.pieces(asked.request, live.run.result(), live.run.ctx.id, with_usage)

    async def _ask_further(self, live: Live) -> None:
        """Make the further calls a flow wants after an answer."""
        while (call := live.run.call) is not None:
            with live.run:
                live.finish(await self._ask(live, call))

    async def _ask_helpers(self, live: Live) -> None:
        """Make the calls a technique wants before the answer is asked for."""
        while (call := live.run.call) is not None and call.purpose != "answer":
            with live.run:
                live.run.answer(await self._ask(live, call))

    async def _ask(self, live: Live, call: Call) -> Reply:
        """A further call: through the proxy's router where there is one, with the caller's key and books."""
        kwargs = {name: value for name, value in live.kwargs_for(call).items() if name not in _OF_THE_FIRST_CALL}
        router = _router() if live.of_proxy else None
        dialect = OF_ENDPOINT[call.request.endpoint]
        ask = originals()[1] if router is None else getattr(router, dialect.router_method)
        with inside():
            return dialect.reply_of(await ask(**kwargs), asked_model=call.request.model)


async def _begin_in_proxy(
    recipe: Recipe, dialect: Dialect, configured: Configured, key: Any, user: Any, data: dict[str, Any]
) -> Live | None:
    """Start the flow of a proxy's request: the model behind the configured name, and only models this key may use."""
    name = data.get("model")
    if not isinstance(name, str) or "," in name:
        return None
    model = name if name in recipe.own_names else configured.model_behind(name) or name
    asked = read_call({**data, "model": model}, dialect.endpoint, scope=("proxy", str(getattr(key, "api_key", None) or "")))
    if asked is None:
        return None
    if dialect is not CHAT and not through_the_cache(data, _router()):
        asked = asked.tagged(no_cache="yes", no_store="yes")

    def reachable(candidate: str) -> bool:
        listed = configured.name_for(candidate)
        return candidate == model or (listed is not None and may_use(key, user, listed))

    def own_limit(candidate: str) -> int | None:
        return configured.limit_behind(name if candidate == model else configured.name_for(candidate))

    prices = configured.prices(recipe.prices)
    flow, ctx = asked.start(recipe, host="litellm-proxy", reachable=reachable, own_limit=own_limit, prices=prices)
    ctx.later = []
    await prepared(ctx)
    return Live(recipe, asked, Run(flow, ctx), name_for=configured.name_for, asked_name=name, prices=prices)


def _billed(reply: Reply, response: Any) -> Reply:
    """The answer with the full name of the deployment's model, where the response itself only bears the deployment's id."""
    hidden = response.get("_hidden_params") if isinstance(response, Mapping) else getattr(response, "_hidden_params", None)
    named, router = (hidden.get("model_id") if isinstance(hidden, Mapping) else None), _router()
    if reply.billed_as is not None or not isinstance(named, str) or router is None:
        return reply
    deployment = router.get_deployment(model_id=named)
    return reply if deployment is None else reply.with_(billed_as=deployment.litellm_params.model)


def _as_streamed(reply: Reply, request: Request) -> Reply:
    """A stream as LiteLLM logs it: it may lack the provider's count, and LiteLLM says `stop` also for a stream that broke off."""
    usage = reply.usage if reply.usage.input_tokens else counted(request, reply.text)
    return reply.with_(usage=usage, finish="" if reply.finish == "stop" else reply.finish)


def _router() -> Any:
    """The Proxy's router, where a Proxy runs in this process."""
    return getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
