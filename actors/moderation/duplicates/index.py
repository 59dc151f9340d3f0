"""Every text that was decided about in this process's memory, in as little of it as finds those like another.

Of each text 32 bytes of its vector's signs and 16 samples of its passages are kept: 10 MB for 100,000. Who is near in
either is looked at again, exactly, by what MongoDB holds. The index follows the change stream; while nothing is heard
from it, it is read anew each time: it is never the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.moderation.duplicates.fingerprints import SAMPLES, Fingerprint

CODE_WORDS = 4
_TABLE_BITS = 17
"""A table of 128 KiB stays in the processor's cache."""
_SHIFT = np.uint32(32 - _TABLE_BITS)
_GROWTH = 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index keeps of a text."""

    id: str
    code: NDArray[np.uint64]
    samples: NDArray[np.uint32]


class DuplicateIndex:
    """`trusted` says whether changes are being heard of."""

    def __init__(self, trusted: Callable[[], bool] = lambda: False) -> None:
        self.trusted = trusted
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        # A column for each text: what is compared with one value lies together.
        self._codes = np.zeros((CODE_WORDS, _GROWTH), np.uint64)
        self._samples = np.zeros((SAMPLES, _GROWTH), np.uint32)
        self._changed: set[str] = set()
        self._whole = False

    # What has changed

    def changed(self, identifier: str) -> None:
        """To be read again before the next search."""
        self._changed.add(identifier)

    def clear(self) -> None:
        """Changes may have been missed: everything is to be read again."""
        self._whole = False

    def take_changed(self) -> list[str] | None:
        """The ids of what has to be read again; None: everything. What changes from now on is for the next time."""
        if not (self._whole and self.trusted()):
            self._ids.clear()
            self._rows.clear()
            self._changed.clear()
            self._whole = True
            return None
        taken, self._changed = self._changed, set()
        return list(taken)

    def put(self, entries: Iterable[Entry]) -> None:
        """New ones, and others in the place of what was known by their ids."""
        for entry in entries:
            row = self._rows.get(entry.id)
            if row is None:
                row = self._rows[entry.id] = len(self._ids)
                self._ids.append(entry.id)
                self._make_room()
            self._codes[:, row] = entry.code
            self._samples[:, row] = entry.samples >> _SHIFT

    def _make_room(self) -> None:
        room = self._codes.shape[1]
        if len(self._ids) > room:
            more = max(_GROWTH, room // 4)
            self._codes = np.pad(self._codes, ((0, 0), (0, more)))
            self._samples = np.pad(self._samples, ((0, 0), (0, more)))

    # Looking

    def __len__(self) -> int:
        return len(self._ids)

    def candidates(self, wanted: Fingerprint, most: int = 50) -> list[str]:
        """The ids of those that are nearest in meaning, and of those whose samples are in the text: `most` of each."""
        ids = self._ids[:]
        size = len(ids)
        if not size:
            return []
        differing = np.zeros(size, np.uint16)
        for words, own in zip(self._codes, wanted.code, strict=True):
            differing += np.bitwise_count(words[:size] ^ own)
        near = np.argpartition(differing, min(most, size - 1))[:most]
        hits = self._hits(wanted, size)
        within = np.argpartition(hits, max(size - most, 0))[-most:]
        within = within[hits[within] >= SAMPLES // 4]
        return [ids[row] for row in dict.fromkeys((*near.tolist(), *within.tolist()))]

    def _hits(self, wanted: Fingerprint, size: int) -> NDArray[np.uint8]:
        """How many samples of each text may be passages of this one: by a table that is wrong now and then."""
        table = np.zeros(1 << _TABLE_BITS, np.uint8)
        table[(wanted.passages >> np.uint64(32)).astype(np.uint32) >> _SHIFT] = 1
        hits = np.zeros(size, np.uint8)
        for samples in self._samples:
            hits += table[samples[:size]]
        return hits
