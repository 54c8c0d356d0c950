"""`frugal schema`."""

from __future__ import annotations

import sys
from pathlib import Path

from frugal_plugins.cli.screen import line, result, write_text
from frugal_plugins.recipe.schema import recipe_schema, schema_bytes


def print_schema(output: Path | None, *, as_json: bool) -> None:
    """Print the schema, or write it to a file; with --json and a file, say where it went."""
    if output is None:
        sys.stdout.write(schema_bytes().decode())
        return
    write_text(output, schema_bytes().decode())
    result({"output": str(output), "title": recipe_schema()["title"]}, lambda: line(f"The schema of a recipe: {output}"), as_json=as_json)
