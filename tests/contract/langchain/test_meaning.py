"""Answers by meaning through `FrugalRouter`, and LiteLLM's words for one call in the metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from frugal_plugins.embedding import named
from frugal_plugins.embedding.embed import FunctionEmbedder
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Sandbox
from tests.meanings import SIZE, of_letters

CACHE = {"similarity": 0.95, "audit_percent": 0, "embedding_seconds": 5}
FIRST, OTHER = "When do you open on Sunday?", "When do you open on the Sunday?"


@pytest.fixture(autouse=True)
def _letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "open_embedder", lambda _: FunctionEmbedder("letters", of_letters, SIZE))


async def ask(router: FrugalRouter, how: str, text: str, **frugal: Any) -> None:
    config: Any = {"metadata": {"frugal": frugal}} if frugal else None
    if how == "invoke":
        router.invoke(text, config)
    elif how == "ainvoke":
        await router.ainvoke(text, config)
    elif how == "stream":
        list(router.stream(text, config))
    else:
        [chunk async for chunk in router.astream(text, config)]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_other_words_are_a_hit_and_words_for_one_call_are_kept_to(
    how: str, router_of: Callable[..., FrugalRouter], sandbox: Sandbox
) -> None:
    router = router_of(cache=CACHE)
    for text, said, asked in (
        (FIRST, {"cache": {"no-store": True}}, 1),
        (FIRST, {}, 2),
        (OTHER, {}, 2),
        (OTHER, {"cache": {"no-cache": True}}, 3),
        (OTHER, {"cache": {"namespace": "b2b"}}, 4),
        (FIRST, {"cache": {"namespace": "b2b"}}, 4),
        (FIRST, {"tenant": "acme", "cache": {"ttl": 0}}, 5),
        (FIRST, {"tenant": "acme"}, 6),
    ):
        await ask(router, how, text, **said)
        assert len(sandbox.requests()) == asked, (text, said)
