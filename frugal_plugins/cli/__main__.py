"""`python -m frugal_plugins.cli` is `frugal`."""

from frugal_plugins.cli import main

if __name__ == "__main__":
    main()
