"""What no technique touches is as it was: bytes, errors, signatures, objects."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from frugal_plugins.litellm import install, uninstall
from frugal_plugins.litellm.delivery import offer
from frugal_plugins.sandbox import Fault
from tests.contract.litellm.conftest import MakeRecipe, rows, user

if TYPE_CHECKING:
    from frugal_plugins.sandbox import Sandbox

TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}},
}
BODIES: dict[str, dict[str, Any]] = {
    "plain": {"messages": user("Tell me about the harbour.")},
    "warm": {"messages": user("Tell me about the harbour."), "temperature": 0.3, "seed": 7, "stop": ["END"], "user": "u-1"},
    "tools": {"messages": user("Where is order 7?"), "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    "two": {"messages": user("A name for a boat?"), "n": 2},
    "form": {"messages": user("Give me a JSON object."), "response_format": {"type": "json_object"}, "max_tokens": 50},
    "system": {
        "messages": [{"role": "system", "content": "Be brief."}, *user("Hello "), {"role": "assistant", "content": "Hi."}, *user("So?")]
    },
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Read this."}]}]},
    "odd": {"messages": user('caf\u00e9 \u2014 \U0001f600 {"a": 1}\n\ttab'), "extra_body": {"store": False}, "logit_bias": {"50256": -100}},
    "metadata": {"messages": user("Who are you?"), "metadata": {"frugal": {"tenant": "acme", "cache": {"no-cache": True}}, "trace": "t-1"}},
    "usage": {"messages": user("Stream it."), "stream": True, "stream_options": {"include_usage": True}},
}


def _ask(openai: dict[str, Any], model: str, body: dict[str, Any]) -> Any:
    answer = litellm.completion(model=model, **body, **openai)
    return list(answer) if body.get("stream") else answer


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("techniques", [{"cache": "off", "route": "off", "cap": "off"}, {}], ids=["all off", "nothing to do"])
def test_bytes_upstream_are_the_same(
    name: str, techniques: dict[str, Any], sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe
) -> None:
    body = {**BODIES[name], "metadata": BODIES[name].get("metadata", {"frugal": {"cache": {"no-cache": True}}})}
    _ask(openai, "gpt-4o", body)
    install(make_recipe(**techniques))
    _ask(openai, "gpt-4o", body)
    plain, through = sandbox.requests()
    assert plain.raw == through.raw
    assert plain.path == through.path
    assert b"frugal" not in through.raw


async def test_bytes_upstream_are_the_same_async(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    for body in (BODIES["tools"], BODIES["odd"], BODIES["form"]):
        sandbox.reset()
        await litellm.acompletion(model="gpt-4o", **body, **openai)
        install(make_recipe())
        await litellm.acompletion(model="gpt-4o", **body, **openai)
        uninstall()
        plain, through = sandbox.requests()
        assert plain.raw == through.raw


def test_a_stream_only_gains_the_question_for_usage(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    list(litellm.completion(model="gpt-4o", messages=user("Tell me."), stream=True, **openai))
    install(make_recipe())
    list(litellm.completion(model="gpt-4o", messages=user("Tell me."), stream=True, **openai))
    plain, through = (request.body for request in sandbox.requests())
    assert through == {**plain, "stream_options": {"include_usage": True}}


def test_the_callers_objects_are_not_changed(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    install(make_recipe())
    messages, metadata = user("Is water wet, yes or no?"), {"frugal": {"task": "yes_no"}}
    litellm.completion(model="gpt-4o", messages=messages, metadata=metadata, **openai)
    assert messages == user("Is water wet, yes or no?")
    assert metadata["frugal"] == {"task": "yes_no"}


@pytest.mark.parametrize("kind", ["unauthorized", "rate_limit", "server_error"])
def test_errors_are_liteLLMs_own(kind: Any, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    seen = []
    recipe = make_recipe()
    for through in (False, True):
        if through:
            install(recipe)
        for stream in (False, True):
            sandbox.faults.add(Fault(kind))
            with pytest.raises(Exception) as caught:  # noqa: PT011 (which one it is, is the question)
                litellm.completion(model="gpt-4o", messages=user("Hello"), stream=stream, **openai)
            error: Any = caught.value
            seen.append((type(error), error.status_code, error.llm_provider, error.model, str(error)))
    assert seen[:2] == seen[2:]
    assert [(row["outcome"], row["error"]) for row in rows(recipe)] == [("error", seen[0][0].__name__)] * 2


async def test_a_model_nobody_has_is_the_same_404(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    seen = []
    for through in (False, True):
        if through:
            install(make_recipe())
        with pytest.raises(litellm.NotFoundError) as caught:
            await litellm.acompletion(model="gpt-4o-of-tomorrow", messages=user("Hello"), custom_llm_provider="openai", **openai)
        seen.append((caught.value.status_code, str(caught.value), caught.value.model))
    assert seen[0] == seen[1]


def test_an_error_is_the_very_object_liteLLM_raised(make_recipe: MakeRecipe) -> None:
    from frugal_plugins.litellm.convert import read_call
    from frugal_plugins.litellm.sdk_chat import answer

    raised = litellm.RateLimitError("slow down", "openai", "gpt-4o")

    def original(**_: Any) -> Any:
        raise raised

    asked = read_call({"model": "gpt-4o", "messages": user("Hello")})
    assert asked is not None
    with pytest.raises(litellm.RateLimitError) as caught:
        answer(make_recipe(), asked, original)
    assert caught.value is raised


def test_install_and_uninstall(make_recipe: MakeRecipe) -> None:
    before = litellm.completion, litellm.acompletion
    first, second = make_recipe(), make_recipe(recipe="other")
    assert install(first) is first
    entry = litellm.completion
    assert entry is not before[0]
    assert inspect.signature(entry) == inspect.signature(before[0])
    assert entry.__name__ == "completion"
    assert inspect.iscoroutinefunction(litellm.acompletion)
    assert install(second) is second
    assert litellm.completion is entry
    uninstall()
    assert (litellm.completion, litellm.acompletion) == before
    uninstall()
    assert (litellm.completion, litellm.acompletion) == before


def test_an_entry_kept_after_uninstall_is_liteLLMs_own(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    kept = litellm.completion
    uninstall()
    assert kept(model="gpt-4o", messages=user("Hello"), **openai).choices[0].message.content
    assert rows(recipe) == []


def test_positional_arguments(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    litellm.completion("gpt-4o", user("Hello"), 30, 0.0, **openai)
    with pytest.raises(TypeError):
        litellm.completion("gpt-4o", user("Hello"), model="gpt-4o", **openai)
    assert [row["outcome"] for row in rows(recipe)] == ["answered"]


def test_kill_switch(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    monkeypatch.setenv("FRUGAL_OFF", "1")
    for _ in range(2):
        litellm.completion(model="gpt-4o", messages=user("Is it, yes or no?"), **openai)
    assert [request.body["model"] for request in sandbox.requests()] == ["gpt-4o", "gpt-4o"]
    assert rows(recipe) == []


def test_off_in_metadata_is_obeyed_and_booked(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    for _ in range(2):
        litellm.completion(model="gpt-4o", messages=user("Is it, yes or no?"), metadata={"frugal": {"off": True}}, **openai)
    assert [request.body for request in sandbox.requests()] == [{"model": "gpt-4o", "messages": user("Is it, yes or no?")}] * 2
    assert [row["grp"] for row in rows(recipe)] == ["bypassed", "bypassed"]


def test_shadow_says_and_does_not(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe(mode="shadow"))
    for _ in range(2):
        answer = litellm.completion(model="gpt-4o", messages=user("Is it, yes or no?"), **openai)
    assert [request.body for request in sandbox.requests()] == [{"model": "gpt-4o", "messages": user("Is it, yes or no?")}] * 2
    assert "would" in answer._hidden_params["frugal"]["why"]
    assert {row["mode"] for row in rows(recipe, "SELECT mode FROM decisions")} == {"shadow"}


@pytest.mark.parametrize("messages", ["Hello", [], [("user", "Hello")], None])
def test_odd_shapes_go_to_liteLLM_as_they_are(messages: Any, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    seen = []
    recipe = make_recipe()
    for through in (False, True):
        if through:
            install(recipe)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            litellm.completion(model="gpt-4o", messages=messages, **openai)
        seen.append((type(caught.value), str(caught.value)))
    assert seen[0] == seen[1]
    assert rows(recipe) == []


def test_an_answer_of_liteLLM_in_the_conversation(sandbox: Sandbox, openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    sandbox.provider.book.add(
        {"user": "Where is order 7?", "outputs": {"*": {"tool_calls": [{"name": "look_up", "arguments": {"order": "7"}}]}}}
    )
    recipe = install(make_recipe())
    messages: list[Any] = user("Where is order 7?")
    answer = litellm.completion(model="gpt-4o", messages=messages, tools=[TOOL], **openai).choices[0].message
    messages += [answer, {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "in Oslo"}]
    litellm.completion(model="gpt-4o", messages=messages, tools=[TOOL], **openai)
    sent = sandbox.requests()[-1].body["messages"][1]["tool_calls"]
    assert sent[0]["function"]["name"] == "look_up"
    assert len(rows(recipe)) == 2


def test_a_plain_answer_gains_only_our_note(openai: dict[str, Any], make_recipe: MakeRecipe) -> None:
    recipe = install(make_recipe())
    answer = litellm.completion(model="gpt-4o", messages=user("Hello"), **openai)
    assert isinstance(answer, litellm.ModelResponse)
    noted = answer._hidden_params["frugal"]
    assert noted == {"id": rows(recipe)[0]["id"], "why": noted["why"], "model": "gpt-4o-2024-08-06", "recipe": "support"}
    assert "unknown work stays safe" in noted["why"]


def test_signatures_are_the_same_where_our_cache_is_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("acompletion", "anthropic_messages", "aresponses")
    before = [inspect.signature(getattr(litellm, name)) for name in names]
    monkeypatch.setattr(litellm, "cache", None)
    assert offer()
    assert [inspect.signature(getattr(litellm, name)) for name in names] == before
    assert inspect.signature(inspect.unwrap(litellm.acompletion)) is inspect.signature(inspect.unwrap(litellm.acompletion))
