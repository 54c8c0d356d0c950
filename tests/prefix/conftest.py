"""A real PostgreSQL for the sessions."""

from tests.answers.conftest import postgres

__all__ = ["postgres"]
