"""Every error this package raises, and when.

FrugalError                 anything below: catch this one to catch them all
├── RecipeError             a recipe cannot be read or does not make sense (file, line, column, key)
├── InputError              a line of an input file cannot be used (file, line)
├── MissingExtra            a feature needs an optional package that is not installed
├── LedgerError             a ledger file cannot be opened or read
├── TruncatedOutput         the provider cut a structured answer short; parsing it would give wrong data
├── NotReachable            a model of a recipe cannot be used from here (a missing key, say)
└── NotAReply               a technique ended without a Reply; the guard catches it

Errors of the provider or of the host (LiteLLM, LangChain) are never wrapped: they reach the caller as the same object.
"""

from __future__ import annotations


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


class LedgerError(FrugalError):
    """A ledger file cannot be opened or read."""


class TruncatedOutput(FrugalError):
    """A structured answer ended at the token limit, so parsing it would give wrong or missing fields."""


class NotReachable(FrugalError):
    """A model of a recipe cannot be used from here; the message says what is missing."""


class NotAReply(FrugalError):
    """A technique ended without a Reply; its author must return what `rest` gave or a Reply of its own."""
