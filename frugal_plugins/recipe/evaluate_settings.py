"""What an evaluation run compares, in a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from frugal_plugins.recipe.checks import rule
from frugal_plugins.recipe.fields import ModelName, Number, Section, Whole


class EvaluateSettings(Section):
    """How `frugal evaluate` scores answers against rows whose right answer is known."""

    expected: str = Field(default="expected", min_length=1, max_length=100, description="The field of a row that has the right answer.")
    compare: Literal["auto", "exact", "normalised", "json", "contains", "judge"] = Field(
        default="auto",
        description="exact: to the letter. normalised: numbers by value, labels without case and end marks. json: field by field. "
        "contains: the words stand in the answer. judge: a model looks at it. auto: json for an object, else normalised.",
    )
    fields: tuple[str, ...] = Field(default=(), max_length=100, description="With json: only these fields; a.b is one inside another.")
    judge: ModelName | None = Field(
        default=None,
        description="With judge: the model that judges. Without it: the first of the tier route.judge names, else of baseline.",
    )
    minimum_percent: Number | Whole | None = Field(
        default=None, ge=0, le=100, description="The least share of right answers; below it the command leaves with 1."
    )
    lane: Literal["realtime", "batch"] = Field(default="realtime", description="realtime: at once. batch: within hours, at half the price.")

    @model_validator(mode="after")
    def _make_sense(self) -> EvaluateSettings:
        if self.fields and self.compare not in ("auto", "json"):
            raise rule("has fields, which only compare: json reads; write that, or remove fields")
        if self.judge is not None and self.compare != "judge":
            raise rule("names a judge, which only compare: judge asks; write that, or remove judge")
        return self
