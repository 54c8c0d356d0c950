"""Every help text, the same bytes on every machine: `python -m frugal_plugins.cli.help_texts`."""

from __future__ import annotations

import sys
from typing import Final

from frugal_plugins.cli.provider import environment

_SCREEN: Final = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "FORCE_COLOR": None, "TERMINAL_WIDTH": None}


def help_texts() -> dict[str, str]:
    """The help of `frugal` and of each command, 100 columns wide, without colour."""
    with environment(_SCREEN):
        from typer.testing import CliRunner

        from frugal_plugins.cli.app import app, commands

        runner = CliRunner()
        texts = {"frugal": runner.invoke(app, ["--help"], prog_name="frugal").output}
        for name in commands():
            texts[f"frugal {name}"] = runner.invoke(app, [name, "--help"], prog_name="frugal").output
        for group in app.registered_groups:
            words = str(group.typer_instance.info.name) if group.typer_instance is not None else ""
            texts[f"frugal {words}"] = runner.invoke(app, [words, "--help"], prog_name="frugal").output
    return {name: "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n" for name, text in texts.items()}


def main() -> None:
    """Print them one after the other."""
    for name, text in help_texts().items():
        sys.stdout.write(f"$ {name} --help\n\n{text}\n")


if __name__ == "__main__":
    main()
