"""From what is looked for to queries of the index: built from terms, never parsed, and each of them within its scope.

The scope (audiences and kinds) and the filters are clauses that every query must meet, so that what is counted or
suggested is so among what may be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tantivy import FieldType, Occur, Query

from promptforge.actors.search.engine import Filters, Scope
from promptforge.actors.search.local.fulltext import SCHEMA, YES
from promptforge.actors.search.local.words import Terms, fuzzy_distance
from promptforge.actors.search.messages import Kind, Match

BOOSTS = (("title", 4.0), ("names", 3.0), ("tags", 3.0), ("summary", 1.5))
"""How much more a word counts there than in the body."""
MOST_FUZZY = 6
"""Words of a query that may be spelled differently: looking for those costs most."""
_ALIKE = 0.4
"""What a word that is spelled alike counts of the word itself."""
_MOST_OF_THEM = 0.6
Clause = tuple[Occur, Query]


def permitted(scope: Scope, filters: Filters) -> list[Clause]:
    """What each hit must meet; it counts nothing towards the order."""
    clauses = [_any_of("audience", sorted(scope.audiences))]
    if len(scope.kinds) < len(Kind):
        clauses.append(_any_of("kind", sorted(kind.value for kind in scope.kinds)))
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


def by_words(terms: Terms, match: Match) -> Query:
    """Documents with the words, those that have them in their titles first."""
    boosts = [
        (Occur.Should, Query.boost_query(_term(field, word), boost)) for word in terms.words for field, boost in BOOSTS
    ]
    if match is Match.ALL_WORDS:
        needed = [_term("all", word) for word in terms.words] + [_term("grams", gram) for gram in terms.grams]
        return Query.boolean_query([*((Occur.Must, query) for query in needed), *boosts])
    distances = [fuzzy_distance(word) for word in terms.plain[:MOST_FUZZY]] + [0] * len(terms.words)
    alike = [_alike(word, distance) for word, distance in zip(terms.words, distances, strict=False)]
    needed = [*alike, *(_term("grams", gram) for gram in terms.grams)]
    least = ceil(_MOST_OF_THEM * len(needed)) if match is Match.SIMILAR_WORDS else 1
    some = Query.boolean_query([(Occur.Should, query) for query in needed], minimum_number_should_match=least)
    return Query.boolean_query([(Occur.Must, some), *boosts])


def by_numbers(numbers: Sequence[int]) -> Query:
    return Query.const_score_query(_any_of("number", numbers), 0.0)


def either(one: Query, other: Query) -> Query:
    return Query.boolean_query([(Occur.Should, one), (Occur.Should, other)])


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


def _alike(word: str, distance: int) -> Query:
    if not distance:
        return _term("all", word)
    near = Query.fuzzy_term_query(SCHEMA, "all", word, distance=1)
    in_title = Query.fuzzy_term_query(SCHEMA, "title", word, distance=distance)
    return Query.boolean_query(
        [
            (Occur.Should, _term("all", word)),
            (Occur.Should, Query.boost_query(near, _ALIKE)),
            (Occur.Should, Query.boost_query(in_title, 4 * _ALIKE)),
        ]
    )


def _any_of(field: str, values: Sequence[str] | Sequence[int]) -> Query:
    """One of these: a set of terms would be looked up as a whole before anything else, at ten times the cost."""
    return Query.boolean_query([(Occur.Should, _term(field, value)) for value in values])


def _term(field: str, value: str | int) -> Query:
    return Query.term_query(SCHEMA, field, value, "freq")


def _range(field: str, least: int | None, most: int | None) -> Query:
    return Query.range_query(SCHEMA, field, FieldType.Integer, least, most)
