"""What was found already, of one generation of the index: bounded, and forgotten when it would be found otherwise now.

The request is the key, with the audiences that it may see: nobody is answered what another may see. What is suggested
for a text is known in the same way, and so are the page that somebody who has not signed in was answered, and the
listings that the market was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from cachetools import LRUCache

from promptforge.actors.search.engine import Found, Hit, Request, Scope
from promptforge.actors.search.local.history import MOST_COMMITS, Basis
from promptforge.actors.search.messages import FindListings, FoundListings, Search, SearchPage

MAX_CHARACTERS = 48_000_000
"""Of all answers together."""
ANSWER_OVERHEAD = 4_000
HIT_OVERHEAD = 1_500
AUDIENCE_OVERHEAD = 250
TERM_OVERHEAD = 150
ID_OVERHEAD = 100
"""Characters that each counts for besides its texts; audiences are part of what was asked, and terms of its query."""


Suggesting = tuple[str, Scope, int]
"""A text, who it is for, and how many."""
Suggestions = tuple[Hit, ...]
AskedT = TypeVar("AskedT", Request, Suggesting, Search, FindListings)
AnswerT = TypeVar("AnswerT", Found, Suggestions, SearchPage, FoundListings)
BasisT = TypeVar("BasisT")


class Moments(Protocol):
    """Of an index: each ends with a commit. `settled` is None while something is written that is not committed."""

    @property
    def moment(self) -> int: ...

    @property
    def settled(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class _Known(Generic[AnswerT, BasisT]):
    size: int
    moment: int
    answer: AnswerT
    basis: BasisT


class Answers(Generic[AskedT, AnswerT, BasisT]):
    """Of one event loop. `holds` says whether an answer on this basis is the same in the second moment as in the first.
    Without it, none outlives its moment.
    """

    def __init__(
        self,
        moments: Moments,
        holds: Callable[[BasisT, int, int], bool] | None = None,
        *,
        most: int = MAX_CHARACTERS,
    ) -> None:
        self._moments = moments
        self._holds = holds
        self._known: LRUCache[AskedT, _Known[AnswerT, BasisT]] = LRUCache(most, getsizeof=lambda known: known.size)
        self._moment = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, asked: AskedT) -> AnswerT | None:
        moment = self._moved_on()
        known = self._known.get(asked)
        if known is None:
            return None
        if known.moment != moment:
            if self._holds is None or not self._holds(known.basis, known.moment, moment):
                del self._known[asked]
                return None
            self._known[asked] = replace(known, moment=moment)
        return known.answer

    def keep(self, begun: int | None, asked: AskedT, answer: AnswerT, basis: BasisT) -> None:
        """`begun`: when it was begun to be looked for, or None where that was not settled, and it is not kept; nor is
        what was begun in another moment, or while something is written.
        """
        self._moved_on()
        size = _size_of_question(asked) + _size_of_answer(answer) + _size_of_basis(basis)
        if begun is not None and begun == self._moments.settled and size <= self._known.maxsize:
            self._known[asked] = _Known(size, begun, answer, basis)

    def _moved_on(self) -> int:
        """Lets go of what cannot hold any more."""
        moment = self._moments.moment
        if moment != self._moment:
            self._moment = moment
            least = moment if self._holds is None else moment - MOST_COMMITS
            for asked in [asked for asked, known in self._known.items() if known.moment < least]:
                del self._known[asked]
        return moment


def _size_of_question(asked: Request | Suggesting | Search | FindListings) -> int:
    if isinstance(asked, Search | FindListings):
        return len(asked.q)
    text, scope = (asked.text, asked.scope) if isinstance(asked, Request) else asked[:2]
    return len(text) + AUDIENCE_OVERHEAD * len(scope.audiences)


def _size_of_answer(answer: Found | Suggestions | SearchPage | FoundListings) -> int:
    if isinstance(answer, FoundListings):
        return ANSWER_OVERHEAD + ID_OVERHEAD * len(answer.ids)
    if isinstance(answer, SearchPage):
        hits = sum(HIT_OVERHEAD + len(hit.title) + 2 * len(hit.summary) for hit in answer.items)
    else:
        found = answer.hits if isinstance(answer, Found) else answer
        hits = sum(HIT_OVERHEAD + len(hit.document.title) + 2 * len(hit.document.summary) for hit in found)
    return ANSWER_OVERHEAD + hits


def _size_of_basis(basis: object) -> int:
    return TERM_OVERHEAD * basis.terms if isinstance(basis, Basis) else 0
