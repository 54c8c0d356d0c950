"""The rows of an evaluation: what is asked, with the right answer put aside; and the questions to a judge about the answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from frugal_plugins.cli.lines import InputLines, Line, RequestLines
from frugal_plugins.errors import InputError
from frugal_plugins.learned.judging import WORD_TOKENS, judge_messages
from frugal_plugins.models import always_thinks
from frugal_plugins.recipe.settings import RecipeSettings
from frugal_plugins.request import Endpoint, text_of

ANSWERING: Final[tuple[Endpoint, ...]] = ("chat", "responses", "messages")
_ANEW: Final = {"no-cache": True, "no-store": True}
_DIGEST_CHARS: Final = 16


class EvaluationLines:
    """Rows with a right answer.

    A row is asked as it is written, or, with `model`, of that model. The recipe's cache neither answers a row nor keeps its
    answer: an evaluation of yesterday's answers would say nothing about today's recipe.

    Args:
        expected: the field of a row that has the right answer.
        needed: whether a row without it is of no use.
        limit: only so many rows.
        settings: the recipe's; a row that has neither messages nor input is taken for variables of its pipeline's prompt.
    """

    def __init__(
        self,
        source: str,
        expected: str,
        *,
        needed: bool = True,
        settings: RecipeSettings | None = None,
        limit: int | None = None,
        endpoints: tuple[Endpoint, ...] = ANSWERING,
    ) -> None:
        self.source = source
        self.expected = expected
        self.model: str | None = None
        self._needed = needed
        self._limit = limit
        self._pipeline = None if settings is None else settings.pipeline
        filled = None if self._pipeline is None else self._filled
        self._lines = InputLines(source, endpoints, aside=(expected,), filled=filled)

    def __iter__(self) -> Iterator[Line]:
        for place, line in enumerate(self._lines):
            if self._limit is not None and place >= self._limit:
                return
            yield line if line.bad is not None else self._evaluated(line)

    def count(self) -> int:
        """How many rows there are."""
        found = self._lines.count()
        return found if self._limit is None else min(found, self._limit)

    def of(self, model: str | None) -> EvaluationLines:
        """The same rows, asked of one model."""
        lines = EvaluationLines.__new__(EvaluationLines)
        lines.__dict__.update(vars(self), model=model)
        return lines

    def _evaluated(self, line: Line) -> Line:
        if self._needed and line.aside.get(self.expected) in (None, ""):
            words = f"there is no '{self.expected}' with the right answer; write it, or name another field with --expected"
            return Line(line.number, line.digest, line.custom_id, bad=words)
        frugal = {**line.frugal, "cache": _ANEW}
        if self._pipeline is not None and self._pipeline.task is not None:
            frugal = {"task": self._pipeline.task, **frugal}
        return replace(line, model=self.model or line.model, frugal=frugal)

    def _filled(self, said: Mapping[str, Any]) -> dict[str, Any]:
        from frugal_plugins.litellm.call import pipeline_body

        assert self._pipeline is not None
        own = {name: said[name] for name in ("custom_id", "frugal") if name in said}
        return {**own, "body": {**pipeline_body(self._pipeline, said), **({"model": said["model"]} if "model" in said else {})}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one row came to: the answer's text, or why there is none; what it cost, and the model that gave it."""

    text: str | None
    error: str | None
    model: str
    usd: float | None


class JudgeLines:
    """One question to a judge for each answer: is it good?"""

    def __init__(self, rows: EvaluationLines, answers: Mapping[int, Answer], judge: str) -> None:
        self.source = f"the answers to {rows.source}"
        self._rows = rows
        self._answers = answers
        self._judge = judge

    def __iter__(self) -> Iterator[Line]:
        limit = {} if always_thinks(self._judge) else {"max_tokens": WORD_TOKENS, "temperature": 0}
        for line in self._rows:
            answer = self._answers.get(line.number)
            if line.bad is None and answer is not None and answer.text is not None:
                right = line.aside.get(self._rows.expected)
                reference = None if right in (None, "") else right if isinstance(right, str) else json.dumps(right, ensure_ascii=False)
                messages = judge_messages(_asked(line), answer.text, reference)
                digest = hashlib.sha256(messages[1]["content"].encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
                yield Line(line.number, digest, model=self._judge, messages=messages, params=limit, frugal={"cache": _ANEW})

    def count(self) -> int:
        """How many answers there are to judge."""
        return sum(1 for _ in self)


def _asked(line: Line) -> str:
    """A request as the judge reads it: the whole conversation, or the user's words where there is nothing else."""
    if len(line.messages) == 1:
        return text_of(line.messages[0])
    return "\n\n".join(f"{message.get('role')}: {text_of(message)}" for message in line.messages)


def bad_line(lines: RequestLines) -> Line | None:
    """The first line that cannot be used."""
    return next((line for line in lines if line.bad is not None), None)


def unusable(line: Line, lines: RequestLines) -> InputError:
    """Why a row cannot be used, and what to do."""
    return InputError(f"{line.bad}. Correct the row, or leave it out with --skip-bad-lines.", file=lines.source, line=line.number)
