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
from tantivy import DocAddress, Searcher, SearchResult

from promptforge.actors.search.engine import MOST_HITS, Filters, Found, Hit, Place, Request, Scope
from promptforge.actors.search.local import queries, ranking
from promptforge.actors.search.local.answers import MAX_CHARACTERS, Answers, Suggesting, Suggestions
from promptforge.actors.search.local.fulltext import FACETS, MOST_VALUES, FullText, facet_field, read_back
from promptforge.actors.search.local.meanings import NEAREST, Meanings
from promptforge.actors.search.local.words import Marker, terms
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
MARKED_CHARACTERS = 1000
"""Of a body."""
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
        self.answers: Answers[Request, Found] = Answers()
        self.suggestions: Answers[Suggesting, Suggestions] = Answers(max_characters=MAX_CHARACTERS // 3)
        self.moment = 0
        """Counts the commits."""
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
        def commit() -> None:
            self.words.commit()
            self.moment += 1

        await to_thread.run_sync(commit, limiter=self._writing)


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
        if (known := index.answers.find(index.moment, request)) is not None:
            return known
        begun = index.moment
        found = await to_thread.run_sync(lambda: _Search(index, request).run(), limiter=self._limiter())
        index.answers.keep(begun, index.moment, request, found)
        return found

    async def suggest(self, text: str, scope: Scope, limit: int) -> Sequence[Hit]:
        index = self._index()
        asked = (text, scope, limit)
        if (known := index.suggestions.find(index.moment, asked)) is not None:
            return known
        begun = index.moment
        found = await to_thread.run_sync(lambda: _suggestions(index, text, scope, limit), limiter=self._limiter())
        index.suggestions.keep(begun, index.moment, asked, found)
        return found

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
        facets = self._facets(ranked.counting) if self._request.facets else ()
        total = self._total(ranked.counting, facets) if ranked.total is None else ranked.total
        after, limit = self._request.after, self._request.limit
        seen = None if after is None else self._meanings.number_of(after.id)
        begin = ranking.begin(ranked.numbers, seen, 0 if after is None else after.number)
        shown = ranked.numbers[begin : begin + limit]
        last = None
        if limit and len(ranked.numbers) > begin + limit:
            last = Place(self._meanings.key(shown[-1]), begin + limit)
        marker = Marker(self._terms, similar=ranked.matched in {Match.SIMILAR_WORDS, Match.SOME_WORDS})
        hits = tuple(self._hit(ranked.addresses[number], marker) for number in shown)
        return Found(hits, last, total, facets, ranked.matched)

    # The order

    def _ranked(self) -> _Ranked:
        request = self._request
        if request.order is not Order.RELEVANCE:
            return self._by_words(*_SORTS[request.order])
        if self._terms.empty:
            return self._by_words("changed")
        if request.mode is Mode.TEXT:
            return self._by_words()
        near = self._meanings.nearest(request.text, request.scope, request.filters)
        if request.mode is Mode.SEMANTIC:
            return self._of_numbers([number for number, _ in near])
        said = self._by_words()
        all_words = said.matched is Match.ALL_WORDS
        least = BESIDE_WORDS if all_words else 0.0
        meant = self._of_numbers([number for number, likeness in near if likeness >= least])
        if not meant.numbers:
            return said
        numbers = ranking.fused(said.numbers, meant.numbers, all_words=all_words)
        counting = queries.either(said.counting, meant.counting)
        return _Ranked(numbers, {**said.addresses, **meant.addresses}, None, counting, said.matched)

    def _by_words(self, field: str | None = None, order: tantivy.Order = tantivy.Order.Desc) -> _Ranked:
        """The narrowest way that finds enough; where none does, the narrowest of those that find most.

        By how well they fit, or by a field.
        """
        if self._terms.empty:
            return self._listed(queries.within(self._clauses), Match.EVERYTHING, field, order)
        best: _Ranked | None = None
        for way in queries.ways(self._terms):
            query = queries.within(self._clauses, queries.by_words(self._terms, way))
            found = self._listed(query, way, field, order)
            if best is None or (found.total or 0) > (best.total or 0):
                best = found
            if (best.total or 0) >= (ENOUGH if way is Match.ALL_WORDS else 1):
                break
        if best is None:
            raise AssertionError("there is a way for whatever has words")
        return best

    def _total(self, query: tantivy.Query, facets: tuple[Facet, ...]) -> int:
        """Each document has one kind, so where they are counted by kind they are counted."""
        kinds = next((facet for facet in facets if facet.field == FACETS[0]), None)
        return self._how_many(query) if kinds is None else sum(value.count for value in kinds.values)

    def _how_many(self, query: tantivy.Query) -> int:
        return _count(self._searcher.search(query, 1))

    def _of_numbers(self, near: list[int]) -> _Ranked:
        query = queries.within(self._clauses, queries.by_numbers(near)) if near else tantivy.Query.empty_query()
        addresses = self._addresses(self._searcher.search(query, NEAREST, count=False))
        numbers = [number for number in near if number in addresses]
        return _Ranked(numbers, addresses, len(numbers), query, Match.EVERYTHING)

    def _listed(self, query: tantivy.Query, matched: Match, field: str | None, order: tantivy.Order) -> _Ranked:
        if not self._request.limit:
            return _Ranked([], {}, self._how_many(query), query, matched)
        found = self._searcher.search(query, self._depth, order_by_field=field, order=order)
        addresses = self._addresses(found)
        return _Ranked(list(addresses), addresses, _count(found), query, matched)

    def _addresses(self, found: SearchResult) -> dict[int, DocAddress]:
        """By the numbers of documents, in the order of the hits."""
        addresses = [address for _, address in found.hits]
        numbers = self._searcher.fast_field_values("number", addresses)
        return {int(number or 0): address for number, address in zip(numbers, addresses, strict=True)}

    # What is shown

    def _facets(self, query: tantivy.Query) -> tuple[Facet, ...]:
        wanted = {facet: {"terms": {"field": facet_field(facet), "size": MOST_VALUES}} for facet in FACETS}
        answer = self._searcher.aggregate(query, wanted)
        facets = []
        for facet in FACETS:
            values = [FacetCount(str(row["key"]), int(row["doc_count"])) for row in answer[facet]["buckets"]]
            if values:
                facets.append(Facet(facet, tuple(values)))
        return tuple(facets)

    def _hit(self, address: DocAddress, marker: Marker) -> Hit:
        document, body = read_back(self._searcher, address)
        highlights = []
        for field, text in (("title", document.title), ("summary", document.summary)):
            if pieces := marker.marked(text):
                highlights.append(Highlight(field, pieces))
        if not highlights and (pieces := marker.marked(body[:MARKED_CHARACTERS])):
            highlights.append(Highlight("body", pieces))
        return Hit(document, tuple(highlights))


def _count(found: SearchResult) -> int:
    count: int = found.count  # type: ignore[attr-defined]  # its types leave it out
    return count


def _suggestions(index: LocalIndex, text: str, scope: Scope, limit: int) -> Suggestions:
    """Those that continue what is typed as it stands, then such as are spelled alike; each title once."""
    looked_for = terms(text)
    if looked_for.empty:
        return ()
    searcher = index.words.searcher()
    clauses = queries.permitted(scope, Filters())
    found: dict[tuple[Kind, str], Hit] = {}
    for similar in (False, True):
        marker = Marker(looked_for, similar=similar, begun=True)
        query = queries.continuing(looked_for, whole=text[-1:].isspace(), similar=similar)
        permitted = queries.within(clauses, query)
        listed = searcher.search(permitted, SUGGESTED_FROM, count=False, order_by_field="sales")
        documents = [read_back(searcher, address)[0] for _, address in listed.hits]
        documents.sort(key=lambda document: _typed(document, text))  # stable: the best selling first
        for document in documents:
            key = document.kind, document.title.casefold()
            found.setdefault(key, _suggestion(document, marker))
        if len(found) >= limit:
            break
    return tuple(found.values())[:limit]


def _typed(document: SearchDocument, text: str) -> bool:
    """False, which is first, where the title begins so."""
    return not document.title.casefold().startswith(text.strip().casefold())


def _suggestion(document: SearchDocument, marker: Marker) -> Hit:
    shown = document.title
    return Hit(document, (Highlight("title", marker.marked(shown) or (Fragment(shown, hit=False),)),))
