"""The two batch lanes: how a batch is handed in, looked at, stopped, found again and read.

OpenAI names our batch in its metadata. Anthropic has no place for a name, so the custom ids carry it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Final, Literal, Protocol

from frugal_plugins.batch.places import MOST_INPUTS
from frugal_plugins.errors import FrugalError

Stage = Literal["working", "stopping", "ended", "refused"]

SEEN_BEFORE_SECONDS: Final = 86_400
"""How far the provider's clock may be behind ours: a batch that is overlooked for that would be paid twice."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a provider shows of a batch.

    Attributes:
        stage: what it means for us; `refused` is a batch whose input was not accepted.
        whole: whether results can be read, or are none to come.
        problems: what was wrong with the input: (line counted from 1 or None, code, message).
        usage: OpenAI's sum over all rows, where it says it.
    """

    stage: Stage
    status: str
    whole: bool = False
    done: int = 0
    failed: int = 0
    problems: tuple[tuple[int | None, str, str], ...] = ()
    results: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the results.

    Attributes:
        body: the answer, when there is one.
        again: whether asking again can help.
    """

    custom_id: str
    body: Mapping[str, Any] | None = None
    error: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Handed:
    """What is known of a batch when it is looked for: our name for it, its size, and since when it may exist."""

    tag: str
    rows: int
    since: float
    known: frozenset[str] = field(default_factory=frozenset)


class Lane(Protocol):
    """One provider's batch API."""

    most_rows: int
    most_bytes: int
    most_inputs: int

    def line(self, custom_id: str, body: str) -> bytes:
        """One row as it goes into the batch; `body` is JSON."""

    def upload(self, tag: str, lines: Iterable[bytes], /) -> str:
        """Put the rows where the batch can read them; "" where they go along with the batch. Costs nothing."""

    def create(self, tag: str, file_id: str | None, lines: Iterable[bytes], /) -> str:
        """Hand the batch in: from here on it costs money. Returns its id; raises Refusal or NoAnswer."""

    def show(self, batch_id: str) -> Shown:
        """How far it is."""

    def cancel(self, batch_id: str) -> None:
        """Ask for it to be stopped."""

    def find(self, handed: Handed) -> str | None:
        """The id of a batch that was handed in without an answer; None when it is not there. Raises NoAnswer while it cannot be told."""

    def results(self, batch_id: str, shown: Shown, /) -> Iterator[Result | None]:
        """Every line of the results; None for one that cannot be read."""

    def clean(self, file_id: str | None, /) -> None:
        """Remove the rows from the provider."""


NO_LIMIT: Final = MOST_INPUTS * MOST_INPUTS


@contextmanager
def on_disk(lines: Iterable[bytes], before: bytes = b"", between: bytes = b"\n", after: bytes = b"\n") -> Iterator[IO[bytes]]:
    """The rows of a batch in a file without a name, so that a batch of 200 MB needs no memory; it is gone when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, where a full disk may fail once more
    try:
        file.write(before)
        for number, line in enumerate(lines):
            if number:
                file.write(between)
            file.write(line)
        file.write(after)
        file.seek(0)
    except OSError as error:
        with suppress(OSError):
            file.close()
        where = tempfile.gettempdir()
        raise FrugalError(f"the rows of a batch cannot be written in {where} ({error.strerror}); free it, nothing was sent") from error
    with file:
        yield file
