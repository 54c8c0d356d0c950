"""`frugal evaluate`: rows whose right answer is known are asked, compared and scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import typer

from frugal_plugins.cli.calibrate_command import agreed
from frugal_plugins.cli.evaluate_answers import Candidate, ask, candidate, judged, left, read_answers, read_verdicts
from frugal_plugins.cli.evaluate_lines import ANSWERING, Answer, EvaluationLines, JudgeLines, unusable
from frugal_plugins.cli.evaluate_report import Candidacy, Evaluation, Scored
from frugal_plugins.cli.failures import FAILED
from frugal_plugins.cli.lines import CHAT_ONLY, Line
from frugal_plugins.cli.run_command import Wishes
from frugal_plugins.cli.screen import note, result, write_text
from frugal_plugins.errors import InputError
from frugal_plugins.evaluate import Verdict, compare
from frugal_plugins.prices import PriceBook
from frugal_plugins.recipe.build import judge_of
from frugal_plugins.recipe.evaluate_settings import EvaluateSettings
from frugal_plugins.report.words import money
from frugal_plugins.request import Request
from frugal_plugins.tasks import find_task
from frugal_plugins.tokens import count_messages
from frugal_plugins.usage import Usage

_WORD_TOKENS: Final = 4


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `frugal evaluate`; None leaves a choice to the first recipe's `evaluate:` section."""

    expected: str | None = None
    compare: str | None = None
    fields: tuple[str, ...] = ()
    judge: str | None = None
    lane: str | None = None
    minimum: float | None = None
    most_drop: float | None = None
    answers: tuple[Path, ...] = ()
    folder: Path = Path("frugal-evaluation")
    verdicts: Path | None = None
    yes: bool = False

    def settings(self, candidates: list[Candidate]) -> EvaluateSettings:
        """The first recipe's section that there is, and what the options say instead."""
        sections = (one.settings.evaluate for one in candidates if one.model is None)
        said = next((one for one in sections if one is not None), EvaluateSettings())
        fields = {"fields": self.fields} if self.fields else {}
        named = {"expected": self.expected, "judge": self.judge, "lane": self.lane, "minimum_percent": self.minimum}
        how = self.compare or ("judge" if self.judge else None)
        chosen = {name: value for name, value in (named | {"compare": how}).items() if value is not None}
        return said.model_copy(update={**chosen, **fields})


def evaluate_files(names: list[str], source: str, options: Options, wishes: Wishes, *, as_json: bool) -> None:
    """Score candidates; leave with 1 when one does not reach what was asked of it."""
    if bool(names) == bool(options.answers):
        raise InputError("name what is evaluated: recipes or models (openai/gpt-4o), or files of answers with --answers; not both")
    candidates: list[Candidate] = []
    for name in names:
        ledger = next((one.source.get("ledger") for one in candidates if isinstance(one.source.get("ledger"), Mapping)), None)
        candidates.append(candidate(name, ledger))
    said = options.settings(candidates)
    wishes = replace(wishes, batch=said.lane == "batch")
    found = _Found(options, said, wishes)
    rows = found.rows(source, candidates)
    _usable(rows)
    parts = found.of_files(rows) if options.answers else found.of_candidates(candidates, rows)
    about = {"input": source, "expected": said.expected, "compare": said.compare, "lane": said.lane, "live": wishes.live}
    drop = options.most_drop
    evaluation = Evaluation(parts, None if said.minimum_percent is None else float(said.minimum_percent), drop, about)
    verdicts = options.verdicts or options.folder / "verdicts.jsonl"
    _write_verdicts(verdicts, parts)
    title = f"frugal evaluate: '{said.expected}' of {source}, compared {said.compare}"
    result({**evaluation.figures(), "verdicts": str(verdicts)}, lambda: evaluation.text(title), as_json=as_json)
    if not wishes.live and not options.answers:
        note("Made-up answers of the sandbox: these scores say nothing about a model. Add --provider live.")
    note(f"Every row with its verdicts: {verdicts}")
    if failures := evaluation.failures():
        note("frugal: " + "; ".join(failures))
        raise typer.Exit(FAILED)


@dataclass(slots=True)
class _Found:
    """One evaluation under way; `spent` is what it has cost so far."""

    options: Options
    said: EvaluateSettings
    wishes: Wishes
    spent: Decimal = Decimal(0)

    def rows(self, source: str, candidates: list[Candidate]) -> EvaluationLines:
        recipe = next((one.settings for one in candidates if one.model is None), None)
        endpoints = ANSWERING if self.options.answers or self.wishes.batch else CHAT_ONLY
        judging = self.said.compare == "judge"
        return EvaluationLines(
            source, self.said.expected, needed=not judging, settings=recipe, limit=self.wishes.limit, endpoints=endpoints
        )

    def of_candidates(self, candidates: list[Candidate], rows: EvaluationLines) -> list[Candidacy]:
        parts = []
        for one in candidates:
            file, paid = ask(one, rows, self.options.folder, left(self._without_limit(), self.spent))
            self.spent += paid
            parts.append(self._scored(one, file, rows, candidates))
        return parts

    def of_files(self, rows: EvaluationLines) -> list[Candidacy]:
        names = [path.name.removesuffix(path.suffix) for path in self.options.answers]
        if len(set(names)) < len(names):
            names = [str(path) for path in self.options.answers]
        models = [Candidate(name, None, {"recipe": "answers"}) for name in names]
        return [self._scored(one, path, rows, models) for one, path in zip(models, self.options.answers, strict=True)]

    def _without_limit(self) -> Wishes:
        """The rows are limited already."""
        return replace(self.wishes, limit=None)

    def _scored(self, one: Candidate, file: Path, rows: EvaluationLines, candidates: list[Candidate]) -> Candidacy:
        answers = read_answers(file)
        words, judge_usd = self._judged(one, rows, answers, candidates) if self.said.compare == "judge" else (None, Decimal(0))
        scored = [self._row(line, answers, words) for line in rows if line.bad is None]
        if not scored:
            raise InputError(f"there is no row with an answer to compare in {file}", file=rows.source)
        costs = [answers[row.line].usd for row in scored if row.line in answers]
        usd = None if None in costs else sum((Decimal(str(cost)) for cost in costs), Decimal(0))
        return Candidacy(one.name, str(file), scored, usd, judge_usd)

    def _row(self, line: Line, answers: Mapping[int, Answer], words: Mapping[int, bool | None] | None) -> Scored:
        answer = answers.get(line.number, Answer(None, "no line of the answers is for this row", "none", None))
        expected = line.aside.get(self.said.expected)
        task = str(line.frugal.get("task") or getattr(find_task(Request("", line.messages, line.params)), "name", "unknown"))
        verdict = Verdict(False, answer.error or "")
        if answer.text is not None and words is not None:
            right = words.get(line.number)
            verdict = Verdict(right, {True: "", False: "the judge says BAD", None: "the judge said neither GOOD nor BAD"}[right])
        elif answer.text is not None:
            verdict = compare(answer.text, expected, self.said.compare, self.said.fields)
        error = answer.error if answer.text is None else None
        return Scored(line.number, line.custom_id, expected, answer.text, verdict, answer.model, task, error)

    def _judged(
        self, one: Candidate, rows: EvaluationLines, answers: Mapping[int, Answer], candidates: list[Candidate]
    ) -> tuple[Mapping[int, bool | None], Decimal | None]:
        """The judge's words on a candidate's answers, and what they cost; the price is said before."""
        judge = self._judge(candidates)
        lines = JudgeLines(rows, answers, judge.name)
        folder = self.options.folder
        folder.mkdir(parents=True, exist_ok=True)
        usd = _price(lines, judge.name)
        note(f"To judge: {lines.count():,} answers of {one.name} by {judge.name}, {'unpriced' if usd is None else f'about {money(usd)}'}.")
        if self.wishes.live and lines.count():
            agreed(yes=self.options.yes)
        file, paid = judged(judge, one, lines, folder, left(self._without_limit(), self.spent))
        self.spent += paid
        said = read_answers(file)
        costs = [answer.usd for answer in said.values()]
        return read_verdicts(file), None if None in costs else sum((Decimal(str(cost)) for cost in costs), Decimal(0))

    def _judge(self, candidates: list[Candidate]) -> Candidate:
        recipe = next((one.settings for one in candidates if one.model is None and "tiers" in one.source), None)
        name = self.said.judge or (None if recipe is None else judge_of(recipe))
        if name is None:
            raise InputError("compare judge needs a model that judges; name one with --judge openai/gpt-4o")
        ledger = next((one.source["ledger"] for one in candidates if isinstance(one.source.get("ledger"), Mapping)), None)
        return candidate(name, ledger)


def _price(lines: JudgeLines, judge: str) -> Decimal | None:
    """What a judge's words are expected to cost."""
    tokens = sum(count_messages(line.messages, judge) for line in lines)
    return PriceBook().cost(judge, Usage(input_tokens=tokens, output_tokens=_WORD_TOKENS * lines.count()))


def _usable(rows: EvaluationLines) -> None:
    """The right answers are read before anything is paid: a field that no row has is a typing error."""
    if not any(line.bad is None for line in rows):
        bad = next((line for line in rows if line.bad is not None), None)
        raise InputError("there are no rows; give at least one", file=rows.source) if bad is None else unusable(bad, rows)


def _write_verdicts(path: Path, parts: list[Candidacy]) -> None:
    by_line: dict[int, dict[str, Any]] = {}
    for one in parts:
        for row in one.rows:
            said = by_line.setdefault(row.line, {"line": row.line, "custom_id": row.custom_id, "expected": row.expected, "candidates": {}})
            why = row.error or row.verdict.why
            said["candidates"][one.name] = {"right": row.verdict.right, "why": why, "answer": row.answer, "model": row.model}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(by_line[line], ensure_ascii=False) + "\n" for line in sorted(by_line)))
