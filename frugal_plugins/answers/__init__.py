"""Where stored answers live: in memory, in one SQLite file several processes may share, or in PostgreSQL."""

from frugal_plugins.answers.file import AnswerFile
from frugal_plugins.answers.memory import MemoryAnswers
from frugal_plugins.answers.postgres import PostgresAnswers
from frugal_plugins.answers.stored import AnswerStore, NearAnswers, StoredAnswer, StoreFigures, forget_matching, re_embed

__all__ = [
    "AnswerFile",
    "AnswerStore",
    "MemoryAnswers",
    "NearAnswers",
    "PostgresAnswers",
    "StoreFigures",
    "StoredAnswer",
    "forget_matching",
    "re_embed",
]
