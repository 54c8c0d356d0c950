"""One request on its way up a ladder: what to ask next, given the answers so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from frugal_plugins.learned.agreement import stated
from frugal_plugins.learned.features import prompt_features, routed_text
from frugal_plugins.learned.ladder import Action, Bought, Ladder
from frugal_plugins.learned.verify import Verdict
from frugal_plugins.prices import bare_name
from frugal_plugins.request import Reply, Request, canonical, fingerprint, text_of

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]


class Asking:
    """The state of one request. `next()` says what to do, `saw()` tells it what came back.

    A prompt unlike all that were judged (another language, another kind of work, noise) goes to the best model: `strange`.

    Args:
        keep_percent: the quality target; the ladder's operating point for it is used.
        can: whether a model may be asked at all (reachable, fits the request, not dearer than the one named).
        votes: whether an answer may be bought only to compare it.
        read_share: the share of its input price a model bills for this prompt, below 1 where its cache is warm: a switch to
            another model has to pay for reading the whole prompt again.
    """

    def __init__(
        self,
        ladder: Ladder,
        request: Request,
        keep_percent: float,
        can: Callable[[str], bool],
        *,
        votes: bool = True,
        read_share: Callable[[str], float] = lambda _model: 1.0,
    ) -> None:
        self.ladder = ladder
        self.allowed: Sequence[int] = [number for number, model in enumerate(ladder.models) if can(model.name)]
        self.votes = votes
        likeness = ladder.prompt.likeness(prompt_features([routed_text(request)]))
        self.seen: Matrix = ladder.prompt.said(likeness)[0]
        self.strange = bool(ladder.strange(likeness)[0])
        point = ladder.point(keep_percent)
        self.point = replace(point, constant=len(ladder.models) - 1) if self.strange else point
        tokens = input_tokens(request)
        self.input_tokens = [tokens * read_share(model.name) for model in ladder.models]
        self.draw = int(fingerprint([request.messages])[:8], 16) / 2**32
        self.bought: dict[int, Bought] = {}
        self.replies: dict[int, Reply] = {}

    def next(self) -> Action:
        """What to do now; needs at least one allowed model."""
        return self.ladder.decide(self.seen, self.bought, self.input_tokens, self.point, self.draw, self.allowed, votes=self.votes)

    def saw(self, model: int, reply: Reply, verdict: Verdict) -> None:
        """An answer came back and was looked at."""
        self.replies[model] = reply
        if self.ladder.step(tuple(sorted({*self.bought, model}))) is not None:
            says = stated(reply.text) if verdict.good else None
            self.bought[model] = Bought(len(reply.text), says, verdict.good)

    def above(self, model: int) -> int | None:
        """The allowed model that is most likely right among those dearer than `model`, or None."""
        dearer = [m for m in self.allowed if m > model and m not in self.replies]
        return max(dearer, key=lambda m: float(self.seen[m])) if dearer else None

    def words(self, step: Action) -> tuple[str, str]:
        """What a step is called and why it was taken."""
        model = bare_name(self.ladder.models[step.model].name)
        likely = f"{100 * min(1.0, max(0.0, step.expected)):.0f} % likely right"
        if step.accept:
            return "accepted", f"{len(self.bought)} cheap answers seen; that of {model} is {likely}"
        if not step.final:
            return "vote", f"{model} first: its answer is worth more than it costs"
        if self.strange:
            return "asked", f"{model}: the request is like none that was judged, so it stays safe"
        seen = f"after {len(self.bought)} cheap answers, " if self.bought else ""
        return "asked", f"{seen}{model}: {likely}, at {self.point.keep_percent:g} % of the reference's quality"


def input_tokens(request: Request) -> float:
    """A fast estimate of the prompt's tokens: its characters by four."""
    chars = sum(len(text_of(message)) for message in request.messages)
    for name in ("tools", "system", "instructions", "response_format"):
        value = request.params.get(name)
        chars += len(value if isinstance(value, str) else canonical(value)) if value else 0
    return chars / 4
