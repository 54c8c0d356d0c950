"""What this package adds to a call, beside the host alone, interleaved in one run.

    python -m tests.benchmarks.overhead --json

`flow_ms_*`: a request of the shipped month through every technique of the support recipe and the ledger, answered at once.
`*_added_ms`: CPU milliseconds a call with the recipe minus without, in alternating blocks against a sandbox in another
process (for the proxy: of the server process). `import_cpu_s`: of `import frugal_plugins`, Python's own start subtracted.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.common import arguments, print_result

HEAVY = ("litellm", "langchain_core", "faiss", "numpy", "torch", "sentence_transformers", "tiktoken", "pydantic", "yaml", "genai_prices")
ROOT = Path(__file__).parents[2]
SETTLED_SECONDS = 0.6
"""After so long a proxy has written its logs and its ledger."""


def flow_milliseconds(requests: int) -> dict[str, float]:
    """The whole flow of the support recipe over the shipped month, with an answer that comes at once."""
    from frugal_plugins import Recipe
    from frugal_plugins.drivers import drive
    from frugal_plugins.flow import Call
    from frugal_plugins.litellm.convert import read_call
    from frugal_plugins.request import Reply
    from frugal_plugins.usage import Usage
    from frugal_plugins.workload import load_month

    def answer(call: Call) -> Reply:
        return Reply({"role": "assistant", "content": "Yes, until 30 days."}, call.request.model, Usage(2000, output_tokens=8))

    bodies = [{**item.body, "metadata": {"frugal": dict(item.frugal)}} for item in load_month()]
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe.load("support")
        os.environ["FRUGAL_LEDGER"] = str(Path(folder, "l.sqlite"))
        for n in range(requests):
            asked = read_call(bodies[n % len(bodies)])
            assert asked is not None
            started = time.perf_counter()
            flow, ctx = asked.start(recipe)
            drive(flow, ctx, answer)
            taken.append((time.perf_counter() - started) * 1000)
        recipe.close()
        os.environ.pop("FRUGAL_LEDGER")
    taken = sorted(taken[len(bodies) :])
    return {"flow_ms_p50": statistics.median(taken), "flow_ms_p99": taken[int(len(taken) * 0.99)]}


@contextlib.contextmanager
def sandbox_process() -> Iterator[str]:
    """A sandbox in a process of its own; its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "frugal_plugins.sandbox", "--port", str(port)], stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        wait_for(f"http://127.0.0.1:{port}/_sandbox/invoice", 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(url: str, seconds: float) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return


def interleaved(
    alone: Callable[[int], None],
    with_us: Callable[[int], None],
    cpu: Callable[[], tuple[float, float]],
    blocks: int,
    calls: int,
    finish: Callable[[], object],
) -> dict[str, float]:
    """CPU milliseconds a call of each, in alternating blocks; the median over blocks.

    `finish` waits for what a block has left to do in the background (the ledger's writing), so that it is counted where it belongs.
    """
    figures: dict[str, list[float]] = {"alone": [], "with": []}
    counter = 0
    for block in range(blocks + 1):
        for name, ask in (("alone", alone), ("with", with_us)):
            index = 0 if name == "alone" else 1
            before = cpu()[index]
            for _ in range(calls):
                counter += 1
                ask(counter)
            finish()
            if block:
                figures[name].append((cpu()[index] - before) / calls * 1000)
    return {name: statistics.median(values) for name, values in figures.items()}


def messages(n: int) -> list[dict[str, str]]:
    """A prompt that is new every time, so that no cache answers it."""
    return [
        {"role": "system", "content": "You are a customer support agent. " * 60},
        {"role": "user", "content": f"Where is my parcel number {n}?"},
    ]


def process_cpu() -> tuple[float, float]:
    """This process's CPU seconds, for both sides."""
    used = time.process_time()
    return used, used


def sdk(url: str, folder: str, blocks: int, calls: int) -> dict[str, float]:
    """litellm.completion with and without `install`."""
    import litellm

    from frugal_plugins import Recipe
    from frugal_plugins.litellm import install, uninstall
    from frugal_plugins.litellm.sdk import originals

    recipe = Recipe.load("support")
    os.environ["FRUGAL_LEDGER"] = str(Path(folder, "sdk.sqlite"))
    install(recipe)
    its_own, ours = originals()[0], litellm.completion

    def asking(completion: Any) -> Callable[[int], None]:
        return lambda n: completion(model="openai/gpt-4o", messages=messages(n), api_base=f"{url}/v1", api_key="sk-bench") and None

    result = interleaved(asking(its_own), asking(ours), process_cpu, blocks, calls, recipe.ledger.flush if recipe.ledger else int)
    uninstall()
    recipe.close()
    return result


def langchain(url: str, folder: str, blocks: int, calls: int) -> dict[str, float]:
    """ChatOpenAI alone and behind FrugalRouter."""
    from langchain_openai import ChatOpenAI

    from frugal_plugins import Recipe
    from frugal_plugins.langchain import FrugalRouter

    recipe = Recipe.load("support")
    os.environ["FRUGAL_LEDGER"] = str(Path(folder, "langchain.sqlite"))
    names = [name for tier in recipe.tiers for name in tier.models if name.startswith("openai/")]
    models = {name: ChatOpenAI(model=name.partition("/")[2], base_url=f"{url}/v1", api_key="sk-bench") for name in names}  # type: ignore[arg-type]
    router, bare = FrugalRouter.from_recipe(recipe, models=models, model="openai/gpt-4o"), models["openai/gpt-4o"]
    prompts = lambda n: [(m["role"], m["content"]) for m in messages(n)]  # noqa: E731
    finish = recipe.ledger.flush if recipe.ledger else int
    result = interleaved(
        lambda n: bare.invoke(prompts(n)) and None, lambda n: router.invoke(prompts(n)) and None, process_cpu, blocks, calls, finish
    )
    recipe.close()
    return result


PROXY_MODELS = """
general_settings: {{master_key: sk-any}}
model_list:
  - {{model_name: gpt-4o, litellm_params: {{model: openai/gpt-4o, api_base: "{url}/v1", api_key: sk-bench}}}}
  - {{model_name: gpt-4o-mini, litellm_params: {{model: openai/gpt-4o-mini, api_base: "{url}/v1", api_key: sk-bench}}}}
"""


def proxy(url: str, folder: str, blocks: int, calls: int) -> dict[str, float]:
    """Two LiteLLM proxies, one of them with our callback; the server's own CPU."""
    import openai

    Path(folder, "alone.yaml").write_text(PROXY_MODELS.format(url=url))
    Path(folder, "with.yaml").write_text(PROXY_MODELS.format(url=url) + 'litellm_settings: {callbacks: ["frugal_plugins.litellm.proxy"]}\n')
    offline = {f"LITELLM_LOCAL_{name}": "True" for name in ("ANTHROPIC_BETA_HEADERS", "BLOG_POSTS", "POLICY_TEMPLATES")}
    environment = {
        **os.environ,
        **offline,
        "FRUGAL_RECIPE": "support",
        "FRUGAL_LEDGER": str(Path(folder, "proxy.sqlite")),
        "PYTHONPATH": str(ROOT),
    }
    running = []
    clients = []
    for name in ("alone", "with"):
        port = free_port()
        command = [
            str(Path(sys.executable).with_name("litellm")),
            "--config",
            str(Path(folder, f"{name}.yaml")),
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        running.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder
            )
        )
        clients.append((openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-any"), port))
    try:
        for _, port in clients:
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", 240)

        def ask(which: int) -> Callable[[int], None]:
            return lambda n: clients[which][0].chat.completions.create(model="gpt-4o", messages=messages(n)) and None  # type: ignore[arg-type]

        both = lambda: (server_cpu(running[0].pid), server_cpu(running[1].pid))  # noqa: E731
        return interleaved(ask(0), ask(1), both, blocks, calls, lambda: time.sleep(SETTLED_SECONDS))
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def server_cpu(pid: int) -> float:
    """CPU seconds of a process and its threads, from the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def import_cost() -> dict[str, Any]:
    """CPU seconds of the import and which heavy modules it loaded."""

    def cpu(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    costs = [cpu("import frugal_plugins") - cpu("pass") for _ in range(7)]
    code = f"import sys, json, frugal_plugins; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    return {"import_cpu_s": statistics.median(costs), "import_loads": json.loads(loaded)}


def ledger_rate(requests: int) -> dict[str, float]:
    """How many requests a second the ledger keeps, and what handing one in costs the caller."""
    import datetime as dt

    from frugal_plugins.flow import Attempt, Call, Context, Decision
    from frugal_plugins.ledger import Ledger
    from frugal_plugins.ledger.settle import Entry
    from frugal_plugins.prices import PriceBook
    from frugal_plugins.request import Reply, Request
    from frugal_plugins.usage import Usage

    book, now = PriceBook(), dt.datetime.now(tz=dt.UTC)

    def entry(n: int) -> Entry:
        request = Request("gpt-4o", tuple(messages(n)))
        reply = Reply({"role": "assistant", "content": "Yes."}, "gpt-4o-mini", Usage(2000, output_tokens=8))
        decisions = [Decision("cache", "miss", "x"), Decision("route", "simple", "x"), Decision("cap", "set", "x")]
        context = Context(attempts=[Attempt(Call(request.with_(model="openai/gpt-4o-mini")), reply)], decisions=decisions)
        return Entry(request, context, reply, None, "gpt-4o", book, now)

    entries = [entry(n) for n in range(requests)]
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder, "l.sqlite"), queue_rows=requests)
        ledger.record(entries[0])
        started = time.perf_counter()
        for one in entries[1:]:
            ledger.record(one)
        handed = time.perf_counter()
        ledger.flush(120)
        done = time.perf_counter()
        lost = ledger.lost
        ledger.close()
    return {"ledger_rows_per_s": requests / (done - started), "ledger_record_us": (handed - started) / requests * 1e6, "ledger_lost": lost}


def main() -> None:
    """Run and print."""
    options = arguments(__doc__ or "")
    blocks, calls = (3, 20) if options.quick else (9, 60)
    result: dict[str, Any] = {
        **import_cost(),
        **ledger_rate(2_000 if options.quick else 10_000),
        **flow_milliseconds(1_500 if options.quick else 5_000),
    }
    with sandbox_process() as url, tempfile.TemporaryDirectory() as folder:
        for name, measure in (("sdk", sdk), ("langchain", langchain), ("proxy", proxy)):
            taken = measure(url, folder, blocks, calls)
            result[f"{name}_alone_ms"] = taken["alone"]
            result[f"{name}_added_ms"] = taken["with"] - taken["alone"]
            result[f"{name}_ratio"] = taken["with"] / taken["alone"]
    result["left_out"] = "fewer blocks" if options.quick else None
    print_result(result, options.json)


if __name__ == "__main__":
    main()
