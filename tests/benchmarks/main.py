"""The main job: the shipped month without and with a recipe, the same as `frugal try --json`.

    python -m tests.benchmarks.main --json

The month ships with the package, so `--data` is not read.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.common import arguments, print_result


def main() -> None:
    """Run the command a newcomer runs and hand its figures on."""
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "frugal_plugins.cli", "try", "--json", "--no-html", "--ledger", str(Path(folder, "ledger.sqlite"))]
        done = subprocess.run([*command, *(["--quick"] if options.quick else [])], check=False, capture_output=True, text=True)
    if not done.stdout.strip():
        raise SystemExit(done.stderr)
    print_result({**json.loads(done.stdout), "left_out": "all but the first 60 requests" if options.quick else None}, options.json)


if __name__ == "__main__":
    main()
