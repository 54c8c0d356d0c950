"""One meaning of "input" whichever provider counted."""

from __future__ import annotations

from types import SimpleNamespace

from frugal_plugins.usage import Usage, from_anthropic, from_openai


def test_openai_chat_usage_includes_cached_and_reasoning_tokens() -> None:
    raw = {
        "prompt_tokens": 2000,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 256},
    }
    assert from_openai(raw) == Usage(2000, 1024, 0, 0, 300, 256)


def test_the_responses_api_counts_under_other_names() -> None:
    raw = {
        "input_tokens": 50,
        "output_tokens": 7,
        "input_tokens_details": {"cached_tokens": 5},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    assert from_openai(raw) == Usage(50, 5, 0, 0, 7, 3)


def test_objects_are_read_like_dicts_and_none_counts_as_zero() -> None:
    raw = SimpleNamespace(prompt_tokens=10, completion_tokens=None, prompt_tokens_details=None, completion_tokens_details=None)
    assert from_openai(raw) == Usage(10)
    assert from_openai(None) == from_anthropic(None) == Usage()


def test_anthropic_leaves_cached_tokens_out_of_input_and_we_put_them_in() -> None:
    raw = {
        "input_tokens": 50,
        "cache_read_input_tokens": 1500,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 9,
    }
    usage = from_anthropic(raw)
    assert usage == Usage(1850, 1500, 200, 100, 9)
    assert usage.uncached_input_tokens == 50
