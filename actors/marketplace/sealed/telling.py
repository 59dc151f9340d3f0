"""Who is told what when runs give a sealed text away: moderators, and those whose runs they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from promptforge.actors.marketplace.purchases.messages import GrantRefund
from promptforge.actors.marketplace.sealed.grounds import Ground
from promptforge.actors.marketplace.sealed.messages import DecideSuspicion
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.notifications.messages import NotifyUser

_NO_APPEAL = "This has no appeal: what was shown cannot be taken back. If you think that it is wrong, write to us."


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
        body=f"Outputs of your runs of “{title}”, or of accounts linked to yours, had much of its sealed text in them. "
        "You cannot run it until a moderator has looked at that; you will hear what they decide. "
        "What you paid for runs that were withheld was the model's cost only.",
        subject={"listing_id": ground.listing.id},
        dedupe_key=f"runs.stopped:{run_id}:{user_id}",
    )


def grant_of(purchase_id: str, message: DecideSuspicion) -> GrantRefund:
    """Of what one of them had bought, where the suspicion was upheld."""
    return GrantRefund(
        purchase_id=purchase_id,
        reason_code=message.reason_code,
        public_note=message.public_note,
        words=message.words,
        to_buyer=message.explanation,
        to_seller=message.to_seller,
    )


def decided_notices(message: DecideSuspicion, people: Iterable[str], now: datetime) -> list[NotifyUser]:
    outcome = "You can run it again."
    if message.upheld:
        outcome = "What you had bought of its runs is given back, and you can neither run it nor buy runs any more."
    last = [_NO_APPEAL] if message.upheld else []
    return [
        NotifyUser(
            user_id=user_id,
            kind="runs.decided",
            title="Your runs of a listing were looked at",
            body="\n\n".join([f"A moderator has looked at your runs. {outcome}", message.explanation, *last]),
            subject={"listing_id": message.listing_id, "reason_code": message.reason_code},
            dedupe_key=f"runs.decided:{message.listing_id}:{user_id}:{now.isoformat()}",
        )
        for user_id in people
    ]
