"""A whole pipeline in a recipe: prompt, task, output, lane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from frugal_plugins.recipe.checks import output_problems, param_problems, refuse, rule, template_variables
from frugal_plugins.recipe.fields import ModelName, Section


class PromptMessage(Section):
    """One message: a single key, system, user or assistant, with its text. {name} stands for a variable, {{ and }} for braces."""

    system: str | None = Field(default=None, min_length=1, description="Text of a system message, with {variables}.")
    user: str | None = Field(default=None, min_length=1, description="Text of a user message, with {variables}.")
    assistant: str | None = Field(default=None, min_length=1, description="Text of an assistant message, with {variables}.")

    @model_validator(mode="after")
    def _one_role(self) -> PromptMessage:
        if len(self.model_fields_set) != 1 or not self.text:
            raise rule("must be one message; write a single key, system, user or assistant, with its text")
        template_variables(self.text)
        return self

    @property
    def role(self) -> Literal["system", "user", "assistant"]:
        """Who speaks."""
        return "system" if self.system else "user" if self.user else "assistant"

    @property
    def text(self) -> str:
        """The template."""
        return self.system or self.user or self.assistant or ""


class PipelineSettings(Section):
    """A whole pipeline in the recipe: from variables to a finished answer, without code."""

    prompt: tuple[PromptMessage, ...] = Field(min_length=1, max_length=50, description="The messages; a plain text is one user message.")
    output: Mapping[str, Any] | None = Field(
        default=None, description="The JSON Schema (type: object) the answer has to fill. Without it the answer is text."
    )
    output_name: str = Field(
        default="answer", pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$", description="What the provider is told the output is called."
    )
    task: str | None = Field(default=None, description="Which of `tasks` this is. Without it the words of the request decide.")
    model: ModelName | None = Field(default=None, description="The model requests name. Without it the recipe chooses.")
    lane: Literal["realtime", "flex"] = Field(
        default="realtime", description="flex: slower and cheaper, for models whose provider offers it; others refuse the request."
    )
    params: Mapping[str, Any] = Field(default_factory=dict, description="Passed to the model as they are: temperature, seed, stop.")

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        return [{"user": value}] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _make_sense(self) -> PipelineSettings:
        refuse(*output_problems(self.output), *param_problems(self.params))
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the prompt, each once, in the order they first appear."""
        return tuple(dict.fromkeys(name for message in self.prompt for name in template_variables(message.text)))
