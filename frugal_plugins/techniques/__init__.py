"""One file, one technique. They know nothing of each other; the recipe puts them in order."""
