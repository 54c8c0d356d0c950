"""Whether a stored answer fits a question asked in other words, within a budget of wrong ones."""
