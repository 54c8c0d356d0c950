"""The most a run may spend: what was spent, and what the requests in flight could still cost at worst."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from frugal_plugins.cli.lines import Line
from frugal_plugins.errors import InputError
from frugal_plugins.models import capabilities
from frugal_plugins.prices import provider_of
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request
from frugal_plugins.told import read_told
from frugal_plugins.usage import Usage

_LONGEST_ANSWER_TOKENS: Final = 16_384
_UNSURE_COUNT: Final = Decimal("1.3")
"""Token counts are exact for OpenAI and an estimate elsewhere, so the worst case is taken this much higher there."""


class Purse:
    """Dollars that may still be spent. Without a limit everything may."""

    def __init__(self, most_usd: Decimal | None, recipe: Recipe) -> None:
        self.most_usd = most_usd
        self.spent_usd = Decimal(0)
        self._held_usd = Decimal(0)
        self._recipe = recipe

    def worst_usd(self, line: Line, source: str) -> Decimal:
        """The most a request can cost; 0 without a limit. Raises InputError when its price is not known."""
        if self.most_usd is None:
            return Decimal(0)
        request = Request(line.model or self._recipe.name, line.messages, line.params)
        seen = self._recipe.explain(request, told=read_told({"frugal": line.frugal}))
        if seen.sent is None:
            return Decimal(0)
        model, params = seen.sent.model, seen.sent.params
        longest = capabilities(model).max_output_tokens or _LONGEST_ANSWER_TOKENS
        limit = next((value for name in ("max_completion_tokens", "max_tokens") if isinstance(value := params.get(name), int)), longest)
        capped = any(decision.technique == "cap" and decision.action == "set" for decision in seen.decisions)
        usage = Usage(input_tokens=seen.input_tokens, output_tokens=limit)
        if capped:  # a cut answer is asked once more, with a larger limit
            cap = self._recipe.settings.cap
            again = max(limit * (cap.retry_factor if cap else 1), 256)
            usage = usage + Usage(input_tokens=seen.input_tokens, output_tokens=min(again, longest))
        usd = self._recipe.prices.cost(model, usage)
        if usd is None:
            raise InputError(f"{model} has no known price, so --max-usd cannot be kept; add it to prices", file=source, line=line.number)
        choices = line.params.get("n") if isinstance(line.params.get("n"), int) else 1
        return usd * max(1, choices or 1) * (1 if provider_of(model) == "openai" else _UNSURE_COUNT)

    def fits(self, usd: Decimal) -> bool:
        """Whether this may be spent on top of all that is in flight."""
        return self.most_usd is None or self.spent_usd + self._held_usd + usd <= self.most_usd

    def hold(self, usd: Decimal) -> None:
        """Set aside for a request that is about to be sent."""
        self._held_usd += usd

    def settle(self, held_usd: Decimal, spent_usd: Decimal) -> None:
        """Put back what was set aside and book what it came to."""
        self._held_usd -= held_usd
        self.spent_usd += spent_usd
