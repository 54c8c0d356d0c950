"""Every help text, the same bytes on every machine: `python -m frugal_plugins.cli.help_texts`."""

from __future__ import annotations

import os
import sys
from typing import Final

_WIDTH: Final = "100"


def help_texts() -> dict[str, str]:
    """The help of `frugal` and of each command, 100 columns wide, without colour."""
    os.environ.update({"COLUMNS": _WIDTH, "TERMINAL_WIDTH": _WIDTH, "NO_COLOR": "1", "TERM": "dumb", "_TYPER_FORCE_DISABLE_TERMINAL": "1"})
    from typer.testing import CliRunner

    from frugal_plugins.cli.app import app, commands

    runner = CliRunner()
    texts = {"frugal": runner.invoke(app, ["--help"], prog_name="frugal").output}
    for name in commands():
        texts[f"frugal {name}"] = runner.invoke(app, [name, "--help"], prog_name="frugal").output
    return {name: "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n" for name, text in texts.items()}


def main() -> None:
    """Print them one after the other."""
    for name, text in help_texts().items():
        sys.stdout.write(f"$ {name} --help\n\n{text}\n")


if __name__ == "__main__":
    main()
