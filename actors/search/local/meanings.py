"""Every document's meaning, in as little memory as finds the nearest: 32 bytes of signs and 256 of a rounded vector.

The nearest by signs are candidates, which are then ordered by their rounded vectors. Who may be shown what, and the
plain filters, are part of the search: what is not permitted is no candidate. Each document has a number for life, by
which the index of words knows it too; no other document is given it, so that one cannot be taken for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.search.engine import Filters, Scope
from promptforge.actors.search.messages import Kind, SearchDocument
from promptforge.core.embeddings import DIMENSIONS, embed, signs

CANDIDATES = 300
"""By signs, of which `NEAREST` are kept."""
NEAREST = 100
LEAST_LIKENESS = 0.2
"""Cosine below which a text has nothing to do with the query."""
MEANT_CHARACTERS = 300
"""Of a body: the beginning says what it is about."""
_GROWTH = 1024
_WORDS = DIMENSIONS // 64
_FAR = np.uint16(DIMENSIONS + 1)
_NO_PRICE = -1

KINDS = {kind: number for number, kind in enumerate(Kind)}


@dataclass(slots=True)
class _Columns:
    """A place for each number. Replaced as a whole when they grow, so that a search may go on in the old ones."""

    codes: NDArray[np.uint64]
    rounded: NDArray[np.int8]
    audience: NDArray[np.int32]
    kind: NDArray[np.int8]
    category: NDArray[np.int16]
    licence: NDArray[np.int16]
    price: NDArray[np.int64]
    stars: NDArray[np.int32]
    scorecard: NDArray[np.bool_]
    tags: NDArray[np.uint64]
    """Two bits for each tag: who has a tag has its bits, and few others have them."""

    @classmethod
    def empty(cls, room: int) -> _Columns:
        return cls(
            np.zeros((_WORDS, room), np.uint64),
            np.zeros((room, DIMENSIONS), np.int8),
            np.full(room, -1, np.int32),
            np.zeros(room, np.int8),
            np.full(room, -1, np.int16),
            np.full(room, -1, np.int16),
            np.full(room, _NO_PRICE, np.int64),
            np.zeros(room, np.int32),
            np.zeros(room, np.bool_),
            np.zeros(room, np.uint64),
        )

    @property
    def room(self) -> int:
        return len(self.audience)

    def grown(self, room: int) -> _Columns:
        larger = _Columns.empty(room)
        for name in self.__dataclass_fields__:
            if name == "codes":
                larger.codes[:, : self.room] = self.codes
            else:
                getattr(larger, name)[: self.room] = getattr(self, name)
        return larger

    @property
    def bytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)


class Meanings:
    """One thread writes; any number search meanwhile."""

    def __init__(self) -> None:
        self._columns = _Columns.empty(_GROWTH)
        self._numbers: dict[str, int] = {}
        self._meant: dict[int, int] = {}
        self._keys: list[str] = []
        self._counts: Counter[Kind] = Counter()
        self._gone = 0
        self._given = 0
        self._audiences: dict[str, int] = {}
        self._values: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def bytes(self) -> int:
        return self._columns.bytes

    @property
    def wasteful(self) -> bool:
        """More than half of the numbers are of documents that are gone."""
        return self._gone > max(len(self._numbers), 10_000)

    def key(self, number: int) -> str:
        """Which document has, or had, the number: kind and id."""
        return self._keys[number]

    def number_of(self, key: str) -> int | None:
        return self._numbers.get(key)

    def counts(self) -> dict[str, int]:
        """How many documents of each kind there are."""
        return {kind.value: self._counts[kind] for kind in Kind}

    # Writing

    def put(self, documents: Sequence[SearchDocument]) -> tuple[list[int], set[int]]:
        """Answers their numbers, and which of these were given before. What means what it meant is kept."""
        given = self._given
        numbers = [self._number(document) for document in documents]
        texts = [_meant(document) for document in documents]
        marks = [hash(text) for text in texts]
        new = [at for at, number in enumerate(numbers) if self._meant.get(number) != marks[at]]
        if new:
            vectors = embed([texts[at] for at in new])
            places = np.array([numbers[at] for at in new])
            largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-6)
            self._columns.codes[:, places] = signs(vectors).T
            self._columns.rounded[places] = np.rint(vectors * (127 / largest))
            self._meant.update((numbers[at], marks[at]) for at in new)
        for number, document in zip(numbers, documents, strict=True):
            self._describe(number, document)
        return numbers, {number for number in numbers if number < given}

    def remove(self, kind: Kind, ids: Sequence[str]) -> list[int]:
        """Answers the numbers of those that were known."""
        found = []
        for identifier in ids:
            number = self._numbers.pop(f"{kind}:{identifier}", None)
            if number is not None:
                self._columns.audience[number] = -1
                self._meant.pop(number, None)
                self._gone += 1
                self._counts[kind] -= 1
                found.append(number)
        return found

    def _number(self, document: SearchDocument) -> int:
        key = f"{document.kind}:{document.id}"
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._given
            self._given += 1
            self._keys.append(key)
            self._counts[document.kind] += 1
            if number >= self._columns.room:
                self._columns = self._columns.grown(self._columns.room + max(_GROWTH, self._columns.room // 4))
        return number

    def _describe(self, number: int, document: SearchDocument) -> None:
        columns, offer = self._columns, document.offer
        columns.kind[number] = KINDS[document.kind]
        columns.category[number] = -1 if offer is None else self._value(offer.category)
        columns.licence[number] = -1 if offer is None else self._value(offer.licence)
        columns.price[number] = _NO_PRICE if offer is None else offer.price
        columns.stars[number] = 0 if offer is None else offer.stars
        columns.scorecard[number] = offer is not None and offer.scorecard
        columns.tags[number] = _bits(*document.tags)
        columns.audience[number] = self._audiences.setdefault(document.audience, len(self._audiences))

    def _value(self, value: str) -> int:
        return self._values.setdefault(value, len(self._values))

    # Looking

    def nearest(self, text: str, scope: Scope, filters: Filters) -> list[tuple[int, float]]:
        """The numbers of those that mean most nearly what the text means and how near, the nearest first.

        With a tag, some may be among them that have not got it: the index of words knows.
        """
        columns, size = self._columns, min(self._given, self._columns.room)
        permitted = self._permitted(columns, size, scope, filters)
        if permitted is None:
            return []
        vector = embed([text])
        differing = np.zeros(size, np.uint16)
        for words, own in zip(columns.codes, signs(vector)[0], strict=True):
            differing += np.bitwise_count(words[:size] ^ own)
        differing[~permitted] = _FAR
        nearer = np.cumsum(np.bincount(differing, minlength=int(_FAR)))  # how many differ by so many or fewer
        farthest = min(int(np.searchsorted(nearer, CANDIDATES)), int(_FAR) - 1)
        farther = np.flatnonzero(differing == farthest)[:CANDIDATES]
        near = np.concatenate((np.flatnonzero(differing < farthest), farther))
        rounded = columns.rounded[near].astype(np.float32)
        lengths = np.linalg.norm(rounded, axis=1)
        likeness = rounded @ vector[0] / np.where(lengths > 0, lengths, 1)
        order = np.argsort(-likeness, kind="stable")[:NEAREST]
        return [(int(near[at]), float(likeness[at])) for at in order if likeness[at] >= LEAST_LIKENESS]

    def _permitted(self, columns: _Columns, size: int, scope: Scope, filters: Filters) -> NDArray[np.bool_] | None:
        """None: nothing is."""
        known = [self._audiences[audience] for audience in scope.audiences if audience in self._audiences]
        if not size or not known:
            return None
        audience = columns.audience[:size].copy()  # first: whoever writes meanwhile may add to the audiences
        allowed = np.zeros(len(self._audiences) + 1, np.bool_)
        allowed[known] = True  # the last, which -1 stands for, stays false
        permitted: NDArray[np.bool_] = allowed[audience]
        if len(scope.kinds) < len(Kind):
            wanted = np.zeros(len(Kind), np.bool_)
            wanted[[KINDS[kind] for kind in scope.kinds]] = True
            permitted &= wanted[columns.kind[:size]]
        if filters.category is not None:
            permitted &= columns.category[:size] == self._values.get(filters.category, -2)
        if filters.licence is not None:
            permitted &= columns.licence[:size] == self._values.get(filters.licence, -2)
        if filters.min_stars is not None:
            permitted &= columns.stars[:size] >= filters.min_stars
        if filters.min_price is not None:
            permitted &= columns.price[:size] >= filters.min_price
        if filters.max_price is not None:
            permitted &= (columns.price[:size] <= filters.max_price) & (columns.price[:size] > _NO_PRICE)
        if filters.scorecard:
            permitted &= columns.scorecard[:size]
        if filters.tag is not None:
            wanted_bits = _bits(filters.tag)
            permitted &= columns.tags[:size] & wanted_bits == wanted_bits
        return permitted


def _bits(*tags: str) -> np.uint64:
    bits = 0
    for tag in tags:
        mark = hash(tag)
        bits |= 1 << (mark & 63) | 1 << (mark >> 6 & 63)
    return np.uint64(bits)


def _meant(document: SearchDocument) -> str:
    parts = (document.title, document.summary, " ".join(document.tags), document.body[:MEANT_CHARACTERS])
    return ". ".join(part for part in parts if part)
