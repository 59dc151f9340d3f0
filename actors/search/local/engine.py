"""Searches an index in this process. What is found, counted and suggested comes from one moment of one index.

Searches run in worker threads, as many at once as there are processors: the index gives up the interpreter while it
looks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import tantivy
from anyio import to_thread
from tantivy import DocAddress, Searcher

from promptforge.actors.search.engine import MOST_HITS, Filters, Found, Hit, Place, Request, Scope
from promptforge.actors.search.local import queries, ranking
from promptforge.actors.search.local.fulltext import FACETS, MOST_VALUES, FullText, facet_field, read_back
from promptforge.actors.search.local.meanings import NEAREST, Meanings
from promptforge.actors.search.local.words import Terms, marked, terms
from promptforge.actors.search.messages import (
    Facet,
    FacetCount,
    Fragment,
    Highlight,
    Kind,
    Match,
    Mode,
    Order,
    SearchDocument,
)
from promptforge.core.errors import Unavailable

ENOUGH = 3
"""Hits with which no wider way is gone."""
BESIDE_WORDS = 0.35
"""How near a text must be to be a hit beside those that have all the words."""
SUGGESTED_FROM = 60
"""Titles of which the best suggestions are taken."""
_SLACK = 50
"""Hits looked at beyond a page: so many may have gone from before it since the page before."""
_SORTS: dict[Order, tuple[str, tantivy.Order]] = {
    Order.NEW: ("published", tantivy.Order.Desc),
    Order.PRICE: ("price", tantivy.Order.Asc),
    Order.TOP_RATED: ("rated", tantivy.Order.Desc),
    Order.BEST_SELLING: ("sales", tantivy.Order.Desc),
    Order.TRENDING: ("trending", tantivy.Order.Desc),
}


class IndexNotReady(Unavailable):
    code = "search_warming"
    title = "The search index is being made: try again in a moment"


class LocalIndex:
    """One generation of the index: words and meanings, written together."""

    def __init__(self) -> None:
        self.words = FullText()
        self.meanings = Meanings()
        self._writing = anyio.CapacityLimiter(1)

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        await to_thread.run_sync(self._put, documents, limiter=self._writing)

    def _put(self, documents: Sequence[SearchDocument]) -> None:
        numbers, known = self.meanings.put(documents)
        self.words.put(numbers, documents, known)

    async def remove(self, kind: Kind, ids: Sequence[str]) -> None:
        def remove() -> None:
            self.words.remove(self.meanings.remove(kind, ids))

        await to_thread.run_sync(remove, limiter=self._writing)

    async def commit(self) -> None:
        await to_thread.run_sync(self.words.commit, limiter=self._writing)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Numbers in order as far as they were looked at, how many there are, and the query that counts them."""

    numbers: list[int]
    addresses: dict[int, DocAddress]
    total: int | None
    counting: tantivy.Query
    matched: Match


class LocalEngine:
    """`serving` is the index that answers; None: there is none yet."""

    def __init__(self) -> None:
        self.serving: LocalIndex | None = None
        self._reading: anyio.CapacityLimiter | None = None

    async def find(self, request: Request) -> Found:
        index = self._index()
        return await to_thread.run_sync(lambda: _Search(index, request).run(), limiter=self._limiter())

    async def suggest(self, text: str, scope: Scope, limit: int) -> Sequence[Hit]:
        index = self._index()
        return await to_thread.run_sync(lambda: _suggestions(index, text, scope, limit), limiter=self._limiter())

    def _index(self) -> LocalIndex:
        """Raises `IndexNotReady`."""
        if self.serving is None:
            raise IndexNotReady
        return self.serving

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._reading is None:  # made in the event loop that uses it
            self._reading = anyio.CapacityLimiter(max(2, os.cpu_count() or 2))
        return self._reading


class _Search:
    """One search, in one thread, on one moment of the index."""

    def __init__(self, index: LocalIndex, request: Request) -> None:
        self._meanings = index.meanings
        self._searcher: Searcher = index.words.searcher()
        self._request = request
        self._terms = terms(request.text)
        self._clauses = queries.permitted(request.scope, request.filters)
        place = 0 if request.after is None else request.after.number
        self._depth = min(place + request.limit + _SLACK, MOST_HITS + _SLACK)

    def run(self) -> Found:
        ranked = self._ranked()
        facets, counted = self._count(ranked.counting)
        total = counted if ranked.total is None else ranked.total
        after, limit = self._request.after, self._request.limit
        seen = None if after is None else self._meanings.number_of(after.id)
        begin = ranking.begin(ranked.numbers, seen, 0 if after is None else after.number)
        shown = ranked.numbers[begin : begin + limit]
        last = None
        if limit and len(ranked.numbers) > begin + limit:
            last = Place(self._meanings.key(shown[-1]), begin + limit)
        similar = ranked.matched is not Match.ALL_WORDS
        hits = tuple(self._hit(ranked.addresses[number], similar=similar) for number in shown)
        return Found(hits, last, total, facets, ranked.matched)

    # The order

    def _ranked(self) -> _Ranked:
        request = self._request
        if request.order is not Order.RELEVANCE:
            return self._sorted(*_SORTS[request.order])
        if self._terms.empty:
            return self._sorted("changed", tantivy.Order.Desc)
        if request.mode is Mode.TEXT:
            return self._by_words()
        near = self._meanings.nearest(request.text, request.scope, request.filters)
        if request.mode is Mode.SEMANTIC:
            return self._of_numbers([number for number, _ in near])
        said = self._by_words()
        all_words = said.matched is Match.ALL_WORDS
        least = BESIDE_WORDS if all_words else 0.0
        meant = self._of_numbers([number for number, likeness in near if likeness >= least])
        numbers = ranking.fused(said.numbers, meant.numbers, all_words=all_words)
        counting = queries.either(said.counting, meant.counting) or said.counting
        return _Ranked(numbers, {**said.addresses, **meant.addresses}, None, counting, said.matched)

    def _sorted(self, field: str, order: tantivy.Order) -> _Ranked:
        query, matched, total = self._narrowest()
        if not self._request.limit:
            return self._listed((), query, matched, total)
        found = self._searcher.search(query, self._depth, count=False, order_by_field=field, order=order)
        return self._listed(found.hits, query, matched, total)

    def _by_words(self) -> _Ranked:
        query, matched, total = self._narrowest()
        found = self._searcher.search(query, self._depth, count=False)
        return self._listed(found.hits, query, matched, total)

    def _narrowest(self) -> tuple[tantivy.Query, Match, int]:
        """The narrowest way that finds enough; where none does, the narrowest of those that find most."""
        best = queries.within(self._clauses), Match.EVERYTHING, -1
        if self._terms.empty:
            return best[0], best[1], self._how_many(best[0])
        for way in queries.ways(self._terms):
            query = queries.within(self._clauses, queries.by_words(self._terms, way))
            total = self._how_many(query)
            if total > best[2]:
                best = query, way, total
            if total >= ENOUGH:
                break
        return best

    def _how_many(self, query: tantivy.Query) -> int:
        total: int = self._searcher.search(query, 1).count  # type: ignore[attr-defined]  # its types leave it out
        return total

    def _of_numbers(self, near: list[int]) -> _Ranked:
        query = queries.within(self._clauses, queries.by_numbers(near)) if near else tantivy.Query.empty_query()
        listed = self._listed(self._searcher.search(query, NEAREST, count=False).hits, query, Match.EVERYTHING, None)
        numbers = [number for number in near if number in listed.addresses]
        return _Ranked(numbers, listed.addresses, len(numbers), query, Match.EVERYTHING)

    def _listed(
        self, hits: Sequence[tuple[object, DocAddress]], query: tantivy.Query, matched: Match, total: int | None
    ) -> _Ranked:
        addresses = [address for _, address in hits]
        numbers = [int(number or 0) for number in self._searcher.fast_field_values("number", addresses)]
        return _Ranked(numbers, dict(zip(numbers, addresses, strict=True)), total, query, matched)

    # What is shown

    def _count(self, query: tantivy.Query) -> tuple[tuple[Facet, ...], int]:
        """Facets, and how many documents there are: each has one kind."""
        wanted = {facet: {"terms": {"field": facet_field(facet), "size": MOST_VALUES}} for facet in FACETS}
        answer = self._searcher.aggregate(query, wanted)
        facets = []
        for facet in FACETS:
            values = [FacetCount(str(row["key"]), int(row["doc_count"])) for row in answer[facet]["buckets"]]
            if values:
                facets.append(Facet(facet, tuple(values)))
        return tuple(facets), sum(value.count for value in facets[0].values) if facets else 0

    def _hit(self, address: DocAddress, *, similar: bool) -> Hit:
        document = read_back(self._searcher, address)
        fields = (("title", document.title), ("summary", document.summary), ("body", document.body))
        found = ((field, marked(text, self._terms, similar=similar)) for field, text in fields if text)
        return Hit(document, tuple(Highlight(field, pieces) for field, pieces in found if pieces))


def _suggestions(index: LocalIndex, text: str, scope: Scope, limit: int) -> list[Hit]:
    """Those that continue what is typed as it stands, then such as are spelled alike; each title once."""
    looked_for = terms(text)
    if looked_for.empty:
        return []
    searcher = index.words.searcher()
    clauses = queries.permitted(scope, Filters())
    found: dict[tuple[Kind, str], Hit] = {}
    for similar in (False, True):
        query = queries.continuing(looked_for, whole=text[-1:].isspace(), similar=similar)
        permitted = queries.within(clauses, query)
        listed = searcher.search(permitted, SUGGESTED_FROM, count=False, order_by_field="sales")
        documents = [read_back(searcher, address) for _, address in listed.hits]
        documents.sort(key=lambda document: _typed(document, text))  # stable: the best selling first
        for document in documents:
            key = document.kind, document.title.casefold()
            found.setdefault(key, _suggestion(document, looked_for, similar=similar))
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


def _typed(document: SearchDocument, text: str) -> bool:
    """False, which is first, where the title begins so."""
    return not document.title.casefold().startswith(text.strip().casefold())


def _suggestion(document: SearchDocument, looked_for: Terms, *, similar: bool) -> Hit:
    shown = document.title
    pieces = marked(shown, looked_for, similar=similar, begun=True) or (Fragment(shown, hit=False),)
    return Hit(document, (Highlight("title", pieces),))
