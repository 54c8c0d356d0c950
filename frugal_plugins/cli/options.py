"""How options are read, where typer alone does not do it."""

from __future__ import annotations

from decimal import Decimal

import typer


def dollars(written: str | None) -> Decimal | None:
    """`2.50` or `$2.50` as exact dollars."""
    if written is None:
        return None
    words = written.strip().removeprefix("$")
    if not words.replace(".", "", 1).isdigit():
        raise typer.BadParameter("give dollars as a number, for example 2.50", param_hint="--max-usd")
    return Decimal(words)
