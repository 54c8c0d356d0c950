"""Log probabilities that look like a model's: the token that was said first, near zero, others below it."""

from __future__ import annotations

from typing import Any

from frugal_plugins.sandbox.ask import Written
from frugal_plugins.sandbox.dice import Dice, seed_of

_OTHERS = (
    " the",
    " a",
    " and",
    " to",
    " of",
    " in",
    " is",
    " that",
    ".",
    ",",
    " for",
    " it",
    " on",
    " with",
    " as",
    " at",
    " this",
    " by",
    " not",
    "\n",
)


def logprobs(answer: Written, top: int) -> dict[str, Any]:
    """The `logprobs` object of a choice, one entry per piece of text, with `top` alternatives each."""
    dice = Dice(seed_of(answer.text or ""))
    return {"content": [entry(piece, top, dice) for piece, _ in answer.pieces() if piece], "refusal": None}


def entry(piece: str, top: int, dice: Dice) -> dict[str, Any]:
    """One token's entry."""
    said = _token(piece, -round(dice.share() ** 3, 6))
    others = [_token(text, round(said["logprob"] - 1 - place * 0.7, 6)) for place, text in enumerate(t for t in _OTHERS if t != piece)]
    return {**said, "top_logprobs": [said, *others][:top]}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
