"""Nearest stored questions: an index in memory that is rebuilt from rows, and PostgreSQL with pgvector for several proxies."""
