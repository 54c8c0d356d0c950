"""Every door beside the host alone: differences with an empty recipe, time added with a full one, streams at once, memory.

    python -m tests.benchmarks.doors --json

`differences`: how many of the corpus' requests came out otherwise (response, chunks, exception, usage, bytes sent) with all
techniques off than without us. `added_ms`: CPU milliseconds a call with the support recipe minus without, interleaved.
`lost_streams`: of `concurrent_streams` open at once through the real proxy, those that did not come whole, each with its own text.
`rss_growth_mb_50k`: what the SDK's process grew by over `rss_requests` requests with the support recipe (50,000; 2,000 with --quick,
and nothing is extrapolated), `rss_growth_mb_second_half` over the second half of them; `..._alone` is LiteLLM's own growth.
A door is one line of `DOORS`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugal_plugins.request import Endpoint
from tests.benchmarks import doors_load, overhead
from tests.benchmarks.common import arguments, print_result
from tests.contract.differential import chain, proxy, sdk
from tests.contract.differential.corpus import SIZE, corpus

Added = Callable[[str, str, int, int], Mapping[str, float]]
"""(sandbox URL, folder, blocks, calls a block) -> CPU milliseconds a call, `alone` and `with`."""


@dataclass(frozen=True, slots=True)
class Door:
    """One way in: which of a corpus' requests come out otherwise through it, and what it costs."""

    differences: Callable[[int], list[str]]
    added: Added | None = None


def proxy_differences(endpoint: Endpoint, size: int) -> list[str]:
    """What differs between two proxies, one of them with our callback."""
    with tempfile.TemporaryDirectory() as folder, proxy.pair(Path(folder)) as both:
        return both.differences(corpus(endpoint, size))


DOORS: dict[str, Door] = {
    "sdk": Door(lambda size: sdk.sync_differences(corpus("chat", size)), overhead.sdk),
    "sdk_async": Door(lambda size: sdk.async_differences(corpus("chat", size))),
    "proxy_chat": Door(lambda size: proxy_differences("chat", size), overhead.proxy),
    "proxy_messages": Door(lambda size: proxy_differences("messages", size)),
    "proxy_responses": Door(lambda size: proxy_differences("responses", size)),
    "langchain": Door(lambda size: chain.sync_differences([*corpus("chat", size), *corpus("messages", size)]), overhead.langchain),
    "langchain_async": Door(lambda size: chain.async_differences([*corpus("chat", size), *corpus("messages", size)])),
}


def main() -> None:
    """Run and print."""
    options = arguments(__doc__ or "")
    size = 40 if options.quick else SIZE
    blocks, calls = (3, 20) if options.quick else (9, 60)
    found = {name: door.differences(size) for name, door in DOORS.items()}
    result: dict[str, Any] = {
        "corpus": size,
        "differences": {name: len(said) for name, said in found.items()},
        "first_difference": {name: said[0][:300] for name, said in found.items() if said},
        "added_ms": {},
        "ratio": {},
        **doors_load.streams(200),
        **doors_load.memory(2_000 if options.quick else 50_000),
    }
    with overhead.sandbox_process() as url, tempfile.TemporaryDirectory() as folder:
        for name, door in DOORS.items():
            if door.added is not None:
                taken = door.added(url, folder, blocks, calls)
                result["added_ms"][name] = taken["with"] - taken["alone"]
                result["ratio"][name] = taken["with"] / taken["alone"]
    print_result(result, options.json)


if __name__ == "__main__":
    main()
