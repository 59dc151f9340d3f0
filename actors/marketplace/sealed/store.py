"""Every query on `sealed_accounts`: what somebody, with those whose cards they share, has done with a sealed listing.

There is one document for each listing and group of linked accounts, named for the group's head, and every trial and
every output that gave something away writes it: of two at the same moment one starts over and sees the other. Groups
that are joined later have several; they are read together, and written at the new head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.sealed.matching import Match
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

ACCOUNTS = "sealed_accounts"
INDEXES: dict[str, tuple[Index, ...]] = {ACCOUNTS: (Index((("listing_id", 1), ("head", 1)), unique=True),)}
HELD = {
    ACCOUNTS: nobody("How much of a sealed prompt has come out, by internal ids"),
}


@dataclass(frozen=True, slots=True)
class Account:
    """`matches` since a moderator last looked; `copied`: by content hash, the blocks that outputs have shown."""

    trials: int = 0
    matches: int = 0
    copied: tuple[tuple[str, bytes], ...] = ()
    stopped_at: datetime | None = None
    barred: bool = False
    people: tuple[str, ...] = ()
    """Those whose outputs gave something away, since then."""

    def copied_of(self, content_hash: str) -> bytes:
        seen = b""
        for one, blocks in self.copied:
            if one == content_hash:
                seen = Match(0, 0, 0.0, blocks).joined(seen)
        return seen


class AccountStore:
    def __init__(self, mongo: Mongo) -> None:
        self._accounts = mongo.collection(ACCOUNTS)

    async def get(self, listing_id: str, group: Sequence[str], *, session: Session | None = None) -> Account:
        """Those of all members together; zeros where there are none."""
        wanted = {"_id": {"$in": [_key(listing_id, member) for member in group]}}
        rows = await self._accounts.find(wanted, session=session).to_list(None)
        return Account(
            trials=sum(row["trials"] for row in rows),
            matches=sum(row["matches"] for row in rows),
            copied=tuple((one, bytes(blocks)) for row in rows for one, blocks in row["copied"].items()),
            stopped_at=min((row["stopped_at"] for row in rows if row["stopped_at"] is not None), default=None),
            barred=any(row["barred"] for row in rows),
            people=tuple(dict.fromkeys(person for row in rows for person in row["people"])),
        )

    async def add_trial(self, listing_id: str, head: str, *, session: Session | None) -> None:
        await self._write(listing_id, head, {"$inc": {"trials": 1}}, session)

    async def add_match(
        self, listing_id: str, head: str, seen: tuple[str, bytes, str], *, session: Session | None
    ) -> None:
        """`seen`: of which content, all blocks that were shown of it by now, and to whom."""
        content_hash, copied, user_id = seen
        change = {
            "$inc": {"matches": 1},
            "$set": {f"copied.{content_hash}": copied},
            "$addToSet": {"people": user_id},
        }
        await self._write(listing_id, head, change, session)

    async def stop(self, listing_id: str, head: str, *, now: datetime, session: Session | None) -> None:
        await self._write(listing_id, head, {"$set": {"stopped_at": now}}, session)

    async def let_go(self, listing_id: str, group: Sequence[str], *, barred: bool, session: Session | None) -> None:
        """They may go on, and are counted from zero again."""
        wanted = {"_id": {"$in": [_key(listing_id, member) for member in group]}}
        changes: Document = {"matches": 0, "copied": {}, "people": [], "stopped_at": None}
        if barred:
            changes["barred"] = True
        await self._accounts.update_many(wanted, {"$set": changes}, session=session)

    async def _write(self, listing_id: str, head: str, change: Document, session: Session | None) -> None:
        new: Document = {
            "listing_id": listing_id,
            "head": head,
            "trials": 0,
            "matches": 0,
            "copied": {},
            "stopped_at": None,
            "barred": False,
            "people": [],
        }
        for fields in change.values():
            for name in fields:
                new.pop(name.split(".")[0], None)
        await self._accounts.find_one_and_upsert(
            {"_id": _key(listing_id, head)}, {**change, "$setOnInsert": new}, session=session
        )


def _key(listing_id: str, member: str) -> str:
    return f"{listing_id}:{member}"
