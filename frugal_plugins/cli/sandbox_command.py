"""`frugal sandbox`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Group

from frugal_plugins.cli.provider import needs_sandbox
from frugal_plugins.cli.screen import line, note, result
from frugal_plugins.errors import InputError
from frugal_plugins.report.words import exact


def serve(port: int, recorded: Path | None, *, as_json: bool) -> None:
    """Answer on loopback until Ctrl-C, then say what was billed."""
    needs_sandbox()
    from frugal_plugins.sandbox import Sandbox

    sandbox = Sandbox(recorded=recorded_file(recorded), port=port)
    try:
        sandbox.listen()
    except OSError as error:
        raise InputError(f"port {port} cannot be opened ({error.strerror}); choose another with --port, or 0 for a free one") from error
    openai, anthropic, invoice_url = sandbox.openai_base_url, sandbox.anthropic_base_url, f"{sandbox.url}/_sandbox/invoice"
    urls = {"openai_base_url": openai, "anthropic_base_url": anthropic, "invoice_url": invoice_url}
    lines = (
        f"OpenAI:    export OPENAI_BASE_URL={openai} OPENAI_API_KEY=any",
        f"Anthropic: export ANTHROPIC_BASE_URL={anthropic} ANTHROPIC_API_KEY=any",
        f"Invoice:   {invoice_url}",
        "Answers are made up, nothing costs money. Ctrl-C stops it.",
    )
    with suppress(KeyboardInterrupt):
        result(urls, lambda: Group(*map(line, lines)), as_json=as_json)
        sandbox.serve()
    invoice = sandbox.invoice()
    note(f"{len(invoice.lines)} calls billed, {exact(invoice.total_usd)}.")


def recorded_file(path: Path | None) -> Sequence[Path]:
    """The recorded answers, if any. Raises InputError when the file is not there."""
    if path is None:
        return ()
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path given to --recorded")
    return (path,)
