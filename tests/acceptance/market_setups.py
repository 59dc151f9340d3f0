"""What the operations of the market need before somebody who may can be served; see `test_permissions`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.acceptance.test_permissions import World


def rejected(world: World) -> dict[str, Any]:
    made = world.submitted()
    review = {"decision": "reject", "reason_code": "misleading", "note": "No.", "decided_at": datetime.now(UTC)}
    changes = {"$set": {"state": "rejected", "review": review}}
    world.database["marketplace_listings"].update_one({"_id": made["listing_id"]}, changes)
    return made


def proposed(world: World) -> dict[str, Any]:
    made = world.published()
    world.owner.call("PATCH", f"/marketplace/listings/{made['listing_id']}", {"title": "Another title"}, expect=200)
    return made
