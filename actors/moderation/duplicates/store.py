"""Every query on the collection `moderation_fingerprints`: one document for each text of a version of a listing that
was checked: one of a prompt, of a package those of its prompts.

A version is `approved` in the transaction that approves it, and `refused` in the one that rejects or suspends it. From
then on others are compared with it, whatever becomes of its listing: what was refused is not to come back under another
name. What nobody has decided about is compared with nothing, or whoever submits much could hide what was approved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from promptforge.actors.moderation.duplicates.fingerprints import Fingerprint
from promptforge.actors.moderation.duplicates.index import Entry
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import nobody

FINGERPRINTS = "moderation_fingerprints"
_READ: Document = {"code": {"$exists": True}}
_APPROVED: Document = {**_READ, "approved": True}
_KNOWN: Document = {**_READ, "$or": [{"approved": True}, {"refused": {"$exists": True}}]}

INDEXES: dict[str, tuple[Index, ...]] = {
    FINGERPRINTS: (
        Index((("approved", 1), ("_id", 1)), partial={"approved": True}),
        Index((("refused", 1), ("_id", 1)), partial={"refused": {"$exists": True}}),
        Index((("listing_id", 1),)),
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
            }
            row = await self._fingerprints.find_one_and_upsert(
                {"_id": _id_of(listing_id, version, number)}, {"$set": {**fields, **changes}}, session=session
            )
            if number == 0:
                changes = {name: row[name] for name in ("approved", "refused") if name in row}

    async def approve(self, listing_id: str, version: int, *, session: Session | None) -> None:
        """Also where the check has not run yet: what it finds then is of an approved version.

        Whoever keeps fingerprints writes the first one too, so one of the two sees the other.
        """
        await self._decided(listing_id, version, {"$set": {"approved": True}, "$unset": {"refused": ""}}, session)

    async def refuse(self, listing_id: str, version: int, reason_code: str, *, session: Session | None) -> None:
        """What was rejected or suspended is not to come back in another listing unseen."""
        await self._decided(listing_id, version, {"$set": {"refused": reason_code}}, session)

    async def _decided(self, listing_id: str, version: int, changes: Document, session: Session | None) -> None:
        first = _id_of(listing_id, version, 0)
        await self._fingerprints.find_one_and_upsert({"_id": first}, changes, session=session)
        others = {"listing_id": listing_id, "_id": {"$gt": f"{first}:", "$lt": f"{first};"}}
        await self._fingerprints.update_many(others, changes, session=session)

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


def _id_of(listing_id: str, version: int, number: int) -> str:
    return f"{listing_id}:{version}" + (f":{number}" if number else "")


def _known_from(row: Document) -> Known:
    vector = np.frombuffer(row["vector"], np.float16).astype(np.float32)
    fingerprint = Fingerprint(vector, np.frombuffer(row["passages"], np.uint64))
    return Known(row["listing_id"], row["seller_id"], fingerprint, row.get("refused"))
