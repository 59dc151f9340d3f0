"""Meanings as vectors: small static embeddings, worked out in this process, without a network.

Vectors and tokenizer are in the package `wordllama`: nothing is downloaded, and nothing may be. About 48,000 short
texts a second on one core; English mostly, other languages hardly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 256
_AT_ONCE = 64

Vectors = NDArray[np.float32]


def embed(texts: Sequence[str]) -> Vectors:
    """A row of length 1 for each text (0 where it says nothing): the mean of its tokens' vectors.

    Takes a moment the first time: the vectors are loaded. The library's own `embed` fills texts up to the longest.
    """
    if not texts:
        return np.zeros((0, DIMENSIONS), np.float32)
    return np.concatenate([_means(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE)])


def _means(texts: Sequence[str]) -> Vectors:
    embedder = _embedder()
    encoded = embedder.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    sums: Vectors = np.stack([embedder.embedding[np.asarray(one.ids, np.int64)].sum(axis=0) for one in encoded])
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    np.divide(sums, norms, out=sums, where=norms > 0)
    return sums


def signs(vectors: Vectors) -> NDArray[np.uint64]:
    """The signs of each vector, 256 bits in four words: near vectors differ in few."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64)


@cache
def _embedder() -> Any:  # Any: the library's class is loaded when first used
    import wordllama  # noqa: PLC0415  # takes half a second, which only processes that need it spend

    folder = Path(wordllama.__file__).parent
    loaded = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=DIMENSIONS)
    loaded.tokenizer.no_padding()
    return loaded
