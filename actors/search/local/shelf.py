"""What is shown of each document, by its number: in as few bytes as are read back quickly, without the body.

It has documents as they were put, so it may be a moment ahead of what has been committed: who shows one looks whether
it is permitted.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.search.engine import Shown, ShownOffer
from promptforge.actors.search.local.facets import Values, values_of
from promptforge.actors.search.messages import Kind, SearchDocument

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KINDS = {kind.value: kind for kind in Kind}
_GROWTH = 1024
_GONE = -1


class Shelf:
    """One thread puts and removes, any number find."""

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}
        self._places = np.full(_GROWTH, _GONE, np.int32)
        """By number, where the values of a document stand in `_different`. Replaced as a whole when it grows."""
        self._bodies = np.zeros(_GROWTH, np.int64)
        """Their hashes."""
        self._different: list[Values] = []
        """Few are."""
        self._place_of: dict[Values, int] = {}

    def put(self, numbers: Sequence[int], documents: Sequence[SearchDocument]) -> list[int]:
        """Answers which of them are as they were, but for what lists are ordered by."""
        same = []
        for number, document in zip(numbers, documents, strict=True):
            if number >= len(self._places):
                self._grow(number + max(_GROWTH, number // 4))
            packed, body = _packed(document), hash(document.body)
            if self._known.get(number) == packed and self._bodies[number] == body:
                same.append(number)
                continue
            self._places[number] = self._place(values_of(document))
            self._bodies[number] = body
            self._known[number] = packed
        return same

    def _place(self, values: Values) -> int:
        place = self._place_of.get(values)
        if place is None:
            place = self._place_of[values] = len(self._different)
            self._different.append(values)
        return place

    def _grow(self, room: int) -> None:
        self._bodies = np.concatenate((self._bodies, np.zeros(room - len(self._bodies), np.int64)))
        larger = np.full(room, _GONE, np.int32)
        larger[: len(self._places)] = self._places
        self._places = larger

    def remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if self._known.pop(number, None) is not None:
                self._places[number] = _GONE

    def find(self, number: int) -> Shown | None:
        known = self._known.get(number)
        return None if known is None else _unpacked(known)

    def count(self, numbers: Sequence[int]) -> list[tuple[Values, int]]:
        """How many of those that are still there have which values."""
        places = self._places
        return self._counted(places[[number for number in numbers if number < len(places)]])

    def count_all(self, chosen: NDArray[np.bool_]) -> list[tuple[Values, int]]:
        """The same of all whose numbers are flagged."""
        places = self._places
        size = min(len(chosen), len(places))
        return self._counted(places[:size][chosen[:size]])

    def _counted(self, places: NDArray[np.int32]) -> list[tuple[Values, int]]:
        counts = np.bincount(places[places >= 0])
        return [(self._different[place], int(counts[place])) for place in np.flatnonzero(counts)]


def _packed(document: SearchDocument) -> bytes:
    offer = document.offer
    offered = (
        None
        if offer is None
        else (str(offer.category), str(offer.licence), str(offer.sells), offer.price, offer.stars, offer.scorecard)
    )
    return marshal.dumps(
        (
            document.kind.value,
            document.id,
            document.audience,
            document.title,
            (document.changed_at - _EPOCH) // _MICROSECOND,
            document.summary,
            document.tags,
            document.names,
            offered,
        ),
        2,  # later versions write equal values in different ways
    )


def _unpacked(packed: bytes) -> Shown:
    kind, identifier, audience, title, changed_at, summary, tags, names, offered = marshal.loads(packed)  # noqa: S302  # written above
    return Shown(
        _KINDS[kind],
        identifier,
        audience,
        title,
        _EPOCH + timedelta(0, 0, changed_at),
        summary,
        tags,
        names,
        None if offered is None else ShownOffer._make(offered),
    )
