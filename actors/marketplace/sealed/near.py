"""Copies with faults in them: letters that were put in, left out or changed here and there, or at the end of each word.

A few letters in a row that both texts have are a seed. Seeds that follow each other at nearly the same distance in both
are a chain; the letters of the sealed text that its seeds cover say how long it is. Chance makes chains too, of words
that everybody uses: a short one is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.marketplace.sealed.spelling import Codes
from promptforge.actors.marketplace.sealed.windows import Flags, Hashes, all_between, are_in, windows_of

FEWEST_COVERED = 48
"""Letters of a chain; of fewer there are some in any two texts about one thing."""
_SEED = 5
_LONGER_FROM = (4_000, 16_000, 64_000)
"""Letters of the sealed text from which on a seed has one letter more, or everything would be one."""
_MOST_PLACES = 4
"""A seed that stands in more places of the text says nothing."""
_MOST_PAIRS = 40_000
"""Of one reading; whoever has more than that printed hides something among them."""
_STRETCH = 64
_BAND = 16
_FEWEST_TOGETHER = 4
_GAP = 24
_DRIFT = 6


@dataclass(frozen=True, slots=True)
class Near:
    """A chain of seeds, of `width` letters each: where they begin in the output (`at`), and where in the text."""

    at: NDArray[np.int64]
    seeds: NDArray[np.int64]
    width: int

    def __len__(self) -> int:
        return len(self.places)

    @property
    def begins(self) -> int:
        return int(self.at[0])

    @property
    def ends(self) -> int:
        return int(self.at[-1]) + self.width

    @property
    def places(self) -> NDArray[np.int64]:
        """The letters of the text that it covers."""
        return np.unique(self.seeds[:, None] + np.arange(self.width))

    def without(self, left_out: Flags) -> Near | None:
        """What is left of it without the seeds that stand in these letters of its stretch of the output.

        None where that is no more than chance.
        """
        before = np.concatenate(([0], np.cumsum(left_out)))
        start = self.at - self.begins
        kept = before[start + self.width] - before[start] < self.width
        rest = Near(self.at[kept], self.seeds[kept], self.width)
        return rest if len(rest) >= FEWEST_COVERED else None


@dataclass(frozen=True, slots=True)
class Chains:
    """`all`: false where there were more seeds than are looked at."""

    found: list[Near]
    all: bool


@dataclass(slots=True)
class _Chain:
    at: list[int]
    seeds: list[int]
    covered: int


def _have_company(at: NDArray[np.intp], places: NDArray[np.int32]) -> Flags:
    """Whether there are others near them in both texts: a quick look, after which few are left of those by chance."""
    found = np.zeros(len(at), np.bool_)
    distances = places.astype(np.int64) - at + len(at) + int(at.max(initial=0))
    for shift in (0, _BAND // 2):
        bands = (at // _STRETCH << 32) + (distances + shift) // _BAND
        _, which, times = np.unique(bands, return_inverse=True, return_counts=True)
        found |= times[which] >= _FEWEST_TOGETHER
    return found


class Seeds:
    """Those of a sealed text."""

    def __init__(self, codes: Codes) -> None:
        self.width = _SEED + sum(len(codes) >= longer for longer in _LONGER_FROM)
        hashes = windows_of(codes, self.width)
        _, found, times = np.unique(hashes, return_inverse=True, return_counts=True)
        telling = np.flatnonzero(times[found] <= _MOST_PLACES)
        order = telling[np.argsort(hashes[telling], kind="stable")]
        self._hashes: Hashes = hashes[order]
        self._places = order.astype(np.int32)

    @property
    def bytes_kept(self) -> int:
        return self._hashes.nbytes + self._places.nbytes

    def near(self, codes: Codes) -> Chains:
        """The chains in an output that are long enough to be no chance."""
        closed: list[_Chain] = []
        going: list[_Chain] = []
        pairs = self._pairs(codes)
        for at, place in pairs[:_MOST_PAIRS]:
            still = [chain for chain in going if at - chain.at[-1] <= _GAP]
            if len(still) < len(going):
                closed += [chain for chain in going if at - chain.at[-1] > _GAP and chain.covered >= FEWEST_COVERED]
            going = still
            self._put(going, at, place)
        long = [*closed, *(chain for chain in going if chain.covered >= FEWEST_COVERED)]
        found = [Near(np.asarray(chain.at), np.asarray(chain.seeds), self.width) for chain in long]
        return Chains(found, len(pairs) <= _MOST_PAIRS)

    def _pairs(self, codes: Codes) -> list[tuple[int, int]]:
        """Places in the output and in the text that have the same seed, in the order of the output."""
        hashes = windows_of(codes, self.width)
        found = np.flatnonzero(are_in(hashes, self._hashes))
        low = np.searchsorted(self._hashes, hashes[found], "left")
        high = np.searchsorted(self._hashes, hashes[found], "right")
        at, places = np.repeat(found, high - low), self._places[all_between(low, high)]
        kept = np.flatnonzero(_have_company(at, places))[: _MOST_PAIRS + 1]
        return list(zip(at[kept].tolist(), places[kept].tolist(), strict=True))

    def _put(self, going: list[_Chain], at: int, place: int) -> None:
        """In the chain that it goes on best, or in one of its own."""
        best, least = None, _DRIFT + 1
        for chain in going:
            step, onward = place - chain.seeds[-1], at - chain.at[-1]
            drift = abs(step - onward)
            if 0 < step <= _GAP and onward > 0 and drift < least:
                best, least = chain, drift
        if best is None:
            going.append(_Chain([at], [place], self.width))
            return
        best.covered += min(place - best.seeds[-1], self.width)
        best.at.append(at)
        best.seeds.append(place)
