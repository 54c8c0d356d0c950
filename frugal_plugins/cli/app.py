"""The commands and their options. What they do is imported when one is run, so that `--help` answers at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from frugal_plugins import __version__
from frugal_plugins.cli.batch_commands import batch_app
from frugal_plugins.cli.cache_commands import cache_app
from frugal_plugins.cli.evaluate_options import add_to as add_evaluate
from frugal_plugins.cli.failures import DEBUG, plainly
from frugal_plugins.cli.learning_commands import add_to as add_learning_commands
from frugal_plugins.cli.ledger_commands import ledger_app
from frugal_plugins.cli.options import dollars
from frugal_plugins.cli.prompt_commands import add_to as add_prompt_commands

app = typer.Typer(
    name="frugal",
    help="Pay less for LLM calls: one YAML recipe, and a ledger that proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(batch_app)
app.add_typer(cache_app)
app.add_typer(ledger_app)


class Provider(str, Enum):  # noqa: UP042 - the value is what is typed
    """Who answers."""

    SANDBOX = "sandbox"
    LIVE = "live"


class RunLane(str, Enum):  # noqa: UP042 - the value is what is typed
    """Which price class answers a run."""

    REALTIME = "realtime"
    BATCH = "batch"


class OnBadLine(str, Enum):  # noqa: UP042
    """What to do at a line that cannot be used."""

    STOP = "stop"
    SKIP = "skip"


RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", metavar="FILE", help="The ledger file.")]
LedgerPlace = Annotated[str | None, typer.Option("--ledger", metavar="FILE|URL", help="The ledger file, or a postgresql:// address.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frugal-plugins {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Pay less for LLM calls: one YAML recipe, and a ledger that proves it. Start with: frugal try"""
    DEBUG.set(debug and not version)


@app.command("try")
@plainly
def try_(
    recipe: RecipeOption = "support",
    html: Annotated[Path, typer.Option(metavar="FILE", help="Where the page goes.")] = Path("frugal-report.html"),
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.")] = False,
    ledger: LedgerFile = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N requests of the month.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the first 60 requests.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a month of a team's requests to a provider on this machine, without and with a recipe, and compare the bills.

    Nothing leaves this machine and nothing costs money. The ledger is frugal-try.sqlite unless --ledger names another file.
    Leaves with 1 when the ledger and the invoice differ or an answer got worse.
    """
    from frugal_plugins.cli.provider import needs_sandbox

    needs_sandbox()  # before what follows imports it
    from frugal_plugins.cli.try_command import try_recipe

    try_recipe(recipe, None if no_html else html, ledger, min(limit or 10**9, 60 if quick else 10**9), as_json=as_json)


@app.command()
@plainly
def run(
    recipe: RecipeName,
    input: Annotated[str, typer.Option("--input", "-i", metavar="FILE", help="Requests, one JSON object a line; - is stdin.")],  # noqa: A002
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Answers, one a line. Those that are there are kept.")],
    provider: Annotated[Provider, typer.Option(help="sandbox: made-up answers, free. live: real ones, with your keys.")] = Provider.SANDBOX,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight at most; fewer after a rate limit.")] = 8,
    on_bad_line: Annotated[OnBadLine, typer.Option(help="stop there, or skip it and write an error for it.")] = OnBadLine.STOP,
    max_usd: Annotated[str | None, typer.Option(metavar="USD", help="Stop before this run could cost more.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N requests of the input.")] = None,
    recorded: Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded answers for the sandbox, JSONL.")] = None,
    lane: Annotated[RunLane, typer.Option(help="realtime: at once. batch: within hours, at half the price.")] = RunLane.REALTIME,
    as_json: AsJson = False,
) -> None:
    """Send a file of requests through a recipe.

    A line is a chat completion body ({"messages": [...], "model": ...}) or {"custom_id": ..., "body": {...}}, with an optional
    "frugal" object (task, tenant, session, team, off). Answers are written in the order they finish, each with its line number.
    Run the same command again to go on where it stopped; nothing that has an answer is paid twice. Streams are answered whole.
    The sandbox's made-up answers are booked in a ledger of their own (NAME-sandbox.sqlite) and kept in no cache file.
    """
    from frugal_plugins.cli.run_command import Wishes, run_file

    wishes = Wishes(
        provider is Provider.LIVE, concurrency, on_bad_line is OnBadLine.SKIP, dollars(max_usd), limit, recorded, lane is RunLane.BATCH
    )
    run_file(recipe, input, output, wishes, as_json=as_json)


@app.command()
@plainly
def check(
    recipes: Annotated[list[str] | None, typer.Argument(metavar="RECIPE...", help="Recipe files, or names of shipped recipes.")] = None,
    traffic: Annotated[str | None, typer.Option(metavar="LOG.jsonl", help="A log of requests: what breaks the cached prefix.")] = None,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="With --traffic: quote the lines that change. They are prompt text.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read recipes and say what is wrong or doubtful: prices, tiers, budgets, models, the ledger's place. Leaves with 2 on an error.

    With --traffic, read a log of requests (bodies, one a line; - is stdin) and say which bytes keep the provider from reading prompts
    from its cache: clocks, ids, shuffled tools and keys, documents; where they stand, what they cost a month, and what to do.
    """
    if traffic is not None:
        from frugal_plugins.cli.traffic_command import check_traffic

        return check_traffic(traffic, recipes or [], show_text=show_text, as_json=as_json)
    from frugal_plugins.cli.check_command import check_recipes

    return check_recipes(recipes or [], as_json=as_json)


@app.command()
@plainly
def explain(
    request: Annotated[str, typer.Argument(metavar="REQUEST.json", help="A chat completion body, or a line of `frugal run`; - is stdin.")],
    recipe: RecipeOption = "support",
    as_json: AsJson = False,
) -> None:
    """Say what would happen to a request and why, without calling anyone."""
    from frugal_plugins.cli.explain_command import explain_request

    explain_request(request, recipe, as_json=as_json)


@app.command()
@plainly
def estimate(
    logs: Annotated[list[str] | None, typer.Argument(metavar="[LOGS]...", help="Files of logs or reports, or postgresql://...")] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", metavar="RECIPE", help="What is planned. Without it: fitted.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page with plots and sliders.")] = None,
    write_recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a recipe for this traffic.")] = None,
    requests_per_month: Annotated[int | None, typer.Option(min=1, metavar="N", help="Instead of logs: requests a month.")] = None,
    input_tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="Input tokens of a request, on average.")] = None,
    output_tokens: Annotated[int | None, typer.Option(min=0, metavar="N", help="Output tokens of an answer, on average.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME[=PERCENT]", help="A model and its share; may be repeated.")] = None,
    cached_percent: Annotated[float, typer.Option(min=0, max=100, metavar="PERCENT", help="Input the provider's cache serves.")] = 0.0,
    spill: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where large logs may spill; else the temporary folder.")] = None,
    by_meaning: Annotated[bool, typer.Option("--by-meaning", help="Also find near repeats by meaning; about 200 questions/s.")] = False,
    engine: Annotated[str | None, typer.Option(metavar="URL", help="Add up in another database, through Ibis: postgresql://...")] = None,
    workers: Annotated[str | None, typer.Option(metavar="N|URL", help="Read on N Dask processes, or on a scheduler's: tcp://...")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what LLM calls cost today, where that leaks, and what each technique would save, alone and with the others.

    Reads raw requests and responses, LiteLLM spend logs (files, or the proxy's PostgreSQL), OpenAI and Anthropic usage reports,
    Langfuse and Helicone exports and our own ledgers; the format is recognised. Without logs, give a few numbers, or answer questions
    on a terminal. Nothing is sent anywhere.
    """
    from frugal_plugins.cli.estimate_command import Asked, Files, estimate_spend
    from frugal_plugins.estimate import Elsewhere

    asked = Asked(requests_per_month, input_tokens, output_tokens, tuple(model or ()), cached_percent)
    elsewhere = Elsewhere(None if spill is None else str(spill), engine, workers)
    estimate_spend(logs or [], recipe, asked, Files(html, write_recipe, by_meaning), elsewhere, as_json=as_json)


@app.command()
@plainly
def report(
    ledger: LedgerPlace = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page with plots.")] = None,
    since: Annotated[str | None, typer.Option(metavar="7d|DATE", help="Only requests since then: 7d, 12h, or 2026-11-01.")] = None,
    requests: Annotated[bool, typer.Option("--requests", help="Also list the requests and why each went where it went.")] = False,
    rows: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only the rows behind a figure: technique=cache.")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="With --rows: how many at most, the latest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Add a ledger up: what it cost, what it would have cost, and which technique saved what.

    Every figure leads to its rows: --rows technique=cache, task=, model=, outcome=hit, group=control, team=, feature=; all must fit.
    Without --ledger: what FRUGAL_LEDGER names, else frugal-ledger.sqlite in this folder.
    """
    from frugal_plugins.cli.report_command import report_ledger, report_rows

    if rows:
        report_rows(ledger, rows, since, most, as_json=as_json)
        return

    report_ledger(ledger, html, since, requests=requests, as_json=as_json)


@app.command()
@plainly
def dashboard(
    ledger: Annotated[str | None, typer.Option("--ledger", metavar="FILE|URL", help="The ledger file, or postgresql://...")] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", metavar="RECIPE", help="Lets stored answers be rejected here.")] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond this machine a token is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8322,
    show_text: Annotated[bool, typer.Option("--show-text", help="Also show prompts and answers, of a ledger that keeps them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a ledger in a browser until Ctrl-C: spend and saving, decisions with reasons, stored answers to review.

    Without --ledger: the recipe's ledger, else the one FRUGAL_LEDGER names, else frugal-ledger.sqlite in this folder. On another
    address than 127.0.0.1 the page asks for the token FRUGAL_DASHBOARD_TOKEN holds, or for one made up and printed in its address.
    """
    from frugal_plugins.cli.dashboard_command import Listen, serve_dashboard

    serve_dashboard(ledger, recipe, Listen(host, port), show_text=show_text, as_json=as_json)


@app.command()
@plainly
def observe(
    grafana: Annotated[bool, typer.Option("--grafana", help="Print the Grafana board, as JSON to import.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the board there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say which metrics monitoring can see, or print the Grafana board made of them."""
    from frugal_plugins.cli.observe_command import show

    show(grafana=grafana, output=output, as_json=as_json)


@app.command()
@plainly
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there instead of printing it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from frugal_plugins.cli.schema_command import print_schema

    print_schema(output, as_json=as_json)


@app.command()
@plainly
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8321,
    recorded: Annotated[Path | None, typer.Option(metavar="FILE", help="Recorded answers, JSONL.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the pretended provider on its own until Ctrl-C: OpenAI and Anthropic in their own formats, with an invoice."""
    from frugal_plugins.cli.sandbox_command import serve

    serve(port, recorded, as_json=as_json)


add_learning_commands(app)
add_evaluate(app)
add_prompt_commands(app)


def commands() -> dict[str, Any]:
    """Every command by name, in the order of the help."""
    return {str(one.name or (one.callback.__name__ if one.callback else "")): one for one in app.registered_commands}


__all__ = ["app", "commands"]
