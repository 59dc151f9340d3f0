"""How partners are told of decisions, and administrators of what waits for them."""

from __future__ import annotations

from collections.abc import Iterable

from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.partnerships.messages import ChangeCommission, PartnershipDecision
from promptforge.actors.partnerships.partners.domain import Partner
from promptforge.actors.partnerships.partners.reasons import COMMISSIONS, REASONS
from promptforge.core.reasons import explained

_TOLD = {
    PartnershipDecision.APPROVE: (
        "partnership.approved",
        "You are a partner",
        "“{name}” was approved. You get {percent} % of what people pay who come through you, out of our fee.",
    ),
    PartnershipDecision.REJECT: (
        "partnership.rejected",
        "Your application was rejected",
        "“{name}” does not become a partner.",
    ),
    PartnershipDecision.SUSPEND: (
        "partnership.suspended",
        "Your partnership is suspended",
        "Links of “{name}” earn nothing from now on, its apps are refused, and what is not settled yet is frozen.",
    ),
    PartnershipDecision.LIFT: (
        "partnership.lifted",
        "Your partnership is not suspended any more",
        "“{name}” earns again, and its apps are let in with the secrets that they had.",
    ),
    PartnershipDecision.UPHOLD: (
        "partnership.upheld",
        "Your partnership stays suspended",
        "Your appeal for “{name}” was decided: nothing changes.",
    ),
    PartnershipDecision.END: (
        "partnership.ended",
        "Your partnership has ended",
        "Links and codes of “{name}” earn nothing any more, and its apps are refused.",
    ),
}
_WAITING = {
    "applied": ("partnership.applied", "An application for a partnership", "Somebody wants to become a partner."),
    "appealed": ("partnership.appealed", "An appeal against a suspension", "A partner appeals against a suspension."),
    "undecided": (
        "partnership.undecided",
        "Frozen earnings wait for a decision",
        "A partnership goes on or has ended, and nobody has decided about earnings of it that are frozen.",
    ),
}


def decision_notice(partner: Partner) -> NotifyUser:
    """Of the last decision; sent once, however often."""
    verdict = partner.verdict
    if verdict is None:
        raise ValueError("the partnership is not decided")
    kind, title, body = _TOLD[verdict.decision]
    reason = REASONS[verdict.reason_code]
    parts = [
        body.format(name=partner.name, percent=percent(partner.commission_bp or 0)),
        explained(verdict.reason_code, f"{reason.words} {verdict.note}", reason.next_step),
    ]
    if partner.can_appeal and partner.appeal_until is not None:
        parts.append(f"You can appeal until {partner.appeal_until:%Y-%m-%d}.")
    if partner.ended_for_cause:
        parts.append("What is not settled yet is frozen until somebody decides about it, and you are told.")
    if partner.apply_again_at is not None:
        parts.append(f"apply_again_at is {partner.apply_again_at:%Y-%m-%d}.")
    return _notice(partner, kind, title, body="\n\n".join(parts), code=verdict.reason_code)


def commission_notice(before: Partner, after: Partner, message: ChangeCommission) -> NotifyUser:
    was, is_now = percent(before.commission_bp or 0), percent(after.commission_bp or 0)
    body = f"“{after.name}” got {was} % of sales and gets {is_now} % of those from now on."
    code = message.reason_code
    why = COMMISSIONS[code].told(code, message.note)
    return _notice(after, "partnership.commission", "Your commission has changed", body=f"{body}\n\n{why}", code=code)


def waiting_notices(partner: Partner, event: str, version: int, administrators: Iterable[str]) -> list[NotifyUser]:
    """They name nobody: what administrators were told outlives whoever it was about."""
    kind, title, body = _WAITING[event]
    return [
        NotifyUser(
            user_id=user_id,
            kind=kind,
            title=title,
            body=f"{body} Read it at /partnerships/{partner.id}/review and decide.",
            subject={"partner_id": partner.id},
            dedupe_key=f"{kind}:{partner.id}:{version}:{user_id}",
        )
        for user_id in administrators
        if user_id != partner.owner
    ]


def percent(basis_points: int) -> str:
    """250 → `2.5`."""
    return f"{basis_points // 100}.{basis_points % 100:02d}".rstrip("0").rstrip(".")


def _notice(partner: Partner, kind: str, title: str, *, body: str, code: str) -> NotifyUser:
    return NotifyUser(
        user_id=partner.owner,
        kind=kind,
        title=title,
        body=body,
        subject={"partner_id": partner.id, "reason_code": str(code)},
        dedupe_key=f"{kind}:{partner.id}:{partner.version}",
    )
