"""From a store of outcomes, or a file of labelled answers, to rows a ladder can be fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from frugal_plugins.calibrate.fit import FEWEST_ROWS, Outcomes
from frugal_plugins.calibrate.report import TooFewLabels
from frugal_plugins.errors import RecipeError
from frugal_plugins.learned.agreement import Stated, stated
from frugal_plugins.learned.features import prompt_features
from frugal_plugins.learned.ladder import Bought, Model
from frugal_plugins.learned.outcomes import Answered, Judged
from frugal_plugins.prices import MILLION, PriceBook, Rates
from frugal_plugins.usage import Usage

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]


_UNKNOWN_CHARS: Final = 400


def priced(models: Sequence[str], prices: PriceBook) -> tuple[Model, ...]:
    """The models with their prices. Raises RecipeError naming one that has none: a choice by cost needs every price."""
    rates: list[Rates] = []
    for name in models:
        found = prices.rates(name)
        if found is None:
            raise RecipeError(f"{name} has no known price; name it under prices in the recipe, or take it out of the tiers", key="prices")
        rates.append(found)
    return tuple(Model(n, float(r.input_usd / MILLION), float(r.output_usd / MILLION)) for n, r in zip(models, rates, strict=True))


def from_store(judged: Sequence[Judged], models: Sequence[str], kept: str, prices: PriceBook) -> Outcomes:
    """The prompts for which every model's answer was judged.

    Control traffic and `frugal calibrate --judge` make such rows; a prompt that only one model answered says nothing of the others.
    """
    wanted = list(dict.fromkeys((*models, kept)))
    whole = [row for row in judged if all(model in row.good and model in row.answers for model in wanted)]
    _enough(len(whole), wanted)
    import numpy as np

    return _outcomes(
        priced(models, prices),
        kept,
        prices,
        np.stack([row.features for row in whole]),
        [row.good for row in whole],
        [{m: _bought(row.answers[m]) for m in wanted} for row in whole],
        [{m: Usage(row.answers[m].input_tokens, output_tokens=row.answers[m].output_tokens) for m in wanted} for row in whole],
    )


def from_labels(rows: Sequence[Mapping[str, Any]], models: Sequence[str], kept: str, prices: PriceBook) -> Outcomes:
    """Rows of a file: `prompt`, `scores` by model, and `outputs` by model where the answers are there.

    Tokens are characters by four; without outputs every answer counts as a hundred tokens.
    """
    wanted = list(dict.fromkeys((*models, kept)))
    whole = [row for row in rows if all(row["scores"].get(model) is not None for model in wanted)]
    _enough(len(whole), wanted)
    texts = [{m: str(row.get("outputs", {}).get(m) or "") for m in wanted} for row in whole]
    with_text = all(any(text.values()) for text in texts)
    bought = [{m: _bought_text(text[m], good=bool(text[m]) or not with_text) for m in wanted} for text in texts]
    usage = [
        {m: Usage(round(len(row["prompt"]) / 4), output_tokens=round(given[m].chars / 4)) for m in wanted}
        for row, given in zip(whole, bought, strict=True)
    ]
    features = prompt_features([row["prompt"] for row in whole])
    good = [{m: min(1.0, max(0.0, float(row["scores"][m]))) for m in wanted} for row in whole]
    return _outcomes(priced(models, prices), kept, prices, features, good, bought, usage, votes=with_text)


def sample_to_judge(
    judged: Sequence[Judged], unjudged: Sequence[str], models: Sequence[str], wanted: int, usd_of: Callable[[str, str], Decimal | None]
) -> tuple[list[tuple[str, str]], Decimal | None]:
    """Which (prompt, model) pairs to ask and judge so that `wanted` prompts are whole, and what that costs.

    Prompts that lack least come first. The price is None where a model has none, and is to be shown before anyone is asked.
    """
    lacking = [(row.prompt, [m for m in models if m not in row.good]) for row in judged]
    lacking += [(prompt, list(models)) for prompt in unjudged]
    whole = sum(not missing for _, missing in lacking)
    picked = sorted((entry for entry in lacking if entry[1]), key=lambda entry: len(entry[1]))[: max(0, wanted - whole)]
    pairs = [(prompt, model) for prompt, missing in picked for model in missing]
    costs = [usd_of(prompt, model) for prompt, model in pairs]
    return pairs, None if any(cost is None for cost in costs) else sum((c for c in costs if c is not None), Decimal(0))


def _bought_text(text: str, *, good: bool) -> Bought:
    return Bought(len(text) or _UNKNOWN_CHARS, stated(text) if text else None, good)


def _bought(answer: Answered) -> Bought:
    return Bought(answer.chars, None if answer.says is None else Stated(answer.says), answer.chars > 0)


def _enough(rows: int, models: Sequence[str]) -> None:
    if rows < FEWEST_ROWS:
        raise TooFewLabels(
            f"{rows} requests have a verdict for each of {', '.join(models)}; {FEWEST_ROWS} are needed. "
            "The router stays with its cold start. "
            "Label a sample with frugal calibrate --judge, or take models out of the tiers."
        )


def _outcomes(
    models: tuple[Model, ...],
    kept: str,
    prices: PriceBook,
    features: Matrix,
    good: Sequence[Mapping[str, float]],
    bought: Sequence[Mapping[str, Bought]],
    usage: Sequence[Mapping[str, Usage]],
    *,
    votes: bool = True,
) -> Outcomes:
    import numpy as np

    names = [model.name for model in models]
    rate = {model.name: model for model in (*models, *priced([kept], prices))}

    def usd(row: Mapping[str, Usage], model: str) -> float:
        return row[model].input_tokens * rate[model].input_usd + row[model].output_tokens * rate[model].output_usd

    return Outcomes(
        models=models,
        features=features,
        input_tokens=np.array([float(row[names[0]].input_tokens) for row in usage]),
        right=np.array([[row[m] for m in names] for row in good]),
        chars=np.array([[float(max(row[m].output_tokens * 4, 1)) for m in names] for row in usage]),
        usd=np.array([[usd(row, m) for m in names] for row in usage]),
        kept_right=np.array([row[kept] for row in good]),
        kept_usd=np.array([usd(row, kept) for row in usage]),
        answers=tuple(tuple(row[m] for m in names) for row in bought) if votes else (),
    )
