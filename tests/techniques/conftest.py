"""A real PostgreSQL for two workers on one conversation."""

from tests.answers.conftest import postgres

__all__ = ["postgres"]
