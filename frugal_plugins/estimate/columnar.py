"""Large LiteLLM spend logs without text: DuckDB reads them itself, column by column, with the same result as reading line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frugal_plugins.estimate.chats import priced_name
from frugal_plugins.estimate.reading import NAMED_PROBLEMS, Tally
from frugal_plugins.estimate.row import FIRST_SECONDS, MOST_TOKENS_A_REQUEST, TYPES, word
from frugal_plugins.estimate.row import Unusable as Unusable_
from frugal_plugins.estimate.sources import Source, records
from frugal_plugins.estimate.traces import LiteLLMSpend

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LOOKED_AT: Final = 200
_WANTED: Final = (
    "model", "custom_llm_provider", "prompt_tokens", "completion_tokens", "startTime", "endTime", "metadata", "cache_hit", "cache_key",
    "call_type", "request_tags", "team_id", "end_user", "session_id", "status",
)  # fmt: skip
_KEPT: Final = (
    "at_seconds", "model", "lane", "input_tokens", "cache_read_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
    "tenant", "session", "can_wait", "stored_answer",
)  # fmt: skip
_PATHS: Final = {
    "asked": "$.usage_object.prompt_tokens",
    "answered": "$.usage_object.completion_tokens",
    "tier": "$.usage_object.service_tier",
    "cached": "$.usage_object.prompt_tokens_details.cached_tokens",
    "cached_flat": "$.usage_object.cache_read_input_tokens",
    "written": "$.usage_object.cache_creation_input_tokens",
    "written_inside": "$.usage_object.prompt_tokens_details.cache_creation_tokens",
    "hour": "$.usage_object.prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
    "thought": "$.usage_object.completion_tokens_details.reasoning_tokens",
}


def suits(source: Source) -> bool:
    """Whether a file is nothing but spend logs without text, as far as its first lines show."""
    if not source.divisible:
        return False
    litellm = LiteLLMSpend()
    for number, (_, record) in enumerate(records(source)):
        if number >= _LOOKED_AT:
            break
        if isinstance(record, Unusable_):
            continue
        kept = any(len(str(record.get(name) or "")) > 2 for name in ("messages", "proxy_server_request"))
        if kept or not litellm.fits(record):
            return False
    return True


def load_spend_logs(source: Source, db: DuckDBPyConnection, number: int) -> tuple[Tally, str]:
    """Read a file into a table of its own, only as wide as such a file is; returns its tally and the query that makes rows of it."""
    db.execute(f"CREATE OR REPLACE TEMP VIEW file AS SELECT {_columns(source)} FROM {_reader(source)}")
    db.execute(f"CREATE OR REPLACE TEMP VIEW usage AS {_usage()}")
    table, names = f"spend_{number}", f"names_{number}"
    db.execute(f"CREATE TABLE {table} AS {_judged()}")
    db.execute(f"CREATE TABLE {names} (file_model VARCHAR, provider VARCHAR, model VARCHAR)")
    for model, provider in db.execute(f"SELECT DISTINCT file_model, provider FROM {table} WHERE why IS NULL").fetchall():
        name = priced_name(f"{provider}/{model}" if provider and "/" not in model else model, model)
        db.execute(f"INSERT INTO {names} VALUES (?, ?, ?)", [model, provider, word(name)])
    return _tally(source, db, table), f"SELECT {_as_rows()} FROM {table} JOIN {names} USING (file_model, provider) WHERE why IS NULL"


def _as_rows() -> str:
    """The columns of `logs`, those such a file does not have as constants."""
    same = {name: name for name in _KEPT}
    made = {
        "requests": "1",
        "fresh_tokens": "greatest(0, input_tokens - cache_read_tokens - greatest(written_tokens, cache_write_1h_tokens))",
        "cache_write_5m_tokens": "greatest(0, written_tokens - cache_write_1h_tokens)",
        "size_tokens": "input_tokens",
        "exact": "key",
        "canonical": "key",
        "near": "key",
        **dict.fromkeys(("task", "task_source", "needs"), "''"),
        **dict.fromkeys(("prefix", "bounded_tokens"), "NULL"),
    }
    return ", ".join(f"CAST({(same | made).get(name, '0')} AS {kind}) AS {name}" for name, kind in TYPES.items())


def _reader(source: Source) -> str:
    path = str(source.path).replace("'", "''")
    if source.kind == "table":
        return (
            f"read_csv('{path}', header=true, all_varchar=true, delim=',', quote='\"', escape='\"', ignore_errors=true, "
            "store_rejects=true, rejects_limit=0, max_line_size=16000000)"
        )
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in _WANTED)
    return f"read_json('{path}', format='newline_delimited', columns={{{columns}}}, ignore_errors=true, maximum_object_size=16000000)"


def _columns(source: Source) -> str:
    there = source.header if source.kind == "table" else _WANTED
    return ", ".join(f'"{name}"' if name in there else f'NULL::VARCHAR AS "{name}"' for name in _WANTED)


def _usage() -> str:
    """The file's columns with its times as seconds and the counts LiteLLM keeps inside `metadata`."""
    paths = ", ".join(f"'{path}'" for path in _PATHS.values())
    found = f"CASE WHEN contains(metadata, 'usage_object') THEN TRY(json_extract_string(metadata, [{paths}])) END"
    named = ", ".join(f"found[{place}] AS u_{name}" for place, name in enumerate(_PATHS, start=1))
    return f"SELECT *, {named} FROM (SELECT *, {found} AS found, {_seconds('startTime', 'endTime')} AS seconds FROM file)"


def _seconds(*names: str) -> str:
    each = [
        f"coalesce(epoch(TRY_CAST({name} AS TIMESTAMPTZ)), CASE WHEN TRY_CAST({name} AS DOUBLE) > 1e14 "
        f"THEN TRY_CAST({name} AS DOUBLE) / 1e6 "
        f"WHEN TRY_CAST({name} AS DOUBLE) > 1e11 THEN TRY_CAST({name} AS DOUBLE) / 1e3 ELSE TRY_CAST({name} AS DOUBLE) END)"
        for name in names
    ]
    return f"coalesce({', '.join(each)})"


def _count(name: str) -> str:
    """A count as people export it; NULL where it is no number."""
    return f"CASE WHEN coalesce({name}, '') = '' THEN 0 ELSE TRY_CAST(trunc(TRY_CAST(replace({name}, ',', '') AS DOUBLE)) AS BIGINT) END"


def _or(first: str, second: str) -> str:
    return f"CASE WHEN ({first}) <> 0 OR ({first}) IS NULL THEN ({first}) ELSE ({second}) END"


def _judged() -> str:
    """What such a file says of each call, with the reason why it cannot be used, or NULL."""
    read = _or(_count("u_cached"), _count("u_cached_flat"))
    write = _or(_count("u_written"), _count("u_written_inside"))
    counts = f"""SELECT *, {_or(_count("prompt_tokens"), _count("u_asked"))} AS n_in,
      {_or(_count("completion_tokens"), _count("u_answered"))} AS n_out,
      {read} AS n_read, {write} AS n_write, {_count("u_hour")} AS n_hour, {_count("u_thought")} AS n_thought FROM usage"""
    least, most = "least(n_in, n_out, n_read, n_write, n_hour)", "greatest(n_in, n_out, n_read, n_write)"
    missing = " OR ".join(f"{name} IS NULL" for name in ("n_in", "n_out", "n_read", "n_write", "n_hour"))
    tags = "lower(coalesce(request_tags, ''))"
    waits = " OR ".join(f"contains({tags}, '{word}')" for word in ("batch", "nightly", "offline", "backfill"))
    owner = "coalesce(nullif(team_id, ''), nullif(end_user, ''))"
    return f"""SELECT CASE WHEN seconds >= {FIRST_SECONDS} THEN seconds END AS at_seconds,
      coalesce(model, '') AS file_model, coalesce(custom_llm_provider, '') AS provider,
      CASE WHEN contains(coalesce(call_type, ''), 'batch') THEN 'batch'
        WHEN lower(u_tier) IN ('batch', 'flex', 'priority') THEN lower(u_tier)
        ELSE 'standard' END AS lane,
      n_in AS input_tokens, n_read AS cache_read_tokens, n_write AS written_tokens, n_hour AS cache_write_1h_tokens,
      n_out AS output_tokens, least(greatest(0, coalesce(n_thought, 0)), n_out) AS reasoning_tokens,
      {_hash(owner)} AS tenant, {_hash("nullif(session_id, '')")} AS session,
      CASE WHEN length(cache_key) >= 32 THEN {_hash("cache_key")} END AS key,
      CASE WHEN {waits} THEN 2 ELSE 0 END AS can_wait, coalesce(cache_hit, '') IN ('True', 'true', 'TRUE', '1', 't') AS stored_answer,
      CASE WHEN status = 'failure' THEN 'failed' WHEN coalesce(model, '') = '' THEN 'no model' WHEN {missing} THEN 'no numbers'
        WHEN {least} < 0 THEN 'negative' WHEN {most} > {MOST_TOKENS_A_REQUEST} THEN 'absurd' END AS why,
      seconds IS NOT NULL AND NOT regexp_matches(coalesce(startTime, 'Z'), '([+-][0-9]{{2}}(:?[0-9]{{2}})?|Z|UTC)$|^[0-9.]+$') AS zoneless,
      n_read + n_write > n_in AS overcached FROM ({counts})"""


def _hash(value: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN CAST(hash({value}) >> 1 AS BIGINT) END"


def _tally(source: Source, db: DuckDBPyConnection, table: str) -> Tally:
    tally = Tally()
    tally.rows, tally.left_out, unusable, tally.zoneless, tally.overcached = db.execute(
        f"SELECT count(*) FILTER (why IS NULL), count(*) FILTER (why = 'failed'), count(*) FILTER (why <> 'failed'), "
        f"count(*) FILTER (zoneless AND why IS NULL), count(*) FILTER (overcached AND why IS NULL) FROM {table}"
    ).fetchall()[0]
    tally.formats[LiteLLMSpend().name] = tally.rows + tally.left_out
    tally.missing[LiteLLMSpend().name] = [list(pair) for pair in LiteLLMSpend().missing]
    unusable += _broken(source, db, tally.rows + tally.left_out + unusable)
    if unusable:
        _name_problems(source, tally)
        tally.unusable = unusable
    return tally


def _broken(source: Source, db: DuckDBPyConnection, read: int) -> int:
    """Lines that are no record at all."""
    if source.kind == "table":
        return int(db.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchall()[0][0])
    with source.path.open("rb") as file:
        return max(0, sum(1 for line in file if line.strip()) - read)


def _name_problems(source: Source, tally: Tally) -> None:
    """Read on line by line to name the lines that cannot be used; only files that have some are read twice."""
    litellm = LiteLLMSpend()
    for number, record in records(source):
        tally.lines = number
        try:
            if isinstance(record, Unusable_):
                raise record
            if not litellm.fits(record):
                raise Unusable_("no format we know has these fields")
            if tally.unusable < NAMED_PROBLEMS:
                litellm.rows(record)
        except Unusable_ as why:
            tally.refuse(number, str(why))
