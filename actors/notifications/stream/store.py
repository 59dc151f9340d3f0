"""Every query on `stream_tickets`, which are kept by their hashes and used by being deleted."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from promptforge.core.mongo import Index, Mongo, Session
from promptforge.core.personal import Held, Subject

TICKETS = "stream_tickets"
LASTS = timedelta(seconds=60)

INDEXES: dict[str, tuple[Index, ...]] = {TICKETS: (Index((("expire_at", 1),), ttl_seconds=0),)}
HELD = {
    TICKETS: Held(
        "Tickets for streams, for a minute",
        (Subject("user_id", deleted=True, exported=False),),
        plain=frozenset({"_id"}),
    ),
}


class TicketStore:
    def __init__(self, mongo: Mongo) -> None:
        self._tickets = mongo.collection(TICKETS)

    async def make(self, user_id: str, *, now: datetime, session: Session | None) -> str:
        ticket = f"pft_{secrets.token_urlsafe(32)}"
        row = {"_id": _digest(ticket), "user_id": user_id, "expire_at": now + LASTS}
        await self._tickets.insert_one(row, session=session)
        return ticket

    async def redeem(self, ticket: str, *, now: datetime) -> str | None:
        """Whose it was: of all who come with it, one hears that. None for the others, and once it has expired."""
        row = await self._tickets.find_one({"_id": _digest(ticket), "expire_at": {"$gt": now}})
        if row is None:
            return None
        done = await self._tickets.delete_one({"_id": row["_id"]})
        user_id: str = row["user_id"]
        return user_id if done.deleted_count == 1 else None


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
