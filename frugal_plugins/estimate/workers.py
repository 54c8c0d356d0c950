"""Files read on Dask workers: the Python part of an estimate, for logs one machine would take too long over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from frugal_plugins.errors import InputError, MissingExtra
from frugal_plugins.estimate.reading import Tally, read_stretch
from frugal_plugins.estimate.row import TYPES
from frugal_plugins.estimate.sources import Source, cuts, look_at

_PARTS_A_WORKER: Final = 4
_SMALLEST_PART_BYTES: Final = 1_000_000
_MOST_LOCAL: Final = 256
_CONNECT_SECONDS: Final = 20


def read_part(path: str, start: int, end: int, out: str) -> str:
    """Read one stretch of a file into a Parquet file; returns the tally as JSON. Runs on a worker, which must see both files."""
    import duckdb

    lines = Path(f"{out}.tsv")
    with lines.open("w", encoding="utf-8", errors="replace") as file:
        tally = read_stretch(look_at(Path(path)), file, start, end)
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

    def read(self, source: Source, folder: Path, number: int) -> tuple[list[Tally], list[Path]]:
        """All stretches of a file, as Parquet files in `folder`, and what they came to, in order."""
        workers = max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
        size = source.path.stat().st_size
        stretches = cuts(source, max(1, min(workers * _PARTS_A_WORKER, size // _SMALLEST_PART_BYTES)))
        outs = [folder / f"rows-{number}-{part}.parquet" for part in range(len(stretches))]
        found: Sequence[str] = self.client.gather(
            [
                self.client.submit(read_part, str(source.path.resolve()), start, end, str(out), pure=False)
                for (start, end), out in zip(stretches, outs, strict=True)
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
