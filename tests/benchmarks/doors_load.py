"""Many streams at once through the real proxy, and what a long run of the SDK's door keeps in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks import overhead

PIECES = 15
WARM_UP = 500
"""Requests before the first look at the memory: price tables, tokenizers and HTTP connections are there by then."""


def streams(count: int) -> dict[str, Any]:
    """So many streams, all open before one is read on: how many did not come whole, and how many were not booked."""
    from frugal_plugins.sandbox import Sandbox
    from tests.contract.litellm.conftest import BASE
    from tests.contract.litellm.proxies import in_front_of

    with tempfile.TemporaryDirectory() as folder, Sandbox(chunk_seconds=0.02) as sandbox:
        recipe, ledger = Path(folder, "support.yaml"), Path(folder, "ledger.sqlite")
        recipe.write_text(json.dumps({**BASE, "cache": {}, "route": {}, "cap": {}, "ledger": {"path": str(ledger)}}))
        sandbox.record(*({"user": question(n), "outputs": {"*": story(n)}} for n in range(count)))
        with in_front_of(sandbox, Path(folder), str(recipe), callbacks=["frugal_plugins.litellm.proxy"]) as proxy:
            whole = asyncio.run(all_at_once(f"{proxy.url}/v1", proxy.client.api_key, count))
            booked = len(proxy.new_rows(count))
    return {"concurrent_streams": count, "lost_streams": count - whole, "unbooked_streams": count - booked}


def question(n: int) -> str:
    """A prompt of its own for each stream."""
    return f"Tell the story of boat {n}."


def story(n: int) -> str:
    """An answer of its own, so that streams mixed up would be seen."""
    return " ".join(f"boat-{n}-{piece}" for piece in range(PIECES))


async def all_at_once(url: str, key: str, count: int) -> int:
    """How many of the streams ended well with exactly their own text."""
    import openai

    all_open, opened = asyncio.Event(), 0

    async def one(client: openai.AsyncOpenAI, n: int) -> bool:
        nonlocal opened
        said, reason = "", None
        try:
            stream = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question(n)}], stream=True)
        finally:
            opened += 1
            if opened == count:
                all_open.set()
        await all_open.wait()
        async for chunk in stream:
            for choice in chunk.choices:
                said, reason = said + (choice.delta.content or ""), choice.finish_reason or reason
        return (said, reason) == (story(n), "stop")

    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=300) as client:
        ended = await asyncio.gather(*(one(client, n) for n in range(count)), return_exceptions=True)
    return sum(end is True for end in ended)


def memory(requests: int) -> dict[str, Any]:
    """Megabytes the SDK's process grew by over so many requests: with the recipe, and LiteLLM alone."""
    growth = []
    for recipe in ("support", None):
        fresh = multiprocessing.get_context("spawn")
        with overhead.sandbox_process() as url, ProcessPoolExecutor(1, mp_context=fresh) as process:
            growth.append(process.submit(grown_mb, url, recipe, requests).result())
    (whole, later), (alone, alone_later) = growth
    return {
        "rss_growth_mb_50k": whole,
        "rss_growth_mb_second_half": later,
        "rss_growth_mb_alone": alone,
        "rss_growth_mb_alone_second_half": alone_later,
        "rss_requests": requests,
    }


def grown_mb(url: str, recipe: str | None, requests: int) -> tuple[float, float]:
    """In a process of its own, over all of them and over the second half: every tenth question repeats the one before it."""
    import litellm

    from frugal_plugins import Recipe
    from frugal_plugins.litellm import install

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FRUGAL_LEDGER"] = str(Path(folder, "ledger.sqlite"))
        ours = install(Recipe.load(recipe)) if recipe else None
        start = half = 0.0
        for n in range(WARM_UP + requests):
            if n == WARM_UP:
                start = resident_mb()
            if n == WARM_UP + requests // 2:
                half = resident_mb()
            litellm.completion(
                model="openai/gpt-4o", messages=overhead.messages(n - (n % 10 == 9)), api_base=f"{url}/v1", api_key="sk-bench"
            )
        if ours is not None and ours.ledger is not None:
            ours.ledger.flush()
        end = resident_mb()
        if ours is not None:
            ours.close()
    return round(end - start, 2), round(end - half, 2)


def resident_mb() -> float:
    """What the process holds in memory, its garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
