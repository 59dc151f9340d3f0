"""Every query on `payment_instruments` and `account_links`: who pays and is paid with what, and who belongs together.

An instrument is named by its kind and by Stripe's fingerprint of it (`card:…`, `bank:…`), which is the same wherever
the same card or bank account is used with this platform, and of which nobody can read a number. Whoever shares one with
somebody is in one group with them, and with everybody whom those share one with. A group's name is that of one of its
members, its head, and a user without a document is alone. A group never splits: they did share it once.
Who has left is forgotten two years later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promptforge.core.mongo import Index, Mongo, Session
from promptforge.core.personal import Held, Subject, kept

INSTRUMENTS = "payment_instruments"
LINKS = "account_links"
MOST_USERS = 1000
"""How many users of one instrument are named; those that come later are in its group all the same."""

INDEXES: dict[str, tuple[Index, ...]] = {
    INSTRUMENTS: (Index((("user_ids", 1),)),),
    LINKS: (Index((("group", 1),)),),
}
FRAUD = "so that nobody earns from themselves by leaving and coming back: two years, then removed"
HELD = {
    INSTRUMENTS: Held(
        "Stripe's fingerprints of cards and bank accounts that you used",
        (Subject("user_ids", {"_id": kept(FRAUD), "user_ids": kept(FRAUD)}),),
    ),
    LINKS: Held(
        "The group of accounts that share a card or a bank account with yours",
        (Subject("_id", {"group": kept(FRAUD)}),),
    ),
}


class LinkStore:
    def __init__(self, mongo: Mongo) -> None:
        self._instruments = mongo.collection(INSTRUMENTS)
        self._links = mongo.collection(LINKS)

    async def are_linked(self, one: str, other: str, *, session: Session | None = None) -> bool:
        rows = await self._links.find({"_id": {"$in": [one, other]}}, {"group": 1}, session=session).to_list(2)
        return len(rows) == 2 and rows[0]["group"] == rows[1]["group"]

    async def group_of(self, user_id: str, *, session: Session | None = None) -> tuple[str, ...]:
        """The members, at most `MOST_USERS`, with the head first; of somebody who is alone, themselves."""
        head = await self._head(user_id, session)
        rows = await self._links.find({"group": head}, {"_id": 1}, session=session).limit(MOST_USERS).to_list(None)
        return tuple(dict.fromkeys((head, user_id, *(row["_id"] for row in rows))))

    async def learn(
        self, user_id: str, instruments: Sequence[str], *, now: datetime, session: Session
    ) -> dict[str, str]:
        """Keep that these are the user's; answers each that has brought two groups together, with its first user.

        Two transactions that learn of one instrument conflict, and so do two that join groups with a member in common:
        the second runs again on what the first left.
        """
        joined: dict[str, str] = {}
        for instrument in instruments:
            if await self._instruments.find_one({"_id": instrument, "user_ids": user_id}, {"_id": 1}, session=session):
                continue
            mine = {"$push": {"user_ids": {"$each": [user_id], "$slice": MOST_USERS}}, "$setOnInsert": {"since": now}}
            row = await self._instruments.find_one_and_upsert({"_id": instrument}, mine, session=session)
            first: str = row["user_ids"][0]
            if first != user_id and await self._join(first, user_id, session):
                joined[instrument] = first
        return joined

    async def forget(self, user_id: str) -> None:
        """Somebody has left long ago. Others who shared an instrument with them stay in their group."""
        rows = await self._instruments.find({"user_ids": user_id}, {"_id": 1}).to_list(None)
        theirs = [row["_id"] for row in rows]
        await self._instruments.update_many({"_id": {"$in": theirs}}, {"$pull": {"user_ids": user_id}})
        await self._instruments.delete_many({"_id": {"$in": theirs}, "user_ids": []})
        await self._links.delete_one({"_id": user_id})

    async def _join(self, one: str, other: str, session: Session) -> bool:
        """Whether they were in two groups."""
        heads = sorted({await self._head(one, session), await self._head(other, session)})
        if len(heads) == 1:
            return False
        kept, given_up = heads
        for head in heads:  # written whether or not they change: of two joins with one of them, one starts over
            made = {"$inc": {"joins": 1}, "$setOnInsert": {"group": head}}
            await self._links.update_one({"_id": head}, made, upsert=True, session=session)
        await self._links.update_many({"group": given_up}, {"$set": {"group": kept}}, session=session)
        return True

    async def _head(self, user_id: str, session: Session | None) -> str:
        row = await self._links.find_one({"_id": user_id}, {"group": 1}, session=session)
        return row["group"] if row is not None else user_id
