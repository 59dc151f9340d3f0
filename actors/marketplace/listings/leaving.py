"""A seller's account is closed: what they sell leaves the market for good."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from promptforge.actors.marketplace.listings.domain import Move, next_state
from promptforge.actors.marketplace.listings.history import Act
from promptforge.actors.marketplace.listings.store import ListingStore, note_row
from promptforge.actors.marketplace.messages import ListingState
from promptforge.core.context import Context

_MOVES = {ListingState.PUBLISHED: Move.UNLIST, ListingState.IN_REVIEW: Move.WITHDRAW}


async def leave_market(store: ListingStore, seller_id: str, context: Context) -> int:
    """Each listing in a transaction of its own; done again, there is nothing left to do."""
    moved = 0
    for listing_id in await store.list_to_leave(seller_id):
        moved += await context.transaction(partial(_leave, store, listing_id, seller_id))
    return moved


async def _leave(store: ListingStore, listing_id: str, seller_id: str, tx: Context) -> int:
    """A case about it becomes obsolete with the revision; a suspended one does not come back where that is lifted.

    An appeal against a rejection is taken back: nobody is there to be heard.
    """
    listing = await store.get(listing_id, session=tx.session)
    changes: dict[str, object] = {}
    move = _MOVES.get(listing.state)
    if move is not None:
        changes["state"] = next_state(listing.state, move).value
    if listing.suspended_from is ListingState.PUBLISHED:
        changes["suspended_from"] = ListingState.UNLISTED.value
    if listing.proposal is not None:
        changes["proposal"] = None
    if listing.state is ListingState.REJECTED and listing.review is not None and listing.review.appealed_at is not None:
        changes["review"] = note_row(replace(listing.review, appealed_at=None))
        move = Move.WITHDRAW
    if not changes:
        return 0
    act = Act(move or Move.WITHDRAW_PROPOSAL, seller_id, tx.now())
    await store.change(listing, changes, act, tx)
    return 1
