"""A version of a package was revoked: what sells it leaves the market, until it sells another one."""

from __future__ import annotations

from functools import partial
from typing import Any

from promptforge.actors.marketplace.listings.domain import Move, next_state
from promptforge.actors.marketplace.listings.history import Act
from promptforge.actors.marketplace.listings.messages import TakeRevokedOffMarket
from promptforge.actors.marketplace.listings.store import Listing, ListingStore
from promptforge.actors.marketplace.messages import ListingState
from promptforge.actors.marketplace.packaged import find_offer
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.packages.messages import ExpectUnrevoked
from promptforge.core.context import Context

REASON_CODE = "package_revoked"
_MOVES = {ListingState.PUBLISHED: Move.UNLIST, ListingState.IN_REVIEW: Move.WITHDRAW}


async def take_off_market(store: ListingStore, message: TakeRevokedOffMarket, context: Context) -> int:
    """Each listing in a transaction of its own; done again, there is nothing left to do."""
    moved = 0
    for listing_id in await store.list_of_version(message.package_id, message.number):
        moved += await context.transaction(partial(_take_off, store, listing_id, message))
    return moved


async def _take_off(store: ListingStore, listing_id: str, message: TakeRevokedOffMarket, tx: Context) -> int:
    """A case about it becomes obsolete with the revision; a suspended one comes back off the market."""
    listing = await store.get(listing_id, session=tx.session)
    sells, proposes = listing.version == message.number, _proposed_version(listing) == message.number
    changes: dict[str, Any] = {}  # Any: a MongoDB document
    move = _MOVES.get(listing.state) if sells else None
    if move is not None:
        changes["state"] = next_state(listing.state, move).value
    if sells and listing.suspended_from is ListingState.PUBLISHED:
        changes["suspended_from"] = ListingState.UNLISTED.value
    if proposes:
        changes["proposal"] = None
    if not changes:
        return 0
    act = Act(move or Move.WITHDRAW_PROPOSAL, None, tx.now(), REASON_CODE, message.reason)
    await store.change(listing, changes, act, tx)
    await tx.enqueue(revocation_notice(listing, message, sold=sells), owner_id=listing.seller_id)
    return 1


def _proposed_version(listing: Listing) -> object:
    return None if listing.proposal is None else listing.proposal.changes.get("version")


async def expect_unrevoked(listing: Listing, context: Context) -> None:
    """Where a listing goes into review or onto the market, in the same transaction.

    What commits beside a revocation all the same is found when the job comes by again. Raises `PackageRevoked`.
    """
    offered = find_offer(listing.package)
    if offered is not None:
        await context.ask(ExpectUnrevoked(package_id=offered.package_id, version=offered.version))


def revocation_notice(listing: Listing, message: TakeRevokedOffMarket, *, sold: bool) -> NotifyUser:
    version = "the version that it sells" if sold else "the version that you proposed for it"
    then = "propose another version of it."
    if sold:
        then = "propose another version, and relist it then. It is not on the market until it sells another one."
    body = f"Of “{listing.title}” {version} was revoked. Why ({REASON_CODE}): {message.reason}"
    return NotifyUser(
        user_id=listing.seller_id,
        kind="listing.revoked",
        title=f"Revoked: {listing.title}",
        body=f"{body[:3500]}\n\nWhat you can do: {then}",
        subject={"listing_id": listing.id, "package_id": message.package_id, "reason_code": REASON_CODE},
        dedupe_key=f"listing.revoked:{listing.id}:{message.number}",
    )
