"""What was found already, of one generation of the index: bounded, and forgotten whenever the index has moved on.

The request is the key, with the audiences that it may see: nobody is answered what another may see. What is suggested
for a text is known in the same way, and the page that somebody who has not signed in was answered.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from cachetools import LRUCache

from promptforge.actors.search.engine import Found, Hit, Request, Scope
from promptforge.actors.search.messages import Search, SearchPage

MAX_CHARACTERS = 24_000_000
"""Of all answers together."""
ANSWER_OVERHEAD = 2_000
HIT_OVERHEAD = 1_500
AUDIENCE_OVERHEAD = 150
"""Characters that each counts for besides its texts; an audience is part of what was asked."""


Suggesting = tuple[str, Scope, int]
"""A text, who it is for, and how many."""
Suggestions = tuple[Hit, ...]
AskedT = TypeVar("AskedT", Request, Suggesting, Search)
AnswerT = TypeVar("AnswerT", Found, Suggestions, SearchPage)


class Answers(Generic[AskedT, AnswerT]):
    """Of one event loop. `moment` counts the commits of the index."""

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._known: LRUCache[AskedT, tuple[int, AnswerT]] = LRUCache(max_characters, getsizeof=lambda known: known[0])
        self._moment = 0

    def find(self, moment: int, asked: AskedT) -> AnswerT | None:
        self._move_on(moment)
        known = self._known.get(asked)
        return None if known is None else known[1]

    def keep(self, begun: int, moment: int, asked: AskedT, answer: AnswerT) -> None:
        """`begun`: the moment from before it was looked for; what began before the last commit is not kept."""
        self._move_on(moment)
        size = ANSWER_OVERHEAD + _size_of_question(asked) + _size_of_answer(answer)
        if begun == moment and size <= self._known.maxsize:
            self._known[asked] = size, answer

    def _move_on(self, moment: int) -> None:
        if moment != self._moment:
            self._moment = moment
            self._known.clear()


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
