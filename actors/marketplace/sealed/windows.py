"""Hashes of every so many letters of a text, one for each place where they may begin.

Nothing here is changed once it is imported: threads compare side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.marketplace.sealed.spelling import Codes

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

WIDEST = 64
"""Letters."""
_BASE = 0x9E3779B97F4A7C15
_CHUNK = 16_384


def _series(base: int, size: int) -> Hashes:
    series = np.full(size, base, np.uint64)
    series[0] = 1
    series = np.cumprod(series, dtype=np.uint64)
    series.setflags(write=False)
    return series


_POWERS = _series(_BASE, _CHUNK + WIDEST)
_INVERSES = _series(pow(_BASE, -1, 1 << 64), _CHUNK)


def windows_of(codes: Codes, width: int) -> Hashes:
    """A hash for each window: of the polynomial of its letters, modulo 2**64, wherever it stands."""
    found = np.empty(max(0, len(codes) - width + 1), np.uint64)
    for start in range(0, len(found), _CHUNK):
        part = codes[start : start + _CHUNK + width - 1].astype(np.uint64)
        sums = np.zeros(len(part) + 1, np.uint64)
        np.cumsum(part * _POWERS[: len(part)], out=sums[1:])
        differences = sums[width:] - sums[:-width]
        found[start : start + _CHUNK] = differences * _INVERSES[: len(differences)]
    return found


def are_in(hashes: Hashes, ordered: Hashes) -> Flags:
    if not len(ordered):
        return np.zeros(len(hashes), np.bool_)
    at = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
    return np.asarray(ordered[at] == hashes)


def all_between(low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.intp]:
    """Every number from each `low` up to, and without, its `high`."""
    times = high - low
    nth = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return np.asarray(np.repeat(low, times) + nth)


def longest(flags: Flags) -> int:
    """The most that follow each other."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int(np.max(edges[1::2] - edges[::2], initial=0))
