"""`frugal evaluate`: rows whose right answer is known are asked, compared and scored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import typer

from frugal_plugins.cli.calibrate_command import agreed
from frugal_plugins.cli.evaluate_answers import Asking, Candidate, asking, candidate, judging, leave_unless_answered, read_answers
from frugal_plugins.cli.evaluate_lines import ANSWERING, Answer, EvaluationLines, JudgeLines, unusable
from frugal_plugins.cli.evaluate_money import Allowance
from frugal_plugins.cli.evaluate_report import Candidacy, Evaluation, Scored
from frugal_plugins.cli.failures import FAILED
from frugal_plugins.cli.lines import CHAT_ONLY, Line
from frugal_plugins.cli.run_command import Wishes
from frugal_plugins.cli.screen import note, result, write_text
from frugal_plugins.errors import InputError
from frugal_plugins.evaluate import Verdict, compare
from frugal_plugins.learned.judging import read_word
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
    found = _Found(options, said, wishes, Allowance(replace(wishes, limit=None)))  # the rows are limited already
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
    """One evaluation under way."""

    options: Options
    said: EvaluateSettings
    wishes: Wishes
    allowance: Allowance

    def rows(self, source: str, candidates: list[Candidate]) -> EvaluationLines:
        recipe = next((one.settings for one in candidates if one.model is None), None)
        endpoints = ANSWERING if self.options.answers or self.wishes.batch else CHAT_ONLY
        judging = self.said.compare == "judge"
        return EvaluationLines(
            source, self.said.expected, needed=not judging, settings=recipe, limit=self.wishes.limit, endpoints=endpoints
        )

    def of_candidates(self, candidates: list[Candidate], rows: EvaluationLines) -> list[Candidacy]:
        files = self._answered([asking(one, rows, self._folder(), self.wishes) for one in candidates])
        return self._scored(list(zip(candidates, files, strict=True)), rows)

    def of_files(self, rows: EvaluationLines) -> list[Candidacy]:
        names = [path.name.removesuffix(path.suffix) for path in self.options.answers]
        if len(set(names)) < len(names):
            names = [str(path) for path in self.options.answers]
        models = [Candidate(name, None, {"recipe": "answers"}) for name in names]
        return self._scored(list(zip(models, self.options.answers, strict=True)), rows)

    def _answered(self, askings: list[Asking]) -> list[Path]:
        self.allowance.answer(askings, leave_unless_answered)
        return [one.output for one in askings]

    def _folder(self) -> Path:
        if self.options.folder.exists() and not self.options.folder.is_dir():
            raise InputError(f"--folder {self.options.folder} is a file; name a folder for the answers and verdicts")
        self.options.folder.mkdir(parents=True, exist_ok=True)
        return self.options.folder

    def _scored(self, files: list[tuple[Candidate, Path]], rows: EvaluationLines) -> list[Candidacy]:
        known = [read_answers(file) for _, file in files]
        said: list[Mapping[int, Answer] | None] = [None] * len(files)
        if self.said.compare == "judge":
            said = [*self._judged([one for one, _ in files], rows, known)]
        return [self._candidacy(one, file, rows, *found) for (one, file), found in zip(files, zip(known, said, strict=True), strict=True)]

    def _candidacy(
        self, one: Candidate, file: Path, rows: EvaluationLines, answers: Mapping[int, Answer], said: Mapping[int, Answer] | None
    ) -> Candidacy:
        words = None if said is None else {line: None if word.text is None else read_word(word.text) for line, word in said.items()}
        scored = [self._row(line, answers, words) for line in rows if line.bad is None]
        if not scored:
            raise InputError(f"there is no row with an answer to compare in {file}", file=rows.source)
        usd = _sum([answers[row.line].usd for row in scored if row.line in answers])
        return Candidacy(one.name, str(file), scored, usd, _sum([word.usd for word in (said or {}).values()]))

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
        self, candidates: list[Candidate], rows: EvaluationLines, answers: list[dict[int, Answer]]
    ) -> Iterator[Mapping[int, Answer]]:
        """The judge's words on each candidate's answers; the price is said before anybody is asked."""
        judge = self._judge(candidates)
        lines = [JudgeLines(rows, known, judge.name) for known in answers]
        usd = _price(lines, judge.name)
        count = sum(one.count() for one in lines)
        note(f"To judge: {count:,} answers by {judge.name}, {'unpriced' if usd is None else f'at most about {money(usd)}'}.")
        if self.wishes.live and count:
            agreed(yes=self.options.yes)
        askings = [judging(judge, one, mine, self._folder(), self.wishes) for one, mine in zip(candidates, lines, strict=True)]
        return map(read_answers, self._answered(askings))

    def _judge(self, candidates: list[Candidate]) -> Candidate:
        recipe = next((one.settings for one in candidates if one.model is None and "tiers" in one.source), None)
        name = self.said.judge or (None if recipe is None else judge_of(recipe))
        if name is None:
            raise InputError("compare judge needs a model that judges; name one with --judge openai/gpt-4o")
        ledger = next((one.source["ledger"] for one in candidates if isinstance(one.source.get("ledger"), Mapping)), None)
        return candidate(name, ledger)


def _price(parts: list[JudgeLines], judge: str) -> Decimal | None:
    """What a judge's words are expected to cost, in real time."""
    tokens = [count_messages(line.messages, judge) for lines in parts for line in lines]
    return PriceBook().cost(judge, Usage(input_tokens=sum(tokens), output_tokens=_WORD_TOKENS * len(tokens)))


def _sum(costs: Iterable[float | None]) -> Decimal | None:
    """Dollars together; None where one of them is not known."""
    known = list(costs)
    return None if None in known else sum((Decimal(str(cost)) for cost in known), Decimal(0))


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
