"""A LiteLLM proxy's own database as a log: `LiteLLM_SpendLogs` in PostgreSQL, copied out as the file people export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from frugal_plugins import postgres
from frugal_plugins.errors import InputError

TABLE: Final = "LiteLLM_SpendLogs"
_WANTED: Final = (
    "request_id", "call_type", "spend", "startTime", "endTime", "model", "custom_llm_provider", "prompt_tokens", "completion_tokens",
    "metadata", "cache_hit", "cache_key", "request_tags", "team_id", "end_user", "session_id", "status", "messages", "proxy_server_request",
)  # fmt: skip


_READING: Final = {"default_transaction_read_only": "on", "timezone": "UTC"}


def shown(url: str) -> str:
    """Which table, without the password."""
    return f"{postgres.shown(url)}/{_table(url)}"


def _table(url: str) -> str:
    """`...?table=NAME` names another table of the same form; everything else in the address is PostgreSQL's."""
    named = [pair.partition("=")[2] for pair in urlsplit(url).query.split("&") if pair.startswith("table=")]
    return unquote(named[0]) if named else TABLE


def _address(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query="&".join(pair for pair in parts.query.split("&") if pair and not pair.startswith("table="))).geturl()


def export_spend_logs(url: str, folder: Path) -> Path:
    """Copy the table into a CSV file, read-only and in one snapshot.

    Raises MissingExtra without psycopg, InputError when nobody answers there or there is no such table.
    """
    psycopg = postgres.psycopg_or_say()
    from psycopg import sql

    name = _table(url)
    reading = postgres.Server(_address(url), None, 0, settings=_READING, limit_seconds=0, name="frugal-estimate")
    try:
        with reading.open() as db, db.transaction(), db.cursor() as cursor:
            there = _columns(cursor, name)
            if not there:
                raise InputError(
                    f"{shown(url)}: there is no table {name}; name the proxy's own database, or another table with ?table=NAME"
                )
            made = [sql.SQL(_asked(column, there)).format(sql.Identifier(column)) for column in _WANTED if column in there]
            query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT WITH (FORMAT csv, HEADER)").format(
                sql.SQL(", ").join(made), sql.Identifier(name)
            )
            path = folder / f"{TABLE}.csv"
            with path.open("wb") as file, cursor.copy(query) as copy:
                for part in copy:
                    file.write(part)
    except psycopg.Error as error:
        raise InputError(f"{shown(url)}: {postgres.in_short(error)}; check the address, the user and what it may read") from None
    return path


def _columns(cursor: Any, name: str) -> dict[str, str]:
    found = cursor.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [name]).fetchall()
    return dict(found)


def _asked(column: str, there: Mapping[str, str]) -> str:
    """LiteLLM keeps its times in UTC without saying so."""
    return "{0} AT TIME ZONE 'UTC' AS {0}" if there[column] == "timestamp without time zone" else "{0}"
