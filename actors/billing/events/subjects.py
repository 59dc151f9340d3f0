"""Whose a Stripe event is: the way back along the paths that the store declares, from one event to its people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from promptforge.core.mongo import Document, Mongo, Session
from promptforge.core.personal import PEOPLE, Subject, left

_OWNER = {"stripe_customers": "_id", "connect_accounts": "_id", "checkouts": "user_id", "receipts": "user_id"}
"""Which field of what an event names holds the person."""


class EventSubjects:
    """A few looks by indexes for each event: most of these paths lead nowhere in most events."""

    def __init__(self, mongo: Mongo, subjects: Sequence[Subject]) -> None:
        self._mongo = mongo
        self._people = mongo.collection(PEOPLE)
        self._direct = tuple(subject.path for subject in subjects if subject.of is None)
        through: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for subject in subjects:
            if subject.of is not None:
                parent, _, key = subject.of.partition(":")
                through[parent].append((subject.path, key or "_id"))
        self._through = [(parent, _OWNER[parent], steps) for parent, steps in through.items()]

    async def have_left(self, document: Document, *, session: Session | None) -> bool:
        """Whether the account of somebody whom the event tells of is closed."""
        people = {_at(document, path) for path in self._direct}
        for parent, owner, steps in self._through:
            named = [{key: value} for path, key in steps if (value := _at(document, path)) is not None]
            if named:
                rows = self._mongo.collection(parent).find({"$or": named}, {owner: 1}, session=session)
                people |= {row[owner] for row in await rows.to_list(None)}
        gone = left(one for one in people if one is not None)
        return await self._people.find_one(gone, {"_id": 1}, session=session) is not None


def _at(document: Document, path: str) -> str | None:
    value: object = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
