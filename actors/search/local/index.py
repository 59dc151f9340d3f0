"""One generation of the index: words, meanings, and what is shown of documents; written together, by one thread."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio import to_thread

from promptforge.actors.search.engine import Found, Request
from promptforge.actors.search.local.answers import MAX_CHARACTERS, Answers, Suggesting, Suggestions
from promptforge.actors.search.local.fulltext import FullText
from promptforge.actors.search.local.meanings import Meanings
from promptforge.actors.search.local.shelf import Shelf
from promptforge.actors.search.messages import Kind, Search, SearchDocument, SearchPage


class LocalIndex:
    def __init__(self) -> None:
        self.words = FullText()
        self.meanings = Meanings()
        self.shelf = Shelf()
        self.answers: Answers[Request, Found] = Answers()
        self.suggestions: Answers[Suggesting, Suggestions] = Answers(max_characters=MAX_CHARACTERS // 3)
        self.pages: Answers[Search, SearchPage] = Answers(max_characters=MAX_CHARACTERS // 3)
        """What everybody was answered who has not signed in."""
        self.moment = 0
        """Counts the commits."""
        self._writing = anyio.CapacityLimiter(1)

    @property
    def wasteful(self) -> bool:
        """Another one, made anew, would be much smaller."""
        return self.meanings.wasteful or self.words.vocabulary.wasteful

    def made(self) -> None:
        """It has everything that there is."""
        self.words.vocabulary.made()

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        await to_thread.run_sync(self._put, documents, limiter=self._writing)

    def _put(self, documents: Sequence[SearchDocument]) -> None:
        numbers, known = self.meanings.put(documents)
        self.words.put(numbers, documents, known)
        self.shelf.put(numbers, documents)

    async def remove(self, kind: Kind, ids: Sequence[str]) -> None:
        def remove() -> None:
            numbers = self.meanings.remove(kind, ids)
            self.words.remove(numbers)
            self.shelf.remove(numbers)

        await to_thread.run_sync(remove, limiter=self._writing)

    async def commit(self) -> None:
        def commit() -> None:
            self.words.commit()
            self.moment += 1

        await to_thread.run_sync(commit, limiter=self._writing)
