"""Fitting the router on outcomes of one's own traffic, and saying on held-out rows what it is worth."""
