"""Every query on the `users` collection, except on its field `credits`: that is billing's and never touched here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from promptforge.actors.users.domain import User
from promptforge.actors.users.errors import HandleTaken
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.personal import CLEARED, EMPTIED, REMOVED, Held, Subject, erasing, marks
from promptforge.core.principal import Role

USERS = "users"

INDEXES: dict[str, tuple[Index, ...]] = {
    USERS: (
        Index((("uid", 1),), unique=True),
        Index((("handle", 1),), unique=True, partial={"handle": {"$type": "string"}}),
        Index((("roles", 1),), partial={"roles": Role.ADMIN.value}),
    ),
}
HELD = {
    USERS: Held(
        "Your account: profile, settings and balances",
        (
            Subject(
                "_id",
                {
                    **marks(CLEARED, "email", "handle", "display_name", "bio", "avatar_url", "suspension"),
                    **marks(EMPTIED, "links", "settings", "before_ledger"),
                    **marks(REMOVED, "uid"),
                },
            ),
        ),
        plain=frozenset({"roles", "roles_set.change_id", "credits.*"}),
    )
}
MOST_ADMINISTRATORS = 200
"""Nobody has as many."""
DELETED_NAME = "Deleted user"
_FIELDS = {"credits": 0}


class UserStore:
    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.collection(USERS)

    async def find_by_uid(self, uid: str) -> User | None:
        row = await self._users.find_one({"uid": uid}, _FIELDS)
        return None if row is None else _user_from(row)

    async def find(self, user_id: str, *, session: Session | None = None) -> User | None:
        row = await self._users.find_one({"_id": user_id}, _FIELDS, session=session)
        return None if row is None else _user_from(row)

    async def get(self, user_id: str, *, session: Session | None = None) -> User:
        """Raises `NotFound`."""
        user = await self.find(user_id, session=session)
        if user is None:
            raise NotFound
        return user

    async def list_these(self, user_ids: Sequence[str], *, session: Session | None = None) -> list[User]:
        """Those of them that there are."""
        rows = self._users.find({"_id": {"$in": list(user_ids)}}, _FIELDS, session=session)
        return [_user_from(row) for row in await rows.to_list(len(user_ids))]

    async def scan_profiles(self, after: str | None, limit: int) -> list[User]:
        """Those with a public profile, in the order of their ids."""
        wanted: Document = {"_id": {"$gt": after or ""}, "handle": {"$type": "string"}}
        rows = self._users.find(wanted, _FIELDS).sort([("_id", 1)]).hint("_id_").limit(limit)
        return [_user_from(row) for row in await rows.to_list(limit)]

    async def find_by_handle(self, handle: str, *, session: Session | None = None) -> User | None:
        """`handle` in lower case."""
        row = await self._users.find_one({"handle": handle}, _FIELDS, session=session)
        return None if row is None else _user_from(row)

    async def insert(self, user: User, *, session: Session | None = None) -> bool:
        """False where the uid has a user already: somebody else was faster. In a transaction that has aborted it."""
        try:
            await self._users.insert_one(
                {
                    "_id": user.id,
                    "uid": user.uid,
                    "email": user.email,
                    "handle": user.handle,
                    "display_name": user.display_name,
                    "bio": user.bio,
                    "avatar_url": user.avatar_url,
                    "links": list(user.links),
                    "roles": [role.value for role in user.roles],
                    "suspended": user.suspended,
                    "said_at": user.said_at,
                    "created_at": user.created_at,
                    "updated_at": user.updated_at,
                },
                session=session,
            )
        except DuplicateKey:
            return False
        return True

    async def update(
        self, user_id: str, changes: Mapping[str, object], *, now: datetime, session: Session | None = None
    ) -> User:
        """Set fields. Raises `HandleTaken`, or `NotFound`."""
        try:
            row = await self._users.find_one_and_update(
                {"_id": user_id}, {"$set": {**changes, "updated_at": now}}, projection=_FIELDS, session=session
            )
        except DuplicateKey:
            raise HandleTaken from None
        if row is None:
            raise NotFound
        return _user_from(row)

    async def bring_up_to(
        self, user_id: str, said: Mapping[str, object], *, as_of: float, session: Session | None
    ) -> User:
        """What was said of them; where something newer is known already, that stays. Raises `NotFound`."""
        newer_is_unknown = {"$or": [{"said_at": {"$exists": False}}, {"said_at": {"$lte": as_of}}]}
        row = await self._users.find_one_and_update(
            {"_id": user_id, **newer_is_unknown},
            {"$set": {**said, "said_at": as_of}},
            projection=_FIELDS,
            session=session,
        )
        return await self.get(user_id, session=session) if row is None else _user_from(row)

    async def list_administrators(self, *, session: Session | None) -> tuple[str, ...]:
        wanted = {"roles": Role.ADMIN.value, "closed_at": None, "suspended": {"$ne": True}}
        rows = self._users.find(wanted, {"_id": 1}, session=session).limit(MOST_ADMINISTRATORS)
        return tuple([row["_id"] for row in await rows.to_list(MOST_ADMINISTRATORS)])

    async def count_on(self, user_ids: Sequence[str], *, now: datetime, session: Session | None) -> None:
        """It writes them, so that another transaction that does the same conflicts with this one."""
        update = {"$set": {"administered_at": now}}
        await self._users.update_many({"_id": {"$in": list(user_ids)}}, update, session=session)

    # The end of an account

    async def list_stopped(self, user_ids: Sequence[str], *, session: Session | None) -> list[User]:
        """Those of them whose account is closed or suspended."""
        stopped = {"$or": [{"closed_at": {"$type": "date"}}, {"suspended": True}]}
        rows = self._users.find({"_id": {"$in": list(user_ids)}, **stopped}, _FIELDS, session=session)
        return [_user_from(row) for row in await rows.to_list(len(user_ids))]

    async def close(self, user_id: str, *, now: datetime, session: Session | None) -> None:
        """Raises `NotFound`."""
        await self.update(user_id, {"closed_at": now}, now=now, session=session)

    async def erase(self, user_id: str, *, uid_is_free: bool, now: datetime, session: Session | None) -> None:
        """Leave the id, the balances and that there was somebody; and the uid, until it is free for another account."""
        row = await self._users.find_one({"_id": user_id}, session=session)
        if row is None:
            return
        put, gone = erasing(HELD[USERS].subjects[0], row)
        del gone["uid"]
        put |= {"display_name": DELETED_NAME, "roles": [Role.USER.value], "updated_at": now}
        if uid_is_free:
            put["uid"] = f"erased:{user_id}"
        update: Document = {"$set": put, **({"$unset": gone} if gone else {})}
        await self._users.update_one({"_id": user_id}, update, session=session)


def roles_from(row: Document) -> tuple[Role, ...]:
    """Those that this version knows."""
    known = {role.value: role for role in Role}
    return tuple(known[name] for name in row.get("roles", ()) if name in known)


def _user_from(row: Document) -> User:
    """Fields that a profile never had are absent in databases of the service that this one replaces."""
    return User(
        id=row["_id"],
        uid=row["uid"],
        email=row.get("email"),
        handle=row.get("handle"),
        display_name=row.get("display_name"),
        bio=row.get("bio"),
        avatar_url=row.get("avatar_url"),
        links=tuple(row.get("links") or ()),
        roles=roles_from(row),
        suspended=row.get("suspended", False),
        said_at=row.get("said_at", float("-inf")),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        closed_at=row.get("closed_at"),
        roles_decided=row.get("roles_set") is not None,
    )
