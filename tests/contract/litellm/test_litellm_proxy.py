"""The real LiteLLM Proxy in a process of its own, asked by the real OpenAI client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import BASE, user
from tests.contract.litellm.proxies import RunningProxy, running


@pytest.fixture(autouse=True)
def _nothing_left(proxy: RunningProxy) -> Iterator[None]:
    proxy.new_rows(0)
    proxy.sandbox.reset()
    yield
    proxy.sandbox.reset()


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_plain(proxy: RunningProxy) -> None:
    answer, ours = proxy.ask("Tell me about the harbour.", temperature=0.2)
    assert answer.choices[0].message.content
    assert proxy.sandbox.requests()[0].body == {"model": "gpt-4o", "messages": user("Tell me about the harbour."), "temperature": 0.2}
    (row,) = proxy.books_agree(1)
    assert (row["id"], row["outcome"], row["host"]) == (ours["x-frugal-id"], "answered", "litellm-proxy")
    assert (ours["x-frugal-recipe"], ours["x-frugal-cache"], ours["x-frugal-model"]) == ("support", "miss", "openai/gpt-4o")
    assert ours["x-frugal-saved-usd"] == "0"
    assert "unknown work stays safe" in ours["x-frugal-why"]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["no usage", "usage"])
def test_stream(proxy: RunningProxy, options: dict[str, Any]) -> None:
    chunks, ours = proxy.ask(f"Tell me about tides {len(options)}.", stream=True, **options)
    assert text_of(chunks)
    assert bool(chunks[-1].usage) is bool(options)
    (row,) = proxy.books_agree(1)
    assert (row["id"], row["stream"], row["finish_reason"]) == (ours["x-frugal-id"], 1, "stop")


def test_hits(proxy: RunningProxy) -> None:
    first, _ = proxy.ask("Do you ship to Norway?")
    again, ours = proxy.ask("do you ship to Norway")
    streamed, _ = proxy.ask("Do you ship to Norway?", stream=True)
    counted, _ = proxy.ask("Do you ship to Norway?", stream=True, stream_options={"include_usage": True})
    _, bypass = proxy.ask("Do you ship to Norway?", extra_body={"cache": {"no-cache": True}})
    assert again.choices[0].message.content == text_of(streamed) == text_of(counted) == first.choices[0].message.content
    assert again.id != first.id
    assert (again.usage.total_tokens, again.model) == (0, "gpt-4o")
    assert counted[-1].usage.total_tokens == 0
    assert streamed[-1].choices[0].finish_reason == "stop"
    assert (ours["x-frugal-cache"], bypass["x-frugal-cache"]) == ("hit", "miss")
    assert float(ours["x-frugal-saved-usd"]) == float(proxy.sandbox.invoice().lines[0].usd)
    assert len(proxy.sandbox.requests()) == 2
    assert [row["outcome"] for row in proxy.books_agree(5)] == ["answered", "hit", "hit", "hit", "answered"]


def test_a_hit_with_the_hosts_caching_turned_off(proxy: RunningProxy) -> None:
    first, _ = proxy.ask("Do you ship to Peru?")
    again, ours = proxy.ask("Do you ship to Peru?", extra_body={"caching": False})
    streamed, _ = proxy.ask("Do you ship to Peru?", extra_body={"caching": False}, stream=True)
    assert again.choices[0].message.content == text_of(streamed) == first.choices[0].message.content
    assert ours["x-frugal-cache"] == "hit"
    assert len(proxy.sandbox.requests()) == 1
    proxy.books_agree(3)


@pytest.mark.parametrize("name", ["gpt-4o", "support", "frugal"])
def test_routed_to_a_configured_name(proxy: RunningProxy, name: str) -> None:
    answer, ours = proxy.ask(f"May {name} be returned?", model=name, extra_body={"metadata": {"frugal": {"task": "yes_no"}}})
    assert answer.model == name
    assert proxy.sandbox.requests()[0].body == {"model": "gpt-4o-mini", "messages": user(f"May {name} be returned?"), "max_tokens": 5}
    assert ours["x-frugal-model"] == "openai/gpt-4o-mini"
    assert float(ours["x-frugal-saved-usd"]) > 0
    assert "route simple" in ours["x-frugal-why"]
    (row,) = proxy.books_agree(1)
    assert row["model_baseline"] == "openai/gpt-4o"


def test_the_own_name_for_hard_work_and_for_hits(proxy: RunningProxy) -> None:
    for name in ("support", "frugal"):
        first, _ = proxy.ask(f"Tell {name} of the sea.", model=name)
        again, ours = proxy.ask(f"Tell {name} of the sea.", model=name)
        assert again.choices[0].message.content == first.choices[0].message.content
        assert ours["x-frugal-cache"] == "hit"
    assert [request.body["model"] for request in proxy.sandbox.requests()] == ["gpt-4o", "gpt-4o"]
    proxy.books_agree(4)


def test_an_answer_cut_short_is_asked_again(proxy: RunningProxy) -> None:
    said = {"metadata": {"frugal": {"task": "extraction"}}}
    answer, ours = proxy.ask("Every name in this long list, please.", extra_body=said)
    assert [request.body["max_tokens"] for request in proxy.sandbox.requests()] == [3, 256]
    assert answer.choices[0].finish_reason == "stop"
    assert "cap retry" in ours["x-frugal-why"]
    proxy.books_agree(1)


def test_anthropic_behind_the_proxy(proxy: RunningProxy) -> None:
    proxy.ask("Tell me about moons.", model="haiku")
    chunks, _ = proxy.ask("Tell me about other moons.", model="haiku", stream=True)
    assert text_of(chunks)
    assert {row["model_answered"] for row in proxy.books_agree(2)} == {"anthropic/claude-haiku-4-5"}


def test_off_in_metadata(proxy: RunningProxy) -> None:
    for _ in range(2):
        _, ours = proxy.ask("Is it, yes or no?", extra_body={"metadata": {"frugal": {"off": True}}})
    assert [request.body for request in proxy.sandbox.requests()] == [{"model": "gpt-4o", "messages": user("Is it, yes or no?")}] * 2
    assert ours["x-frugal-cache"] == "bypass"
    assert [row["grp"] for row in proxy.books_agree(2)] == ["bypassed"] * 2


def test_errors_pass_and_are_booked(proxy: RunningProxy) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        proxy.ask("Hello", temperature=77)
    assert "x-frugal-id" in caught.value.response.headers
    with pytest.raises(openai.BadRequestError):
        proxy.ask("Hello", model="nobody-knows")
    proxy.sandbox.faults.add(*(Fault("rate_limit") for _ in range(20)))
    with pytest.raises(openai.RateLimitError):
        proxy.ask("Hello to the limit")
    assert [row["outcome"] for row in proxy.books_agree(3)] == ["error"] * 3


def test_a_stream_the_provider_breaks(proxy: RunningProxy) -> None:
    proxy.sandbox.faults.add(Fault("disconnect", after_chunks=3))
    with pytest.raises(openai.APIError):
        proxy.ask("Tell me about the storm.", stream=True)
    assert [row["outcome"] for row in proxy.new_rows(1)] == ["error"]


def test_a_reader_who_leaves(proxy: RunningProxy) -> None:
    stream = proxy.client.chat.completions.create(
        model="gpt-4o",
        messages=user("Write a very long story about the harbour, in many sentences."),
        stream=True,  # type: ignore[arg-type]
    )
    next(iter(stream))
    stream.close()
    (row,) = proxy.new_rows(1)
    assert row["outcome"] == "closed"
    assert row["input_tokens"] > 0


def test_one_call_id_for_all_mixes_nothing_up(proxy: RunningProxy) -> None:
    def ask(number: int) -> tuple[int, Any]:
        return number, proxy.ask(f"What is word {number % 6}?", extra_headers={"x-litellm-call-id": "the-same"}, stream=number % 2 == 1)[0]

    for number in range(6):
        proxy.sandbox.provider.book.add({"user": f"What is word {number}?", "outputs": {"*": f"word-{number}"}})
    with ThreadPoolExecutor(6) as pool:
        for number, answer in pool.map(ask, range(24)):
            said = text_of(answer) if isinstance(answer, list) else answer.choices[0].message.content
            assert said == f"word-{number % 6}"
    proxy.books_agree(24)


def test_a_recipe_that_cannot_be_used_stops_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("recipe: broken\ntiers: {a: {models: [openai/gpt-4o]}}\nbaseline: nowhere\n")
    with running(tmp_path, str(broken), callbacks=["frugal_plugins.litellm.proxy"]) as up:
        answer, ours = up.ask("Is it, yes or no?")
        assert answer.choices[0].message.content
        assert not [name for name in ours if name.startswith("x-frugal")]
        said = [line for line in up.log.read_text().splitlines() if "FRUGAL_RECIPE cannot be used" in line]
    assert len(said) == 1
    assert "nowhere" in said[0]
    assert "untouched" in said[0]


def test_a_sample_of_answers_is_judged_stored_ones_too_and_all_of_it_is_booked(tmp_path: Path) -> None:
    recipe = tmp_path / "judged.yaml"
    sections = {"cache": {}, "judge": {"percent": 100}, "ledger": {"path": str(tmp_path / "ledger.sqlite")}}
    recipe.write_text(json.dumps({**BASE, **sections}))
    with running(tmp_path, str(recipe), callbacks=["frugal_plugins.litellm.proxy"]) as up:
        first, _ = up.ask("Do you ship to Norway?")
        again, ours = up.ask("Do you ship to Norway?")
        streamed, _ = up.ask("Do you ship to Sweden?", stream=True)
        rows = up.new_rows(3)
        bill = int(up.sandbox.invoice().total_usd * 10**12)
    assert again.choices[0].message.content == first.choices[0].message.content
    assert (ours["x-frugal-cache"], bool(text_of(streamed))) == ("hit", True)
    assert sum(row["actual_picousd"] for row in rows) == bill
    assert [row["judge_picousd"] > 0 for row in rows] == [True] * 3
    assert next(row for row in rows if row["outcome"] == "hit")["judge_picousd"] < bill
