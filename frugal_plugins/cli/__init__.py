"""The `frugal` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 some work failed, 2 bad input or recipe, 130 interrupted."""
    from frugal_plugins.cli.app import app

    arguments = sys.argv[1:]
    if "--debug" in arguments:  # wherever it was written
        arguments = ["--debug", *(word for word in arguments if word != "--debug")]
    app(args=arguments, prog_name="frugal")
