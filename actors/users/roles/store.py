"""Every query on `role_changes`, which grows only, and those on `users` that set roles.

`users.roles` is the truth. `users.roles_set` says which change it is by; without it, sign-ins bring the roles along.
"""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.users.roles.messages import ListRoleChanges, RoleChangeView, RoleReason, RolesView
from promptforge.actors.users.store import USERS, roles_from
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import REDACTED, Held, Subject, marks

CHANGES = "role_changes"
INDEXES: dict[str, tuple[Index, ...]] = {
    CHANGES: (Index((("user_id", 1), ("created_at", -1), ("_id", -1))), Index((("by", 1),))),
}
HELD = {
    CHANGES: Held(
        "What was decided about your roles, and decisions of yours about others'",
        (Subject("user_id", marks(REDACTED, "reason")), Subject("by")),
        plain=frozenset({"before", "after", "reason_code"}),
    )
}


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What Firebase is to be told of somebody, and which change that is by."""

    uid: str
    roles: tuple[str, ...]
    change_id: str


class RoleStore:
    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.collection(USERS)
        self._changes = mongo.collection(CHANGES)

    async def get(self, user_id: str, *, session: Session | None = None) -> RolesView:
        """Raises `NotFound`, also for an account that is closed."""
        row = await self._open(user_id, session)
        change_id = _change_of(row)
        decided = None
        if change_id is not None:
            found = await self._changes.find_one({"_id": change_id}, session=session)
            decided = None if found is None else _change_from(found)
        return RolesView(user_id, roles_from(row), decided)

    async def put(self, change: RoleChangeView, *, session: Session | None) -> None:
        """Only in a transaction that has read the roles: whoever sets them meanwhile makes it begin again."""
        await self._changes.insert_one(
            {
                "_id": change.id,
                "user_id": change.user_id,
                "before": [role.value for role in change.before],
                "after": [role.value for role in change.after],
                "by": change.by,
                "reason": change.reason,
                "reason_code": None if change.reason_code is None else change.reason_code.value,
                "created_at": change.created_at,
            },
            session=session,
        )
        now = {
            "roles": [role.value for role in change.after],
            "roles_set": {"change_id": change.id, "at": change.created_at},
            "updated_at": change.created_at,
        }
        await self._users.update_one({"_id": change.user_id}, {"$set": now}, session=session)

    async def list_page(self, wanted: ListRoleChanges) -> Page[RoleChangeView]:
        """Raises `NotFound`."""
        await self._open(wanted.user_id, None)
        cursor = Cursor.decode_optional(wanted.cursor)
        parts: list[Document] = [{"user_id": wanted.user_id}, *([cursor.after()] if cursor else [])]
        rows = self._changes.find({"$and": parts}).sort([("created_at", -1), ("_id", -1)]).limit(wanted.limit + 1)
        return page_of(await rows.to_list(wanted.limit + 1), wanted.limit, _change_from)

    async def find_mirrored(self, user_id: str) -> Mirrored | None:
        """None where there is nothing to tell: nobody has decided, or the account is closed."""
        row = await self._users.find_one({"_id": user_id, "closed_at": None}, _FIELDS)
        change_id = None if row is None else _change_of(row)
        if row is None or change_id is None:
            return None
        return Mirrored(row["uid"], tuple(role.value for role in roles_from(row)), change_id)

    async def find_id(self, person: str) -> str | None:
        """The internal id of whom one names by that, or by the uid of Firebase."""
        for wanted in ({"_id": person}, {"uid": person}):
            if row := await self._users.find_one({**wanted, "closed_at": None}, {"_id": 1}):
                return str(row["_id"])
        return None

    async def _open(self, user_id: str, session: Session | None) -> Document:
        row = await self._users.find_one({"_id": user_id, "closed_at": None}, _FIELDS, session=session)
        if row is None:
            raise NotFound("There is no such account, or it is closed")
        return row


_FIELDS = {"uid": 1, "roles": 1, "roles_set": 1}


def _change_of(row: Document) -> str | None:
    change_id: str | None = (row.get("roles_set") or {}).get("change_id")
    return change_id


def _change_from(row: Document) -> RoleChangeView:
    return RoleChangeView(
        id=row["_id"],
        user_id=row["user_id"],
        before=roles_from({"roles": row["before"]}),
        after=roles_from({"roles": row["after"]}),
        by=row["by"],
        reason=row["reason"],
        created_at=row["created_at"],
        reason_code=None if row.get("reason_code") is None else RoleReason(row["reason_code"]),
    )
