"""Every query on the `notifications` collection: all that was told, to each person in order.

The numbers of one person's notifications (`seq`) are given in the order of their commits and without gaps, because each
transaction that tells somebody something takes the next one from the same document. So who has seen a number has seen
all below it, and a stream can go on after it. A notification that was deleted, or that its reader did not want to be
shown here, stays as a row that nobody sees: it is what makes telling it again do nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from promptforge.actors.notifications.messages import NotificationView, NotifyUser
from promptforge.actors.notifications.stream.messages import Followed
from promptforge.core.errors import NotFound
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.pages import Cursor, Page, page_of
from promptforge.core.personal import REDACTED, Held, Subject, marks, nobody

NOTIFICATIONS = "notifications"
COUNTERS = "notification_counters"
KEPT = timedelta(days=400)

INDEXES: dict[str, tuple[Index, ...]] = {
    NOTIFICATIONS: (
        Index((("dedupe_key", 1),), unique=True),
        Index((("user_id", 1), ("created_at", -1), ("_id", -1))),
        Index((("user_id", 1), ("read_at", 1), ("created_at", -1), ("_id", -1))),
        Index((("user_id", 1), ("seq", 1)), unique=True, partial={"seq": {"$exists": True}}),
        Index((("subject.listing_id", 1),), partial={"subject.listing_id": {"$exists": True}}),
        Index((("expire_at", 1),), ttl_seconds=0),
        Index((("subject.package_id", 1),), partial={"subject.package_id": {"$exists": True}}),
    ),
    COUNTERS: (),
}
HELD = {
    NOTIFICATIONS: Held(
        "What you were told",
        (
            Subject("user_id", deleted=True),
            # Others are told the titles of what somebody sells, and the names of their packages.
            Subject("subject.listing_id", marks(REDACTED, "title", "body"), of="marketplace_listings", exported=False),
            Subject("subject.package_id", marks(REDACTED, "title", "body"), of="packages", exported=False),
        ),
        plain=frozenset({"kind", "title", "body", "subject", "dedupe_key"}),
    ),
    COUNTERS: nobody("How many notifications each internal id has had"),
}
_VISIBLE = {"hidden": {"$ne": True}}


class NotificationStore:
    def __init__(self, mongo: Mongo) -> None:
        self._notifications = mongo.collection(NOTIFICATIONS)
        self._counters = mongo.collection(COUNTERS)

    async def insert_once(self, message: NotifyUser, *, shown: bool, now: datetime, session: Session) -> str | None:
        """The id; None where this was told already."""
        told = {"dedupe_key": message.dedupe_key}
        if await self._notifications.find_one(told, {"_id": 1}, session=session) is not None:
            return None
        counter = await self._counters.find_one_and_upsert(
            {"_id": message.user_id}, {"$inc": {"seq": 1}}, session=session
        )
        document: Document = {
            "_id": new_id("ntf"),
            "seq": counter["seq"],
            "user_id": message.user_id,
            "kind": message.kind,
            "title": message.title,
            "body": message.body,
            "subject": dict(message.subject),
            "read_at": None if shown else now,
            "created_at": now,
            "expire_at": now + KEPT,
        }
        if not shown:
            document["hidden"] = True
        # An upsert: an insert that collides would abort the transaction for good instead of beginning it again.
        row = await self._notifications.find_one_and_upsert(told, {"$setOnInsert": document}, session=session)
        return document["_id"] if row["_id"] == document["_id"] else None

    async def list_page(
        self, user_id: str, *, unread: bool, cursor: Cursor | None, limit: int
    ) -> Page[NotificationView]:
        wanted: Document = {"user_id": user_id, **_VISIBLE, **(cursor.after() if cursor else {})}
        if unread:
            wanted["read_at"] = None
        rows = self._notifications.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1)
        return page_of(await rows.to_list(limit + 1), limit, _view)

    async def find_told(self, notification_id: str) -> NotificationView | None:
        """Shown or not; None where it was deleted."""
        row = await self._notifications.find_one({"_id": notification_id, "deleted_at": None})
        return None if row is None else _view(row)

    async def latest_number(self, user_id: str) -> int:
        """0 before anything was told; who chose channels before that has a counter without a number."""
        row = await self._counters.find_one({"_id": user_id}) or {}
        number: int = row.get("seq", 0)
        return number

    async def list_after(self, user_id: str, after: int, *, limit: int) -> Followed:
        """What came after the number `after`, in order; of at most `limit` those that are shown."""
        wanted = {"user_id": user_id, "seq": {"$gt": after}}
        rows = await self._notifications.find(wanted).sort([("seq", 1)]).limit(limit).to_list(limit)
        items = tuple((row["seq"], _view(row)) for row in rows if not row.get("hidden"))
        return Followed(items, rows[-1]["seq"] if rows else after, more=len(rows) == limit)

    async def count_unread(self, user_id: str) -> int:
        return await self._notifications.count_documents({"user_id": user_id, "read_at": None})

    async def mark_read(
        self, notification_id: str, user_id: str, *, now: datetime, session: Session | None = None
    ) -> NotificationView:
        """Raises `NotFound`. The first time stays: reading again does not move `read_at`."""
        mine = {"_id": notification_id, "user_id": user_id, **_VISIBLE}
        await self._notifications.update_one({**mine, "read_at": None}, {"$set": {"read_at": now}}, session=session)
        row = await self._notifications.find_one(mine, session=session)
        if row is None:
            raise NotFound("There is no such notification, or it is not yours")
        return _view(row)

    async def delete(
        self, notification_id: str, user_id: str, *, now: datetime, session: Session | None = None
    ) -> None:
        """What it said is gone; that it was said stays. Raises `NotFound`, also where it is deleted already."""
        emptied = {"hidden": True, "deleted_at": now, "read_at": now, "title": "", "body": "", "subject": {}}
        mine = {"_id": notification_id, "user_id": user_id, **_VISIBLE}
        done = await self._notifications.update_one(mine, {"$set": emptied}, session=session)
        if not done.matched_count:
            raise NotFound("There is no such notification, or it is not yours")

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
