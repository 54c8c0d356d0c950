"""Tokens are counted offline and like the provider counts them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from frugal_plugins.tokens import PER_IMAGE, count_messages, count_text, developer_tokens, encoding, encoding_name, most_tokens


@pytest.mark.parametrize(
    "message",
    [
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:," + "A" * 50_000}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image", "source": {"data": "A" * 50_000}}]}],
        },
    ],
)
def test_a_picture_a_tool_came_back_with_costs_what_a_picture_costs(message: dict[str, Any]) -> None:
    assert PER_IMAGE <= count_messages([message]) < PER_IMAGE + 60


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


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_a_developers_message_counts_the_same_remembered_or_not(model: str) -> None:
    said = {"role": "system", "content": "You help. <|endoftext|> 椅子"}
    assert developer_tokens(said, model) == developer_tokens(dict(said), model) == count_messages([said], model) - 3


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": [{"type": "text", "text": "hi"}]},
        {"role": "system", "content": "hi", "name": "x"},
        {"role": "system", "content": None},
    ],
)
def test_other_messages_are_not_remembered_by_their_text(message: dict[str, object]) -> None:
    assert developer_tokens(message, "gpt-4o") is None


@given(role=st.sampled_from(["user", "assistant", "system", "tool"]), text=st.text())
def test_a_message_never_has_more_tokens_than_its_most(role: str, text: str) -> None:
    most = most_tokens({"role": role, "content": text}, "gpt-4o")
    assert most is not None
    assert most >= count_messages([{"role": role, "content": text}]) - 3
