"""The most a run may spend: what was spent, and what the requests in flight could still cost at worst."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from frugal_plugins.cli.lines import Line
from frugal_plugins.errors import InputError
from frugal_plugins.learned.judging import WORD_TOKENS
from frugal_plugins.models import always_thinks, capabilities
from frugal_plugins.prices import bare_name, provider_of
from frugal_plugins.recipe.build import judge_of
from frugal_plugins.recipe.explain import Explanation
from frugal_plugins.recipe.recipe import Recipe
from frugal_plugins.request import Request
from frugal_plugins.told import read_told
from frugal_plugins.usage import Usage

_LONGEST_ANSWER_TOKENS: Final = 16_384
_SMALLEST_LARGER_TOKENS: Final = 256
_JUDGES_OWN_TOKENS: Final = 200
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_UNSURE_COUNT: Final = Decimal("1.3")
"""Token counts are exact for OpenAI and an estimate elsewhere, so the worst case is taken this much higher there."""

_Call = tuple[str, Usage]


class Purse:
    """Dollars that may still be spent. Without a limit everything may.

    What a request could cost at worst is set aside before it is sent and put back when it is known what it came to. So many may be
    in flight at once, and together they never cross the limit.
    """

    def __init__(self, most_usd: Decimal | None, recipe: Recipe) -> None:
        self.most_usd = most_usd
        self.spent_usd = Decimal(0)
        self._held_usd = Decimal(0)
        self._recipe = recipe
        self._changed = asyncio.Condition()

    def worst_usd(self, line: Line, source: str) -> Decimal:
        """The most a request can cost; 0 without a limit. Raises InputError when its price is not known."""
        if self.most_usd is None:
            return Decimal(0)
        request = Request(line.model or self._recipe.name, line.messages, line.params)
        seen = self._recipe.explain(request, told=read_told({"frugal": line.frugal}))
        if seen.sent is None:
            return Decimal(0)
        choices = line.params.get("n") if isinstance(line.params.get("n"), int) else 1
        usd = Decimal(0)
        for model, usage in self._calls(seen, seen.sent):
            cost = self._recipe.prices.cost(model, usage)
            if cost is None:
                words = f"{model} has no known price, so --max-usd cannot be kept; add it to prices"
                raise InputError(words, file=source, line=line.number)
            usd += cost * max(1, choices or 1) * (1 if provider_of(model) == "openai" else _UNSURE_COUNT)
        return usd

    async def take(self, usd: Decimal, stop: asyncio.Event) -> bool:
        """Set so much aside for a request, as soon as it is there; False where it never will be, or the run is to stop."""
        async with self._changed:
            await self._changed.wait_for(lambda: stop.is_set() or self._fits(usd) or not self._held_usd)
            if stop.is_set() or not self._fits(usd):
                return False
            self._held_usd += usd
            return True

    async def settle(self, held_usd: Decimal, spent_usd: Decimal) -> None:
        """Put back what was set aside and book what it came to."""
        async with self._changed:
            self._held_usd -= held_usd
            self.spent_usd += spent_usd
            self._changed.notify_all()

    async def wake(self) -> None:
        """Let those who wait see that the run is to stop."""
        async with self._changed:
            self._changed.notify_all()

    def _fits(self, usd: Decimal) -> bool:
        return self.most_usd is None or self.spent_usd + self._held_usd + usd <= self.most_usd

    def _calls(self, seen: Explanation, sent: Request) -> Iterator[_Call]:
        """Every call a request can become: answers thrown away for those of a dearer model, cut ones asked again, judges, summaries."""
        settings = self._recipe.settings
        capped = any(decision.technique == "cap" and decision.action == "set" for decision in seen.decisions)
        answers = 0
        for model in self._models(seen, sent):
            longest = capabilities(model).max_output_tokens or _LONGEST_ANSWER_TOKENS
            limit = next((value for name in _LIMITS if isinstance(value := sent.params.get(name), int)), longest)
            again = min(longest, max(limit * (settings.cap.retry_factor if settings.cap else 1), _SMALLEST_LARGER_TOKENS))
            answers = max(answers, again if capped else limit)
            yield model, Usage(input_tokens=seen.input_tokens, output_tokens=limit)
            if capped:
                yield model, Usage(input_tokens=seen.input_tokens, output_tokens=again)
            if settings.route is not None and settings.route.judge_answers:
                judge = judge_of(settings)
                words = capabilities(judge).max_output_tokens or _LONGEST_ANSWER_TOKENS if always_thinks(judge) else WORD_TOKENS
                yield judge, Usage(input_tokens=seen.input_tokens + answers + _JUDGES_OWN_TOKENS, output_tokens=words)
        if settings.history is not None and settings.history.summarizer is not None:
            maker = settings.tiers[settings.history.summarizer].models[0]
            yield maker, Usage(input_tokens=seen.input_tokens + _JUDGES_OWN_TOKENS, output_tokens=settings.history.summary_tokens)

    def _models(self, seen: Explanation, sent: Request) -> list[str]:
        """The model that is asked first, and those that may be asked after it."""
        route = self._recipe.settings.route
        found = {bare_name(sent.model): sent.model}
        if route is not None and route.learned is not None:
            found |= {bare_name(model): model for tier in self._recipe.tiers for model in tier.models}
        elif route is not None and route.escalate:
            found.setdefault(bare_name(seen.baseline_model), seen.baseline_model)
        return list(found.values())
