"""Every query on `mail_bounces`: of each person, the address that was found not to take mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.core.mongo import Index, Mongo, Session
from promptforge.core.personal import Held, Subject

BOUNCES = "mail_bounces"

INDEXES: dict[str, tuple[Index, ...]] = {BOUNCES: ()}
HELD = {
    BOUNCES: Held(
        "An address of yours that takes no mail",
        (Subject("_id", deleted=True),),
        plain=frozenset({"address", "reason"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Bounce:
    """Holds for `address` only: with another one its owner starts anew."""

    address: str
    reason: str


class BounceStore:
    def __init__(self, mongo: Mongo) -> None:
        self._bounces = mongo.collection(BOUNCES)

    async def find(self, user_id: str, *, session: Session | None = None) -> Bounce | None:
        row = await self._bounces.find_one({"_id": user_id}, session=session)
        return None if row is None else Bounce(row["address"], row["reason"])

    async def note(self, user_id: str, bounce: Bounce, *, now: datetime, session: Session | None) -> None:
        fields = {"address": bounce.address, "reason": bounce.reason, "at": now}
        await self._bounces.update_one({"_id": user_id}, {"$set": fields}, upsert=True, session=session)

    async def forget(self, user_id: str, *, session: Session | None) -> None:
        await self._bounces.delete_one({"_id": user_id}, session=session)
