"""What the operations of notifications need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from promptforge.core.ids import new_id

if TYPE_CHECKING:
    from tests.support.permission_world import World

CaseT = TypeVar("CaseT")
_URL = "https://receiver.example/hook"


def webhook(world: World) -> dict[str, Any]:
    """One of the owner's, which have ten places only."""
    world.database["webhooks"].delete_many({"user_id": world.owner_id})
    made = world.owner.post("/notifications/webhooks", {"url": _URL}, expect=201)
    return {"webhook_id": made["webhook"]["id"]}


def delivery(world: World) -> dict[str, Any]:
    """Of something that was sent."""
    made = webhook(world)
    tested = world.owner.post(f"/notifications/webhooks/{made['webhook_id']}/test", expect=202)
    world.database["notification_deliveries"].update_one(
        {"_id": tested["id"]}, {"$set": {"state": "delivered", "ended_at": tested["created_at"]}}
    )
    return {**made, "delivery_id": tested["id"]}


def mailed(world: World) -> dict[str, Any]:
    """A mail that has come back; its reader has an address."""
    people, now = world.database["users"], datetime.now(UTC)
    people.update_one({"_id": world.owner_id}, {"$set": {"email": "owner@example.com"}})
    delivery = {
        "_id": new_id("dlv"),
        "event_id": new_id("ntf"),
        "channel": "email",
        "user_id": world.owner_id,
        "kind": "listing.sold",
        "state": "delivered",
        "failures": 0,
        "attempts": [],
        "created_at": now,
    }
    world.database["notification_deliveries"].insert_one(delivery)
    return {"delivery_id": delivery["_id"], "reason": "No such mailbox"}


def cases(case: Callable[..., CaseT]) -> dict[str, CaseT]:
    return {
        "streamNotifications": case(),
        "createStreamTicket": case(),
        "enableEmail": case(),
        "reportBounce": case(body=mailed),
        "listWebhooks": case(),
        "createWebhook": case(body=lambda _: {"url": f"{_URL}/{new_id('x')}"}),
        "getWebhook": case(webhook),
        "updateWebhook": case(webhook, lambda _: {"description": "Another"}),
        "deleteWebhook": case(webhook),
        "rotateWebhookSecret": case(webhook),
        "enableWebhook": case(webhook),
        "disableWebhook": case(webhook),
        "testWebhook": case(webhook),
        "listWebhookDeliveries": case(webhook),
        "getWebhookDelivery": case(delivery),
        "redeliverWebhook": case(delivery),
    }
