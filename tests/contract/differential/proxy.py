"""The corpus through two real proxies in front of one sandbox: LiteLLM alone, and LiteLLM with our callback and an empty recipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from frugal_plugins.request import Endpoint
from frugal_plugins.sandbox import Sandbox
from frugal_plugins.sandbox.clock import VirtualClock
from tests.contract.differential.compare import differences
from tests.contract.differential.corpus import Item
from tests.contract.differential.sdk import EMPTY

PATHS: dict[Endpoint, str] = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
_TIMES = re.compile(r'"(created|created_at|completed_at)":\s*[\d.]+')
_OWN_ID = re.compile(r'"(?:litellm_call_id|request_id)":\s*"[^"]*"')
_SEALED = re.compile(r"resp_[A-Za-z0-9_=-]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two proxies' addresses and the provider behind both."""

    sandbox: Sandbox
    alone: str
    through: str

    def differences(self, items: Iterable[Item]) -> list[str]:
        """The items whose status, body or request bytes are otherwise through us."""
        with httpx.Client(headers={"authorization": "Bearer sk-proxy"}, timeout=60) as client:
            return differences(_asked_at(client, self.alone), _asked_at(client, self.through), items, self.sandbox)


def _asked_at(client: httpx.Client, url: str) -> Any:
    def ask(item: Item) -> Any:
        model = "sonnet" if item.endpoint == "messages" else "gpt-4o"
        answer = client.post(url + PATHS[item.endpoint], json={"model": model, **item.body})
        text = _SEALED.sub("resp_xxxxxx", _OWN_ID.sub('"id": ""', _TIMES.sub('"created": 0', answer.text)))
        return {"status": answer.status_code, "type": answer.headers["content-type"], "body": text}

    return ask


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    """Both proxies, started side by side."""
    from tests.contract.litellm.proxies import in_front_of

    recipe = folder / "empty.yaml"
    recipe.write_text(json.dumps(EMPTY))
    places = {"alone": {}, "through": {"callbacks": ["frugal_plugins.litellm.proxy"]}}
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(clock=VirtualClock(1_750_000_000)))
        pool = stack.enter_context(ThreadPoolExecutor(2))

        def start(name: str) -> Any:
            (folder / name).mkdir()
            opened = in_front_of(sandbox, folder / name, str(recipe), retries=0, **places[name])
            return opened, opened.__enter__()

        up = list(pool.map(start, places))
        for opened, _ in up:
            stack.push(opened.__exit__)
        yield Pair(sandbox, up[0][1].url, up[1][1].url)
