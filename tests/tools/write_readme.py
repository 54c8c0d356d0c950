"""Writes the help texts into the README: python -m tests.tools.write_readme"""

from __future__ import annotations

from pathlib import Path

from frugal_plugins.cli.help_texts import help_texts

README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    """Replace what stands between the mark and the end of its block."""
    text = README.read_text()
    before, _, rest = text.partition("<!-- help -->\n```text\n")
    _, _, after = rest.partition("\n```")
    helps = "\n".join(f"$ {name} --help\n\n{body}" for name, body in help_texts().items()).strip()
    README.write_text(f"{before}<!-- help -->\n```text\n{helps}\n```{after}")


if __name__ == "__main__":
    main()
