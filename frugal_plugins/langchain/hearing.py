"""What a LangChain caller says about a request, in the config's metadata or its `configurable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from frugal_plugins.errors import FrugalError
from frugal_plugins.told import NOTHING, Told, read_told

_SESSIONS: Final = ("frugal_session", "thread_id", "session_id")  # ours, LangGraph's, RunnableWithMessageHistory's
_USERS: Final = ("user_id", "langgraph_auth_user_id")


def hear(metadata: Mapping[str, Any], configurable: Mapping[str, Any], task: str | None = None, *, in_batch: bool = False) -> Told:
    """Read the config. What stands under `frugal` wins over `frugal_task` and `frugal_session`, and those over the router's own task.

    Raises FrugalError for a single request that asks for the batch lane: it would be answered at the full price.

    >>> hear({"frugal": {"tenant": "acme"}}, {"thread_id": "7"}).session
    '7'
    """
    if not metadata and not configurable and task is None:
        return NOTHING
    session = next((configurable[name] for name in _SESSIONS if configurable.get(name)), None)
    said: dict[str, Any] = {"task": configurable.get("frugal_task") or task, "session": session}
    for place in (metadata, configurable):
        more = place.get("frugal")
        if isinstance(more, Mapping):
            said |= more
    if said.pop("lane", None) == "batch" and not in_batch:
        raise FrugalError(
            "the batch lane is for lists: call batch() on the chain, with the router in its place (not inside of a parallel map, a branch "
            "or a function), or use BatchExecutor. Nothing was sent."
        )
    return read_told({"frugal": {name: value for name, value in said.items() if value is not None}})


def user_of(metadata: Mapping[str, Any], configurable: Mapping[str, Any]) -> str:
    """Whose call this is, for budgets: what `frugal` says, else `user_id`, else whom LangGraph's server let in, else ""."""
    told = hear(metadata, configurable).tags.get("user")
    named = (place.get(name) for name in _USERS for place in (configurable, metadata))
    return told or next((str(user) for user in named if user), "")
