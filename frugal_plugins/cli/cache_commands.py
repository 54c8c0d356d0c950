"""`frugal cache` and its options. What the commands do is imported when one is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frugal_plugins.cli.failures import plainly

cache_app = typer.Typer(
    name="cache",
    help="Look into the stored answers, forget some, say that one was wrong, take over another cache, and calibrate the search by meaning.",
    no_args_is_help=True,
)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", "-r", metavar="RECIPE", envvar="FRUGAL_RECIPE", help="The recipe whose cache.path is meant.")
]
Store = Annotated[str | None, typer.Option("--store", metavar="FILE", help="The store itself: a file, or a postgresql:// address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Matching = Annotated[str | None, typer.Option(metavar="WORDS", help="Only where question or answer holds these words.")]
Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant's.")]
User = Annotated[str | None, typer.Option(metavar="NAME", help="Only this user's.")]
Team = Annotated[str | None, typer.Option(metavar="NAME", help="Only this team's.")]
Session = Annotated[str | None, typer.Option(metavar="NAME", help="Only this session's.")]
Namespace = Annotated[str | None, typer.Option(metavar="NAME", help="Only this namespace's.")]


@cache_app.command()
@plainly
def stats(recipe: RecipeOption = None, store: Store = None, as_json: AsJson = False) -> None:
    """Say what a store holds: entries, tenants, what can be searched by meaning, size, hits."""
    from frugal_plugins.cli.cache_work import show_stats

    show_stats(recipe, store, as_json=as_json)


@cache_app.command("list")
@plainly
def list_(
    recipe: RecipeOption = None,
    store: Store = None,
    hits: Annotated[bool, typer.Option("--hits", help="Hits instead of entries, latest first: what was asked, what was served.")] = False,
    by_meaning: Annotated[bool, typer.Option("--by-meaning", help="With --hits: only those found by meaning.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="At most this many.")] = 20,
    matching: Matching = None,
    tenant: Tenant = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """List stored answers, or with --hits the answers that were served, to find a wrong one."""
    from frugal_plugins.cli.cache_work import Chosen, list_entries, list_hits

    if hits:
        list_hits(recipe, store, limit, by_meaning=by_meaning, as_json=as_json)
    else:
        list_entries(recipe, store, limit, Chosen(matching=matching, tenant=tenant, user=user), as_json=as_json)


@cache_app.command()
@plainly
def forget(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Keys of entries (their beginning will do), or ids of hits.")
    ] = None,
    recipe: RecipeOption = None,
    store: Store = None,
    matching: Matching = None,
    tenant: Tenant = None,
    user: User = None,
    team: Team = None,
    session: Session = None,
    namespace: Namespace = None,
    everything: Annotated[bool, typer.Option("--all", help="Every answer of the store.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drop stored answers for good, with what is remembered of their hits.

    Several options together mean the answers that fit all of them: --tenant acme --matching IBAN.
    """
    from frugal_plugins.cli.cache_work import Chosen, forget_answers

    chosen = Chosen(tuple(ids or ()), matching, tenant, user, team, session, namespace, everything)
    forget_answers(recipe, store, chosen, dry_run=dry_run, as_json=as_json)


@cache_app.command()
@plainly
def reject(
    id: Annotated[str, typer.Argument(metavar="ID", help="The request's id, as the ledger, x-frugal-id and `list --hits` have it.")],  # noqa: A002
    recipe: RecipeOption = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Say that a served answer was wrong: it is dropped, and weighed against the budget for wrong answers."""
    from frugal_plugins.cli.cache_work import reject_hit

    reject_hit(id, recipe, store, as_json=as_json)


@cache_app.command("import")
@plainly
def import_(
    file: Annotated[Path, typer.Argument(metavar="SQLITE.DB", help="The SQLite file of a GPTCache. Its FAISS file is not needed.")],
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", metavar="RECIPE", envvar="FRUGAL_RECIPE", help="The recipe that will serve them.")
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model your requests name; an answer is served only to the same one.")],
    system: Annotated[str | None, typer.Option(metavar="TEXT|@FILE", help="The system prompt your requests have.")] = None,
    params: Annotated[str | None, typer.Option(metavar="JSON", help='Other fields your requests have, as {"temperature": 0}.')] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="The tenant they belong to.")] = None,
    proxy_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="For a LiteLLM Proxy: the key they belong to (sk-... or its hash).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take over the answers of a GPTCache (SQLite + FAISS). Questions are embedded anew; run it again and nothing is doubled.

    GPTCache does not keep which model, system prompt or parameters an answer belongs to, and serves it to all. Say them here.
    """
    from frugal_plugins.cli.cache_work import Around, import_store

    import_store(file, recipe, Around(model, system, params, tenant, proxy_key), as_json=as_json)


@cache_app.command()
@plainly
def calibrate(
    recipe: RecipeName,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='JSON lines {"question": ..., "answer": ...} instead of the recipe\'s own shadow traffic.'),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the fitted rule goes.")] = None,
    pairs: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="How many pairs to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Fit the search by meaning on your own traffic, and show what it would have answered: hits, near misses, a suggested cosine.

    Let the recipe run with `cache: {mode: shadow, similarity: 0.95, path: answers.sqlite}` first, until some 2,000 questions are there
    (500 at least). Nothing is sent anywhere. The file that is written holds numbers only. Leaves with 1 when nothing could be fitted.
    """
    from frugal_plugins.cli.calibrate_cache import calibrate_cache

    calibrate_cache(recipe, labels, output, pairs=pairs, as_json=as_json)
