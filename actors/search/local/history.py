"""The last commits of an index, and whether an answer from before them would be the same after them.

An answer rests on which documents its query finds, and on which mean nearly what it means (`Basis`). A commit changes
some documents; if none of these was found by the query before, or is found now, and none of them could be among those
that mean nearly the same, then the answer is what it was. That is looked at when it is asked for again, and takes a
tenth of what a search takes.

What a commit changes for all answers is left out: how much a word tells, since it is in a few more or fewer texts, and
which of two equal hits stands first.
"""

from __future__ import annotations

from dataclasses import dataclass

import tantivy
from tantivy import Searcher

from promptforge.actors.search.engine import Scope
from promptforge.actors.search.local import queries
from promptforge.actors.search.local.fulltext import FullText
from promptforge.actors.search.local.meanings import Meanings, Nearest

MOST_CHANGED = 64
"""Documents, since an answer was found: of more it is not looked at whether they concern it."""
MOST_COMMITS = 32
"""Each keeps what the index was before it: its pieces are let go only once none needs them."""
MOST_TERMS = 300
"""Of a query that is looked at: one of more is looked for anew."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What an answer to somebody of `scope` rests on.

    `query` finds all that it was chosen from by words, and more, and has so many `terms`; `vocabulary` is the moment of
    it, where words that are spelled alike took part. Of the `nearest` only those count that are as near as `least`.
    """

    scope: Scope
    query: tantivy.Query | None = None
    terms: int = 0
    vocabulary: tuple[int, int] | None = None
    ordered: bool = False
    """By a field that changes without anything else of a document."""
    nearest: Nearest | None = None
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Changed:
    """Numbers of documents. `moved` are those that are what they were, but for what lists are ordered by."""

    numbers: frozenset[int]
    moved: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Step:
    before: Searcher
    changed: Changed


class History:
    """One thread adds; the event loop looks."""

    def __init__(self, words: FullText, meanings: Meanings) -> None:
        self._words = words
        self._meanings = meanings
        self._steps: dict[int, _Step] = {}

    def add(self, moment: int, before: Searcher, changed: Changed) -> None:
        """This moment has ended, and the index was `before` in it."""
        self._steps[moment] = _Step(before, changed)
        self._steps.pop(moment - MOST_COMMITS, None)

    def holds(self, basis: Basis, since: int, now: int) -> bool:
        """Whether an answer of the moment `since` is one of the moment `now` as well."""
        first = self._steps.get(since)
        numbers = self._changed(since, now, moved=basis.ordered)
        if first is None or numbers is None or basis.terms > MOST_TERMS:
            return False
        if not numbers:
            return True
        if basis.vocabulary not in {None, self._words.vocabulary.moment}:
            return False
        if basis.query is not None:
            chosen = queries.both(basis.query, queries.by_numbers(numbers))
            if _finds(first.before, chosen) or _finds(self._words.searcher(), chosen):
                return False
        nearest = basis.nearest
        return nearest is None or not self._meanings.concern(nearest, numbers, basis.scope, basis.least)

    def _changed(self, since: int, now: int, *, moved: bool) -> list[int] | None:
        """None: too many, or it is not known."""
        numbers: set[int] = set()
        for moment in range(since, now):
            step = self._steps.get(moment)
            if step is None:
                return None
            numbers |= step.changed.numbers
            if moved:
                numbers |= step.changed.moved
            if len(numbers) > MOST_CHANGED:
                return None
        return sorted(numbers)


def _finds(searcher: Searcher, query: tantivy.Query) -> bool:
    return bool(searcher.search(query, 1, count=False).hits)
