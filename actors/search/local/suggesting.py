"""Titles and names that continue what somebody types."""

from __future__ import annotations

from functools import partial

from promptforge.actors.search.engine import Filters, Hit, Shown
from promptforge.actors.search.local import queries
from promptforge.actors.search.local.answers import Suggesting, Suggestions
from promptforge.actors.search.local.aside import POSTINGS_OF_AUDIENCE, Aside, Turn
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.local.words import Marker, terms
from promptforge.actors.search.messages import Fragment, Highlight, Kind

SUGGESTED_FROM = 60
"""Titles of which the best suggestions are taken."""


async def suggestions(index: LocalIndex, asked: Suggesting, aside: Aside) -> Suggestions:
    """Those that continue what is typed as it stands, then such as are spelled alike; each title once."""
    text, scope, limit = asked
    looked_for = terms(text)
    if looked_for.empty:
        return ()
    searcher = index.words.searcher()
    clauses, turn = queries.permitted(scope, Filters()), Turn()
    found: dict[tuple[Kind, str], Hit] = {}
    for similar in (False, True):
        alike = frozenset[str]()
        if similar:
            known, fuzzy = index.words.vocabulary, queries.fuzzy(looked_for)
            compared = partial(queries.spelled, looked_for, known)
            spelled = await aside.compare(compared, len(known) * len(fuzzy), turn)
            await turn.over()
            alike = queries.taken_for_words(spelled)
        marker = Marker(looked_for, alike, begun=True)
        query = queries.continuing(looked_for, whole=text[-1:].isspace(), similar=similar)
        permitted = queries.within(clauses, query)
        search = partial(searcher.search, permitted, SUGGESTED_FROM, count=False, order_by_field="sales")
        listed = await aside.look(search, index.meanings.rows + POSTINGS_OF_AUDIENCE * len(scope.audiences), turn)
        await turn.over()
        numbers = searcher.fast_field_values("number", [address for _, address in listed.hits])
        documents = [one for number in numbers if (one := index.shelf.find(int(number or 0))) and scope.sees(one)]
        documents.sort(key=lambda document: _typed(document, text))  # stable: the best selling first
        for document in documents:
            key = document.kind, document.title.casefold()
            found.setdefault(key, _suggestion(document, marker))
            await turn.over()
        if len(found) >= limit:
            break
    return tuple(found.values())[:limit]


def _typed(document: Shown, text: str) -> bool:
    """False, which is first, where the title begins so."""
    return not document.title.casefold().startswith(text.strip().casefold())


def _suggestion(document: Shown, marker: Marker) -> Hit:
    shown = document.title
    return Hit(document, (Highlight("title", marker.marked(shown) or (Fragment(shown, hit=False),)),))
