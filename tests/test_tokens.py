"""Tokens are counted offline and like the provider counts them."""

from __future__ import annotations

import socket

import pytest
import tiktoken

from frugal_plugins.tokens import count_messages, count_text, encoding, encoding_name


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    encoding.cache_clear()
    assert count_text("hello world") == 2


def test_the_vocabulary_follows_the_model() -> None:
    assert [encoding_name(m) for m in ("gpt-4", "openai/gpt-4-turbo", "gpt-4o", "claude-haiku-4-5", "o3-mini")] == [
        "cl100k_base", "cl100k_base", "o200k_base", "o200k_base", "o200k_base",
    ]  # fmt: skip


def test_special_tokens_in_a_text_are_text() -> None:
    assert count_text("<|endoftext|>") > 1


def test_tools_images_and_tool_calls_count() -> None:
    text = [{"role": "user", "content": "hi"}]
    image = [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x" * 9000}}]}]
    calls = [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]
    tools = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]
    assert count_messages(image) == count_messages(text) + 85
    assert count_messages(calls) > 10
    assert count_messages(text, params={"tools": tools}) > count_messages(text) + 10


def test_the_count_of_a_text_is_tiktokens() -> None:
    words = "Der Stuhl wurde am 3. Mai geliefert, 椅子 🙂"
    assert count_text(words) == len(tiktoken.get_encoding("o200k_base").encode(words))
