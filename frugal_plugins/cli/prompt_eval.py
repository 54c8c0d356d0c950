"""The same inputs asked with the old prompt and with the new one: does the shorter prompt still do its work?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError
from frugal_plugins.request import Message
from frugal_plugins.text.facts import content_words, folded

_SAME_SHARE: Final = 0.8
_LEAST_SAME_PERCENT: Final = 90.0
_NAMED: Final = re.compile(r"\{([A-Za-z_][\w.]*)\}")


@dataclass(frozen=True, slots=True)
class Case:
    """One input of an eval: what the user says, values for the prompt's {names}, and the right answer where one is known."""

    line: int
    input: str
    variables: dict[str, str]
    expected: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one input fared. `right_before` and `right_after` are None where no right answer was given."""

    line: int
    same: bool
    right_before: bool | None
    right_after: bool | None


@dataclass(frozen=True, slots=True)
class EvalResult:
    """An eval of one file, input by input."""

    verdicts: tuple[Verdict, ...]

    @property
    def same_percent(self) -> float:
        """Share of inputs both prompts answered alike."""
        return 100 * sum(one.same for one in self.verdicts) / max(1, len(self.verdicts))

    @property
    def right(self) -> tuple[int, int, int]:
        """Inputs with a right answer given: how many, right before, right after."""
        known = [one for one in self.verdicts if one.right_before is not None]
        return len(known), sum(bool(one.right_before) for one in known), sum(bool(one.right_after) for one in known)

    @property
    def worse(self) -> bool:
        """Whether the new prompt does worse: fewer right answers, or, without right answers, fewer than 90 % alike."""
        known, before, after = self.right
        rest = [one for one in self.verdicts if one.right_before is None]
        differs = bool(rest) and 100 * sum(one.same for one in rest) < _LEAST_SAME_PERCENT * len(rest)
        return after < before or differs or (not known and not rest)

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        known, before, after = self.right
        return {
            "inputs": len(self.verdicts), "same_percent": round(self.same_percent, 1), "with_expected": known, "right_before": before,
            "right_after": after, "worse": self.worse, "verdicts": [asdict(one) for one in self.verdicts],
        }  # fmt: skip


def read_cases(path: Path) -> list[Case]:
    """Inputs, one JSON object a line: `input`, perhaps `variables` and `expected`. Raises InputError with the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error}); give a JSONL file with an input a line", file=str(path)) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"not JSON ({error}); write one object a line", file=str(path), line=number) from error
        given = row.get("variables", {}) if isinstance(row, dict) else None
        if not isinstance(row, dict) or not isinstance(row.get("input"), str) or not isinstance(given, dict):
            raise InputError('no input; write {"input": "...", "expected": "..."}', file=str(path), line=number)
        expected = row.get("expected")
        plain = expected if isinstance(expected, str) or expected is None else json.dumps(expected)
        found.append(Case(number, row["input"], {str(name): str(value) for name, value in given.items()}, plain))
    if not found:
        raise InputError("holds no inputs; write one JSON object a line", file=str(path))
    return found


def evaluate(
    before: str, after: str, cases: Sequence[Case], ask: Callable[[Sequence[Message]], str], show: Callable[[int], None]
) -> EvalResult:
    """Ask every input with both prompts."""
    verdicts = []
    for done, case in enumerate(cases, 1):
        old, new = (ask(_messages(prompt, case)) for prompt in (before, after))
        right = (None, None) if case.expected is None else (_right(old, case.expected), _right(new, case.expected))
        verdicts.append(Verdict(case.line, alike(old, new), *right))
        show(done)
    return EvalResult(tuple(verdicts))


def _messages(prompt: str, case: Case) -> list[Message]:
    """The prompt as a system message and the input behind it; a prompt with {input} in it is one user message."""
    values = {**case.variables, "input": case.input}
    filled = _NAMED.sub(lambda match: values.get(match.group(1), match.group()), prompt)
    if "{input}" in prompt:
        return [{"role": "user", "content": filled}]
    return [{"role": "system", "content": filled}, {"role": "user", "content": case.input}]


def _right(answer: str, expected: str) -> bool:
    """Whether an answer is the expected JSON, or holds the expected words."""
    wanted, given = _json(expected), _json(answer)
    if isinstance(wanted, (dict, list)):
        return bool(given == wanted)
    return bool(re.search(rf"(?<!\w){re.escape(folded(expected))}(?!\w)", folded(answer)))


def alike(one: str, other: str) -> bool:
    """Whether two answers say the same: equal as JSON or in words, or nearly the same words without a number that differs."""
    left, right = _json(one), _json(other)
    if left is not None or right is not None:
        return bool(left == right)
    if folded(one).strip(" .!") == folded(other).strip(" .!"):
        return True
    if sorted(re.findall(r"\d+", one)) != sorted(re.findall(r"\d+", other)):
        return False
    words, more = set(content_words(one)), set(content_words(other))
    return bool(words & more) and len(words & more) >= _SAME_SHARE * len(words | more)


def _json(text: str) -> Any:
    try:
        return json.loads(text.strip().removeprefix("```json").removesuffix("```"))
    except ValueError:
        return None
