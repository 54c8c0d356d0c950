"""Whether a call through us is the call without us: a corpus of varied requests, and what counts as a difference."""
