"""Cap: a token budget for each kind of work."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from frugal_plugins.flow import Context, Flow, Next
from frugal_plugins.models import capabilities, thinks
from frugal_plugins.request import Reply, Request

MISSION_BUDGETS: Final[Mapping[str, int]] = {"yes_no": 5, "extraction": 50, "support_reply": 200, "outline": 400, "document": 800}

_SMALLEST_RETRY_TOKENS: Final = 256
_ENOUGH_SEEN: Final = 20
_TOO_MANY_CUT: Final = 0.1
_VERDICT: Final = re.compile(r"\W*(?:yes|no|true|false)\b", re.IGNORECASE)


@dataclass(slots=True)
class Cap:
    """Limits how long an answer may get, by the kind of work it is.

    Saves: runaway answers and chatter after a one-word verdict. Risks: an answer cut short. So an answer that ended at our
    limit is asked once more with a larger one (and that cost is booked against this technique), unless what came is
    complete (a verdict, parsable JSON). Stands down: when the caller's own limit is lower, when the kind of work is not
    known or has no budget, and more and more where over a tenth of the answers of a kind were cut (its budget doubles).
    A stream cannot be asked again, so it gets the larger limit at once.

    Args:
        budgets: output tokens by task.
        reasoning_tokens: added for models that think before they answer, since the thinking counts against the limit.
        retry_factor: the larger limit is this many times the budget; 1 never asks again.
    """

    budgets: Mapping[str, int]
    reasoning_tokens: int = 2000
    retry_factor: int = 4
    name: str = "cap"
    _seen: Counter[str] = field(default_factory=Counter)
    _cut: Counter[str] = field(default_factory=Counter)
    _doubled: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request, rest: Next, ctx: Context) -> Flow:
        """Set the budget, and look at how the answer ended before anyone parses it."""
        task = ctx.task(request).name
        if task not in self.budgets:
            return (yield from rest(request))
        once_only = request.stream or (request.params.get("n") or 1) != 1 or self.retry_factor == 1
        budget = self._budget(task, request, larger=request.stream or (request.params.get("n") or 1) != 1)
        field_name = _field(request)
        own = request.params.get(field_name)
        if isinstance(own, int) and own <= budget:
            ctx.note(self.name, "left", f"the caller's own limit of {own} is lower", tokens_before=own, tokens_after=own)
            return (yield from rest(request))
        ctx.note(self.name, "set", f"{task}: at most {budget} output tokens", tokens_before=own, tokens_after=budget)
        reply = yield from rest(request.with_params(**{field_name: budget}))
        cut = _was_cut(task, request, reply)
        self._learn(task, cut)
        if not cut:
            return reply if reply.finish != "length" else reply.with_(finish="stop")
        if once_only:
            return reply
        larger = self._budget(task, request, larger=True)
        larger = min(larger, own) if isinstance(own, int) else larger
        ctx.replace_last(self.name)
        ctx.note(self.name, "retry", f"cut at {budget} tokens; asked once more with {larger}", tokens_before=budget, tokens_after=larger)
        return (yield from rest(request.with_params(**{field_name: larger})))

    def _budget(self, task: str, request: Request, *, larger: bool) -> int:
        tokens = self.budgets[task] << self._doubled[task]
        if larger:
            tokens = max(tokens * self.retry_factor, _SMALLEST_RETRY_TOKENS)
        if thinks(request.model, request):
            tokens += self.reasoning_tokens
        most = capabilities(request.model).max_output_tokens
        return min(tokens, most) if most else tokens

    def _learn(self, task: str, cut: bool) -> None:
        """Where many answers of a kind are cut, its budget is wrong for this traffic: double it rather than pay twice."""
        with self._lock:
            self._seen[task] += 1
            self._cut[task] += cut
            if self._seen[task] >= _ENOUGH_SEEN:
                self._doubled[task] += self._cut[task] > self._seen[task] * _TOO_MANY_CUT
                self._seen[task] = self._cut[task] = 0


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
    if request.params.get("response_format"):
        return not _is_json(reply.text)
    return not (task == "yes_no" and _VERDICT.match(reply.text))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
