"""Every query on the collection `moderation_fingerprints`: one document for each text of a version of a listing that
was checked: one of a prompt, of a package those of its prompts.

A version is `approved` in the transaction that approves it, and `refused` in the one that rejects or suspends it. From
then on others are compared with it, whatever becomes of its listing: what was refused is not to come back under another
name. What nobody has decided about is compared with nothing, or whoever submits much could hide what was approved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from promptforge.actors.moderation.duplicates.fingerprints import EDITION, Fingerprint
from promptforge.actors.moderation.duplicates.index import Entry
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

FINGERPRINTS = "moderation_fingerprints"
TURN = "turn"
"""The document that whoever approves writes, whatever it is."""
MOST_COMPARED = 100
MOST_DECIDED = 500
"""Within the minutes between a check and its decision."""
_READ: Document = {"code": {"$exists": True}}
_APPROVED: Document = {**_READ, "approved": True}
_KNOWN: Document = {**_READ, "$or": [{"approved": True}, {"refused": {"$exists": True}}]}

INDEXES: dict[str, tuple[Index, ...]] = {
    FINGERPRINTS: (
        Index((("approved", 1), ("_id", 1)), partial={"approved": True}),
        Index((("refused", 1), ("_id", 1)), partial={"refused": {"$exists": True}}),
        Index((("listing_id", 1),)),
        Index((("edition", 1), ("_id", 1))),
        Index((("decided_at", -1),), partial={"decided_at": {"$exists": True}}),
    ),
}
HELD = {
    FINGERPRINTS: nobody("By what near-duplicates are recognised: numbers that no text is made of"),
}


@dataclass(frozen=True, slots=True)
class Known:
    """A version that was decided about, and what it is recognised by; `refused`: the reason's code, if it was."""

    listing_id: str
    seller_id: str
    fingerprint: Fingerprint
    refused: str | None


class FingerprintStore:
    def __init__(self, mongo: Mongo) -> None:
        self._fingerprints = mongo.collection(FINGERPRINTS)

    async def keep(
        self, listing_id: str, version: int, seller_id: str, found: Sequence[Fingerprint], *, session: Session | None
    ) -> None:
        """Of the texts of a version; what was decided about it stays as it is, and is so of all of them."""
        changes: Document = {}
        for number, one in enumerate(found):
            fields = {
                "listing_id": listing_id,
                "seller_id": seller_id,
                "code": one.code.tobytes(),
                "samples": one.samples.tobytes(),
                "vector": one.vector.astype(np.float16).tobytes(),
                "passages": one.passages.tobytes(),
                "edition": EDITION,
            }
            row = await self._fingerprints.find_one_and_upsert(
                {"_id": _id_of(listing_id, version, number)}, {"$set": {**fields, **changes}}, session=session
            )
            if number == 0:
                changes = {name: row[name] for name in ("approved", "refused") if name in row}

    async def approve(self, listing_id: str, version: int, *, now: datetime, session: Session | None) -> None:
        """Also where the check has not run yet: what it finds then is of an approved version.

        Whoever keeps fingerprints writes the first one too, so one of the two sees the other.
        """
        changes: Document = {"$set": {"approved": True, "decided_at": now}, "$unset": {"refused": ""}}
        await self._decided(listing_id, version, changes, session)

    async def refuse(
        self, listing_id: str, version: int, reason_code: str, *, now: datetime, session: Session | None
    ) -> None:
        """What was rejected or suspended is not to come back in another listing unseen."""
        await self._decided(listing_id, version, {"$set": {"refused": reason_code, "decided_at": now}}, session)

    async def _decided(self, listing_id: str, version: int, changes: Document, session: Session | None) -> None:
        first = _id_of(listing_id, version, 0)
        await self._fingerprints.find_one_and_upsert({"_id": first}, changes, session=session)
        others = {"listing_id": listing_id, "_id": {"$gt": f"{first}:", "$lt": f"{first};"}}
        await self._fingerprints.update_many(others, changes, session=session)

    # What was taken in another edition

    async def list_old(self, limit: int) -> list[tuple[str, int]]:
        """Listings and versions of which something was not looked at in the present edition."""
        old = {"edition": {"$in": [None, *range(1, EDITION)]}, "_id": {"$ne": TURN}}
        rows = (
            await self._fingerprints.find(old, {"_id": 1})
            .sort([("edition", 1), ("_id", 1)])
            .limit(limit)
            .to_list(limit)
        )
        named = (str(row["_id"]).split(":") for row in rows)
        return list(dict.fromkeys((listing_id, int(version)) for listing_id, version, *_ in named))

    async def renewed(self, listing_id: str, version: int, texts: int | None, *, session: Session | None) -> None:
        """All of a version was looked at in this edition; what is more than its `texts` is of no text any more.

        None: its texts cannot be read any more, and what was taken of them stays.
        """
        first = _id_of(listing_id, version, 0)
        rows = self._fingerprints.find(_of(listing_id, version), {"_id": 1}, session=session)
        ids = [row["_id"] for row in await rows.to_list(None)]  # of one version: at most `MOST_COMPARED` at any time
        mine = None if texts is None else {first, *(_id_of(listing_id, version, number) for number in range(texts))}
        gone = [] if mine is None else [one for one in ids if one not in mine]
        await self._fingerprints.delete_many({"_id": {"$in": gone}}, session=session)
        marked = {"_id": {"$in": [one for one in ids if one not in gone]}}
        await self._fingerprints.update_many(marked, {"$set": {"edition": EDITION}}, session=session)

    async def find_refusal(self, listing_id: str, version: int, *, session: Session | None) -> str | None:
        """The code of the reason for which it is remembered as refused."""
        row = await self._fingerprints.find_one(
            {"_id": _id_of(listing_id, version, 0)}, {"refused": 1}, session=session
        )
        return None if row is None else row.get("refused")

    async def correct_refusal(
        self, listing_id: str, version: int, reason_code: str | None, *, session: Session | None
    ) -> None:
        """What it should have been; when it was decided stays."""
        changes = {"$set": {"refused": reason_code}} if reason_code is not None else {"$unset": {"refused": ""}}
        await self._fingerprints.update_many(_of(listing_id, version), changes, session=session)

    async def take_turn(self, *, session: Session | None) -> None:
        """Of those that take turns at one moment the first goes on, and the others start over and see what it left."""
        await self._fingerprints.find_one_and_upsert({"_id": TURN}, {"$inc": {"turns": 1}}, session=session)

    async def list_own(self, listing_id: str, version: int, *, session: Session | None) -> list[Fingerprint]:
        """Of a version's texts, where they were checked; at most `MOST_COMPARED`."""
        wanted = {**_READ, **_of(listing_id, version)}
        rows = await self._fingerprints.find(wanted, session=session).to_list(MOST_COMPARED)
        return [_known_from(row).fingerprint for row in rows]

    async def list_decided_since(self, moment: datetime, listing_id: str, *, session: Session | None) -> list[Known]:
        """What was approved or refused of other listings since then, the newest first.

        At most one more than `MOST_DECIDED`, which says that there are more.
        """
        wanted = {**_KNOWN, "decided_at": {"$gte": moment}, "listing_id": {"$ne": listing_id}}
        rows = self._fingerprints.find(wanted, session=session).sort([("decided_at", -1)]).limit(MOST_DECIDED + 1)
        return [_known_from(row) for row in await rows.to_list(MOST_DECIDED + 1)]

    async def without(self, listing_ids: Sequence[str]) -> list[str]:
        """Those of these listings of which nothing that was approved is known."""
        wanted = {**_APPROVED, "listing_id": {"$in": list(listing_ids)}}
        known = {row["listing_id"] async for row in self._fingerprints.find(wanted, {"listing_id": 1})}
        return [one for one in listing_ids if one not in known]

    async def each_entry(self, ids: Sequence[str] | None) -> AsyncIterator[Entry]:
        """Of those with these ids that were approved or refused; None: of all."""
        wanted = _KNOWN if ids is None else {**_KNOWN, "_id": {"$in": list(ids)}}
        async for row in self._fingerprints.find(wanted, {"code": 1, "samples": 1}).batch_size(5000):
            yield Entry(row["_id"], np.frombuffer(row["code"], np.uint64), np.frombuffer(row["samples"], np.uint32))

    async def list_known(self, ids: Sequence[str]) -> list[Known]:
        rows = await self._fingerprints.find({**_KNOWN, "_id": {"$in": list(ids)}}).to_list(len(ids))
        return [_known_from(row) for row in rows]


def _of(listing_id: str, version: int) -> Document:
    """All of a version."""
    first = _id_of(listing_id, version, 0)
    return {"$or": [{"_id": first}, {"_id": {"$gt": f"{first}:", "$lt": f"{first};"}}]}


def _id_of(listing_id: str, version: int, number: int) -> str:
    return f"{listing_id}:{version}" + (f":{number}" if number else "")


def _known_from(row: Document) -> Known:
    vector = np.frombuffer(row["vector"], np.float16).astype(np.float32)
    fingerprint = Fingerprint(vector, np.frombuffer(row["passages"], np.uint64))
    return Known(row["listing_id"], row["seller_id"], fingerprint, row.get("refused"))
