from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.errors import RecipeError
from frugal_plugins.recipe.checks import template_variables
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe

TIERS: dict[str, Any] = {"simple": {"models": ["openai/gpt-4o-mini"]}, "complex": {"models": ["openai/gpt-4o"]}}


def parsed(**more: Any) -> RecipeSettings:
    return parse(read_recipe({"recipe": "own", "tiers": TIERS, **more}))


def refused(**more: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parsed(**more)
    return str(caught.value)


@pytest.fixture
def refused_file(tmp_path: Path):
    def _refused(text: str) -> RecipeError:
        path = tmp_path / "own.yaml"
        path.write_text("tiers: {simple: {models: [a]}, complex: {models: [b]}}\n" + text)
        with pytest.raises(RecipeError) as caught:
            parse(read_recipe(path))
        return caught.value

    return _refused


def test_a_pipeline_has_messages_variables_and_defaults() -> None:
    recipe = parsed(
        tasks={"summary": {"tier": "simple"}},
        pipeline={
            "prompt": [{"system": "Answer in {language}. Write {{}} for nothing."}, {"user": "{text} {language}"}],
            "task": "summary",
        },
    )
    pipeline = recipe.pipeline
    assert pipeline is not None
    assert [(message.role, message.text) for message in pipeline.prompt] == [
        ("system", "Answer in {language}. Write {{}} for nothing."),
        ("user", "{text} {language}"),
    ]
    assert pipeline.variables == ("language", "text")
    assert (pipeline.output, pipeline.output_name, pipeline.model, pipeline.lane, pipeline.params) == (None, "answer", None, "realtime", {})


def test_a_text_is_one_user_message() -> None:
    pipeline = parsed(pipeline={"prompt": "Sum up: {text}"}).pipeline
    assert pipeline is not None
    assert [(message.role, message.text) for message in pipeline.prompt] == [("user", "Sum up: {text}")]


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        (None, "pipeline: is empty; write a prompt under it"),
        ({}, "pipeline.prompt: is missing"),
        ({"prompt": []}, "pipeline.prompt: is empty; give at least 1"),
        ({"prompt": ""}, "is empty; give at least 1"),
        ({"prompt": {"text": None}}, "pipeline.prompt: is a mapping; write a list"),
        (
            {"prompt": [{"user": {"text": None}}]},
            "pipeline.prompt[0].user: is a mapping; write text, in quotes if it looks like a number or begins with {",
        ),
        ({"prompt": [{}]}, "write a single key, system, user or assistant"),
        ({"prompt": [{"user": "a", "system": "b"}]}, "write a single key"),
        ({"prompt": [{"user": None}]}, "write a single key"),
        ({"prompt": "x", "output": {"type": "array"}}, "pipeline.output.type: must be object"),
        ({"prompt": "x", "output": {}}, "pipeline.output.properties: must name the fields"),
        ({"prompt": "x", "output": {"type": "object", "properties": {}}}, "must name the fields"),
        (
            {"prompt": "x", "output": {"type": "object", "properties": {"total": {}}, "required": "total"}},
            "pipeline.output.required: must be a list",
        ),
        (
            {"prompt": "x", "output": {"type": "object", "properties": {"total": {}}, "required": ["totl", ["x"]]}},
            "pipeline.output.required[0]: 'totl' is not a field, did you mean 'total'?",
        ),
        ({"prompt": "x", "output_name": "my answer"}, "pipeline.output_name: is 'my answer'; write at most 64 letters"),
        ({"prompt": "x", "lane": "fast"}, "pipeline.lane: is 'fast'; write one of realtime, flex"),
        (
            {"prompt": "x", "params": {"model": "y"}},
            "pipeline.params.model: is not a parameter of a pipeline; write pipeline.model instead",
        ),
        ({"prompt": "x", "params": {"api_key": "y"}}, "a recipe holds no secrets"),
        ({"prompt": "x", "params": [1]}, "pipeline.params: is a list; write 'key: value' lines"),
    ],
)
def test_a_pipeline_that_cannot_work_is_refused(pipeline: Any, says: str) -> None:
    assert says in refused(pipeline=pipeline)


def test_an_output_schema_and_params_are_kept_as_they_are() -> None:
    output = {"type": "object", "properties": {"n": {"type": ["number", "null"]}}, "required": ["n"], "additionalProperties": False}
    pipeline = parsed(pipeline={"prompt": "x", "output": output, "params": {"temperature": 0.2, "stop": ["\n"]}, "lane": "flex"}).pipeline
    assert pipeline is not None
    assert (pipeline.output, pipeline.params, pipeline.lane) == (output, {"temperature": 0.2, "stop": ["\n"]}, "flex")


@pytest.mark.parametrize(
    "bad", ["{a.b}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0}", "{a b}", "{a=}", "{ a }", "{a.__class__}", "{ä}", "{a:{b}}"]
)
def test_a_variable_is_a_plain_name(refused_file, bad: str) -> None:
    error = refused_file(f"pipeline:\n  prompt:\n    - system: fine {{text}}\n    - user: 'not {bad}'\n")
    assert "a variable is a plain name like {text}" in str(error)
    assert error.where is not None
    assert error.where.endswith("own.yaml:5:7")
    with pytest.raises(ValueError, match="plain name"):
        template_variables(bad)


@pytest.mark.parametrize("bad", ["{", "}", "{a", "a}", "{{a}", '{"json": 1'])
def test_a_lonely_brace_is_refused_with_the_way_to_write_it(bad: str) -> None:
    message = refused(pipeline={"prompt": bad})
    assert "pipeline.prompt[0]: has a brace without its partner; write {{ or }}" in message


def test_braces_that_belong_to_the_text_are_doubled() -> None:
    assert template_variables('{{"json": {value}}}') == ("value",)
    assert template_variables("{{}}") == ()
