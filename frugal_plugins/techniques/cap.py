"""Cap: a token budget for each kind of work."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.models import capabilities, thinks
from frugal_plugins.request import Reply, Request, text_of
from frugal_plugins.structured import schema_budget_tokens

MISSION_BUDGETS: Final[Mapping[str, int]] = {"yes_no": 5, "extraction": 50, "support_reply": 200, "outline": 400, "document": 800}

_SMALLEST_LARGER_TOKENS: Final = 256
_LEAST_RESPONSE_TOKENS: Final = 16
"""The Responses API refuses a smaller limit."""

_INPUT_PER_OUTPUT: Final = 0.25
"""What an input token costs beside an output token, roughly and at every provider: enough to see whether retries pay."""
_VERDICT: Final = re.compile(r"\W*(?:yes|no|true|false)\b", re.IGNORECASE)


@dataclass(slots=True)
class Cap:
    """Limits how long an answer may get, by the kind of work it is.

    Saves: runaway answers and chatter after a one-word verdict. Risks: an answer cut short. So an answer that ended at our
    limit is asked once more with a larger one (and that cost is booked against this technique), unless what came is
    complete (a verdict, parsable JSON). Stands down: when the caller's own limit is lower, when the kind of work is not
    known or has no budget. Where asking again would cost more than a tight limit can save (a long prompt, or a kind whose
    repeated calls have cost more than its limit saved), the larger limit is set at once. A stream or
    several choices cannot be asked again: they get a limit larger still, against runaway answers only.

    Args:
        budgets: output tokens by task.
        reasoning_tokens: added for models that think before they answer, since the thinking counts against the limit.
        retry_factor: each larger limit is this many times the one before; 1 never asks again.
    """

    budgets: Mapping[str, int]
    reasoning_tokens: int = 2000
    retry_factor: int = 4
    name: str = "cap"
    _balance: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Set the budget, and look at how the answer ended before anyone parses it."""
        task = ctx.task(request).name
        if task not in self.budgets:
            return (yield from rest(request))
        once_only = request.stream or (request.params.get("n") or 1) != 1
        level = 2 if once_only else self._first_level(task, request)
        budget = self._budget(task, request, level)
        field_name = _field(request)
        own = request.params.get(field_name)
        if own is None and ctx.own_limit is not None:
            own = ctx.own_limit(request.model)
        if isinstance(own, int) and own <= budget:
            ctx.note(self.name, "left", f"the caller's own limit of {own} is lower", tokens_before=own, tokens_after=own)
            return (yield from rest(request))
        ctx.note(self.name, "set", f"{task}: at most {budget} output tokens{_LEVELS[level]}", tokens_before=own, tokens_after=budget)
        reply = yield from rest(request.with_params(**{field_name: budget}))
        if reply.finish != "length":
            return reply
        if not _was_cut(task, request, reply):
            self._learn(task, budget)
            return reply.with_(finish="stop")
        if once_only or self.retry_factor == 1:
            return reply
        self._learn(task, -(reply.usage.output_tokens + reply.usage.input_tokens * _INPUT_PER_OUTPUT))
        larger = self._budget(task, request, level + 1)
        larger = min(larger, own) if isinstance(own, int) else larger
        ctx.replace_last(self.name)
        ctx.note(self.name, "retry", f"cut at {budget} tokens; asked once more with {larger}", tokens_before=budget, tokens_after=larger)
        return (yield from rest(request.with_params(**{field_name: larger})))

    def _first_level(self, task: str, request: Request) -> int:
        """0 for the budget itself; 1 for the larger limit, where asking again would cost more than the budget can save."""
        if self._balance.get(task, 0.0) < 0:
            return 1
        long_prompt = _prompt_tokens(request) * _INPUT_PER_OUTPUT > 2 * self.budgets[task]
        return int(long_prompt and task != "yes_no")

    def _budget(self, task: str, request: Request, level: int) -> int:
        least = schema_budget_tokens(request)
        tokens = max(self.budgets[task], 2 * least)  # an answer by a schema is never shorter than its keys
        if level:
            tokens = max(tokens * self.retry_factor**level, _SMALLEST_LARGER_TOKENS)
        if thinks(request.model, request):
            tokens += max(self.reasoning_tokens, _thinking_tokens(request))
        if request.endpoint == "responses":
            tokens = max(tokens, _LEAST_RESPONSE_TOKENS)
        most = capabilities(request.model).max_output_tokens
        return min(tokens, most) if most else tokens

    def _learn(self, task: str, tokens: float) -> None:
        """Keep the account of a kind of work, in output tokens: what accepted cuts saved, minus what repeated calls cost."""
        with self._lock:
            self._balance[task] = self._balance.get(task, 0.0) + tokens


_LEVELS: Final = (
    "",
    ", the larger limit: asking again costs more than a tight one saves",
    ", against runaway answers: it cannot be asked again",
)


def _thinking_tokens(request: Request) -> int:
    """What the caller lets the model think; a limit must leave room for it."""
    thinking = request.params.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    return budget if isinstance(budget, int) else 0


def _prompt_tokens(request: Request) -> float:
    """About how long the prompt is; four characters a token is close enough for this."""
    return sum(len(text_of(message)) for message in request.messages) / 4


def _field(request: Request) -> str:
    """The name the request's own API has for the limit; a name the caller already uses is kept."""
    if request.endpoint == "responses":
        return "max_output_tokens"
    return "max_completion_tokens" if request.params.get("max_completion_tokens") is not None else "max_tokens"


def _was_cut(task: str, request: Request, reply: Reply) -> bool:
    """Whether the limit took something away the caller needs."""
    if reply.finish != "length":
        return False
    if reply.message.get("tool_calls"):
        return True
    if request.params.get("response_format") or _text_format(request) not in (None, "text"):
        return not _is_json(reply.text)
    return not (task == "yes_no" and _VERDICT.match(reply.text))


def _text_format(request: Request) -> Any:
    """Which form the answer is to have, in the Responses API's words."""
    text = request.params.get("text")
    form = text.get("format") if isinstance(text, Mapping) else None
    return form.get("type") if isinstance(form, Mapping) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
