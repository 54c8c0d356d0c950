"""The sandbox: a provider on loopback, in a thread of this process or in a process of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from frugal_plugins.sandbox.admin import admin_routes
from frugal_plugins.sandbox.answers import Recorded
from frugal_plugins.sandbox.app import build_app
from frugal_plugins.sandbox.batch_work import bill_due
from frugal_plugins.sandbox.clock import Clock
from frugal_plugins.sandbox.endpoints import ENDPOINTS
from frugal_plugins.sandbox.faults import Faults
from frugal_plugins.sandbox.invoice import Invoice
from frugal_plugins.sandbox.provider import Provider, ReceivedRequest

HOST = "127.0.0.1"


class Sandbox:
    """A provider that speaks OpenAI and Anthropic, and whose bill can be read.

        with Sandbox(recorded=[{"user": "ping", "outputs": {"*": "pong"}}]) as sandbox:
            OpenAI(base_url=sandbox.openai_base_url, api_key="any").chat.completions.create(...)
            sandbox.invoice().total_usd

    Args:
        recorded: recorded lines (see `answers.Record`) or paths of JSONL files of them; everything else gets a made-up answer.
        clock: `VirtualClock` to let cache lifetimes pass by hand; real time without one.
        port: 0 takes a free one.
        keys: the API keys that are let in; None lets any in.
        prices: further models, or other prices, by model id; the fields are those of `prices.json`.
        price_file: the same from a file.
        latency_seconds: how long every answer takes to begin.
        chunk_seconds: the pause between two pieces of a stream. Without one a short stream is sent whole before a reader can leave it.
        keep_requests: how many of the latest requests `requests()` remembers.
    """

    def __init__(
        self,
        *,
        recorded: Iterable[Recorded] = (),
        clock: Clock | None = None,
        port: int = 0,
        keys: Iterable[str] | None = None,
        prices: Mapping[str, Mapping[str, Any]] | None = None,
        price_file: Path | None = None,
        latency_seconds: float = 0.0,
        chunk_seconds: float = 0.0,
        keep_requests: int = 100_000,
    ) -> None:
        self.provider = Provider(
            recorded=recorded,
            clock=clock,
            prices=prices,
            price_file=price_file,
            keys=keys,
            latency_seconds=latency_seconds,
            chunk_seconds=chunk_seconds,
            keep_requests=keep_requests,
        )
        self._wanted_port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens: http://127.0.0.1 and the port."""
        if self._socket is None:
            raise RuntimeError("the sandbox is not running: use it in a with block, or call start() first")
        return f"http://{HOST}:{self._socket.getsockname()[1]}"

    @property
    def openai_base_url(self) -> str:
        """What an OpenAI client takes as `base_url`."""
        return f"{self.url}/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What an Anthropic client takes as `base_url`."""
        return self.url

    @property
    def clock(self) -> Clock:
        """The time it lives in."""
        return self.provider.clock

    @property
    def faults(self) -> Faults:
        """Where things that should go wrong are added."""
        return self.provider.faults

    def invoice(self) -> Invoice:
        """What the provider has billed so far, batches that nobody looks at any more included."""
        bill_due(self.provider)
        return self.provider.journal.invoice()

    def requests(self) -> tuple[ReceivedRequest, ...]:
        """What has arrived so far, in order, parsed and byte for byte."""
        return self.provider.requests()

    def record(self, *lines: Mapping[str, Any]) -> None:
        """Record further answers, in the shape of `answers.Record`; they hold from the next request on."""
        for line in lines:
            self.provider.book.add(line)

    def reset(self) -> None:
        """Forget invoice, requests, faults and prompt caches; clock, prices and recorded answers stay."""
        self.provider.reset()

    def settle(self, timeout_seconds: float = 5.0) -> None:
        """Wait until no request is being answered: after leaving a stream early, until its line is on the invoice."""
        end = time.monotonic() + timeout_seconds
        while self.provider.in_flight:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.provider.in_flight} requests are still being answered: close their streams, or wait longer")
            time.sleep(0.002)

    def start(self) -> Sandbox:
        """Start answering in a thread of its own; returns when the port is open."""
        self._socket = _listen(self._wanted_port)
        self._server = _Server(_config(self.provider))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="sandbox", daemon=True)
        self._thread.start()
        self._server.up.wait(10)
        return self

    def stop(self) -> None:
        """Stop answering and close every connection."""
        self.provider.stopping = True
        if self._server is not None and self._thread is not None:
            self._server.leave()
            self._thread.join(10)
        self._socket = self._server = self._thread = None
        self.provider.stopping = False

    def serve(self) -> None:
        """Answer in this thread until the process is interrupted."""
        self._socket = self._socket or _listen(self._wanted_port)
        self._server = _Server(_config(self.provider))
        self._server.run([self._socket])

    def listen(self) -> None:
        """Open the port, so that the URLs are known, without answering yet."""
        self._socket = _listen(self._wanted_port)

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn, with a start that can be waited for and a stop that does not poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None

    def leave(self) -> None:
        """Ask the server, from any thread, to stop."""
        self.should_exit = True
        if self._loop is not None and self._leave is not None:
            self._loop.call_soon_threadsafe(self._leave.set)

    async def main_loop(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        self.up.set()
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            try:
                await asyncio.wait_for(self._leave.wait(), 0.1)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, let answers under way finish for a second, then cut them off."""
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        end = asyncio.get_running_loop().time() + 1
        while self.server_state.tasks and asyncio.get_running_loop().time() < end:
            await asyncio.wait(list(self.server_state.tasks), timeout=0.05)
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def _listen(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((HOST, port))
    opened.listen(1024)
    return opened


def _config(provider: Provider) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(provider, ENDPOINTS, admin_routes(provider)),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        h11_max_incomplete_event_size=1 << 20,
    )
