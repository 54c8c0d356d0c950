"""How a stored answer reaches a proxy's caller: LiteLLM asks its cache for every call, and ours hands out what the flow decided."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import litellm
from litellm.caching.caching import Cache

from frugal_plugins.litellm.dialects import OF_ENDPOINT
from frugal_plugins.litellm.live import Live, marked
from frugal_plugins.litellm.stored import response_of


class HitCache(Cache):  # type: ignore[misc]
    """Holds nothing: gives each call the answer its own flow found, and stores none, since the recipe's cache does that."""

    def __init__(self) -> None:
        heard = [(listed, "cache" in listed) for listed in (litellm.success_callback, litellm._async_success_callback)]
        super().__init__(type="local", supported_call_types=["acompletion", "anthropic_messages", "aresponses"])
        for listed, before in heard:  # LiteLLM would prepare its log a second time, in a thread, to store what is not stored here
            if "cache" in listed and not before:
                listed.remove("cache")

    def get_cache_key(self, **kwargs: Any) -> str:
        """LiteLLM wants a key for every call; nothing is looked up by it."""
        return f"frugal-{kwargs.get('litellm_call_id') or ''}"

    async def async_get_cache(self, dynamic_cache_object: object = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """The answer decided for this very call, once."""
        live = marked(kwargs)
        return None if live is None else taken(live)

    def get_cache(self, dynamic_cache_object: object = None, **kwargs: Any) -> None:
        """Blocking calls get their hits from the entry points that `install` puts in place."""

    def add_cache(self, result: object, **kwargs: Any) -> None:
        """Nothing is stored here."""

    async def async_add_cache(self, result: object, dynamic_cache_object: object = None, **kwargs: Any) -> None:
        """Nothing is stored here."""


def taken(live: Live) -> dict[str, Any] | None:
    """The answer that waits for this call, in the form LiteLLM keeps responses in its caches."""
    if live.hit is None:
        return None
    request = live.asked.request
    found = OF_ENDPOINT[request.endpoint].stored(request, live.hit, live.run.ctx.id)
    live.hit = None
    return found


def offer() -> bool:
    """Put our cache where LiteLLM looks, unless the user has one there; whether ours is the one."""
    if litellm.cache is None:
        litellm.cache = HitCache()
        _say_signatures(litellm.cache.supported_call_types)
    return isinstance(litellm.cache, HitCache)


def _say_signatures(names: Iterable[str]) -> None:
    """Write the signatures of LiteLLM's functions where `inspect` looks first: where a cache is set, LiteLLM asks twice for every call."""
    for function in (inspect.unwrap(getattr(litellm, name)) for name in names if hasattr(litellm, name)):
        if inspect.isfunction(function) and "__signature__" not in vars(function):
            function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]


def through_the_cache(data: Mapping[str, Any], router: Any) -> bool:
    """Whether LiteLLM will ask our cache for this call: it is in place, and neither the user nor the caller has turned it off."""
    ours = isinstance(litellm.cache, HitCache) and getattr(router, "cache_responses", False) is True
    controls = data.get("cache")
    return ours and data.get("caching") is not False and not (isinstance(controls, dict) and controls.get("no-cache"))


def deliver(live: Live, data: dict[str, Any], router: Any) -> None:
    """See to it that the answer found for a call is what its caller gets, without a call upstream.

    Where LiteLLM asks our cache, it finds the answer there and logs a hit. Where the user has a cache of his own, or has
    turned caching off for this call, a chat's answer travels as `mock_response` (logged as a call of no tokens at no cost)
    and is kept out of the user's cache. The other APIs have no such way, so there nothing is looked up in the first place.
    """
    if live.hit is not None and not through_the_cache(data, router):
        data["mock_response"] = response_of(live.hit, {"id": live.run.ctx.id})
        data["cache"] = {"no-cache": True, "no-store": True}
        live.hit = None
