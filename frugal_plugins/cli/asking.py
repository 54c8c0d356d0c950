"""Asking models one question at a time for a command, through LiteLLM, booked in the recipe's ledger as untouched requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal_plugins.cli.provider import demand_keys, load_litellm, needs_sandbox, pointed_at
from frugal_plugins.cli.refusals import what_to_do
from frugal_plugins.cli.sandbox_command import recorded_file
from frugal_plugins.cli.watched import WatchedRecipe
from frugal_plugins.errors import FrugalError
from frugal_plugins.models import always_thinks
from frugal_plugins.request import Message, Reply, Request


@dataclass(slots=True)
class Asker:
    """Asks, and keeps count of what that costs.

    Attributes:
        spent_usd: dollars so far; None once a model without a known price was asked.
    """

    recipe: WatchedRecipe
    calls: int = 0
    spent_usd: Decimal | None = Decimal(0)

    def __call__(self, model: str, messages: Sequence[Message], most_tokens: int | None = None) -> Reply:
        """One answer at temperature 0. Raises FrugalError with what to do when the provider refuses."""
        params: dict[str, Any] = {} if always_thinks(model) else {"temperature": 0, **({"max_tokens": most_tokens} if most_tokens else {})}
        return self.request(Request(model, tuple(messages), params))

    def request(self, asked: Request) -> Reply:
        """The answer to a request, sent as it is."""
        from openai import OpenAIError

        from frugal_plugins.litellm import complete

        model, messages = asked.model, list(asked.messages)
        try:
            reply = complete(self.recipe, messages=messages, model=model, metadata={"frugal": {"off": True}}, **dict(asked.params))
        except OpenAIError as error:
            raise FrugalError(what_to_do(error)) from error
        self.calls += 1
        usd = self.recipe.prices.cost(reply.billed_as or model, reply.usage)
        self.spent_usd = None if usd is None or self.spent_usd is None else self.spent_usd + usd
        return reply


@contextmanager
def asking(recipe: str, models: Sequence[str], *, live: bool, recorded: Path | None = None) -> Iterator[Asker]:
    """An asker for the real providers, or for the sandbox on this machine (made-up answers, free, a ledger of their own)."""
    made = WatchedRecipe.load(recipe) if live else WatchedRecipe.rehearse(recipe)
    if not live:
        needs_sandbox()
    load_litellm()
    try:
        if live:
            demand_keys(models)
            yield Asker(made)
            return
        from frugal_plugins.sandbox import Sandbox

        with Sandbox(recorded=recorded_file(recorded)) as sandbox, pointed_at(sandbox):
            yield Asker(made)
    finally:
        made.close()
