"""Where stored answers live: in memory, in one SQLite file several processes may share, or in PostgreSQL."""

from frugal_plugins.answers.file import AnswerFile
from frugal_plugins.answers.memory import MemoryAnswers
from frugal_plugins.answers.postgres import PostgresAnswers
from frugal_plugins.answers.stored import (
    AnswerStore,
    NearAnswers,
    Served,
    StoredAnswer,
    StoreFigures,
    forget_labelled,
    forget_matching,
    re_embed,
)

__all__ = [
    "AnswerFile",
    "AnswerStore",
    "MemoryAnswers",
    "NearAnswers",
    "PostgresAnswers",
    "Served",
    "StoreFigures",
    "StoredAnswer",
    "forget_labelled",
    "forget_matching",
    "re_embed",
]
