"""What became of requests: which model answered, what it cost, and whether the answer was good. The router learns from this.

One SQLite file (mode 0600). No prompt and no answer is kept: a row holds the numbers the router reads of a prompt, and what an
answer says only as a fingerprint. Verdicts come from users, judges, schema checks and the control group; where several speak
about one answer the most trusted wins, and where equals contradict each other the answer counts by their share.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from frugal_plugins.errors import LedgerError
from frugal_plugins.learned.agreement import stated
from frugal_plugins.sqlite_file import open_sqlite, script

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float64]]

Voice = Literal["user", "gold", "judge", "check", "control"]
TRUST: Final[Mapping[str, int]] = {"gold": 4, "user": 3, "judge": 2, "control": 1, "check": 1}
"""Who is believed when verdicts on one answer differ."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS prompts (
  prompt TEXT PRIMARY KEY, embedding TEXT NOT NULL, features BLOB NOT NULL, task TEXT NOT NULL, at_seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  request TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  chars INTEGER NOT NULL, usd TEXT, says TEXT, at_seconds REAL NOT NULL, PRIMARY KEY (request, model)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
  request TEXT NOT NULL, model TEXT NOT NULL, voice TEXT NOT NULL, good REAL NOT NULL, at_seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS verdicts_answer ON verdicts (request, model);
CREATE INDEX IF NOT EXISTS answers_prompt ON answers (prompt);
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of one model to one request.

    Attributes:
        request: the id the ledger and `x-frugal-id` know it by.
        prompt: a fingerprint of the prompt, the same for every model that was asked it.
        usd: dollars, None where the model is unpriced.
        says: a fingerprint of what the answer says, where that can be compared; see `said`.
    """

    request: str
    model: str
    prompt: str
    input_tokens: int
    output_tokens: int
    chars: int
    usd: str | None
    says: str | None
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A prompt with what is known of each model's answer to it: goodness from 0 to 1."""

    prompt: str
    task: str
    features: Matrix
    good: Mapping[str, float]
    answers: Mapping[str, Answered]


def said(text: str) -> str | None:
    """A fingerprint of what an answer says, equal for answers that say the same; None for free text."""
    found = stated(text)
    return None if found is None else hashlib.sha256(found.form.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class OutcomeFile:
    """The store. Safe to share between threads and processes; a file that is something else is refused, never overwritten."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._local = threading.local()

    def saw_prompt(self, prompt: str, features: Matrix, embedding: str, task: str, at_seconds: float) -> None:
        """Keep what the router reads of a prompt (numbers only)."""
        row = (prompt, embedding, features.astype("<f4").tobytes(), task, at_seconds)
        with self._connection() as connection:
            connection.execute("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?, ?, ?)", row)

    def answered(self, answer: Answered) -> None:
        """Keep what an answer cost and, as a fingerprint, what it says."""
        row = (
            answer.request, answer.model, answer.prompt, answer.input_tokens, answer.output_tokens,
            answer.chars, answer.usd, answer.says, answer.at_seconds,
        )  # fmt: skip
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def verdict(self, request: str, good: bool | float, *, voice: Voice, at_seconds: float, model: str | None = None) -> bool:
        """Say whether the answer to a request was good (True, False, or 0 to 1). False when no such request is known.

        Without `model` the verdict is on the answer the caller got, which is the last one.
        """
        if not 0 <= float(good) <= 1:
            raise ValueError(f"a verdict is True, False or a number from 0 to 1, not {good!r}")
        with self._connection() as connection:
            found = connection.execute(
                "SELECT model FROM answers WHERE request = ? AND (? IS NULL OR model = ?) ORDER BY at_seconds DESC LIMIT 1",
                (request, model, model),
            ).fetchone()
            if found is None:
                return False
            connection.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?)", (request, found[0], voice, float(good), at_seconds))
        return True

    def judged(self, embedding: str) -> list[Judged]:
        """Every prompt with at least one verdict, as fitted on; prompts read with another embedding are left out."""
        import numpy as np

        good = self._goodness()
        answers: dict[str, dict[str, Answered]] = defaultdict(dict)
        for row in self._rows("SELECT * FROM answers ORDER BY at_seconds"):
            answer = Answered(*row)
            if (answer.request, answer.model) in good or answer.model not in answers[answer.prompt]:
                answers[answer.prompt][answer.model] = answer
        found = []
        prompts = self._rows("SELECT prompt, features, task FROM prompts WHERE embedding = ? ORDER BY prompt", (embedding,))
        for prompt, features, task in prompts:
            given = answers.get(prompt, {})
            marks = {model: good[a.request, model] for model, a in given.items() if (a.request, model) in good}
            if marks:
                found.append(Judged(prompt, task, np.frombuffer(features, dtype="<f4").astype(np.float64), marks, given))
        return found

    def compare_with(self, kept: str, at_seconds: float) -> int:
        """Judge answers by the reference model's own: where both to one prompt can be compared, the other is good if it says the same.

        Such verdicts have the voice `control` (control traffic asks the reference what others were asked before) and are given
        once, to answers nobody judged. Says how many were given.
        """
        rows = list(
            self._rows(
                "SELECT a.request, a.model, a.says = k.says FROM answers a JOIN answers k ON k.prompt = a.prompt AND k.model = ? "
                "WHERE a.model <> k.model AND a.says IS NOT NULL AND k.says IS NOT NULL AND NOT EXISTS "
                "(SELECT 1 FROM verdicts v WHERE v.request = a.request AND v.model = a.model) GROUP BY a.request, a.model",
                (kept,),
            )
        )
        with self._connection() as connection:
            for request, model, same in rows:
                connection.execute("INSERT INTO verdicts VALUES (?, ?, 'control', ?, ?)", (request, model, float(same), at_seconds))
            if rows:
                connection.execute(
                    "INSERT INTO verdicts SELECT request, model, 'control', 1.0, ? FROM answers k WHERE model = ? AND says IS NOT NULL "
                    "AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.request = k.request AND v.model = k.model)",
                    (at_seconds, kept),
                )
        return len(rows)

    def counts(self) -> dict[str, int]:
        """How many verdicts there are, by who gave them."""
        return dict(self._rows("SELECT voice, count(*) FROM verdicts GROUP BY voice"))

    def forget_before(self, at_seconds: float) -> int:
        """Drop what is older; says how many prompts went."""
        with self._connection() as connection:
            gone = connection.execute("DELETE FROM prompts WHERE at_seconds < ?", (at_seconds,)).rowcount
            connection.execute("DELETE FROM answers WHERE prompt NOT IN (SELECT prompt FROM prompts)")
            connection.execute("DELETE FROM verdicts WHERE request NOT IN (SELECT request FROM answers)")
        return int(gone)

    def close(self) -> None:
        """Close this thread's connection."""
        mine = getattr(self._local, "connection", None)
        if mine is not None:
            mine[1].close()
            self._local.connection = None

    def _goodness(self) -> dict[tuple[str, str], float]:
        """One mark for each answer: the mean of the most trusted voices that spoke."""
        heard: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for request, model, voice, mark in self._rows("SELECT request, model, voice, good FROM verdicts"):
            heard[request, model].append((TRUST.get(voice, 0), mark))
        return {answer: _mean([mark for trust, mark in marks if trust == max(marks)[0]]) for answer, marks in heard.items()}

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self._connection().execute(sql, values)

    def _connection(self) -> sqlite3.Connection:
        mine: tuple[int, sqlite3.Connection] | None = getattr(self._local, "connection", None)
        if mine is None or mine[0] != os.getpid():
            mine = self._local.connection = (os.getpid(), self._opened())
        return mine[1]

    def _opened(self) -> sqlite3.Connection:
        try:
            return open_sqlite(self.path, script(_SCHEMA))
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"cannot keep outcomes in {self.path}: {error}. Name another file for the outcomes.") from error


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
