"""What a text is recognised by: its meaning as a vector, and its passages of four words as hashes.

Both forget what copying changes first: case, punctuation, the names of variables. The vector finds texts that say the
same, the passages find texts that were taken over, whole or within a longer one. Neither gives the text away.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from promptforge.core.embeddings import embed

EDITION = 2
"""Of how fingerprints are taken, and of which texts: raised with each change of that, and a job takes those of before
anew. 2: stretches of long texts, and what stands behind long includes; what is refused is so by what was decided."""
WORDS = 4
MOST_PASSAGES = 2000
"""Of longer texts the smallest hashes are kept: a sample that is the same for the same passages."""
SAMPLES = 16
_VARIABLE = re.compile(r"\{\{[^{}]{0,200}\}\}")
_WORD = re.compile(r"\w+")

Passages = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`vector` has the length 1; `passages` are sorted and each there once."""

    vector: NDArray[np.float32]
    passages: Passages

    @property
    def code(self) -> NDArray[np.uint64]:
        """The signs of the vector, 256 bits: near vectors differ in few."""
        return np.packbits(self.vector > 0).view(np.uint64)

    @property
    def samples(self) -> NDArray[np.uint32]:
        """A few passages, by which the text is found within another; filled up with the last."""
        first = (self.passages[:SAMPLES] >> np.uint64(32)).astype(np.uint32)
        return np.pad(first, (0, SAMPLES - len(first)), mode="edge")


@dataclass(frozen=True, slots=True)
class Likeness:
    """From 0 to 1: how near in meaning, how many passages are in both of all, and of those of the shorter text."""

    meaning: float
    common: float
    contained: float


def fingerprint(text: str) -> Fingerprint:
    """Takes a moment the first time: the words' vectors are loaded."""
    words = words_of(text) or ["_"]
    return Fingerprint(embed([" ".join(words)])[0], passages_of(words))


def words_of(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", _VARIABLE.sub(" _ ", text)).casefold()
    return _WORD.findall(plain)


def passages_of(words: list[str]) -> Passages:
    """The hashes of each four words that follow each other; of a shorter text the one of all."""
    runs = {" ".join(words[at : at + WORDS]) for at in range(max(len(words) - WORDS, 0) + 1)}
    hashes = sorted(int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "big") for run in runs)
    return np.array(hashes[:MOST_PASSAGES], np.uint64)


def likeness(one: Fingerprint, other: Fingerprint) -> Likeness:
    """Where one was cut to a sample, both are looked at as far as that reaches."""
    first, second = one.passages, other.passages
    cut = [passages[-1] for passages in (first, second) if len(passages) == MOST_PASSAGES]
    if cut:
        first, second = first[first <= min(cut)], second[second <= min(cut)]
    same = len(np.intersect1d(first, second, assume_unique=True))
    of_all, of_shorter = len(first) + len(second) - same, min(len(first), len(second))
    return Likeness(
        meaning=float(one.vector @ other.vector),
        common=same / of_all if of_all else 0.0,
        contained=same / of_shorter if of_shorter else 0.0,
    )


def sharing(own: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Which of these may be copies of which of the others, or the other way round: by a few passages of the shorter.

    Ordered by the others. A quick look at all of them together, after which few pairs are left to compare.
    """
    found = {(mine, other) for other, mine in _holding(others, own)} | set(_holding(own, others))
    return sorted(found, key=lambda pair: (pair[1], pair[0]))


def _holding(wholes: Sequence[Fingerprint], parts: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Which of `wholes` has enough of the first passages of which of `parts`."""
    first = [one.passages[:SAMPLES] for one in parts]
    if not wholes or not first:
        return
    sampled = np.concatenate(first)
    order = np.argsort(sampled, kind="stable")
    owners = np.repeat(np.arange(len(first)), [len(one) for one in first])[order]
    passages = np.concatenate([one.passages for one in wholes])
    of = np.repeat(np.arange(len(wholes)), [len(one.passages) for one in wholes])
    low = np.searchsorted(sampled[order], passages, "left")
    high = np.searchsorted(sampled[order], passages, "right")
    hit = np.flatnonzero(high > low)
    times = np.zeros((len(wholes), len(parts)), np.uint8)
    for at in hit.tolist():
        times[of[at], owners[low[at] : high[at]]] += 1
    enough = np.array([max(1, len(one) // 4) for one in first], np.uint8)
    yield from map(tuple, np.argwhere(times >= enough).tolist())
