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

Vectors = NDArray[np.float32]


def embed(texts: Sequence[str]) -> Vectors:
    """A row of length 1 for each text. Takes a moment the first time: the words' vectors are loaded."""
    return np.asarray(_embedder().embed(list(texts), norm=True), np.float32)


def signs(vectors: Vectors) -> NDArray[np.uint64]:
    """The signs of each vector, 256 bits in four words: near vectors differ in few."""
    return np.packbits(vectors > 0, axis=1).view(np.uint64)


@cache
def _embedder() -> Any:  # Any: the library's class is loaded when first used
    import wordllama  # noqa: PLC0415  # takes half a second, which only processes that need it spend

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=DIMENSIONS)
