"""Every document's meaning, in as little memory as finds the nearest: 32 bytes of signs and 256 of a rounded vector.

The nearest by signs are candidates, which are then ordered by their rounded vectors. Who may be shown what, and the
plain filters, are part of the search: what is not permitted is no candidate. Each document has a number for life, by
which the index of words knows it too; no other document is given it, so that one cannot be taken for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptforge.actors.search.engine import Filters, Scope
from promptforge.actors.search.messages import PUBLIC, Kind, SearchDocument
from promptforge.core.embeddings import DIMENSIONS, embed, signs

CANDIDATES = 300
"""By signs, of which `NEAREST` are kept."""
NEAREST = 100
LEAST_LIKENESS = 0.2
"""Cosine below which a text has nothing to do with the query."""
MEANT_CHARACTERS = 300
"""Of a body: the beginning says what it is about."""
_GROWTH = 1024
_FEW = 8
_LATELY = 16
_WORDS = DIMENSIONS // 64
_FAR = np.uint8(255)
"""Of 256 signs: what differs in as many means the opposite."""
_AT_ONCE = 32_768
"""Documents whose signs are compared together: so many stay in the processor's cache."""
_NO_PRICE = -1
_ROUNDING = 1e-5
"""Products of other shapes are added up in another order."""

EVERYBODY = frozenset({PUBLIC})
KINDS = {kind: number for number, kind in enumerate(Kind)}


@dataclass(slots=True)
class _Columns:
    """A place for each number. Replaced as a whole when they grow, so that a search may go on in the old ones."""

    codes: NDArray[np.uint64]
    rounded: NDArray[np.int8]
    lengths: NDArray[np.float32]
    """Of rounded vectors; 1 of those that mean nothing."""
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
            np.ones(room, np.float32),
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


@dataclass(frozen=True, slots=True)
class Nearest:
    """Numbers of those that mean most nearly what `vector` does and how near, the nearest first.

    `chosen` are those numbers; where there were more candidates than are looked at, all that were, and `farthest` is in
    how many signs they differ at most.
    """

    vector: NDArray[np.float32]
    hits: list[tuple[int, float]]
    chosen: NDArray[np.int32]
    farthest: int | None = None

    @property
    def least(self) -> float:
        """How near another one must be to be among them."""
        return self.hits[-1][1] if len(self.hits) == NEAREST else LEAST_LIKENESS


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
        self._written = 0
        """How often something was put or removed."""
        self._permitted_lately: dict[tuple[Scope, Filters], tuple[int, NDArray[np.bool_]]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def rows(self) -> int:
        """That are compared: also of those that are gone."""
        return self._given

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
            rounded = np.rint(vectors * (127 / largest))
            self._columns.rounded[places] = rounded
            self._columns.lengths[places] = np.maximum(np.linalg.norm(rounded, axis=1), 1)
            self._meant.update((numbers[at], marks[at]) for at in new)
        try:
            for number, document in zip(numbers, documents, strict=True):
                self._describe(number, document)
        finally:
            self._written += 1
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
        self._written += 1
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

    def permitted(self, scope: Scope, filters: Filters) -> NDArray[np.bool_]:
        """Which numbers are of documents that may be shown. With a tag, some may be among them that have not got it."""
        written, columns = self._written, self._columns
        return self._permitted(written, columns, scope, filters)

    def nearest(self, vector: NDArray[np.float32], scope: Scope, filters: Filters) -> Nearest:
        """Those that mean most nearly what a text of this vector means.

        With a tag, some may be among them that have not got it: the index of words knows.
        """
        written, columns = self._written, self._columns
        permitted = self._permitted(written, columns, scope, filters)
        if not (size := len(permitted)):
            return Nearest(vector, [], np.zeros(0, np.int32))
        differing = _differing(columns.codes[:, :size], signs(vector[np.newaxis])[0])
        np.putmask(differing, ~permitted, _FAR)
        near = _least(differing, CANDIDATES)
        likeness = columns.rounded[near].astype(np.float32) @ vector / columns.lengths[near]
        order = np.argsort(-likeness, kind="stable")[:NEAREST]
        order = order[likeness[order] >= LEAST_LIKENESS]
        hits = list(zip(near[order].tolist(), likeness[order].tolist(), strict=True))
        if len(near) < CANDIDATES:
            return Nearest(vector, hits, near[order].astype(np.int32))
        return Nearest(vector, hits, near.astype(np.int32), int(differing[near].max()))

    def concern(self, nearest: Nearest, numbers: Sequence[int], scope: Scope, least: float) -> bool:
        """Whether what was found for this scope might be other, since these have changed; `least` counts as near."""
        if np.isin(numbers, nearest.chosen).any():
            return True
        columns = self._columns
        known = [self._audiences[audience] for audience in scope.audiences if audience in self._audiences]
        seen = np.asarray(numbers)[_one_of(columns.audience[numbers], known)]
        if nearest.farthest is not None:
            own = signs(nearest.vector[np.newaxis])[0][:, np.newaxis]
            differing = np.bitwise_count(columns.codes[:, seen] ^ own).sum(axis=0)
            return bool((differing <= nearest.farthest).any())
        likeness = columns.rounded[seen].astype(np.float32) @ nearest.vector / columns.lengths[seen]
        return bool((likeness >= least - _ROUNDING).any())

    def _permitted(self, written: int, columns: _Columns, scope: Scope, filters: Filters) -> NDArray[np.bool_]:
        """Of what everybody may see it is remembered, until something is written.

        `written` was read before `columns`: whatever is written meanwhile makes what is remembered outdated.
        """
        size = min(self._given, columns.room)
        if scope.audiences != EVERYBODY:
            return self._look_permitted(columns, size, scope, filters)
        asked = (scope, filters)
        known = self._permitted_lately.get(asked)
        if known is not None and known[0] == written and len(known[1]) <= size:
            return known[1]
        found = self._look_permitted(columns, size, scope, filters)
        if len(self._permitted_lately) >= _LATELY:
            self._permitted_lately.clear()
        self._permitted_lately[asked] = written, found
        return found

    def _look_permitted(self, columns: _Columns, size: int, scope: Scope, filters: Filters) -> NDArray[np.bool_]:
        """Empty where nothing is."""
        known = [self._audiences[audience] for audience in scope.audiences if audience in self._audiences]
        if not size or not known:
            return np.zeros(0, np.bool_)
        permitted = _one_of(columns.audience[:size], known)
        if len(scope.kinds) < len(Kind):
            permitted &= _one_of(columns.kind[:size], [KINDS[kind] for kind in scope.kinds])
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


def _one_of(column: NDArray[Any], values: Sequence[int]) -> NDArray[np.bool_]:  # Any: whole numbers
    """Where one of these stands; a few comparisons cost less than looking each up."""
    found = np.zeros(len(column), np.bool_)
    if len(values) <= _FEW:
        for value in values:
            found |= column == value
        return found
    column = column.copy()  # first: whoever writes meanwhile may add values that are larger
    allowed = np.zeros(max(int(column.max(initial=0)), *values) + 2, np.bool_)
    allowed[list(values)] = True  # the last, which -1 stands for, stays false
    chosen: NDArray[np.bool_] = allowed[column]
    return chosen


def _differing(codes: NDArray[np.uint64], own: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """In how many signs each differs; in none, where it is in all 256, whose vectors are sorted out later."""
    size = codes.shape[1]
    found = np.empty(size, np.uint8)
    other, counted = np.empty(_AT_ONCE, np.uint64), np.empty(_AT_ONCE, np.uint8)
    for begin in range(0, size, _AT_ONCE):
        end = min(begin + _AT_ONCE, size)
        part, length = found[begin:end], end - begin
        for at, (words, sign) in enumerate(zip(codes[:, begin:end], own, strict=True)):
            np.bitwise_xor(words, sign, out=other[:length])
            np.bitwise_count(other[:length], out=counted[:length] if at else part)
            if at:
                part += counted[:length]
    return found


def _least(differing: NDArray[np.uint8], most: int) -> NDArray[np.intp]:
    """Where so many of the least are, the first of equals; none of what is far. Halved until it is known how far."""
    low, high = 0, int(_FAR) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if np.count_nonzero(differing <= middle) >= most else (middle + 1, high)
    equal = np.flatnonzero(differing == low)[:most]
    return np.concatenate((np.flatnonzero(differing < low), equal))


def _bits(*tags: str) -> np.uint64:
    bits = 0
    for tag in tags:
        mark = hash(tag)
        bits |= 1 << (mark & 63) | 1 << (mark >> 6 & 63)
    return np.uint64(bits)


def _meant(document: SearchDocument) -> str:
    parts = (document.title, document.summary, " ".join(document.tags), document.body[:MEANT_CHARACTERS])
    return ". ".join(part for part in parts if part)
