"""Searches an index in this process. What is found, counted and suggested comes from one moment of one index."""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.search.engine import Found, Hit, Request, Scope
from promptforge.actors.search.local.aside import Aside
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.local.searching import Searching
from promptforge.actors.search.local.suggesting import suggestions
from promptforge.core.errors import Unavailable


class IndexNotReady(Unavailable):
    code = "search_warming"
    title = "The search index is being made: try again in a moment"


class LocalEngine:
    """`serving` is the index that answers; None: there is none yet."""

    def __init__(self) -> None:
        self.serving: LocalIndex | None = None
        self.looked = 0
        """How often the index was looked into: what is remembered needs no look."""
        self._aside: Aside | None = None

    async def find(self, request: Request) -> Found:
        index = self._index()
        if (known := index.answers.find(request)) is not None:
            return known
        begun = index.settled
        self.looked += 1
        searching = Searching(index, request, self._beside())
        found = await searching.run()
        index.answers.keep(begun, request, found, searching.basis)
        return found

    async def suggest(self, text: str, scope: Scope, limit: int) -> Sequence[Hit]:
        index = self._index()
        asked = (text, scope, limit)
        if (known := index.suggestions.find(asked)) is not None:
            return known
        begun = index.settled
        self.looked += 1
        found = await suggestions(index, asked, self._beside())
        index.suggestions.keep(begun, asked, found, None)
        return found

    def _index(self) -> LocalIndex:
        """Raises `IndexNotReady`."""
        if self.serving is None:
            raise IndexNotReady
        return self.serving

    def _beside(self) -> Aside:
        if self._aside is None:  # made in the event loop that uses it
            self._aside = Aside()
        return self._aside
