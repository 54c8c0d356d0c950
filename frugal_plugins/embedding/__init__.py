"""Turns questions into unit vectors, and finds and prepares the weights that do so."""
