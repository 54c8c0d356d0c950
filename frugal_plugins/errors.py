"""Every error this package raises, and when.

FrugalError                 anything below: catch this one to catch them all
├── RecipeError             a recipe cannot be read or does not make sense (file, line, column, key)
├── InputError              a line of an input file cannot be used (file, line)
├── MissingExtra            a feature needs an optional package that is not installed
├── BudgetReached           a budget of the recipe that says `stop` is spent (name, dollars, until when)
├── LedgerError             a ledger file cannot be opened or read
├── TruncatedOutput         the provider cut a structured answer short; parsing it would give wrong data
├── NotReachable            a model of a recipe cannot be used from here (a missing key, say)
└── NotAReply               a technique ended without a Reply; the guard catches it

Errors of the provider or of the host (LiteLLM, LangChain) are never wrapped: they reach the caller as the same object.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal


class FrugalError(Exception):
    """The root of the tree. Its message always says what to do."""


class RecipeError(FrugalError):
    """A recipe cannot be used; `where` is `file:line:column` when it came from a file."""

    def __init__(self, message: str, *, where: str | None = None, key: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.key = key


class InputError(FrugalError):
    """A line of an input file cannot be used; `line` counts from 1."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        place = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.file = file
        self.line = line


class MissingExtra(FrugalError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'frugal-plugins[{extra}]'")
        self.package = package
        self.extra = extra


class BudgetReached(FrugalError):
    """A budget of the recipe that says `stop` is spent; the request was not sent. `status_code` is what a proxy answers."""

    status_code = 429

    def __init__(self, budget: str, spent_usd: Decimal, limit_usd: Decimal, until: dt.datetime) -> None:
        super().__init__(
            f"budget {budget} is spent (${spent_usd:.2f} of ${limit_usd:.2f}); requests are refused until {until:%Y-%m-%d %H:%M} UTC. "
            "Raise it under alerts: in the recipe, or wait."
        )
        self.budget = budget
        self.spent_usd = spent_usd
        self.limit_usd = limit_usd
        self.until = until


class LedgerError(FrugalError):
    """A ledger file cannot be opened or read."""


class TruncatedOutput(FrugalError):
    """A structured answer ended at the token limit, so parsing it would give wrong or missing fields."""


class NotReachable(FrugalError):
    """A model of a recipe cannot be used from here; the message says what is missing."""


class NotAReply(FrugalError):
    """A technique ended without a Reply; its author must return what `rest` gave or a Reply of its own."""
