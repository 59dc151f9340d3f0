"""How buyers and sellers are told what became of a purchase."""

from __future__ import annotations

from datetime import datetime

from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.packaged import Row, find_offer
from promptforge.actors.marketplace.purchases.messages import GrantRefund, RefuseRefund, RunsOutcome, TellRunHolders
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


_RUNS_JUDGED = {
    RunsOutcome.STOPPED: (
        "runs.suspended",
        "Runs stopped: {title}",
        "“{title}” was taken off the market. Until it is back you cannot run it. You will hear then. {words}",
    ),
    RunsOutcome.STOPPED_FOR_GOOD: (
        "runs.suspended",
        "Runs ended: {title}",
        "“{title}”, which moderators have taken off the market, does not come back, and you cannot run it. {words}",
    ),
    RunsOutcome.GO_ON: (
        "runs.resumed",
        "You can run it again: {title}",
        "“{title}” is no longer suspended, and you can run it as before. {words}",
    ),
}
_ASK_BACK = (
    "What you can do: ask for what you paid for it (POST /marketplace/purchases/{purchase_id}/refund). It comes back "
    "at once where the refund policy covers that; otherwise a moderator decides, and you can appeal."
)


def runs_judged(purchase: Purchase, message: TellRunHolders) -> NotifyUser:
    """To who holds runs of a listing that was suspended, or is no more."""
    kind, title, body = _RUNS_JUDGED[message.outcome]
    parts = [body.format(title=purchase.title, words=message.words)]
    if message.outcome is not RunsOutcome.GO_ON:
        parts.append(_ASK_BACK.format(purchase_id=purchase.id))
    return NotifyUser(
        user_id=purchase.buyer_id,
        kind=kind,
        title=title.format(title=purchase.title),
        body="\n\n".join(parts),
        subject=_subject(purchase),
        dedupe_key=f"{kind}:{message.decision}:{purchase.id}",
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


def refunded(purchase: Purchase, reason: str, grant: GrantRefund | None) -> tuple[NotifyUser, NotifyUser]:
    """`grant`: a moderator's; without one it says why in a sentence."""
    subject = _subject(purchase)
    if grant is not None:
        subject["reason_code"] = grant.reason_code
    price, net = from_millicredits(purchase.price), from_millicredits(purchase.seller_share)
    from_seller = f"A sale of “{purchase.title}” was refunded, {net} credits of it from you."
    to_buyer = f"Your purchase of “{purchase.title}” for {price} credits was refunded."
    return (
        NotifyUser(
            user_id=purchase.seller_id,
            kind="sale.refunded",
            title=f"Refunded: {purchase.title}",
            body=f"{from_seller} {reason}" if grant is None else f"{from_seller}\n\n{grant.to_seller}",
            subject=subject,
            dedupe_key=f"sale.refunded:{purchase.id}",
        ),
        NotifyUser(
            user_id=purchase.buyer_id,
            kind="purchase.refunded",
            title=f"Refunded: {purchase.title}",
            body=f"{to_buyer} {reason}" if grant is None else f"{to_buyer}\n\n{grant.to_buyer}",
            subject=subject,
            dedupe_key=f"purchase.refunded:{purchase.id}",
        ),
    )


def _subject(purchase: Purchase) -> dict[str, str]:
    return {"purchase_id": purchase.id, "listing_id": purchase.listing_id}
