"""The words of an index, and which of them are spelled alike: looked for here, not in every segment of the index.

It knows a word for as long as its generation of the index lives, so some may be in no document any more; whoever looks
for those finds nothing. What was found for a word is remembered until there are other words. One thread adds,
any number look.

Whoever writes may make up words, and anybody's words are looked through for everybody: so there is an end to how many
are known, sooner for those that only some may see, and to how many are compared letter by letter. The ones that were
seen first have precedence; what everybody sees is read first when an index is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONGEST = 24
"""Letters: of longer words none are alike."""
MOST_ALIKE = 32
"""Of one word: those that differ in fewest letters, of these the ones that were seen first, which are common ones."""
MOST_REMEMBERED = 20_000
MOST_WORDS = 300_000
"""Some 70 MB. English texts of 100,000 listings have 45,000."""
MOST_PRIVATE = 200_000
"""With so many words, those of documents that not everybody sees are not added any more."""
WASTEFUL = 150_000
"""With fewer words no index is made anew for their sake."""
MOST_STEPS = 400_000
"""Letters by letters that are compared for one word: 4,000 words of eight letters, 640 of twenty-four."""
_GROWTH = 4096
_ONCE = 32
"""Letters have one bit for that they are there at all, and one for that they are more than once."""


@dataclass(frozen=True, slots=True)
class Alike:
    """`anywhere` differ in one letter, `in_titles` in as many as were asked for; both have the word itself."""

    anywhere: tuple[str, ...]
    in_titles: tuple[str, ...]


@dataclass(slots=True)
class _Rows:
    """A row for each word. Replaced as a whole when they grow."""

    marks: NDArray[np.uint64]
    lengths: NDArray[np.int8]
    letters: NDArray[np.uint16]
    titles: NDArray[np.bool_]

    @classmethod
    def empty(cls, room: int) -> _Rows:
        return cls(
            np.zeros(room, np.uint64),
            np.full(room, -LONGEST, np.int8),
            np.zeros((room, LONGEST), np.uint16),
            np.zeros(room, np.bool_),
        )

    def grown(self, room: int) -> _Rows:
        larger = _Rows.empty(room)
        for name in self.__dataclass_fields__:
            getattr(larger, name)[: len(self.marks)] = getattr(self, name)
        return larger


class Vocabulary:
    def __init__(self) -> None:
        self._rows = _Rows.empty(_GROWTH)
        self._words: list[str] = []
        self._numbers: dict[str, int] = {}
        self._titled = 0
        """How often a known word was seen in a title for the first time."""
        self._known: dict[tuple[str, int], tuple[tuple[int, int], Alike]] = {}
        self._at_first: int | None = None

    def __len__(self) -> int:
        return len(self._words)

    @property
    def wasteful(self) -> bool:
        """It has twice the words that it was made with, and many: most are likely to be in no document any more."""
        return self._at_first is not None and len(self._words) > max(2 * self._at_first, WASTEFUL)

    @property
    def moment(self) -> tuple[int, int]:
        """Another one whenever other words may be alike."""
        return len(self._words), self._titled

    def made(self) -> None:
        """These are the words of all documents that there are."""
        self._at_first = len(self._words)

    def add(self, words: Iterable[str], titles: Iterable[str], *, public: bool = True) -> None:
        """All words of a document, and those of its title among them. `public`: everybody may see it."""
        numbers, most = self._numbers, MOST_WORDS if public else MOST_PRIVATE
        for word in words:
            if word not in numbers and len(self._words) < most:
                self._add(word)
        for word in titles:
            number = numbers.get(word)
            if number is not None and not self._rows.titles[number]:
                self._rows.titles[number] = True
                self._titled += 1

    def _add(self, word: str) -> None:
        number = len(self._words)
        if number == len(self._rows.marks):
            self._rows = self._rows.grown(number + max(_GROWTH, number // 4))
        if len(word) <= LONGEST and max(word) <= "\uffff":
            rows = self._rows
            rows.letters[number, : len(word)] = [ord(letter) for letter in word]
            rows.marks[number] = _mark(word)
            rows.lengths[number] = len(word)
        self._words.append(word)
        self._numbers[word] = number

    def alike(self, word: str, most: int) -> Alike:
        """Known words that differ from it by at most so many letters changed, left out, added or swapped."""
        moment = self.moment
        known = self._known.get((word, most))
        if known is not None and known[0] == moment:
            return known[1]
        found = self._look(word, most, moment[0])
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[word, most] = moment, found
        return found

    def _look(self, word: str, most: int, size: int) -> Alike:
        if len(word) > LONGEST or max(word) > "\uffff":
            return Alike((word,), (word,))
        rows = self._rows
        size = min(size, len(rows.marks))
        differing = np.bitwise_count(rows.marks[:size] ^ _mark(word))
        near = np.flatnonzero(differing <= 2 * most)
        longer = np.abs(rows.lengths[near] - len(word))
        # A letter that differs changes two bits at most: words of no title may differ in one letter.
        near = near[(longer <= most) & rows.titles[near] | (longer <= 1) & (differing[near] <= 2)]
        near = near[: MOST_STEPS // ((len(word) + 1) * (len(word) + most + 1))]
        distances = _distances(word, rows.letters[near], rows.lengths[near])
        titles = rows.titles[near]
        return Alike(
            self._nearest(word, near[distances <= 1], distances[distances <= 1]),
            self._nearest(word, near[titles & (distances <= most)], distances[titles & (distances <= most)]),
        )

    def _nearest(self, word: str, numbers: NDArray[np.intp], distances: NDArray[np.uint8]) -> tuple[str, ...]:
        order = np.argsort(distances, kind="stable")[:MOST_ALIKE]
        return tuple(dict.fromkeys((word, *(self._words[numbers[at]] for at in order))))


def _mark(word: str) -> np.uint64:
    bits = 0
    for letter in word:
        bit = 1 << (ord(letter) & 31)
        bits |= bit << _ONCE if bits & bit else bit
    return np.uint64(bits)


def _distances(word: str, letters: NDArray[np.uint16], lengths: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Of each row: the columns of `words.alike` for all of them at once."""
    rows = len(letters)
    longest = int(lengths.max(initial=0))
    table = np.empty((len(word) + 1, longest + 1, rows), np.uint8)
    table[0] = np.arange(longest + 1, dtype=np.uint8)[:, None]
    table[:, 0] = np.arange(len(word) + 1, dtype=np.uint8)[:, None]
    columns = np.ascontiguousarray(letters[:, :longest].T)
    equal = {letter: columns == ord(letter) for letter in set(word)}
    for row, letter in enumerate(word, 1):
        same, above = equal[letter], table[row - 1]
        replaced = np.minimum(above[:-1] + ~same, above[1:] + np.uint8(1))
        if row > 1:
            swapped = same[:-1] & equal[word[row - 2]][1:]
            np.minimum(replaced[1:], table[row - 2, :-2] + np.where(swapped, 1, 99).astype(np.uint8), out=replaced[1:])
        for column in range(1, longest + 1):
            np.minimum(replaced[column - 1], table[row, column - 1] + np.uint8(1), out=table[row, column])
    ends: NDArray[np.uint8] = table[len(word), lengths, np.arange(rows)]
    return ends
