"""How buyers and sellers are told what became of a purchase."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.packaged import Row, find_offer
from promptforge.actors.marketplace.purchases.messages import (
    DecideSaleAppeal,
    GrantRefund,
    RefuseRefund,
    RunsOutcome,
    TellRunHolders,
)
from promptforge.actors.marketplace.purchases.store import Purchase
from promptforge.actors.marketplace.rulings.telling import CHANGED, UPHELD, how_to_appeal
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.amounts import from_millicredits

_NOTHING_LOST = "It took nothing from you, so that there is nothing to appeal."


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
        subject={**_subject(purchase), "reason_code": message.reason_code},
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
        parts = (head, UPHELD, message.explanation)
    else:
        appeal = how_to_appeal(f"/marketplace/purchases/{purchase.id}/refund/appeal", appeal_until)
        parts = (head, message.explanation, appeal)
    return NotifyUser(
        user_id=purchase.buyer_id,
        kind="refund.refused",
        title=f"Refund refused: {purchase.title}",
        body="\n\n".join(parts),
        subject={**_subject(purchase), "reason_code": message.reason_code},
        dedupe_key=f"refund.refused:{purchase.id}{':final' if appeal_until is None else ''}",
    )


@dataclass(frozen=True, slots=True)
class Because:
    """Why a refund needed no decision; `buyers_next` and `sellers_next`: what either can do."""

    code: str
    words: str
    buyers_next: str
    sellers_next: str


_NOTHING_TO_DO = "There is nothing that you have to do"
WITHIN_POLICY = Because(
    "within_policy",
    "The buyer asked for it within the refund policy.",
    "You can buy it again as long as it is on offer.",
    f"{_NOTHING_TO_DO}: the refund policy is part of each sale.",
)
PAYMENT_DISPUTED = Because(
    "payment_disputed",
    "Its payment was disputed.",
    "You can buy it again with other credits, as long as it is on offer.",
    f"{_NOTHING_TO_DO}: who had paid, or their bank, has taken the money back.",
)


def given_back(words: str) -> Because:
    """For another reason."""
    return Because("given_back", words, WITHIN_POLICY.buyers_next, f"{_NOTHING_TO_DO}.")


def refunded(purchase: Purchase, because: Because, grant: GrantRefund | None) -> tuple[NotifyUser, NotifyUser]:
    """`grant`: a moderator's; without one `because` says why."""
    code = because.code if grant is None else grant.reason_code
    subject = {**_subject(purchase), "reason_code": code}
    price, net = from_millicredits(purchase.price), from_millicredits(purchase.seller_share)
    why = f"Why ({code}): {because.words}"
    for_buyer = [why, f"What you can do: {because.buyers_next}"] if grant is None else [grant.to_buyer]
    for_seller = [why, because.sellers_next] if grant is None else [grant.to_seller, _sellers_appeal(purchase)]
    from_seller = f"A sale of “{purchase.title}” was refunded, {net} credits of it from you."
    to_buyer = f"Your purchase of “{purchase.title}” for {price} credits was refunded."
    return (
        NotifyUser(
            user_id=purchase.seller_id,
            kind="sale.refunded",
            title=f"Refunded: {purchase.title}",
            body="\n\n".join([from_seller, *for_seller]),
            subject=subject,
            dedupe_key=f"sale.refunded:{purchase.id}",
        ),
        NotifyUser(
            user_id=purchase.buyer_id,
            kind="purchase.refunded",
            title=f"Refunded: {purchase.title}",
            body="\n\n".join([to_buyer, *for_buyer]),
            subject=subject,
            dedupe_key=f"purchase.refunded:{purchase.id}",
        ),
    )


def _sellers_appeal(purchase: Purchase) -> str:
    if purchase.ruling is None:
        return _NOTHING_LOST
    return how_to_appeal(f"/marketplace/sales/{purchase.id}/refund/appeal", purchase.ruling["appeal_until"])


def sale_appeal_heard(purchase: Purchase, message: DecideSaleAppeal, compensated: int) -> tuple[NotifyUser, NotifyUser]:
    """To the seller, and to the buyer, for whom nothing changes. `compensated` in millicredits."""
    kind, title, parts = "sale.refunded", f"Stays refunded: {purchase.title}", [UPHELD]
    if message.granted:
        kind, title = "sale.compensated", f"Made good: {purchase.title}"
        given = from_millicredits(compensated)
        parts = [
            CHANGED,
            f"The platform gives you {given} credits for the sale of “{purchase.title}” that was refunded.",
        ]
    subject = _subject(purchase)
    return (
        NotifyUser(
            user_id=purchase.seller_id,
            kind=kind,
            title=title,
            body="\n\n".join([*parts, message.explanation]),
            subject={**subject, "reason_code": message.reason_code},
            dedupe_key=f"{kind}:{message.case_id}",
        ),
        NotifyUser(
            user_id=purchase.buyer_id,
            kind="refund.heard",
            title=f"You keep your refund: {purchase.title}",
            body=f"The seller of “{purchase.title}” appealed against your refund, and another moderator has heard that."
            " Whatever it ended with, you keep the credits that you were given back.",
            subject=subject,
            dedupe_key=f"refund.heard:{message.case_id}",
        ),
    )


def _subject(purchase: Purchase) -> dict[str, str]:
    return {"purchase_id": purchase.id, "listing_id": purchase.listing_id}
