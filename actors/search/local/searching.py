"""One search, on one moment of the index: what fits, in which order, how much there is of what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import tantivy
from tantivy import DocAddress, Searcher

from promptforge.actors.search.engine import MOST_HITS, Found, Hit, Place, Request, Shown
from promptforge.actors.search.local import queries, ranking
from promptforge.actors.search.local.aside import POSTINGS_OF_AUDIENCE, Aside, Turn
from promptforge.actors.search.local.facets import Counts, Values, counted
from promptforge.actors.search.local.fulltext import body_of
from promptforge.actors.search.local.history import Basis
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.local.meanings import LEAST_LIKENESS, Nearest
from promptforge.actors.search.local.words import Marker, terms
from promptforge.actors.search.messages import Highlight, Match, Mode, Order
from promptforge.core.embeddings import embed

ENOUGH = 3
"""Hits with which no wider way is gone."""
BESIDE_WORDS = 0.35
"""How near a text must be to be a hit beside those that have all the words."""
_SLACK = 50
"""Hits looked at beyond a page: so many may have gone from before it since the page before."""
T = TypeVar("T")
_Order = tuple[str | None, tantivy.Order]
"""A field, None for how well words fit, and a direction."""
_BY_FIT: _Order = (None, tantivy.Order.Desc)
_LATEST: _Order = ("changed", tantivy.Order.Desc)
_SORTS: dict[Order, _Order] = {
    Order.NEW: ("published", tantivy.Order.Desc),
    Order.PRICE: ("price", tantivy.Order.Asc),
    Order.TOP_RATED: ("rated", tantivy.Order.Desc),
    Order.BEST_SELLING: ("sales", tantivy.Order.Desc),
    Order.TRENDING: ("trending", tantivy.Order.Desc),
}


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Numbers in order as far as they were looked at. `total` is how many the query finds, and `beside` what there is
    besides; `addresses` are of those that the query found.
    """

    numbers: list[int]
    total: int
    query: tantivy.Query
    matched: Match
    postings: int = 0
    """Places of words that it looks through."""
    addresses: dict[int, DocAddress] = field(default_factory=dict)
    beside: Sequence[int] = ()

    @property
    def whole(self) -> bool:
        """Whether `numbers` are all that there are."""
        return len(self.numbers) == self.total + len(self.beside)


class Searching:
    def __init__(self, index: LocalIndex, request: Request, aside: Aside) -> None:
        self._aside, self._turn = aside, Turn()
        self._meanings, self._shelf = index.meanings, index.shelf
        self._searcher: Searcher = index.words.searcher()
        self._vocabulary = index.words.vocabulary
        self._request = request
        self._terms = terms(request.text)
        self._spelled: queries.Spelled = {}
        self._alike_at: tuple[int, int] | None = None
        self._widest: tantivy.Query | None = None
        self._nearest: Nearest | None = None
        self._least = LEAST_LIKENESS
        self._without_address: list[int] = []
        self._clauses = queries.permitted(request.scope, request.filters)
        place = 0 if request.after is None else request.after.number
        self._depth = min(place + request.limit + _SLACK, MOST_HITS + _SLACK) if request.limit else 0

    async def run(self) -> Found:
        ranked = await self._ranked()
        counts = await self._counted(ranked) if self._request.facets else None
        total = ranked.total + len(ranked.beside) if counts is None else counts.total
        after, limit = self._request.after, self._request.limit
        seen = None if after is None else self._meanings.number_of(after.id)
        begin = ranking.begin(ranked.numbers, seen, 0 if after is None else after.number)
        shown = ranked.numbers[begin : begin + limit]
        self._without_address = [number for number in shown if number not in ranked.addresses]
        last = None
        if limit and len(ranked.numbers) > begin + limit:
            last = Place(self._meanings.key(shown[-1]), begin + limit)
        hits = await self._hits(shown, ranked)
        return Found(hits, last, total, () if counts is None else counts.told(), ranked.matched)

    @property
    def basis(self) -> Basis:
        """Of what it has found, once it has run."""
        scope = self._request.scope
        return Basis(
            scope,
            self._widest,
            terms=queries.count_terms(self._terms, self._spelled) + len(scope.audiences),
            vocabulary=self._alike_at,
            ordered=self._request.order is not Order.RELEVANCE,
            nearest=self._nearest,
            least=self._least,
        )

    async def _look(self, call: Callable[[], T], postings: int) -> T:
        whose = POSTINGS_OF_AUDIENCE * len(self._request.scope.audiences)
        found = await self._aside.look(call, postings + whose, self._turn)
        await self._turn.over()
        return found

    async def _compare(self, call: Callable[[], T], rows: int) -> T:
        found = await self._aside.compare(call, rows, self._turn)
        await self._turn.over()
        return found

    # The order

    async def _ranked(self) -> _Ranked:
        request = self._request
        if request.order is not Order.RELEVANCE:
            return await self._by_words(_SORTS[request.order])
        if self._terms.empty:
            return await self._by_words(_LATEST)
        if request.mode is Mode.TEXT:
            return await self._by_words()
        near = await self._near()
        if request.mode is Mode.SEMANTIC:
            numbers = [number for number, _ in near]
            return _Ranked(numbers, 0, tantivy.Query.empty_query(), Match.EVERYTHING, beside=numbers)
        said = await self._by_words()
        all_words = said.matched is Match.ALL_WORDS
        least = BESIDE_WORDS if all_words else 0.0
        meant = [number for number, likeness in near if likeness >= least]
        self._least = max(least, self._least)
        if not meant:
            return said
        numbers = ranking.fused(said.numbers, meant, all_words=all_words)
        return replace(said, numbers=numbers, beside=await self._beside(said, meant))

    async def _near(self) -> list[tuple[int, float]]:
        """By meaning. Of tags the table knows but who may have one."""
        request = self._request
        nearest = partial(self._meanings.nearest, embed([request.text])[0], request.scope, request.filters)
        self._nearest = await self._compare(nearest, self._meanings.rows)
        self._least, near = self._nearest.least, self._nearest.hits
        tag = self._request.filters.tag
        if tag is None:
            return near
        return [one for one in near if (document := self._shelf.find(one[0])) is not None and tag in document.tags]

    async def _beside(self, said: _Ranked, meant: list[int]) -> list[int]:
        """Those that the words do not find."""
        unknown = [number for number in meant if number not in said.addresses]
        if said.whole or not unknown:
            return unknown
        both = queries.both(said.query, queries.by_numbers(unknown))
        found = await self._addresses(both, len(unknown), said.postings)
        return [number for number in unknown if number not in found]

    async def _by_words(self, order: _Order = _BY_FIT) -> _Ranked:
        """The narrowest way that finds enough; where none does, the narrowest of those that find most.

        By how well they fit, or by a field.
        """
        if self._terms.empty:
            query = queries.within(self._clauses)
            self._widest = query
            if self._only_counts:
                return _Ranked([], 0, query, Match.EVERYTHING)
            return await self._listed(query, _Ranked([], 0, query, Match.EVERYTHING, self._meanings.rows), order)
        best: _Ranked | None = None
        for way in queries.ways(self._terms):
            if way is Match.SIMILAR_WORDS:
                await self._find_spelled()
            counting = queries.within(self._clauses, queries.having(self._terms, way, self._spelled))
            self._widest = counting  # a wider way finds what the narrower ones do
            query = counting
            if order is _BY_FIT and self._depth:
                query = queries.within(self._clauses, queries.by_words(self._terms, way, self._spelled))
            postings = queries.postings(self._searcher, self._terms, way, self._spelled)
            found = await self._listed(query, _Ranked([], 0, counting, way, postings), order)
            if best is None or found.total > best.total:
                best = found
            if best.total >= (ENOUGH if way is Match.ALL_WORDS else 1):
                break
        if best is None:
            raise AssertionError("there is a way for whatever has words")
        return best

    async def _find_spelled(self) -> None:
        """Once for a search, whatever words are added meanwhile."""
        self._alike_at = self._vocabulary.moment
        spelled = partial(queries.spelled, self._terms, self._vocabulary)
        self._spelled = await self._compare(spelled, len(self._vocabulary) * len(queries.fuzzy(self._terms)))

    async def _listed(self, query: tantivy.Query, way: _Ranked, order: _Order) -> _Ranked:
        by, direction = order
        search = partial(self._searcher.search, query, max(self._depth, 1), order_by_field=by, order=direction)
        found = await self._look(search, way.postings)
        total: int = found.count  # type: ignore[attr-defined]  # its types leave it out
        addresses = self._numbered([address for _, address in found.hits]) if self._depth else {}
        return replace(way, numbers=list(addresses), total=total, addresses=addresses)

    async def _addresses(self, query: tantivy.Query, most: int, postings: int = 0) -> dict[int, DocAddress]:
        found = await self._look(partial(self._searcher.search, query, most, count=False), postings)
        return self._numbered([address for _, address in found.hits])

    def _numbered(self, addresses: list[DocAddress]) -> dict[int, DocAddress]:
        """By the numbers of documents, in the order of the hits."""
        numbers = self._searcher.fast_field_values("number", addresses)
        return {int(number or 0): address for number, address in zip(numbers, addresses, strict=True)}

    # What is shown

    @property
    def _only_counts(self) -> bool:
        """Whether nothing is looked up in the index."""
        return not self._depth and self._all_counted

    @property
    def _all_counted(self) -> bool:
        """Whether all that is permitted is found, and counted without the index. Tags are known for certain there only.

        It is a moment ahead of the index then.
        """
        return self._terms.empty and self._request.facets and self._request.filters.tag is None

    async def _counted(self, ranked: _Ranked) -> Counts:
        """All that there are are known by number where they are few."""
        counts = Counts()
        if self._all_counted:
            counts.add(await self._compare(self._count_all, self._meanings.rows))
        elif ranked.whole:
            counts.add(self._shelf.count(ranked.numbers))
        else:
            counts.add_packed(await self._look(partial(counted, self._searcher, ranked.query), ranked.postings))
            counts.add(self._shelf.count(ranked.beside))
        return counts

    def _count_all(self) -> list[tuple[Values, int]]:
        return self._shelf.count_all(self._meanings.permitted(self._request.scope, self._request.filters))

    async def _hits(self, numbers: Sequence[int], ranked: _Ranked) -> tuple[Hit, ...]:
        """What is there of them. The shelf is a moment ahead of the words: it may be another's to see by now."""
        similar = ranked.matched in {Match.SIMILAR_WORDS, Match.SOME_WORDS}
        marker = Marker(self._terms, queries.taken_for_words(self._spelled) if similar else frozenset())
        hits: list[Hit] = []
        for number in numbers:
            document = self._shelf.find(number)
            if document is not None and self._request.scope.sees(document):
                highlights = await self._highlights(document, number, ranked, marker) if self._request.marked else ()
                hits.append(Hit(document, highlights))
                await self._turn.over()
        return tuple(hits)

    async def _highlights(self, document: Shown, number: int, ranked: _Ranked, marker: Marker) -> tuple[Highlight, ...]:
        found = []
        for name, text in (("title", document.title), ("summary", document.summary)):
            if pieces := marker.marked(text):
                found.append(Highlight(name, pieces))
        if not found and not self._terms.empty and (pieces := marker.marked(await self._body(number, ranked))):
            found.append(Highlight("body", pieces))
        return tuple(found)

    async def _body(self, number: int, ranked: _Ranked) -> str:
        if self._without_address:  # of what only meaning found: all of the page at once, where one is wanted
            missing, self._without_address = self._without_address, []
            ranked.addresses.update(await self._addresses(queries.by_numbers(missing), len(missing)))
        address = ranked.addresses.get(number)
        return "" if address is None else body_of(self._searcher, address)
