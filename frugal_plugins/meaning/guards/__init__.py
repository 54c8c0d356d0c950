"""Guards: what similar vectors cannot see. Numbers, dates, units, negation, opposites, names, scope and word order."""

from frugal_plugins.meaning.guards.answers import same_answer
from frugal_plugins.meaning.guards.compare import GUARDS, Difference, compare

__all__ = ["GUARDS", "Difference", "compare", "same_answer"]
