"""The plain call: variables in, Reply out, with the prompt and the output schema the recipe's `pipeline` declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from frugal_plugins.errors import InputError
from frugal_plugins.litellm import sdk
from frugal_plugins.litellm.convert import Asked, read_call, reply_of
from frugal_plugins.recipe.pipeline_settings import PipelineSettings
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Message, Reply
from frugal_plugins.text.schemas import minimised


def complete(
    recipe: Recipe,
    variables: Mapping[str, Any] | None = None,
    /,
    *,
    messages: list[Message] | None = None,
    model: str | None = None,
    task: str | None = None,
    tenant: str | None = None,
    session: str | None = None,
    team: str | None = None,
    **params: Any,
) -> Reply:
    """Ask through LiteLLM and the recipe, and get the Reply.

    Fills the recipe's `pipeline.prompt` with `variables`, or takes `messages` as they are. `task`, `tenant`, `session` and
    `team` say what `metadata.frugal` would; `params` go to `litellm.completion`. Raises InputError when a variable is
    missing or there is nothing to ask; the provider's errors come as LiteLLM raises them.
    """
    asked, adjust = _asked(recipe, variables, messages, model, params, task=task, tenant=tenant, session=session, team=team)
    if not recipe.off:
        return sdk.ask_once(recipe, asked, adjust)
    kwargs = adjust(_without_recipe(recipe, asked))
    return reply_of(sdk.originals()[0](**kwargs), asked_model=kwargs["model"])


async def acomplete(
    recipe: Recipe,
    variables: Mapping[str, Any] | None = None,
    /,
    *,
    messages: list[Message] | None = None,
    model: str | None = None,
    task: str | None = None,
    tenant: str | None = None,
    session: str | None = None,
    team: str | None = None,
    **params: Any,
) -> Reply:
    """`complete`, awaited."""
    asked, adjust = _asked(recipe, variables, messages, model, params, task=task, tenant=tenant, session=session, team=team)
    if not recipe.off:
        return await sdk.aask_once(recipe, asked, adjust)
    kwargs = adjust(_without_recipe(recipe, asked))
    return reply_of(await sdk.originals()[1](**kwargs), asked_model=kwargs["model"])


def fill(template: str, variables: Mapping[str, Any]) -> str:
    """A template with its {names} replaced; {{ and }} stand for braces. Mappings and lists are written as JSON.

    >>> fill("Is {text} a {{question}}?", {"text": "this"})
    'Is this a {question}?'
    """
    parts: list[str] = []
    for literal, name, _, _ in Formatter().parse(template):
        parts.append(literal)
        if name is None:
            continue
        if name not in variables:
            raise InputError(f"the prompt needs the variable '{name}'; pass it in variables")
        value = variables[name]
        parts.append(json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (Mapping, list, tuple)) else str(value))
    return "".join(parts)


def pipeline_body(pipeline: PipelineSettings, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The request a recipe's pipeline makes of variables, as a chat completion body. Raises InputError where one is missing."""
    body: dict[str, Any] = {
        **pipeline.params,
        "messages": [{"role": one.role, "content": fill(one.text, variables)} for one in pipeline.prompt],
    }
    if pipeline.model is not None:
        body["model"] = pipeline.model
    if pipeline.output is not None:
        body["response_format"] = _response_format(pipeline.output_name, pipeline.output)
    return body


def _asked(
    recipe: Recipe,
    variables: Mapping[str, Any] | None,
    messages: list[Message] | None,
    model: str | None,
    params: Mapping[str, Any],
    **told: str | None,
) -> tuple[Asked, Callable[[dict[str, Any]], dict[str, Any]]]:
    """The call as LiteLLM's keyword arguments, read, and what is still to be added when its model is known."""
    pipeline = recipe.settings.pipeline
    if params.get("stream"):
        raise InputError("complete() returns a whole Reply; for a stream call install(recipe) and litellm.completion(stream=True)")
    kwargs: dict[str, Any] = {**(pipeline.params if pipeline else {}), **params}
    kwargs["model"] = model or (pipeline.model if pipeline else None) or recipe.name
    kwargs["messages"] = messages if messages is not None else _messages(recipe, variables or {})
    if pipeline is not None and pipeline.output is not None and messages is None:
        kwargs.setdefault("response_format", _response_format(pipeline.output_name, pipeline.output))
    said = {"task": pipeline.task if pipeline and messages is None else None}
    said |= {name: value for name, value in told.items() if value is not None}
    kwargs["metadata"] = _metadata(params.get("metadata"), said)
    asked = read_call(kwargs)
    if asked is None:
        raise InputError("messages must be a list of dicts with role and content; check what is passed as messages")
    flex = pipeline is not None and pipeline.lane == "flex"
    return asked, (lambda sent: _on_flex(recipe, sent)) if flex else dict


def _messages(recipe: Recipe, variables: Mapping[str, Any]) -> list[Message]:
    pipeline = recipe.settings.pipeline
    if pipeline is None:
        raise InputError(f"the recipe '{recipe.name}' has no pipeline.prompt; pass messages=[...], or write a prompt into the recipe")
    return [{"role": message.role, "content": fill(message.text, variables)} for message in pipeline.prompt]


def _metadata(given: Any, said: Mapping[str, str | None]) -> dict[str, Any]:
    before = dict(given) if isinstance(given, Mapping) else {}
    frugal = before.get("frugal")
    told = {name: value for name, value in said.items() if value is not None}
    return {**before, "frugal": {**told, **frugal} if isinstance(frugal, Mapping) else told}


def _response_format(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The output schema as a provider wants it, without what says nothing; `strict` where the schema allows it."""
    return {"type": "json_schema", "json_schema": {"name": name, "schema": minimised(schema), "strict": _closed(schema)}}


def _closed(schema: Any) -> bool:
    """Whether every object in a schema names all its fields as required and allows no others, as strict mode demands."""
    if isinstance(schema, (list, tuple)):
        return all(map(_closed, schema))
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object":
        fields = schema.get("properties")
        if not isinstance(fields, Mapping) or schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != set(fields):
            return False
    return all(map(_closed, schema.values()))


def _on_flex(recipe: Recipe, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The slower, cheaper lane, for a model that has one."""
    if "service_tier" in kwargs or recipe.prices.rates(kwargs["model"], lane="flex") is None:
        return kwargs
    return {**kwargs, "service_tier": "flex"}


def _without_recipe(recipe: Recipe, asked: Asked) -> dict[str, Any]:
    """The arguments when FRUGAL_OFF is set: a recipe's own name becomes a model, and that is all."""
    return {**asked.kwargs, "model": recipe.baseline_model(asked.request)}
