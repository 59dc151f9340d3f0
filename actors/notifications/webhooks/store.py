"""Every query on the collection `webhooks`: where people want to be called, and how that went lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from promptforge.actors.notifications.webhooks.domain import MOST_OF_AN_APP, MOST_WEBHOOKS, Webhook
from promptforge.actors.notifications.webhooks.errors import TooManyWebhooks
from promptforge.actors.notifications.webhooks.messages import WebhookState
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Document, Index, Mongo, Session
from promptforge.core.personal import Held, Subject

WEBHOOKS = "webhooks"

INDEXES: dict[str, tuple[Index, ...]] = {WEBHOOKS: (Index((("user_id", 1), ("slot", 1)), unique=True),)}
HELD = {
    WEBHOOKS: Held(
        "Your webhooks, without their secrets",
        (Subject("user_id", deleted=True),),
        plain=frozenset({"*"}),
        secret=frozenset({"secret", "secrets", "sealed"}),
    ),
}
NOTED_EVERY = timedelta(minutes=1)
"""That something was delivered is noted this often: a busy webhook's document would be written with each delivery."""
_NOT_THERE = "There is no such webhook, or it is not yours"


@dataclass(frozen=True, slots=True)
class Whose:
    """A person's webhooks; for an app of theirs only those that are tied to it, and the others are not there."""

    user_id: str
    app_id: str | None = None

    def wanted(self, **more: object) -> Document:
        return {"user_id": self.user_id, **({} if self.app_id is None else {"app_id": self.app_id}), **more}


class WebhookStore:
    """A person's webhooks have slots, and a slot has one: so there are never too many, whoever makes them at once.

    Slots are numbers for a person's own, and texts with the app's id for those that are tied to an app.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._webhooks = mongo.collection(WEBHOOKS)

    async def insert(self, webhook: Webhook, *, session: Session) -> None:
        """Raises `TooManyWebhooks`."""
        rows = await self._webhooks.find({"user_id": webhook.user_id}, {"slot": 1}, session=session).to_list(None)
        taken = {row["slot"] for row in rows}
        slots: list[int | str]
        if webhook.app_id is None:
            slots, whose, most = list(range(MOST_WEBHOOKS)), "You have", MOST_WEBHOOKS
        else:
            slots = [app_slot(webhook.app_id, number) for number in range(MOST_OF_AN_APP)]
            whose, most = "The app has", MOST_OF_AN_APP
        free = next((slot for slot in slots if slot not in taken), None)
        if free is None:
            raise TooManyWebhooks(f"{whose} {most} webhooks: delete one first")
        await self._webhooks.insert_one({**_document(webhook), "slot": free}, session=session)

    async def give_app_slots(self) -> None:
        """Webhooks of apps took their owners' slots once: those that there are get their apps'. Can be done again."""
        old: Document = {"app_id": {"$type": "string"}, "slot": {"$type": "number"}}
        async for row in self._webhooks.find(old, {"app_id": 1, "slot": 1}):
            slot = app_slot(row["app_id"], row["slot"])
            await self._webhooks.update_one({"_id": row["_id"], "slot": row["slot"]}, {"$set": {"slot": slot}})

    async def get(self, webhook_id: str, whose: Whose, *, session: Session | None = None) -> Webhook:
        """Raises `NotFound`."""
        row = await self._webhooks.find_one(whose.wanted(_id=webhook_id), session=session)
        if row is None:
            raise NotFound(_NOT_THERE)
        return _webhook_from(row)

    async def find(self, webhook_id: str, *, session: Session | None = None) -> Webhook | None:
        row = await self._webhooks.find_one({"_id": webhook_id}, session=session)
        return None if row is None else _webhook_from(row)

    async def list_of(self, whose: Whose, *, session: Session | None = None) -> list[Webhook]:
        """Oldest first."""
        rows = self._webhooks.find(whose.wanted(), session=session).sort([("_id", 1)])
        return [_webhook_from(row) for row in await rows.to_list(None)]  # as many as there are slots

    async def update(
        self, webhook_id: str, whose: Whose, changes: Mapping[str, object], *, session: Session | None
    ) -> Webhook:
        """Raises `NotFound`."""
        row = await self._webhooks.find_one_and_update(
            whose.wanted(_id=webhook_id), {"$set": dict(changes)}, session=session
        )
        if row is None:
            raise NotFound(_NOT_THERE)
        return _webhook_from(row)

    async def delete(self, webhook_id: str, whose: Whose, *, session: Session | None) -> None:
        """Raises `NotFound`."""
        done = await self._webhooks.delete_one(whose.wanted(_id=webhook_id), session=session)
        if not done.deleted_count:
            raise NotFound(_NOT_THERE)

    async def delete_of_app(self, whose: Whose, *, before: int | None, session: Session | None) -> int:
        """Those from before a generation, or all; answers how many. One that knows none is of the first."""
        older: Document = {} if before is None else {"app_generation": {"$not": {"$gte": before}}}
        return (await self._webhooks.delete_many(whose.wanted(**older), session=session)).deleted_count

    async def note_delivered(self, webhook: Webhook, *, now: datetime, session: Session | None) -> None:
        """It works: what failed before is forgotten."""
        if (
            webhook.failing_since is None
            and webhook.delivered_at is not None
            and now - webhook.delivered_at < NOTED_EVERY
        ):
            return
        fields = {"failing_since": None, "delivered_at": now}
        await self._webhooks.update_one({"_id": webhook.id}, {"$set": fields}, session=session)

    async def note_failed(self, webhook: Webhook, *, now: datetime, session: Session | None) -> None:
        """Of the address that it has here: nothing where it has another one by now."""
        failed = {"_id": webhook.id, "url": webhook.url, "failing_since": None}
        await self._webhooks.update_one(failed, {"$set": {"failing_since": now}}, session=session)

    async def disable(self, webhook: Webhook, reason: str, *, now: datetime, session: Session | None) -> bool:
        """False where it is disabled already, gone, or has another address by now."""
        done = await self._webhooks.update_one(
            {"_id": webhook.id, "url": webhook.url, "state": WebhookState.ENABLED.value},
            {"$set": {"state": WebhookState.DISABLED.value, "reason": reason, "updated_at": now}},
            session=session,
        )
        return done.matched_count == 1


def app_slot(app_id: str, number: int) -> str:
    return f"{app_id}:{number}"


def _document(webhook: Webhook) -> Document:
    return {
        "_id": webhook.id,
        "user_id": webhook.user_id,
        "url": webhook.url,
        "description": webhook.description,
        "kinds": list(webhook.kinds),
        "state": webhook.state.value,
        "reason": webhook.reason,
        "secret": webhook.secret,
        "old_secret": webhook.old_secret,
        "old_secret_until": webhook.old_secret_until,
        "failing_since": webhook.failing_since,
        "delivered_at": webhook.delivered_at,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
        "app_id": webhook.app_id,
        "app_generation": webhook.app_generation,
    }


def _webhook_from(row: Document) -> Webhook:
    return Webhook(
        id=row["_id"],
        user_id=row["user_id"],
        url=row["url"],
        description=row["description"],
        kinds=tuple(row["kinds"]),
        state=WebhookState(row["state"]),
        reason=row["reason"],
        secret=bytes(row["secret"]),
        old_secret=bytes(row["old_secret"]) if row["old_secret"] is not None else None,
        old_secret_until=row["old_secret_until"],
        failing_since=row["failing_since"],
        delivered_at=row["delivered_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        app_id=row.get("app_id"),  # those from before there were apps have none
        app_generation=row.get("app_generation", 0),
        test_id=row.get("test_id"),
    )
