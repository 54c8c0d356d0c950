"""A real PostgreSQL, and for each test a database of its own."""

from __future__ import annotations

import uuid

import pytest

from tests.answers.conftest import postgres

__all__ = ["postgres"]


@pytest.fixture
def database(postgres: str) -> str:
    """The address of an empty database."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
    return postgres.replace("/postgres?", f"/{name}?")
