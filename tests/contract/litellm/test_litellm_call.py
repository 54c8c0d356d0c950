"""`recipe.complete`: variables in, Reply out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins import Reply, Request
from frugal_plugins.errors import InputError
from frugal_plugins.litellm import acomplete, complete, install, request_of
from frugal_plugins.litellm.call import fill
from tests.contract.litellm.conftest import MakeRecipe, booked_picousd, invoiced_picousd, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
    "required": ["name", "city"],
    "additionalProperties": False,
}
PROMPT = [{"system": "You read {language}."}, {"user": "Who wrote this, and where? {{JSON}} {text}"}]


def test_the_pipeline_of_a_recipe(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    pipeline = {"prompt": PROMPT, "output": SCHEMA, "output_name": "author", "task": "extraction", "params": {"temperature": 0}}
    recipe = make_recipe(pipeline=pipeline)
    reply = recipe.complete({"language": "English", "text": "Ada, Oslo", "row": 1}, **openai)
    assert isinstance(reply, Reply)
    assert set(reply.json()) == {"name", "city"}
    body = sandbox.requests()[-1].body
    assert body["model"] == "gpt-4o-mini"
    assert body["messages"] == [
        {"role": "system", "content": "You read English."},
        {"role": "user", "content": "Who wrote this, and where? {JSON} Ada, Oslo"},
    ]
    assert body["temperature"] == 0
    assert body["response_format"]["json_schema"] == {"name": "author", "schema": SCHEMA, "strict": True}
    assert rows(recipe)[0]["task"] == "extraction"
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


async def test_awaited_and_remembered(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(pipeline={"prompt": "Is {thing} wet, yes or no?"})
    first = await recipe.acomplete({"thing": "water"}, tenant="acme", **openai)
    again = complete(recipe, {"thing": "water"}, tenant="acme", **openai)
    other = await acomplete(recipe, {"thing": "water"}, tenant="other", **openai)
    assert (again.text, again.saved) == (first.text, first.usage)
    assert other.saved is None
    assert len(sandbox.requests()) == 2


def test_messages_model_and_names(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    reply = complete(
        recipe, messages=user("Hello"), model="gpt-4o", task="yes_no", tenant="acme", session="s-1", team="blue", temperature=0.5, **openai
    )
    assert reply.text
    assert sandbox.requests()[0].body == {"model": "gpt-4o-mini", "messages": user("Hello"), "temperature": 0.5, "max_tokens": 5}
    row = rows(recipe)[0]
    assert (row["team"], row["task"], row["task_source"]) == ("blue", "yes_no", "declared")
    assert row["tenant_hash"]
    assert row["session_hash"]


def test_it_uses_liteLLMs_own_functions_under_install(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe, other = make_recipe(), make_recipe(recipe="other")
    install(other)
    complete(recipe, messages=user("Hello"), **openai)
    assert [row["recipe"] for row in rows(recipe)] == ["support"]


def test_the_flex_lane_where_the_model_has_one(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    tiers = {"simple": {"models": ["openai/gpt-4o-mini"]}, "standard": {"models": ["openai/o3"]}}
    recipe = make_recipe(tiers=tiers, pipeline={"prompt": "{q}", "lane": "flex"})
    slow = recipe.complete({"q": "Prove that there are infinitely many primes."}, **openai)
    quick = recipe.complete({"q": "Is water wet, yes or no?"}, **openai)
    assert [request.body.get("service_tier") for request in sandbox.requests()] == ["flex", None]
    assert (slow.lane, quick.lane) == ("flex", "standard")
    assert booked_picousd(recipe) == invoiced_picousd(sandbox)


def test_the_kill_switch_leaves_a_plain_call(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(pipeline={"prompt": "Is {thing} wet, yes or no?"})
    monkeypatch.setenv("FRUGAL_OFF", "1")
    assert recipe.complete({"thing": "water"}, **openai).text
    assert sandbox.requests()[0].body == {"model": "gpt-4o", "messages": user("Is water wet, yes or no?")}
    assert rows(recipe) == []


def test_what_is_missing_is_named(make_recipe: MakeRecipe) -> None:
    with pytest.raises(InputError, match="variable 'thing'"):
        complete(make_recipe(pipeline={"prompt": "Is {thing} wet?"}), {"other": 1})
    with pytest.raises(InputError, match=r"no pipeline\.prompt"):
        complete(make_recipe())
    with pytest.raises(InputError, match="stream"):
        complete(make_recipe(), messages=user("Hello"), stream=True)
    with pytest.raises(InputError, match="messages"):
        complete(make_recipe(), messages=["Hello"])  # type: ignore[list-item]


def test_errors_of_the_provider_come_as_they_are(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    with pytest.raises(litellm.BadRequestError):
        complete(make_recipe(), messages=user("Hello"), temperature=77, **openai)


@pytest.mark.parametrize(
    ("template", "filled"),
    [("{a}{b}", "1x"), ("{{{a}}}", "{1}"), ("{c}", '{"k": ["\u00e9"]}'), ("{d}", "{a}"), ("plain", "plain")],
)
def test_templates(template: str, filled: str) -> None:
    assert fill(template, {"a": 1, "b": "x", "c": {"k": ["\u00e9"]}, "d": "{a}"}) == filled


def test_a_request_from_keyword_arguments() -> None:
    kwargs = {
        "model": "gpt-4o",
        "messages": user("Hello"),
        "temperature": 0,
        "top_p": None,
        "api_key": "sk-secret",
        "timeout": 3,
        "metadata": {"trace": 1},
        "num_retries": 2,
        "stream": True,
        "user": "u-1",
    }
    request = request_of(kwargs)
    assert isinstance(request, Request)
    assert request.params == {"temperature": 0, "user": "u-1"}
    assert request.stream
    assert "sk-secret" not in repr(request)
    assert request.scope != request_of({**kwargs, "api_key": "sk-other"}).scope
    with pytest.raises(ValueError, match="messages"):
        request_of({"model": "gpt-4o", "messages": "Hello"})
