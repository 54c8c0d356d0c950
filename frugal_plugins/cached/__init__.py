"""What a person does with a store of answers: look into it, forget, import, and calibrate the search by meaning on it."""

from frugal_plugins.cached.desk import described, hits, import_gptcache, questions_of_gptcache, stats
from frugal_plugins.cached.shadow import Pair, Shadow, calibrate, read_labels, samples_of, shadow, suggested_similarity

__all__ = [
    "Pair",
    "Shadow",
    "calibrate",
    "described",
    "hits",
    "import_gptcache",
    "questions_of_gptcache",
    "read_labels",
    "samples_of",
    "shadow",
    "stats",
    "suggested_similarity",
]
