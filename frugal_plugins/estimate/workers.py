"""Files read on Dask workers: the Python part of an estimate, for logs one machine would take too long over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.estimate.near import near_in_part
from frugal_plugins.estimate.reading import Tally
from frugal_plugins.estimate.row import TYPES
from frugal_plugins.estimate.sources import Source, cuts, look_at
from frugal_plugins.estimate.stretch import read_into

_PARTS_A_WORKER: Final = 4
_SMALLEST_PART_BYTES: Final = 1_000_000
_MOST_LOCAL: Final = 256
_CONNECT_SECONDS: Final = 20


def read_part(path: str, start: int, end: int, out: str, questions: str | None = None) -> str:
    """Read one stretch of a file into a Parquet file, and its questions where they are wanted; returns the tally as JSON.

    Runs on a worker, which must see the files.
    """
    import duckdb

    lines = Path(f"{out}.tsv")
    tally = read_into(look_at(Path(path)), lines, start, end, None if questions is None else Path(questions))
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in TYPES.items())
    with duckdb.connect(config={"threads": "1"}) as db:
        db.execute(
            f"COPY (SELECT * FROM read_csv('{lines}', header=false, auto_detect=false, delim='\t', quote='', escape='', nullstr='\\N', "
            f"columns={{{columns}}})) TO '{out}' (FORMAT parquet)"
        )
    lines.unlink()
    return tally.as_json()


class Workers:
    """Dask workers at an address, or so many processes on this machine."""

    def __init__(self, client: Any) -> None:
        self.client = client

    @property
    def count(self) -> int:
        """How many there are."""
        return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    def each(self, parts: Sequence[Path], similarity: float) -> list[dict[int, int]]:
        """Near repeats by meaning, each part on one of them."""
        return list(self.client.gather(self.client.map(near_in_part, [str(part) for part in parts], similarity=similarity, pure=False)))

    def read(self, source: Source, folder: Path, number: int, *, questions: bool) -> tuple[list[Tally], list[Path]]:
        """All stretches of a file, as Parquet files in `folder`, and what they came to, in order."""
        size = source.path.stat().st_size
        stretches = cuts(source, max(1, min(self.count * _PARTS_A_WORKER, size // _SMALLEST_PART_BYTES)))
        outs = [folder / f"rows-{number}-{part}.parquet" for part in range(len(stretches))]
        asked_in = [str(out.with_suffix(".questions")) if questions else None for out in outs]
        found: Sequence[str] = self.client.gather(
            [
                self.client.submit(read_part, str(source.path.resolve()), start, end, str(out), asked, pure=False)
                for (start, end), out, asked in zip(stretches, outs, asked_in, strict=True)
            ]
        )
        return [Tally.from_json(one) for one in found], outs


@contextmanager
def dask_workers(wanted: str) -> Iterator[Workers]:
    """Workers at `tcp://host:port`, or a number of processes that are started here, on 127.0.0.1, and ended afterwards.

    Raises MissingExtra when dask is not installed, InputError when nobody answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtra("dask distributed", "scale") from error
    if wanted.isdigit():
        if not 1 <= int(wanted) <= _MOST_LOCAL:
            raise InputError(f"--workers {wanted} is not a number of processes from 1 to {_MOST_LOCAL}")
        with (
            LocalCluster(n_workers=int(wanted), threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield Workers(client)
        return
    try:
        client = Client(wanted, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"--workers {wanted}: no Dask scheduler answers there; give tcp://host:port, or a number of processes") from error
    with client:
        yield Workers(client)
