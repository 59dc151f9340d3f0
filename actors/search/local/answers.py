"""What was found already, of one generation of the index: bounded, and forgotten when it would be found otherwise now.

The request is the key, with the audiences that it may see: nobody is answered what another may see. What is suggested
for a text is known in the same way, and the page that somebody who has not signed in was answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import LRUCache

from promptforge.actors.search.engine import Found, Hit, Request, Scope
from promptforge.actors.search.messages import Search, SearchPage

MAX_CHARACTERS = 48_000_000
"""Of all answers together."""
ANSWER_OVERHEAD = 4_000
HIT_OVERHEAD = 1_500
AUDIENCE_OVERHEAD = 150
"""Characters that each counts for besides its texts; an audience is part of what was asked."""


Suggesting = tuple[str, Scope, int]
"""A text, who it is for, and how many."""
Suggestions = tuple[Hit, ...]
AskedT = TypeVar("AskedT", Request, Suggesting, Search)
AnswerT = TypeVar("AnswerT", Found, Suggestions, SearchPage)
BasisT = TypeVar("BasisT")


@dataclass(frozen=True, slots=True)
class _Known(Generic[AnswerT, BasisT]):
    size: int
    moment: int
    answer: AnswerT
    basis: BasisT


class Answers(Generic[AskedT, AnswerT, BasisT]):
    """Of one event loop. A moment of the index ends with each commit; `holds` says whether an answer on this basis is
    the same as at that moment. Without it, none outlives its moment.
    """

    def __init__(
        self,
        now: Callable[[], int],
        holds: Callable[[BasisT, int], bool] | None = None,
        *,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        self._now = now
        self._holds = holds
        self._known: LRUCache[AskedT, _Known[AnswerT, BasisT]] = LRUCache(
            max_characters, getsizeof=lambda known: known.size
        )

    def find(self, asked: AskedT) -> AnswerT | None:
        known, moment = self._known.get(asked), self._now()
        if known is None:
            return None
        if known.moment != moment:
            if self._holds is None or not self._holds(known.basis, known.moment):
                del self._known[asked]
                return None
            self._known[asked] = _Known(known.size, moment, known.answer, known.basis)
        return known.answer

    def keep(self, begun: int, asked: AskedT, answer: AnswerT, basis: BasisT) -> None:
        """`begun`: the moment from before it was looked for; what began before the last commit is not kept."""
        moment = self._now()
        size = ANSWER_OVERHEAD + _size_of_question(asked) + _size_of_answer(answer)
        if begun == moment and size <= self._known.maxsize:
            self._known[asked] = _Known(size, moment, answer, basis)


def _size_of_question(asked: Request | Suggesting | Search) -> int:
    if isinstance(asked, Search):
        return len(asked.q)
    text, scope = (asked.text, asked.scope) if isinstance(asked, Request) else asked[:2]
    return len(text) + AUDIENCE_OVERHEAD * len(scope.audiences)


def _size_of_answer(answer: Found | Suggestions | SearchPage) -> int:
    if isinstance(answer, SearchPage):
        return sum(HIT_OVERHEAD + len(hit.title) + 2 * len(hit.summary) for hit in answer.items)
    hits = answer.hits if isinstance(answer, Found) else answer
    texts = sum(len(hit.document.title) + 2 * len(hit.document.summary) for hit in hits)
    return HIT_OVERHEAD * len(hits) + texts
