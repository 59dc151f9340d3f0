"""From what is looked for to queries of the index: built from terms, never parsed, and each of them within its scope.

The scope (audiences and kinds) and the filters are clauses that every query must meet, so that what is counted or
suggested is so among what may be found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil, comb

from tantivy import FieldType, Occur, Query, Searcher

from promptforge.actors.search.engine import Filters, Scope
from promptforge.actors.search.local.facets import YES
from promptforge.actors.search.local.fulltext import OPEN, SCHEMA
from promptforge.actors.search.local.vocabulary import Alike, Vocabulary
from promptforge.actors.search.local.words import Terms, fuzzy_distance
from promptforge.actors.search.messages import Kind, Match

BOOSTS = (("title", 4.0), ("names", 3.0), ("tags", 3.0), ("summary", 1.5))
"""How much more a word counts there than in the body."""
MOST_FUZZY = 6
"""Words of a query that may be spelled differently: looking for those costs most."""
_ALIKE = 0.4
"""What a word that is spelled alike counts of the word itself."""
_MOST_OF_THEM = 0.6
_MOST_WAYS = 6
"""To have most of them: three of four words are four ways."""
Clause = tuple[Occur, Query]
Spelled = Mapping[str, Alike]
"""Words that may be spelled differently, and what is taken for them."""


def permitted(scope: Scope, filters: Filters) -> list[Clause]:
    """What each hit must meet; it counts nothing towards the order."""
    clauses = _within_scope(scope)
    for field, value in (("category", filters.category), ("licence", filters.licence), ("tag", filters.tag)):
        if value is not None:
            clauses.append(_term(field, value))
    if filters.scorecard:
        clauses.append(_term("scorecard", YES))
    if filters.min_price is not None or filters.max_price is not None:
        clauses.append(_range("price", filters.min_price, filters.max_price))
    if filters.min_stars is not None:
        clauses.append(_range("stars", filters.min_stars, None))
    return [(Occur.Must, Query.const_score_query(clause, 0.0)) for clause in clauses]


def _within_scope(scope: Scope) -> list[Query]:
    """One clause where that is cheap: two of them are looked up in each segment, and compared document by document."""
    if len(scope.audiences) == 1 and len(scope.kinds) < len(Kind):
        (audience,) = scope.audiences
        wanted = {"open"} if scope.kinds == OPEN else {kind.value for kind in scope.kinds}
        return [_any_of("seen", [f"{audience}:{one}" for one in sorted(wanted)])]
    clauses = [_any_of("audience", sorted(scope.audiences))]
    if len(scope.kinds) < len(Kind):
        clauses.append(_any_of("kind", sorted(kind.value for kind in scope.kinds)))
    return clauses


def within(clauses: Sequence[Clause], query: Query | None = None) -> Query:
    """Without a query: all that is permitted."""
    return Query.boolean_query([*clauses, *([] if query is None else [(Occur.Must, query)])])


def ways(terms: Terms) -> list[Match]:
    """From narrow to wide."""
    if terms.empty:
        return []
    if len(terms.words) + len(terms.grams) == 1:
        return [Match.ALL_WORDS, Match.SIMILAR_WORDS]
    return [Match.ALL_WORDS, Match.SIMILAR_WORDS, Match.SOME_WORDS]


def having(terms: Terms, match: Match, spelled: Spelled) -> Query:
    """Documents with the words, in no order."""
    grams = [_term("grams", gram) for gram in terms.grams]
    if match is Match.ALL_WORDS:
        return _all_of([*(_term("all", word) for word in terms.words), *grams])
    words = [_any_alike(word, spelled.get(word)) for word in terms.words]
    return _some_of([*words, *grams], match)


def by_words(terms: Terms, match: Match, spelled: Spelled) -> Query:
    """The same, those that have them in their titles first."""
    boosts = [
        (Occur.Should, Query.boost_query(_term(field, word), boost)) for word in terms.words for field, boost in BOOSTS
    ]
    grams = [_term("grams", gram) for gram in terms.grams]
    if match is Match.ALL_WORDS:
        needed = [*(_term("all", word) for word in terms.words), *grams]
        return Query.boolean_query([*((Occur.Must, query) for query in needed), *boosts])
    found = Query.const_score_query(having(terms, match, spelled), 0.0)
    words = [way for word in terms.words for way in _alike(word, spelled.get(word))]
    return Query.boolean_query([(Occur.Must, found), *((Occur.Should, one) for one in [*words, *grams]), *boosts])


def postings(searcher: Searcher, terms: Terms, match: Match, spelled: Spelled) -> int:
    """In how many places the words stand, or what is taken for them: what looking for them costs goes by that.

    Filters are not counted, nor titles and the like: they are looked up where the words were found.
    """
    words = {*terms.words} if match is Match.ALL_WORDS else {*terms.words, *taken_for_words(spelled)}
    found: int = sum(searcher.doc_freq("all", word) for word in words)
    return found + sum(searcher.doc_freq("grams", gram) for gram in terms.grams)


def fuzzy(terms: Terms) -> list[tuple[str, int]]:
    """The words that may be spelled differently, and how many letters of each."""
    distances = [fuzzy_distance(word) for word in terms.plain[:MOST_FUZZY]]
    return [(word, distance) for word, distance in zip(terms.words, distances, strict=False) if distance]


def spelled(terms: Terms, vocabulary: Vocabulary) -> Spelled:
    return {word: vocabulary.alike(word, distance) for word, distance in fuzzy(terms)}


def taken_for_words(spelled: Spelled) -> frozenset[str]:
    """What a wider way takes for the words."""
    return frozenset(one for known in spelled.values() for one in (*known.anywhere, *known.in_titles))


def count_terms(terms: Terms, spelled: Spelled) -> int:
    """Of the widest query for these."""
    alike = sum(len(known.anywhere) + len(known.in_titles) for known in spelled.values())
    return len(terms.words) + len(terms.grams) + alike


def _all_of(queries: Sequence[Query]) -> Query:
    return Query.boolean_query([(Occur.Must, query) for query in queries])


def _some_of(queries: Sequence[Query], match: Match) -> Query:
    """Looking for each way to have enough of few takes half as long as counting which documents have how many."""
    least = ceil(_MOST_OF_THEM * len(queries)) if match is Match.SIMILAR_WORDS else 1
    if least == len(queries):
        return _all_of(queries)
    if least > 1 and comb(len(queries), least) <= _MOST_WAYS:
        enough = (_all_of(some) for some in combinations(queries, least))
        return Query.boolean_query([(Occur.Should, one) for one in enough])
    return Query.boolean_query([(Occur.Should, query) for query in queries], minimum_number_should_match=least)


def both(one: Query, other: Query) -> Query:
    """What both find."""
    return _all_of((one, other))


def by_numbers(numbers: Sequence[int]) -> Query:
    return Query.const_score_query(_any_of("number", numbers), 0.0)


def continuing(terms: Terms, *, whole: bool, similar: bool) -> Query:
    """Titles and names with the words, the last of which is still being typed where it is not `whole`."""
    needed = [_term("grams", gram) for gram in terms.grams]
    last = len(terms.plain) - 1
    for at, word in enumerate(terms.plain):
        begun = at == last and not whole
        distance = fuzzy_distance(word) if similar else 0
        if begun or distance:
            needed.append(Query.fuzzy_term_query(SCHEMA, "plain", word, distance=distance, prefix=begun))
        else:
            needed.append(_term("plain", word))
    return Query.boolean_query([(Occur.Must, query) for query in needed])


def _alike(word: str, found: Alike | None) -> list[Query]:
    """What a document scores by that has the word, or one that is spelled alike."""
    if found is None:
        return [_term("all", word)]
    near = Query.const_score_query(_any_of("all", found.anywhere), _ALIKE)
    in_title = Query.const_score_query(_any_of("title", found.in_titles), 4 * _ALIKE)
    return [_term("all", word), near, in_title]


def _any_alike(word: str, found: Alike | None) -> Query:
    if found is None:
        return _term("all", word)
    farther = [one for one in found.in_titles if one not in found.anywhere]
    if not farther:
        return _any_of("all", found.anywhere)
    return Query.boolean_query(
        [(Occur.Should, _any_of("all", found.anywhere)), (Occur.Should, _any_of("title", farther))]
    )


def _any_of(field: str, values: Sequence[str] | Sequence[int]) -> Query:
    """One of these: a set of terms would be looked up as a whole before anything else, at ten times the cost."""
    if len(values) == 1:
        return _term(field, values[0])
    return Query.boolean_query([(Occur.Should, _term(field, value)) for value in values])


def _term(field: str, value: str | int) -> Query:
    return Query.term_query(SCHEMA, field, value, "freq")


def _range(field: str, least: int | None, most: int | None) -> Query:
    return Query.range_query(SCHEMA, field, FieldType.Integer, least, most)
