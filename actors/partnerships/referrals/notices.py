"""What partners are told of decisions about frozen earnings, and administrators of appeals against them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.referrals.messages import (
    AppealDecision,
    DecideForfeitAppeal,
    DecideFrozenEarnings,
    FreezeDecision,
)
from promptforge.actors.partnerships.referrals.reasons import ANSWERS, REASONS, next_answer, next_step
from promptforge.core.reasons import explained


def earnings_notice(partner: Partner, message: DecideFrozenEarnings, appeal_until: datetime) -> NotifyUser:
    code, following = message.reason_code, next_step(message.reason_code, message.decision)
    if message.decision is FreezeDecision.RELEASE:
        title, what = "Frozen earnings are yours after all", "What your suspension had frozen is released"
    else:
        title, what = "Frozen earnings are forfeited", "What your suspension had frozen has gone back into the fee"
        path = f"/partnerships/{partner.id}/earnings/freezes/{message.term}/appeal"
        following = f"{following} (POST {path}, until {appeal_until:%Y-%m-%d})."
    return NotifyUser(
        user_id=partner.owner,
        kind="partnership.earnings_decided",
        title=title,
        body=f"{what}.\n\n{explained(code, f'{REASONS[code].words} {message.reason}', following)}",
        subject={
            "partner_id": partner.id,
            "decision": message.decision.value,
            "term": str(message.term),
            "reason_code": code.value,
        },
        dedupe_key=f"partnership.earnings_decided:{partner.id}:{message.term}",
    )


def answer_notice(partner: Partner, message: DecideForfeitAppeal) -> NotifyUser:
    code = message.reason_code
    if message.decision is AppealDecision.REVERSE:
        kind, title = "partnership.earnings_restored", "Forfeited earnings are yours after all"
        head = "Another administrator has heard your appeal and changed the decision: what was forfeited comes back."
    else:
        kind, title = "partnership.earnings_upheld", "Forfeited earnings stay forfeited"
        head = "Another administrator has heard your appeal: nothing changes. That is final."
    why = explained(code, f"{ANSWERS[code].words} {message.reason}", next_answer(code, message.decision))
    return NotifyUser(
        user_id=partner.owner,
        kind=kind,
        title=title,
        body=f"{head}\n\n{why}",
        subject={"partner_id": partner.id, "term": str(message.term), "reason_code": code.value},
        dedupe_key=f"{kind}:{partner.id}:{message.term}",
    )


def appeal_notices(partner_id: str, term: int, administrators: Iterable[str]) -> list[NotifyUser]:
    """They name nobody: what administrators were told outlives whoever it was about."""
    kind = "partnership.earnings_appealed"
    return [
        NotifyUser(
            user_id=user_id,
            kind=kind,
            title="An appeal against a forfeiture",
            body="A partner appeals against the forfeiture of frozen earnings. Read it at "
            f"/partnerships/{partner_id}/earnings/review; another administrator than the one who decided answers it.",
            subject={"partner_id": partner_id, "term": str(term)},
            dedupe_key=f"{kind}:{partner_id}:{term}:{user_id}",
        )
        for user_id in administrators
    ]
