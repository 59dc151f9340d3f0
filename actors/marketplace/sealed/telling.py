"""Who is told what when runs give a sealed text away: moderators, and those whose runs they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from promptforge.actors.marketplace.listings.store import Listing
from promptforge.actors.marketplace.purchases.messages import GrantRefund
from promptforge.actors.marketplace.rulings.telling import CHANGED, UPHELD, how_to_appeal
from promptforge.actors.marketplace.sealed.grounds import Ground
from promptforge.actors.marketplace.sealed.messages import DecideRunsAppeal, DecideSuspicion
from promptforge.actors.marketplace.sealed.rulings import RunsRuling
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.notifications.messages import NotifyUser

SUSPECTED = "extraction_suspected"


def case_of(ground: Ground, user_id: str, matches: int) -> OpenCase:
    return OpenCase(
        listing_id=ground.listing.id,
        revision=ground.listing.revision,
        seller_id=ground.listing.seller_id,
        title=ground.listing.title,
        kind=CaseKind.EXTRACTION,
        reason=f"The outputs of {matches} runs, by one buyer or by linked accounts, had the sealed text in them.",
        purchase_id=ground.purchase_id,
        brought_by=user_id,
        subject=ground.group[0],
    )


def stopped_notice(ground: Ground, user_id: str, run_id: str) -> NotifyUser:
    title = ground.listing.title
    return NotifyUser(
        user_id=user_id,
        kind="runs.stopped",
        title=f"Runs stopped: {title}",
        body=f"Why ({SUSPECTED}): outputs of your runs of “{title}”, or of accounts linked to yours, had much of its "
        "sealed text in them. You cannot run it until a moderator has looked at that; you will hear what they decide. "
        "What you paid for runs that were withheld was the model's cost only.\n\n"
        "What you can do: wait for the decision, within which nothing is taken from you. If it is against you, it says "
        "why, and how to appeal.",
        subject={"listing_id": ground.listing.id, "reason_code": SUSPECTED},
        dedupe_key=f"runs.stopped:{run_id}:{user_id}",
    )


def grant_of(purchase_id: str, message: DecideSuspicion) -> GrantRefund:
    """Of what one of them had bought, where the suspicion was upheld."""
    return GrantRefund(
        purchase_id=purchase_id,
        case_id=message.case_id,
        reason_code=message.reason_code,
        public_note=message.public_note,
        words=message.words,
        to_buyer=message.explanation,
        to_seller=message.to_seller,
    )


def decided_notices(
    message: DecideSuspicion, people: Iterable[str], *, appeal_until: datetime | None
) -> list[NotifyUser]:
    """With an `appeal_until` it was upheld."""
    outcome = "You can run it again."
    last = []
    if appeal_until is not None:
        outcome = "What you had bought of its runs is given back, and you can neither run it nor buy runs any more."
        last = [how_to_appeal(f"/marketplace/listings/{message.listing_id}/runs/appeal", appeal_until)]
    return [
        NotifyUser(
            user_id=user_id,
            kind="runs.decided",
            title="Your runs of a listing were looked at",
            body="\n\n".join([f"A moderator has looked at your runs. {outcome}", message.explanation, *last]),
            subject={"listing_id": message.listing_id, "reason_code": message.reason_code},
            dedupe_key=f"runs.decided:{message.case_id}:{user_id}",
        )
        for user_id in people
    ]


def appeal_case(listing: Listing, kept: RunsRuling, words: str, user_id: str) -> OpenCase:
    return OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=listing.seller_id,
        title=listing.title,
        kind=CaseKind.EXTRACTION_APPEAL,
        reason=words,
        brought_by=user_id,
        subject=kept.subject,
        against=kept.case_id,
    )


def appeal_notices(message: DecideRunsAppeal, kept: RunsRuling, listing: Listing) -> list[NotifyUser]:
    """To all who were told that their runs were stopped; where it is granted, to the seller as well."""
    subject = {"listing_id": listing.id, "reason_code": message.reason_code}
    title, head = f"Your runs stay stopped: {listing.title}", UPHELD
    if message.granted:
        title = f"You can run it again: {listing.title}"
        head = (
            f"{CHANGED} You can run “{listing.title}”, and buy runs of it, again. What you were given back stays yours."
        )
    told = [
        NotifyUser(
            user_id=user_id,
            kind="runs.decided",
            title=title,
            body=f"{head}\n\n{message.explanation}",
            subject=subject,
            dedupe_key=f"runs.decided:{message.appeal_id}:{user_id}",
        )
        for user_id in kept.people
    ]
    if message.granted:
        told.append(
            NotifyUser(
                user_id=listing.seller_id,
                kind="listing.runs_restored",
                title=f"Runs go on: {listing.title}",
                body=f"Somebody's runs of “{listing.title}” had been stopped for good. Another moderator has heard "
                "their appeal: they were not after its text, and may go on. If sales of yours were refunded for it, "
                "you can appeal that too; the notices of those refunds say how.",
                subject={"listing_id": listing.id},
                dedupe_key=f"listing.runs_restored:{message.appeal_id}",
            )
        )
    return told
