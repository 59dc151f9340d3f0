"""Every query on the collection `api_keys`."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.users.keys.domain import ApiKey
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

KEYS = "api_keys"

INDEXES: dict[str, tuple[Index, ...]] = {
    KEYS: (
        Index((("digest", 1),), unique=True),
        Index((("user_id", 1), ("slot", 1)), unique=True, partial={"slot": {"$exists": True}}),
        Index((("user_id", 1),)),
    ),
}
HELD = {
    KEYS: Held(
        "Your API keys, without what opens anything",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"name", "prefix", "scopes"}),
        secret=frozenset({"digest"}),
    ),
}


class KeyStore:
    """A revoked key's document stays, without its slot: its owner's list no longer shows it."""

    def __init__(self, mongo: Mongo) -> None:
        self._keys = mongo.collection(KEYS)

    async def insert(self, key: ApiKey, *, session: Session | None) -> None:
        await self._keys.insert_one(
            {
                "_id": key.id,
                "user_id": key.user_id,
                "name": key.name,
                "prefix": key.prefix,
                "digest": key.digest,
                "scopes": list(key.scopes),
                "slot": key.slot,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "last_used_at": key.last_used_at,
                "revoked_at": None,
            },
            session=session,
        )

    async def list_of(self, user_id: str, *, session: Session | None = None) -> list[ApiKey]:
        """Those that are not revoked, newest first; there are few."""
        rows = self._keys.find({"user_id": user_id, "slot": {"$exists": True}}, session=session)
        return [_key_from(row) for row in await rows.sort([("created_at", -1), ("_id", -1)]).to_list(None)]

    async def find(self, digest: str) -> ApiKey | None:
        """By what is kept of it; None where there is none, or it is revoked."""
        row = await self._keys.find_one({"digest": digest, "revoked_at": None})
        return None if row is None else _key_from(row)

    async def note_use(self, key_id: str, now: datetime) -> None:
        await self._keys.update_one({"_id": key_id}, {"$max": {"last_used_at": now}})

    async def revoke(self, key_id: str, user_id: str, *, now: datetime, session: Session | None) -> ApiKey | None:
        """None where this user has no such key, or no longer."""
        row = await self._keys.find_one_and_update(
            {"_id": key_id, "user_id": user_id, "revoked_at": None},
            {"$set": {"revoked_at": now}, "$unset": {"slot": ""}},
            return_document=False,
            session=session,
        )
        return None if row is None else _key_from(row)


def _key_from(row: Document) -> ApiKey:
    return ApiKey(
        id=row["_id"],
        user_id=row["user_id"],
        name=row["name"],
        prefix=row["prefix"],
        digest=row["digest"],
        scopes=tuple(row["scopes"]),
        slot=row["slot"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
