"""`frugal ledger` and its options. What the commands do is imported when one is run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly

ledger_app = typer.Typer(
    name="ledger",
    help="Check the ledger against the provider's invoice, hand its rows on, and let old rows go.",
    no_args_is_help=True,
)

Place = Annotated[str | None, typer.Option("--ledger", metavar="FILE|URL", help="A file or postgresql:// address; else FRUGAL_LEDGER.")]
Since = Annotated[str | None, typer.Option(metavar="7d|DATE", help="Only requests since then: 7d, 12h, or 2026-11-01.")]
Until = Annotated[str | None, typer.Option(metavar="7d|DATE", help="Only requests before then.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


class TableName(str, Enum):  # noqa: UP042 - the value is what is typed
    """What can be exported."""

    REQUESTS = "requests"
    CALLS = "calls"
    DECISIONS = "decisions"
    SAVINGS = "savings"
    FEEDBACK = "feedback"
    ROLLUPS = "rollups"


@ledger_app.command()
@plainly
def verify(
    invoices: Annotated[list[Path], typer.Argument(metavar="INVOICE...", help="The provider's usage or cost reports, as JSON.")],
    ledger: Place = None,
    as_json: AsJson = False,
) -> None:
    """Compare the ledger with what the provider reports, to the cent and the token, and name what differs.

    Reads OpenAI's organization usage and costs, Anthropic's usage_report and cost_report (buckets of whole hours or days, grouped
    by model), and the sandbox's invoice (call by call). Leaves with 1 when something differs.
    """
    from frugal_plugins.cli.ledger_work import verify_files

    verify_files(ledger, invoices, as_json=as_json)


@ledger_app.command()
@plainly
def export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="What to write: .csv or .parquet.")],
    table: Annotated[TableName, typer.Option(help="Which rows.")] = TableName.REQUESTS,
    ledger: Place = None,
    since: Since = None,
    until: Until = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Also prompts and answers, where the ledger keeps them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write rows or hourly sums as CSV or Parquet, readable by their owner only. Dollars are exact; cells cannot run as formulas."""
    from frugal_plugins.cli.ledger_work import export_table

    export_table(ledger, table.value, output, (since, until), with_text=with_text, as_json=as_json)


@ledger_app.command()
@plainly
def prune(
    before: Annotated[str, typer.Option(metavar="90d|DATE", help="Let go of rows older than this.")],
    ledger: Place = None,
    compact: Annotated[bool, typer.Option("--compact", help="Also give the free space back; writers wait meanwhile.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the rows of old requests; the hourly sums stay, so reports still cover them. Can be interrupted and run again."""
    from frugal_plugins.cli.ledger_work import prune_rows

    prune_rows(ledger, before, compact=compact, as_json=as_json)


@ledger_app.command()
@plainly
def rollup(ledger: Place = None, as_json: AsJson = False) -> None:
    """Make the hourly sums again from the rows that are there. They are kept in step by themselves; this is for doubts."""
    from frugal_plugins.cli.ledger_work import make_sums

    make_sums(ledger, as_json=as_json)
