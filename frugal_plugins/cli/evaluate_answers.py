"""Getting the answers of an evaluation: each candidate asked every row, and the judge asked about every answer.

What was answered stays in files beside each other, so that a run that was stopped goes on and nothing is paid for twice. A file's
name has a digest of the candidate: a recipe that was changed since is asked anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import typer

from frugal_plugins.cli.evaluate_lines import Answer, EvaluationLines, JudgeLines, bad_line, unusable
from frugal_plugins.cli.failures import BAD_INPUT, FAILED, INTERRUPTED
from frugal_plugins.cli.lines import RequestLines
from frugal_plugins.cli.run_command import Wishes, answer_lines
from frugal_plugins.cli.screen import note
from frugal_plugins.cli.tally import Tally
from frugal_plugins.errors import InputError
from frugal_plugins.prices import provider_of
from frugal_plugins.recipe.settings import RecipeSettings, parse
from frugal_plugins.recipe.source import read_recipe, shipped_recipes
from frugal_plugins.request import fingerprint

_UNNAMED = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe, or a model alone, whose answers are scored.

    Attributes:
        model: for a model alone; every row is asked of it.
        source: the recipe to run it with.
    """

    name: str
    model: str | None
    source: Mapping[str, Any]

    @property
    def settings(self) -> RecipeSettings:
        """The recipe, checked."""
        return parse(read_recipe(self.source))

    def file(self, folder: Path, kind: str, wishes: Wishes) -> Path:
        """Where its answers are kept: those of a batch, which cost half, apart from those in real time."""
        same = {name: value for name, value in self.source.items() if name not in ("ledger", "evaluate", "batch")}
        digest = fingerprint([self.model, wishes.batch, json.loads(json.dumps(same, default=str))])[:8]
        rehearsed = "" if wishes.live else ".sandbox"
        return folder / f"{_UNNAMED.sub('-', self.name)}-{digest}{rehearsed}.{kind}.jsonl"


def candidate(name: str, ledger: Mapping[str, Any] | None = None) -> Candidate:
    """A recipe file, the name of a shipped recipe, or a model. No share of a recipe's rows goes untouched: all are evaluated.

    Nor does the recipe's own judge look at a sample of them: that would be paid for beside the evaluation.

    Raises RecipeError for a recipe that makes no sense, InputError for a name that is neither.
    """
    if name in shipped_recipes() or name.endswith((".yaml", ".yml")) or Path(name).is_file() or provider_of(name) is None:
        loaded = read_recipe(name)
        settings = parse(loaded)
        said = {name: value for name, value in loaded.data.items() if name != "judge"}
        return Candidate(Path(name).stem if loaded.path else name, None, {**said, "recipe": settings.recipe, "control_percent": 0})
    more = {} if ledger is None else {"ledger": dict(ledger)}
    return Candidate(name, name, {"recipe": "evaluated", "tiers": {"candidate": {"models": [name]}}, **more})


@dataclass(frozen=True, slots=True)
class Asking:
    """What one file of answers is made from: rows for a candidate, or answers for a judge."""

    source: Mapping[str, Any]
    rows: RequestLines
    output: Path

    def hand_in(self, wishes: Wishes) -> Decimal:
        """Give its batches to the provider now, so that several run side by side; returns what they could cost at worst."""
        if not (wishes.batch and wishes.live):
            return Decimal(0)
        from frugal_plugins.cli.run_batch import BatchWishes, hand_in

        return hand_in(self.source, self.rows, self.output, BatchWishes(wishes.live, wishes.skip_bad, wishes.max_usd))

    def answered(self, wishes: Wishes) -> Tally:
        """Answer what is not answered yet; returns what came of it."""
        note(f"{self.rows.count():,} rows, answers in {self.output}")
        return answer_lines(self.source, self.rows, self.output, wishes)[0]


def asking(one: Candidate, rows: EvaluationLines, folder: Path, wishes: Wishes) -> Asking:
    """Every row, for a candidate."""
    mine = rows.of(one.model)
    usable(mine, wishes)
    return Asking(one.source, mine, one.file(folder, "answers", wishes))


def judging(judge: Candidate, one: Candidate, rows: JudgeLines, folder: Path, wishes: Wishes) -> Asking:
    """Every answer of a candidate, for the judge."""
    return Asking(judge.source, rows, one.file(folder, f"judged-by-{_UNNAMED.sub('-', judge.name)}", wishes))


def usable(rows: RequestLines, wishes: Wishes) -> None:
    """Raises InputError for the first row that cannot be used, unless such rows may be left out."""
    bad = None if wishes.skip_bad else bad_line(rows)
    if bad is not None:
        raise unusable(bad, rows)


def leave_unless_answered(tally: Tally, output: Path) -> None:
    """Leave with what a run was stopped by; go on where it was not."""
    if tally.error is not None:
        note(f"frugal: {tally.error}")
        raise typer.Exit(BAD_INPUT)
    if tally.stopped is not None:
        note(f"frugal: stopped: {tally.stopped.rstrip('.')}. The answers so far are in {output}. Run the same command again to go on.")
        raise typer.Exit(INTERRUPTED if tally.interrupted else FAILED)


def read_answers(path: Path) -> dict[int, Answer]:
    """The answers of a file by line, as `frugal run`, `frugal batch results` and this command write them. Raises InputError."""
    found: dict[int, Answer] = {}
    for number, said in _records(path):
        line = said.get("line")
        if not isinstance(line, int) or not ({"response", "error"} & said.keys()):
            words = "this is not a line of answers; give a .jsonl file that frugal run or frugal batch results wrote"
            raise InputError(words, file=str(path), line=number)
        frugal = said.get("frugal") or {}
        response, error = said.get("response"), said.get("error")
        model = str(frugal.get("model") or (response or {}).get("model") or "unknown")
        text = None if response is None else answer_text(response)
        why = None if text is not None else str((error or {}).get("message") or "the answer is empty")
        found[line] = Answer(text, why, model, frugal.get("usd"))
    return found


def answer_text(response: Mapping[str, Any]) -> str | None:
    """What an answer says: its text, or the arguments of its only tool call; in any of the three APIs' shapes."""
    if "choices" in response:
        message = (response["choices"] or [{}])[0].get("message") or {}
        calls = message.get("tool_calls") or []
        said = message.get("content") or (calls[0]["function"]["arguments"] if len(calls) == 1 else None)
        return said if isinstance(said, str) else None
    parts = response.get("content")
    if parts is None:
        parts = [part for item in response.get("output") or () for part in item.get("content") or ()]
    texts = [str(part["text"]) for part in parts if isinstance(part, Mapping) and part.get("type") in ("text", "output_text")]
    return "".join(texts) if texts else None


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    said = json.loads(raw)
                    yield number, said if isinstance(said, Mapping) else {}
    except OSError as error:
        raise InputError(f"the answers cannot be read ({error.strerror}); check the path", file=str(path)) from error
    except ValueError as error:
        raise InputError(f"the line is not JSON ({error}); is it half-written?", file=str(path), line=number) from error
