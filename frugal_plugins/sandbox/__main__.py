"""`python -m frugal_plugins.sandbox`: the sandbox in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from frugal_plugins.errors import FrugalError
from frugal_plugins.sandbox.server import Sandbox


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; print the two base URLs first."""
    parser = argparse.ArgumentParser(prog="python -m frugal_plugins.sandbox", description="A provider on loopback with an invoice.")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], metavar="FILE.jsonl", help="recorded answers, .gz too")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="further models and prices, in the shape of prices.json")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="how long every answer takes to begin")
    parser.add_argument("--chunk-seconds", type=float, default=0.0, help="the pause between two pieces of a stream")
    given = parser.parse_args(arguments)
    try:
        sandbox = Sandbox(
            recorded=given.recorded,
            port=given.port,
            price_file=given.prices,
            latency_seconds=given.latency_seconds,
            chunk_seconds=given.chunk_seconds,
        )
        sandbox.listen()
    except FrugalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot listen on port {given.port} ({error.strerror}): choose another with --port", file=sys.stderr)
        return 1
    print(f"OpenAI     {sandbox.openai_base_url}")
    print(f"Anthropic  {sandbox.anthropic_base_url}")
    print(f"Invoice    {sandbox.url}/_sandbox/invoice", flush=True)
    sandbox.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
