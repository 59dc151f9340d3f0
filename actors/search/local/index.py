"""One generation of the index: words, meanings, and what is shown of documents; written together, by one thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from weakref import ReferenceType

import anyio
from anyio import to_thread

from promptforge.actors.search.engine import Found, Request
from promptforge.actors.search.local.answers import MAX_CHARACTERS, Answers, Suggesting, Suggestions
from promptforge.actors.search.local.fulltext import FullText
from promptforge.actors.search.local.history import MOST_CHANGED, Basis, Changed, History
from promptforge.actors.search.local.meanings import Meanings
from promptforge.actors.search.local.shelf import Shelf
from promptforge.actors.search.messages import (
    FindListings,
    FoundListings,
    Kind,
    Search,
    SearchDocument,
    SearchPage,
)

MadeOf = tuple[Request, "ReferenceType[Found]"]
"""What was asked and found for it, which is not held by that: `answers` counts what it takes."""


class LocalIndex:
    def __init__(self) -> None:
        self.words = FullText()
        self.meanings = Meanings()
        self.shelf = Shelf()
        self._history = History(self.words, self.meanings)
        self.answers: Answers[Request, Found, Basis] = Answers(self, self._history.holds)
        self.suggestions: Answers[Suggesting, Suggestions, None] = Answers(self, most=MAX_CHARACTERS // 6)
        self.pages: Answers[Search, SearchPage, MadeOf] = Answers(self, self._stands, most=MAX_CHARACTERS // 3)
        """What everybody was answered who has not signed in, with what it was made of."""
        self.listings: Answers[FindListings, FoundListings, MadeOf] = Answers(
            self, self._stands, most=MAX_CHARACTERS // 6
        )
        """What the market was answered."""
        self.moment = 0
        """Counts the commits."""
        self._unsettled = False
        self._changed: set[int] = set()
        self._moved: set[int] = set()
        """Since the last commit; of very many not all, for of many it is all the same which they are."""
        self._writing = anyio.CapacityLimiter(1)

    @property
    def settled(self) -> int | None:
        """The moment, where nothing was written in it: what is found meanwhile may be of no moment."""
        return None if self._unsettled else self.moment

    def _stands(self, made_of: MadeOf, _since: int, _now: int) -> bool:
        request, found = made_of
        known = self.answers.find(request)
        return known is not None and known is found()

    @property
    def wasteful(self) -> bool:
        """Another one, made anew, would be much smaller."""
        return self.meanings.wasteful or self.words.vocabulary.wasteful

    def made(self) -> None:
        """It has everything that there is."""
        self.words.vocabulary.made()

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        self._unsettled = True
        await to_thread.run_sync(self._put, documents, limiter=self._writing)

    def _put(self, documents: Sequence[SearchDocument]) -> None:
        numbers, known = self.meanings.put(documents)
        self.words.put(numbers, documents, known)
        same = self.shelf.put(numbers, documents)
        _note(self._moved, same)
        _note(self._changed, {*numbers}.difference(same))

    async def remove(self, kind: Kind, ids: Sequence[str]) -> None:
        self._unsettled = True

        def remove() -> None:
            numbers = self.meanings.remove(kind, ids)
            self.words.remove(numbers)
            self.shelf.remove(numbers)
            _note(self._changed, numbers)

        await to_thread.run_sync(remove, limiter=self._writing)

    async def commit(self) -> None:
        def commit() -> None:
            changed = Changed(frozenset(self._changed), frozenset(self._moved))
            self._history.add(self.moment, self.words.commit(), changed)
            self._changed.clear()
            self._moved.clear()
            self.moment += 1
            self._unsettled = False

        await to_thread.run_sync(commit, limiter=self._writing)


def _note(into: set[int], numbers: Iterable[int]) -> None:
    if len(into) <= MOST_CHANGED:
        into.update(numbers)
