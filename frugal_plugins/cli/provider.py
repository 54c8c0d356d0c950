"""Where requests go: the sandbox on loopback, or the real providers with the keys of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from frugal_plugins.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

_ELSEWHERE: Final = (
    *("OPENAI_API_BASE", "OPENAI_ORGANIZATION", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
"""Variables that would lead a request away from the sandbox."""
_LITELLM_OFFLINE: Final = (
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS",
    "LITELLM_LOCAL_POLICY_TEMPLATES",
    "LITELLM_LOCAL_BLOG_POSTS",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS",
)
"""Switches that keep `import litellm` from fetching lists; what it ships is enough."""


def load_litellm() -> None:
    """Import LiteLLM quietly: nothing fetched, nothing printed."""
    for name in _LITELLM_OFFLINE:
        os.environ.setdefault(name, "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False


def needs_sandbox() -> None:
    """Raises MissingExtra when the sandbox cannot run here."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtra(package, "sandbox")


@contextmanager
def pointed_at(sandbox: Sandbox) -> Iterator[None]:
    """Point LiteLLM's environment at the sandbox, for both of its APIs, and put everything back afterwards."""
    changes: dict[str, str | None] = {
        **dict.fromkeys(_ELSEWHERE),
        "OPENAI_BASE_URL": sandbox.openai_base_url,
        "ANTHROPIC_API_BASE": sandbox.anthropic_base_url,
    }
    with environment({**changes, **keys_for("anyone")}):
        yield


def keys_for(tenant: str) -> dict[str, str]:
    """The sandbox keys of a tenant. A provider keeps one prompt cache per key, so tenants do not share theirs."""
    return dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY"), f"sandbox-{tenant}")


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables (None removes one) and put them back."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def demand_keys(models: Iterable[str]) -> None:
    """Raises InputError, naming the variable, when a model's provider needs a key that the environment does not have."""
    import litellm

    for model in models:
        found = litellm.validate_environment(model)
        missing = [] if found["keys_in_environment"] else list(found["missing_keys"])
        if missing:
            raise InputError(
                f"{' and '.join(missing)} is not set, and {model} needs it. Nothing was sent. Set it, or use --provider sandbox."
            )
