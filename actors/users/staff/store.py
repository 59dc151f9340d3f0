"""Queries on the collection `users` for administrators."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from promptforge.actors.users.staff.messages import AccountReason, AccountView, ListAccounts, SuspensionView
from promptforge.actors.users.store import USERS, roles_from
from promptforge.core.errors import Forbidden, NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.principal import Role

_APPEALED: Document = {"suspension.appeal": {"$type": "string"}}
INDEXES: dict[str, tuple[Index, ...]] = {
    USERS: (
        Index((("created_at", -1), ("_id", -1))),
        Index((("email", 1),), partial={"email": {"$type": "string"}}),
        Index((("suspended", 1), ("created_at", -1), ("_id", -1)), partial={"suspended": True}),
    )
}
_FIELDS = dict.fromkeys(
    ("email", "handle", "display_name", "roles", "suspended", "suspension", "closed_at", "created_at"), 1
)


class AccountStore:
    def __init__(self, mongo: Mongo) -> None:
        self._users = mongo.collection(USERS)

    async def get(self, user_id: str, *, session: Session | None = None) -> AccountView:
        """Raises `NotFound`."""
        row = await self._users.find_one({"_id": user_id}, _FIELDS, session=session)
        if row is None:
            raise NotFound("There is no such account")
        return _account_from(row)

    async def list_page(self, wanted: ListAccounts) -> Page[AccountView]:
        cursor = Cursor.decode_optional(wanted.cursor)
        parts: list[Document] = [cursor.after()] if cursor else []
        if wanted.email is not None:
            parts.append({"email": wanted.email})
        if wanted.handle is not None:
            begins = wanted.handle.lower()
            parts.append({"handle": {"$gte": begins, "$lt": begins + "\x7f", "$type": "string"}})
        if wanted.suspended is not None:
            parts.append({"suspended": True} if wanted.suspended else {"suspended": {"$ne": True}})
        if wanted.appealed is not None:
            parts.append({"suspended": True, **_APPEALED} if wanted.appealed else {"suspension.appeal": None})
        rows = self._users.find({"$and": parts} if parts else {}, _FIELDS)
        found = await rows.sort([("created_at", -1), ("_id", -1)]).limit(wanted.limit + 1).to_list(wanted.limit + 1)
        return page_of(found, wanted.limit, _account_from)

    async def expect_administrator(self, user_id: str, *, now: datetime, session: Session | None) -> None:
        """Raises `Forbidden` for who is none, or is suspended. It writes: of two who would end each other's powers in
        their transactions, one begins again and is none any more.
        """
        wanted = {"_id": user_id, "roles": Role.ADMIN.value, "suspended": {"$ne": True}, "closed_at": None}
        update = {"$set": {"administered_at": now}}
        if await self._users.find_one_and_update(wanted, update, projection={"_id": 1}, session=session) is None:
            raise Forbidden("You are not an administrator any more")

    async def set_suspension(
        self, user_id: str, suspension: SuspensionView | None, *, now: datetime, session: Session | None
    ) -> AccountView:
        """Raises `NotFound`, also for an account that is closed: what is written of it then nobody would erase."""
        told = None if suspension is None else _suspension_row(suspension)
        changes = {"suspended": suspension is not None, "suspension": told, "updated_at": now}
        return await self._set(user_id, changes, session)

    async def note_appeal(
        self, user_id: str, suspension: SuspensionView, *, now: datetime, session: Session | None
    ) -> AccountView:
        """What was said against a suspension, or about that. Raises `NotFound`, also for an account that is closed."""
        return await self._set(user_id, {"suspension": _suspension_row(suspension), "updated_at": now}, session)

    async def _set(self, user_id: str, changes: Document, session: Session | None) -> AccountView:
        row = await self._users.find_one_and_update(
            {"_id": user_id, "closed_at": None}, {"$set": changes}, projection=_FIELDS, session=session
        )
        if row is None:
            raise NotFound("There is no such account, or it is closed")
        return _account_from(row)


def _suspension_row(suspension: SuspensionView) -> Document:
    return {**asdict(suspension), "reason_code": suspension.reason_code.value}


def _suspension_from(row: Document) -> SuspensionView:
    """From before there were codes and appeals it has neither."""
    code = AccountReason(row.get("reason_code", AccountReason.OTHER))
    return SuspensionView(**{**row, "reason_code": code})


def _account_from(row: Document) -> AccountView:
    suspension = row.get("suspension")
    return AccountView(
        id=row["_id"],
        email=row.get("email"),
        handle=row.get("handle"),
        display_name=row.get("display_name"),
        roles=roles_from(row),
        suspended=row.get("suspended", False),
        suspension=None if suspension is None else _suspension_from(suspension),
        closed_at=row.get("closed_at"),
        created_at=row["created_at"],
    )
