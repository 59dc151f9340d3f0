"""The moderators' case about a purchase."""

from __future__ import annotations

from promptforge.actors.marketplace.listings.store import ListingStore
from promptforge.actors.marketplace.purchases.store import Purchase
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.core.context import Context


async def refund_case(
    listings: ListingStore, purchase: Purchase, tx: Context, *, kind: CaseKind, words: str, against: str | None = None
) -> OpenCase:
    """What its buyer asks for or, with the case that it is `against`, what its seller appeals."""
    listing = await listings.get(purchase.listing_id, session=tx.session)
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=purchase.title,
        kind=kind,
        reason=words,
        purchase_id=purchase.id,
        brought_by=purchase.buyer_id if against is None else purchase.seller_id,
        against=against,
    )
