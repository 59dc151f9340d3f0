"""What else the service before has left: its history, its listings, and the events that it has had from Stripe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from promptforge.actors.billing.events.store import EVENTS
from promptforge.actors.billing.ledger.opening.domain import MARK, Unreadable, read_credits
from promptforge.actors.billing.ledger.store import LEGS
from promptforge.actors.billing.messages import WebhookEventState
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import Category, Decision, Licence, ListingState
from promptforge.core.mongo import Document, Mongo, Session, UpdateOne, patiently
from promptforge.deploy.upgrade.batches import in_batches, replace_all
from promptforge.deploy.upgrade.identity import People, Unresolved, internal_id

HISTORY_BATCH = 1000
LISTINGS_BATCH = 100
EVENTS_BATCH = 25
"""A payload may have half a megabyte, and a transaction of forty does not fit into a small cache."""
NOT_SELLABLE = "from_the_service_before"
NOTE = (
    "This listing comes from the service before this one. It names no version of a prompt and no moderator has seen "
    "it, so it cannot be sold: make a new listing of the version that you want to sell."
)
_UNMARKED: Document = {MARK: {"$exists": False}}
_EVENT_FIELDS = (
    *("type", "api_version", "livemode", "account", "created", "payload", "state", "attempts", "reason", "created_at"),
    *("received_at", "finished_at"),
)
_UNHANDLED = frozenset({"dead", "error", "failed", "new", "pending", "processing", "received", "retry"})

log = structlog.get_logger(__name__)


# The history


async def mark_history(mongo: Mongo) -> None:
    """Rows of `transactions` that belong to no journal are kept as they are, but for whom they name.

    That goes under the mark, and becomes the internal id: so no sum of the ledger meets them, and a person's Firebase
    uid stands in `users` only.
    """
    rows, people = mongo.collection(LEGS), People(mongo)

    async def work(batch: Sequence[Document], session: Session) -> None:
        references = [row.get("user_id") for row in batch]
        meant = await people.resolve(references, session=session)
        await rows.bulk_write(
            [
                UpdateOne({"_id": row["_id"]}, {"$set": {MARK: _named(reference, one)}, "$unset": {"user_id": ""}})
                for row, reference, one in zip(batch, references, meant, strict=True)
            ],
            ordered=False,
            session=session,
        )

    await in_batches(mongo, LEGS, {"journal_id": None, **_UNMARKED}, work, size=HISTORY_BATCH)
    await _report(mongo, LEGS, "upgrade.history")


def _named(reference: object, meant: str | Unresolved) -> Document:
    if isinstance(meant, Unresolved):
        return {"user_id": reference, "reason": meant.value}
    return {"user_id": meant, "reason": None}


async def _report(mongo: Mongo, collection: str, event: str) -> None:
    marked = mongo.collection(collection)
    with patiently():
        kept = await marked.count_documents({MARK: {"$exists": True}})
        without = await marked.count_documents({f"{MARK}.reason": {"$in": [one.value for one in Unresolved]}})
    if kept:
        log.info(event, kept=kept, of_nobody_known=without)


# Listings


async def reject_listings(mongo: Mongo) -> None:
    """Old listings show up with their sellers, rejected, with the reason: a listing here sells a reviewed version."""
    listings, people = mongo.collection(LISTINGS), People(mongo)

    async def work(batch: Sequence[Document], session: Session) -> None:
        now = datetime.now(UTC)
        sellers = await people.resolve([row.get("seller_id") for row in batch], session=session)
        new = [_listing(row, seller, now) for row, seller in zip(batch, sellers, strict=True)]
        await replace_all(listings, batch, new, session=session)

    await in_batches(mongo, LISTINGS, {"revision": {"$exists": False}, **_UNMARKED}, work, size=LISTINGS_BATCH)
    await _report(mongo, LISTINGS, "upgrade.listings")


def _listing(row: Document, seller: str | Unresolved, now: datetime) -> Document:
    """As this service stores one; what it was is under the mark. Nobody's has no seller, and nobody sees it."""
    price = read_credits(row.get("price"))
    made_at = _moment(row.get("created_at")) or now
    known = not isinstance(seller, Unresolved)
    return {
        "_id": internal_id("lst", row["_id"]),
        "seller_id": seller if known else "",
        "state": ListingState.REJECTED.value,
        "revision": 1,
        "prompt_id": "",
        "version": 0,
        "content_hash": "",
        "title": _words(row, "title", "name", most=120) or "Untitled",
        "summary": _words(row, "summary", most=300),
        "description": _words(row, "description", most=10_000),
        "category": _category(row.get("category")),
        "tags": [],
        "price": 0 if isinstance(price, Unreadable) else max(price, 0),
        "licence": Licence.SOURCE.value,
        "review": {
            "decision": Decision.REJECT.value,
            "reason_code": NOT_SELLABLE,
            "note": NOTE,
            "decided_at": now,
        },
        "created_at": made_at,
        "updated_at": now,
        "published_at": None,
        MARK: {"id": row["_id"], "reason": None if known else str(seller), "kept": row},
    }


def _words(row: Document, *names: str, most: int) -> str:
    found = [row[name] for name in names if isinstance(row.get(name), str) and row[name]]
    return found[0][:most] if found else ""


def _category(stored: object) -> str:
    return stored if isinstance(stored, str) and stored in set(Category) else Category.OTHER.value


def _moment(stored: object) -> datetime | None:
    return stored if isinstance(stored, datetime) else None


# Events


async def close_events(mongo: Mongo) -> None:
    """Events that the service before has had are known here, and none is applied again when Stripe sends it again."""
    events = mongo.collection(EVENTS)
    left: Document = {**_UNMARKED, "$or": [{name: {"$exists": False}} for name in _EVENT_FIELDS]}

    async def work(batch: Sequence[Document], session: Session) -> None:
        now = datetime.now(UTC)
        await replace_all(events, batch, [_event(row, now) for row in batch], session=session)

    await in_batches(mongo, EVENTS, left, work, size=EVENTS_BATCH)
    doubtful = {f"{MARK}.id": {"$exists": True}, "state": WebhookEventState.QUARANTINED.value}
    with patiently():
        count = await events.count_documents(doubtful)
    if count:
        log.warning("upgrade.events_not_handled", events=count, see="the quarantined webhook events")


def _event(row: Document, now: datetime) -> Document:
    """What was not handled is for an operator to look at; whether money was real is so unless it was said not to be."""
    payload: Document = row["payload"] if isinstance(row.get("payload"), dict) else {}
    came = _moment(row.get("received_at")) or _moment(row.get("created_at")) or now
    state, reason = _ended(row)
    livemode = _said(row, payload, "livemode", bool)
    return {
        "_id": internal_id("whe", row["_id"]),
        "event_id": row["event_id"],
        "type": _said(row, payload, "type", str) or "unknown",
        "api_version": _said(row, payload, "api_version", str),
        "livemode": True if livemode is None else livemode,
        "account": _said(row, payload, "account", str),
        "created": _said(row, payload, "created", int) or int(came.timestamp()),
        "payload": payload,
        "state": state.value,
        "attempts": 0,
        "reason": reason,
        "created_at": came,
        "received_at": came,
        "finished_at": _moment(row.get("processed_at")) or came,
        MARK: {"id": row["_id"], "kept": {name: value for name, value in row.items() if name != "payload"}},
    }


def _said(row: Document, payload: Document, name: str, kind: type) -> Any:  # Any: a value of `kind`, or None
    for value in (row.get(name), payload.get(name)):
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
    return None


def _ended(row: Document) -> tuple[WebhookEventState, str]:
    told = str(row.get("state") or row.get("status") or "").lower()
    if row.get("processed") is False or told in _UNHANDLED or row.get("error"):
        return WebhookEventState.QUARANTINED, "the service before had it and did not say that it was handled"
    return WebhookEventState.PROCESSED, "handled by the service before"
