"""What earlier versions of this service have left behind: indexes, slots, and payloads of people who had gone."""

from __future__ import annotations

from promptforge.actors.accounts.messages import DeletionState
from promptforge.actors.accounts.records import PersonalRecords
from promptforge.actors.accounts.store import DELETIONS
from promptforge.actors.billing.events.store import EVENTS
from promptforge.actors.notifications.webhooks.store import WebhookStore
from promptforge.core.mongo import Mongo, drop_index
from promptforge.deploy.accounts import HELD

GONE = (DeletionState.ERASED, DeletionState.DONE, DeletionState.FORGOTTEN)


async def give_apps_their_slots(mongo: Mongo) -> None:
    """Webhooks of partners' apps took the room of their owners' own."""
    await WebhookStore(mongo).give_app_slots()


async def drop_old_indexes_of_sales(mongo: Mongo) -> None:
    """Longer ones, which sums are read from, have taken their places."""
    for name in ("partner_id_1_sold_at_1", "partner_id_1_term_1__id_1"):
        await drop_index(mongo, "ledger_sales", name)


async def drop_old_index_of_reports(mongo: Mongo) -> None:
    """One in whose order all who reported something are told has taken its place."""
    await drop_index(mongo, "marketplace_reports", "listing_id_1_created_at_-1")


async def drop_old_index_of_views(mongo: Mongo) -> None:
    """A longer one, from which views are added up without their documents, has taken its place."""
    await drop_index(mongo, "listing_days", "seller_id_1_day_1")


async def empty_late_events(mongo: Mongo) -> None:
    """Stripe's events that came after their person was erased, before the end of an event saw to that.

    They are erased as they would have been with the account; done again, it changes nothing.
    """
    records = PersonalRecords(mongo, HELD)
    people = mongo.collection(DELETIONS).find({"state": {"$in": [state.value for state in GONE]}}, {"_id": 1})
    async for person in people:
        await records.erase(EVENTS, person["_id"], spared=frozenset())
