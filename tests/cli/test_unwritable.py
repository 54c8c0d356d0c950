"""Where nothing can be written: said before the work, with what to do, and nothing half-written is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frugal_plugins.cli.app import app
from tests.estimate.conftest import Write, chat, lines
from tests.ledger.test_rollups import booked, written

__all__ = ["lines"]


def frugal(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, words)))
    return done.exit_code, done.output


@pytest.fixture
def blocked(tmp_path: Path) -> dict[str, Path]:
    """Paths nobody can write to, root neither: a folder in the way, a file in a folder's place, no folder, and the kernel's own."""
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("kept")
    return {
        "is a folder": tmp_path / "folder.html",
        "is a file, not a folder": tmp_path / "file" / "page.html",
        "does not exist": tmp_path / "nowhere" / "page.html",
        "cannot be written": Path("/proc/frugal-page.html"),
    }


@pytest.mark.parametrize("words", ["is a folder", "is a file, not a folder", "does not exist", "cannot be written"])
def test_pages_and_recipes(words: str, blocked: dict[str, Path], tmp_path: Path, lines: Write) -> None:
    log, ledger = lines([chat(f"question {n}") for n in range(5)]), written(tmp_path / "l.sqlite", booked("a"))
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ("estimate", log, "--html", blocked[words]),
        ("estimate", log, "--write-recipe", blocked[words]),
        ("report", "--ledger", ledger, "--html", blocked[words]),
        ("try", "--quick", "--html", blocked[words]),
    ):
        code, said = frugal(*command)
        assert code == 2
        plain = " ".join(said.split())
        assert words in plain
        assert any(remedy in plain for remedy in ("name another file", "name a file in it", "make it"))
    assert [path for path in sorted(tmp_path.rglob("*")) if path.suffix not in (".sqlite-wal", ".sqlite-shm")] == before
    assert (tmp_path / "file").read_text() == "kept"


def test_exports_and_the_folder_for_spilling(blocked: dict[str, Path], tmp_path: Path, lines: Write) -> None:
    ledger = written(tmp_path / "l.sqlite", booked("a"))
    (tmp_path / "rows.csv").mkdir()
    for target in (tmp_path / "rows.csv", tmp_path / "nowhere" / "rows.csv", tmp_path / "file" / "rows.parquet", Path("/proc/rows.csv")):
        code, said = frugal("ledger", "export", target, "--ledger", ledger)
        assert code == 2
        assert str(target) in said.replace("\n", "")
    for spill in ("/proc/nowhere", str(tmp_path / "file")):
        code, said = frugal("estimate", lines([chat()]), "--spill", spill)
        assert (code, f"--spill {spill} is no folder" in said.replace("\n", " ")) == (2, True)


def test_a_device_or_a_pipe_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    ledger = written(tmp_path / "l.sqlite", booked("a"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    code, _ = frugal("observe", "-o", pipe)
    assert code == 0
    assert pipe.is_fifo()
    assert os.read(reader, 100).startswith(b"{")
    os.close(reader)
    target, link = tmp_path / "target.html", tmp_path / "link.html"
    target.write_text("old")
    link.symlink_to(target)
    assert frugal("report", "--ledger", ledger, "--html", link)[0] == 0
    assert link.is_symlink()
    assert "<html" in target.read_text()
