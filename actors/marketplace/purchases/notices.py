"""How buyers and sellers are told what became of a purchase."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.packaged import Row, find_offer
from promptforge.actors.marketplace.purchases.messages import RefuseRefund
from promptforge.actors.marketplace.purchases.store import Purchase
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.amounts import from_millicredits

_APPEAL = (
    "If you think that this is wrong, appeal until {until:%Y-%m-%d}, once and in your own words "
    "(POST /marketplace/purchases/{purchase_id}/refund/appeal): another moderator decides."
)
_UPHELD = "Your appeal was heard by another moderator, who decided as before. That is final."


def sold(purchase: Purchase) -> tuple[NotifyUser, NotifyUser]:
    subject = _subject(purchase)
    net = from_millicredits(purchase.seller_share)
    price = from_millicredits(purchase.price)
    return (
        NotifyUser(
            user_id=purchase.seller_id,
            kind="listing.sold",
            title=f"Sold: {purchase.title}",
            body=f"“{purchase.title}” was bought for {price} credits; {net} credits of it are yours once settled.",
            subject=subject,
            dedupe_key=f"listing.sold:{purchase.id}",
        ),
        NotifyUser(
            user_id=purchase.buyer_id,
            kind="purchase.completed",
            title=f"Yours: {purchase.title}",
            body=f"You bought “{purchase.title}” for {price} credits. It is in your library.",
            subject=subject,
            dedupe_key=f"purchase.completed:{purchase.id}",
        ),
    )


def newer_version(purchase: Purchase, listing: Listing) -> NotifyUser:
    """To whoever has an earlier one; once for each version, however many purchases they have."""
    has, sold_now = _version(purchase.package, purchase.version), _version(listing.package, listing.version)
    return NotifyUser(
        user_id=purchase.buyer_id,
        kind="purchase.newer_version",
        title=f"A newer version: {listing.title}",
        body=f"“{listing.title}”, of which you have version {has}, is sold in version {sold_now} by now. "
        "What you bought is yours and stays as it is.",
        subject={**_subject(purchase), "version": str(listing.version)},
        dedupe_key=f"purchase.newer_version:{listing.id}:{listing.version}:{purchase.buyer_id}",
    )


def _version(package: Row | None, number: int) -> str:
    """As its publisher named it, of a package."""
    offer = find_offer(package)
    return str(number) if offer is None else offer.version


def refused(purchase: Purchase, message: RefuseRefund, *, appeal_until: datetime | None) -> NotifyUser:
    """Without an `appeal_until` it was the answer to an appeal."""
    head = f"A moderator has refused the refund of “{purchase.title}”; the purchase stays yours."
    if appeal_until is None:
        parts = (head, _UPHELD, message.explanation)
    else:
        parts = (head, message.explanation, _APPEAL.format(purchase_id=purchase.id, until=appeal_until))
    return NotifyUser(
        user_id=purchase.buyer_id,
        kind="refund.refused",
        title=f"Refund refused: {purchase.title}",
        body="\n\n".join(parts),
        subject={**_subject(purchase), "reason_code": message.reason_code},
        dedupe_key=f"refund.refused:{purchase.id}{':final' if appeal_until is None else ''}",
    )


def refunded(purchase: Purchase, reason: str) -> tuple[NotifyUser, NotifyUser]:
    subject = _subject(purchase)
    price, net = from_millicredits(purchase.price), from_millicredits(purchase.seller_share)
    return (
        NotifyUser(
            user_id=purchase.seller_id,
            kind="sale.refunded",
            title=f"Refunded: {purchase.title}",
            body=f"A sale of “{purchase.title}” was refunded, {net} credits of it from you. {reason}",
            subject=subject,
            dedupe_key=f"sale.refunded:{purchase.id}",
        ),
        NotifyUser(
            user_id=purchase.buyer_id,
            kind="purchase.refunded",
            title=f"Refunded: {purchase.title}",
            body=f"Your purchase of “{purchase.title}” for {price} credits was refunded. {reason}",
            subject=subject,
            dedupe_key=f"purchase.refunded:{purchase.id}",
        ),
    )


def _subject(purchase: Purchase) -> dict[str, str]:
    return {"purchase_id": purchase.id, "listing_id": purchase.listing_id}
