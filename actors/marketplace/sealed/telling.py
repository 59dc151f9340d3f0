"""Who is told what when runs give a sealed text away: moderators, and those whose runs they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from promptforge.actors.marketplace.sealed.grounds import Ground
from promptforge.actors.marketplace.sealed.messages import DecideSuspicion
from promptforge.actors.moderation.messages import CaseKind, OpenCase
from promptforge.actors.notifications.messages import NotifyUser


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


def decided_notices(message: DecideSuspicion, people: Iterable[str], now: datetime) -> list[NotifyUser]:
    outcome = "You can run it again."
    if message.upheld:
        outcome = "What you had bought of its runs is given back, and you can neither run it nor buy runs any more."
    return [
        NotifyUser(
            user_id=user_id,
            kind="runs.decided",
            title="Your runs of a listing were looked at",
            body=f"A moderator has looked at your runs. {message.words} {outcome} "
            "If you think that this is wrong, write to us.",
            subject={"listing_id": message.listing_id},
            dedupe_key=f"runs.decided:{message.listing_id}:{user_id}:{now.isoformat()}",
        )
        for user_id in people
    ]
