"""The kinds of values a recipe's keys take, shared by its sections."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from frugal_plugins.flow import Mode


def _mode_word(value: Any) -> Any:
    """Other YAML readers make booleans of `on` and `off`; a mapping from one of those means the same."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def dollars(value: Any) -> Any:
    """0.15 means the decimal 0.15, not the binary number next to it."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression ({error})") from None
    return value


Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
ModeWord = Annotated[Mode, BeforeValidator(_mode_word)]
Money = Annotated[Decimal, Field(ge=0), BeforeValidator(dollars)]
TierName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
ModelName = Annotated[str, Field(pattern=r"^\S+$", max_length=200)]
Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_compiles)]
FileName = Annotated[str, Field(min_length=1, max_length=1000)]


class Section(BaseModel):
    """A part of a recipe: it cannot be changed once read, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
