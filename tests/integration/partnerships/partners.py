"""Partnerships as messages make them."""

from __future__ import annotations

from typing import Any

from promptforge.actors.partnerships.messages import (
    ApplyForPartnership,
    DecidePartnership,
    PartnershipDecision,
    PartnershipDetailView,
    PartnershipReason,
    PartnershipView,
    ReviewPartnership,
)
from promptforge.core.context import Context
from tests.support.partner_setups import NOTE, PLAN

D = PartnershipDecision
REASONS = {
    D.APPROVE: PartnershipReason.GOOD_FIT,
    D.REJECT: PartnershipReason.NO_FIT,
    D.SUSPEND: PartnershipReason.UNDER_REVIEW,
    D.LIFT: PartnershipReason.RESOLVED,
    D.UPHOLD: PartnershipReason.UNCHANGED,
    D.END: PartnershipReason.INACTIVE,
}


def application(name: str = "The Prompt Review") -> ApplyForPartnership:
    return ApplyForPartnership(name=name, plan=PLAN)


def decision(partner_id: str, kind: PartnershipDecision, version: int, **changes: Any) -> DecidePartnership:
    fields: dict[str, Any] = {"reason_code": REASONS[kind], "note": NOTE}
    if kind is D.APPROVE:
        fields["commission_bp"] = 300
    return DecidePartnership(partner_id=partner_id, version=version, decision=kind, **{**fields, **changes})


async def decide(admin: Context, partner_id: str, kind: PartnershipDecision, **changes: Any) -> PartnershipDetailView:
    """On what it is now."""
    seen = await admin.ask(ReviewPartnership(partner_id=partner_id))
    return await admin.ask(decision(partner_id, kind, seen.partnership.version, **changes))


async def partner(person: Context, admin: Context) -> PartnershipView:
    """Approved."""
    made = await person.ask(application())
    return (await decide(admin, made.id, D.APPROVE)).partnership
