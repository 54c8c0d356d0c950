"""What a recipe may say about judging a sample of answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from frugal_plugins.recipe.fields import Number, Section, TierName, dollars


class JudgeSettings(Section):
    """Has a model judge a sample of answers once the caller has them, so that quality with and without the recipe can be compared.

    Each judgement is a paid call, booked as one and taken off the saving. Rows of a batch job are judged in a batch too, once they are
    delivered.
    """

    percent: Number = Field(default=1, ge=0, le=100, description="Share of treated answers that are judged, in percent.")
    control_percent: Number = Field(
        default=50, ge=0, le=100, description="Share of untouched answers, and of those that went without one technique; they are few."
    )
    tier: TierName | None = Field(
        default=None, description="The tier whose first model judges. Without it: route.judge's, else the baseline tier."
    )
    usd_per_day: Annotated[Decimal, Field(gt=0), BeforeValidator(dollars)] = Field(
        default=Decimal(1), description="The most each process spends on judging in a day (UTC), in US dollars."
    )
