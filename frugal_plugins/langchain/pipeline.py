"""A recipe's `pipeline` section as a Runnable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable

from frugal_plugins.langchain.output import Output, routed_output
from frugal_plugins.langchain.router import FrugalRouter
from frugal_plugins.recipe.pipeline_settings import PipelineSettings
from frugal_plugins.recipe.recipe import Recipe


def runnable(recipe: Recipe, *, models: Mapping[str, BaseChatModel | str] | None = None) -> Runnable[Any, Any]:
    """The recipe's pipeline: variables in, an AIMessage out, or a dict where the recipe declares an `output` schema.

    A recipe without a `pipeline` section gives just the router: messages in, an AIMessage out.

    >>> from frugal_plugins import Recipe
    >>> tiny = {"recipe": "tiny", "tiers": {"only": {"models": ["openai/gpt-4o-mini"]}}, "pipeline": {"prompt": "Say {word}."}}
    >>> runnable(Recipe.load(tiny)).input_schema.model_json_schema()["required"]
    ['word']
    """
    pipeline: PipelineSettings | None = recipe.settings.pipeline
    if pipeline is None:
        return FrugalRouter.from_recipe(recipe, models=models)
    router = FrugalRouter.from_recipe(recipe, models=models, model=pipeline.model or "", task=pipeline.task)
    params = dict(pipeline.params)
    if pipeline.lane == "flex":
        params["service_tier"] = "flex"
    prompt = ChatPromptTemplate.from_messages([(message.role, message.text) for message in pipeline.prompt])
    if pipeline.output is None:
        return prompt | router.bind(**params) if params else prompt | router
    output = Output({**pipeline.output, "title": pipeline.output_name}, {})
    return prompt | routed_output(router, output, include_raw=False, params=params)
