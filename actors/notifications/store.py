"""Every query on the `notifications` collection."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.notifications.messages import NotificationView, NotifyUser
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, DuplicateKey, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of

NOTIFICATIONS = "notifications"

INDEXES: dict[str, tuple[Index, ...]] = {
    NOTIFICATIONS: (
        Index((("dedupe_key", 1),), unique=True),
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("user_id", 1), ("read_at", 1), ("created_at", -1), ("_id", -1))),
    )
}


class NotificationStore:
    def __init__(self, mongo: Mongo) -> None:
        self._notifications = mongo.collection(NOTIFICATIONS)

    async def insert_once(self, message: NotifyUser, *, now: datetime) -> bool:
        """False where this was told already."""
        document: Document = {
            "_id": new_id("ntf"),
            "user_id": message.user_id,
            "kind": message.kind,
            "title": message.title,
            "body": message.body,
            "subject": dict(message.subject),
            "dedupe_key": message.dedupe_key,
            "read_at": None,
            "created_at": now,
        }
        try:
            await self._notifications.insert_one(document)
        except DuplicateKey:
            return False
        return True

    async def list_page(
        self, user_id: str, *, unread: bool, cursor: Cursor | None, limit: int
    ) -> Page[NotificationView]:
        wanted: Document = {"user_id": user_id, **(cursor.after() if cursor else {})}
        if unread:
            wanted["read_at"] = None
        rows = self._notifications.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _view)

    async def count_unread(self, user_id: str) -> int:
        return await self._notifications.count_documents({"user_id": user_id, "read_at": None})

    async def mark_read(
        self, notification_id: str, user_id: str, *, now: datetime, session: Session | None = None
    ) -> NotificationView:
        """Raises `NotFound`. The first time stays: reading again does not move `read_at`."""
        mine = {"_id": notification_id, "user_id": user_id}
        await self._notifications.update_one({**mine, "read_at": None}, {"$set": {"read_at": now}}, session=session)
        row = await self._notifications.find_one(mine, session=session)
        if row is None:
            raise NotFound("There is no such notification, or it is not yours")
        return _view(row)

    async def mark_all_read(self, user_id: str, *, now: datetime, session: Session | None = None) -> int:
        unread = {"user_id": user_id, "read_at": None}
        result = await self._notifications.update_many(unread, {"$set": {"read_at": now}}, session=session)
        return result.modified_count


def _view(row: Document) -> NotificationView:
    return NotificationView(
        id=row["_id"],
        kind=row["kind"],
        title=row["title"],
        body=row["body"],
        subject=row["subject"],
        read_at=row["read_at"],
        created_at=row["created_at"],
    )
