"""Near repeats by meaning: which questions the cache by meaning would answer with an earlier one's answer.

The questions come from the readers as lines of their own, are held in the spill folder for as long as the estimate runs, and
are compared only where tenant, model, earlier turns and parameters are the same, as the cache does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SIMILARITY: Final = 0.95
_CANDIDATE: Final = 0.80
"""Cosine of the quick embedding below which a pair is not worth asking the model about."""

_NEIGHBOURS: Final = 8
_MOST: Final = 50_000
"""Questions of one part; a larger group is cut, so that memory stays bounded."""

Question = tuple[int, int, str]
"""Its group (what else the request is made of), its own number, its text."""

Embed = Callable[[Sequence[str]], Sequence[Any]]


class Pool(Protocol):
    """Workers that look at the parts."""

    @property
    def count(self) -> int:
        """How many there are."""

    def each(self, parts: Sequence[Path], similarity: float) -> list[dict[int, int]]:
        """`near_in_part` of every part, in order."""


def near_repeats(db: DuckDBPyConnection, folder: Path, similarity: float, pool: Pool | None) -> int:
    """Look at every `*.questions` in the folder and give questions of one meaning one `near`; says how many found an earlier one."""
    files = sorted(folder.glob("*.questions"))
    if not any(file.stat().st_size for file in files):
        return 0
    parts = collect(db, files, folder, 1 if pool is None else pool.count)
    found = [near_in_part(str(part), similarity) for part in parts] if pool is None else pool.each(parts, similarity)
    for file in (*files, *parts):
        file.unlink()
    return mark(db, found)


def collect(db: DuckDBPyConnection, files: Sequence[Path], folder: Path, parts: int) -> list[Path]:
    """Every different question that shares its group with another one, as Parquet files; a group is never divided."""
    listed = ", ".join(f"'{file}'" for file in files)
    db.execute(
        "CREATE OR REPLACE TEMP TABLE questions AS SELECT DISTINCT ON (number) * FROM read_csv("
        f"[{listed}], header=false, auto_detect=false, delim='\t', quote='', escape='', "
        "columns={'grouped': 'BIGINT', 'number': 'BIGINT', 'text': 'VARCHAR'}) ORDER BY number, text"
    )
    made = []
    for part in range(parts):
        path = folder / f"questions-{part}.parquet"
        db.execute(
            f"COPY (SELECT * FROM questions WHERE grouped % {parts} = {part} AND grouped IN "
            f"(SELECT grouped FROM questions GROUP BY 1 HAVING count(*) > 1) ORDER BY grouped, number) TO '{path}' (FORMAT parquet)"
        )
        made.append(path)
    db.execute("DROP TABLE questions")
    return made


def near_in_part(path: str, similarity: float) -> dict[int, int]:
    """For each question that means what an earlier one of its group means: the number of that one. Runs here or on a worker."""
    import duckdb

    with duckdb.connect(config={"threads": "1"}) as db:
        found = db.execute(f"SELECT grouped, number, text FROM '{path}' ORDER BY grouped, number LIMIT {_MOST}").fetchall()
    return near_of([(grouped, number, json.loads(text)) for grouped, number, text in found], similarity, _model())


def near_of(questions: Iterable[Question], similarity: float, embed: Embed) -> dict[int, int]:
    """The same, for questions sorted by group."""
    groups: dict[int, list[tuple[int, str]]] = {}
    for grouped, number, text in questions:
        groups.setdefault(grouped, []).append((number, text))
    meant: dict[int, int] = {}
    for members in groups.values():
        meant |= _in_group(members, similarity, embed)
    return meant


def _in_group(members: Sequence[tuple[int, str]], similarity: float, embed: Embed) -> dict[int, int]:
    """Candidates by the quick embedding, then the cache's own model and guards decide."""
    from frugal_plugins.meaning.guards import compare

    pairs = list(_candidates([text for _, text in members]))
    wanted = sorted({place for pair in pairs for place in pair})
    vectors = dict(zip(wanted, embed([members[place][1] for place in wanted]), strict=True)) if wanted else {}
    meant: dict[int, int] = {}
    for later, earlier in pairs:
        one, other = members[later], members[earlier]
        if one[0] in meant or float(vectors[later] @ vectors[earlier]) < similarity:
            continue
        if not compare(one[1], other[1]).conflicts:
            meant[one[0]] = meant.get(other[0], other[0])
    return meant


def _candidates(texts: Sequence[str]) -> Iterable[tuple[int, int]]:
    from frugal_plugins.answers.index import VectorIndex
    from frugal_plugins.learned.embedding import DIMENSIONS, static_embedding

    quick, index = static_embedding(), VectorIndex(DIMENSIONS)
    for place, text in enumerate(texts):
        vector = quick(text)
        rows, cosines, _ = index.search(vector, _NEIGHBOURS)
        yield from ((place, row) for row, cosine in zip(rows, cosines, strict=True) if cosine >= _CANDIDATE)
        index.add([place], [vector])


def _model() -> Embed:
    from frugal_plugins.embedding.weights import open_embedder

    return open_embedder().embed


def mark(db: DuckDBPyConnection, found: Iterable[Mapping[int, int]]) -> int:
    """Put the groups of like meaning into the rows; returns how many questions found one."""
    pairs = [pair for part in found for pair in part.items()]
    db.execute("CREATE OR REPLACE TEMP TABLE meant (number BIGINT, near BIGINT)")
    for start in range(0, len(pairs), 1_000):
        some = pairs[start : start + 1_000]
        db.execute(f"INSERT INTO meant VALUES {', '.join('(?, ?)' for _ in some)}", [value for pair in some for value in pair])
    db.execute(
        "UPDATE lines SET near = earlier.near FROM meant JOIN (SELECT canonical, any_value(near) AS near FROM lines "
        "WHERE canonical IS NOT NULL GROUP BY canonical) earlier ON earlier.canonical = meant.near WHERE lines.canonical = meant.number"
    )
    return len(pairs)
