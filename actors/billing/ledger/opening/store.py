"""Posts opening journals, many at once: the accounts are new, so that there is nothing to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.actors.billing.ledger.domain import Journal
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.store import JOURNALS, LEGS, credits_row, journal_row, leg_rows
from promptforge.core.mongo import Document, Mongo, Session


class OpeningStore:
    def __init__(self, mongo: Mongo) -> None:
        self._journals = mongo.collection(JOURNALS)
        self._legs = mongo.collection(LEGS)

    async def post(self, journals: Sequence[Journal], *, now: datetime, session: Session) -> None:
        """Journals and legs; whoever calls writes `opened` into the users, in the same transaction."""
        if journals:
            await self._journals.insert_many([journal_row(journal, now) for journal in journals], session=session)
            legs = [row for journal in journals for row in leg_rows(journal, now)]
            await self._legs.insert_many(legs, session=session)


def opened(journal: Journal | None) -> Document:
    """The field `credits` of a user whose account begins with `journal`."""
    mine = [leg for leg in journal.legs if leg.user_id is not None] if journal is not None else []
    return credits_row(Holdings().after(mine))
