"""What was tried and copied of a sealed listing counts for its prompt now, whatever listing offers it.

Each old document becomes part of a new one in a transaction that deletes it: cut short, or done by two at once, each
still counts once.
"""

from __future__ import annotations

from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.sealed.matching import joined
from promptforge.actors.marketplace.sealed.store import ACCOUNTS, NEW
from promptforge.core.mongo import Document, Mongo, Session, drop_index, run_transaction


async def count_by_prompt(mongo: Mongo) -> None:
    await drop_index(mongo, ACCOUNTS, "listing_id_1_head_1")
    async for row in mongo.collection(ACCOUNTS).find({"listing_id": {"$exists": True}}, {"_id": 1}):

        async def move(session: Session, old: str = row["_id"]) -> None:
            await _move(mongo, old, session)

        await run_transaction(mongo, move)


async def _move(mongo: Mongo, old: str, session: Session) -> None:
    accounts = mongo.collection(ACCOUNTS)
    row = await accounts.find_one({"_id": old}, session=session)
    if row is None:
        return
    await accounts.delete_one({"_id": old}, session=session)
    listing = await mongo.collection(LISTINGS).find_one({"_id": row["listing_id"]}, {"prompt_id": 1}, session=session)
    if listing is None:
        return
    prompt_id, head = listing["prompt_id"], row["head"]
    key = {"_id": f"{prompt_id}:{head}"}
    there = await accounts.find_one(key, session=session) or {**NEW, "copied": {}}
    copied = dict(there["copied"])
    for content_hash, blocks in row["copied"].items():
        version = await _version(mongo, prompt_id, content_hash, session)
        if version is not None:
            copied[version] = joined(bytes(copied.get(version, b"")), bytes(blocks))
    stopped = [one["stopped_at"] for one in (there, row) if one["stopped_at"] is not None]
    new: Document = {
        "prompt_id": prompt_id,
        "head": head,
        "trials": there["trials"] + row["trials"],
        "matches": there["matches"] + row["matches"],
        "copied": copied,
        "stopped_at": min(stopped, default=None),
        "barred": there["barred"] or row["barred"],
        "people": list(dict.fromkeys([*there["people"], *row["people"]])),
    }
    await accounts.find_one_and_upsert(key, {"$set": new}, session=session)


async def _version(mongo: Mongo, prompt_id: str, content_hash: str, session: Session) -> str | None:
    """The first one with this content."""
    wanted = {"prompt_id": prompt_id, "content_hash": content_hash}
    row = await mongo.collection("prompt_versions").find_one(
        wanted, {"version": 1}, sort=[("version", 1)], session=session
    )
    return None if row is None else str(row["version"])
