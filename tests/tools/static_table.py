"""Make the static embedding from the weights of all-MiniLM-L6-v2: every word piece run once, reduced, weighted, rounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from frugal_plugins.learned.embedding import DIMENSIONS

_FIRST_PIECE = 999
_FIRST_WORD = 1996
_USUAL_RANK = 2200
_RARITY = 1e-3


def make_table(folder: Path, target: Path) -> None:
    """Write `table` (int8), `scale` and `vocabulary` to `target`. Pieces before the first sign are marks and stay empty."""
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vectors = _each_alone(folder)
    vocabulary = vocabulary[: len(vectors)]
    rank = np.arange(len(vectors), dtype=float)
    likely = 1 / np.maximum(1, rank - 990)
    likely[_FIRST_PIECE:_FIRST_WORD] = likely[_USUAL_RANK]
    likely[:_FIRST_PIECE] = 1e-9
    likely /= likely.sum()
    used = rank >= _FIRST_PIECE
    centred = vectors - (vectors * likely[:, None])[used].sum(axis=0) / likely[used].sum()
    _, _, axes = np.linalg.svd(centred[used][::3], full_matrices=False)
    weighted = centred @ axes[:DIMENSIONS].T * (_RARITY / (_RARITY + likely))[:, None]
    weighted[:_FIRST_PIECE] = 0
    scale = np.abs(weighted).max(axis=1) / 127
    scale[scale == 0] = 1
    words = "\n".join(piece if number >= _FIRST_PIECE else "" for number, piece in enumerate(vocabulary))
    np.savez_compressed(
        target,
        table=np.round(weighted / scale[:, None]).astype(np.int8),
        scale=scale.astype(np.float16),
        vocabulary=np.frombuffer(words.encode("utf-8"), dtype=np.uint8),
    )


def _each_alone(folder: Path) -> np.ndarray:
    """The mean output of each piece between its start and end marks, brought to length 1."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModel, AutoTokenizer

    reader, model = AutoTokenizer.from_pretrained(str(folder)), AutoModel.from_pretrained(str(folder)).eval()
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(reader), 512):
            pieces = torch.arange(start, min(len(reader), start + 512))
            rows = torch.stack([torch.full_like(pieces, reader.cls_token_id), pieces, torch.full_like(pieces, reader.sep_token_id)], 1)
            out = model(input_ids=rows, attention_mask=torch.ones_like(rows)).last_hidden_state.mean(1)
            vectors.append(torch.nn.functional.normalize(out, dim=1).numpy())
    return np.concatenate(vectors)
