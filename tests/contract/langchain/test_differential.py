"""With all techniques off, everything is as LangChain alone makes it: answers, chunks, exceptions, usage, bytes."""

from __future__ import annotations

from tests.contract.differential import chain
from tests.contract.differential.corpus import corpus

SOME = 42


def test_chat_requests_are_as_without_us() -> None:
    assert chain.sync_differences(corpus("chat", SOME)) == []


def test_messages_requests_are_as_without_us() -> None:
    assert chain.sync_differences(corpus("messages", SOME)) == []


def test_awaited_requests_are_as_without_us() -> None:
    assert chain.async_differences([*corpus("chat", SOME // 2), *corpus("messages", SOME // 2)]) == []
