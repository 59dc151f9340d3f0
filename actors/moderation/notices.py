"""How a decision is told to those whom it concerns: what was decided, why, what they can do, and how to appeal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from promptforge.actors.marketplace.purchases.messages import GrantRefund
from promptforge.actors.marketplace.sealed.messages import DecideSuspicion
from promptforge.actors.moderation.domain import APPEALABLE
from promptforge.actors.moderation.messages import CaseKind, CaseView, DecideCase, ReasonCode, Verdict
from promptforge.actors.moderation.reasons import REASONS, SELLERS_NEXT
from promptforge.actors.notifications.messages import NotifyUser

_TOLD = {
    Verdict.APPROVE: ("listing.approved", "Published: {title}", "“{title}” was approved and is on the market."),
    Verdict.REQUEST_CHANGES: (
        "listing.changes_requested",
        "Changes requested: {title}",
        "“{title}” needs changes before it can be published. Edit it and submit it again.",
    ),
    Verdict.REJECT: (
        "listing.rejected",
        "Rejected: {title}",
        "“{title}” was rejected and cannot be submitted again.",
    ),
    Verdict.SUSPEND: (
        "listing.suspended",
        "Suspended: {title}",
        "“{title}” was taken off the market. Who has bought its source keeps it; runs of it stop meanwhile.",
    ),
    Verdict.LIFT: ("listing.lifted", "Back: {title}", "“{title}” is no longer suspended and is where it was before."),
}
_CHANGE_TOLD = {
    Verdict.APPROVE: ("change.approved", "Changed: {title}", "Your change of “{title}” was approved and is live."),
    Verdict.REQUEST_CHANGES: (
        "change.changes_requested",
        "Changes requested: {title}",
        "Your change of “{title}” needs changes itself. What is published stays as it is meanwhile.",
    ),
    Verdict.REJECT: (
        "change.rejected",
        "Change rejected: {title}",
        "Your change of “{title}” was rejected. What is published stays as it is.",
    ),
}
REPORT_DECIDED = "report.decided"
_AS_IT_IS: Mapping[ReasonCode, str] = MappingProxyType({})
_HEARD = "The buyer's appeal was heard by another moderator, and changed the decision."
_UPHELD = "Your appeal was heard by another moderator, who decided as before. That is final."
_CHANGED = "Your appeal was heard by another moderator, and changed the decision."
_APPEAL = (
    "If you think that this is wrong, appeal until {until:%Y-%m-%d}, once and in your own words "
    "(POST /marketplace/listings/{listing_id}/{what}appeal): another moderator decides."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """For how long the seller can appeal, if they can; `of_appeal`: an appeal of theirs was heard."""

    appeal_until: datetime | None
    of_appeal: bool


def notices_of(case: CaseView, outcome: Outcome, *, bringers: Iterable[str]) -> list[NotifyUser]:
    """Of a case that is decided; each is sent once, however often.

    What became of a refund, buyer and seller hear from the purchase itself.
    """
    if case.decision is None or case.reason_code is None or case.public_note is None:
        raise ValueError("the case is not decided")
    verdict, reason = case.decision, ReasonCode(case.reason_code)
    notices = []
    if (case.kind, verdict) in _SELLERS:
        notices.append(_to_seller(case, verdict, why(reason, case.public_note), outcome))
    if case.kind in _REPORTED:
        notices += [_to_reporter(case, verdict, user_id, reason) for user_id in bringers]
    return notices


_REPORTED = {CaseKind.REPORT: "", CaseKind.REVIEW_REPORT: "a review of "}
_OUTCOMES = {
    Verdict.SUSPEND: "it was taken off the market",
    Verdict.REMOVE: "it was removed",
    Verdict.REMOVE_REPLY: "the seller's reply to it was removed",
}
_SELLERS = {
    *((kind, verdict) for kind in (CaseKind.REVIEW, CaseKind.APPEAL, CaseKind.REPORT) for verdict in _TOLD),
    *((CaseKind.PROPOSED_CHANGE, verdict) for verdict in _CHANGE_TOLD),
}
"""What the seller hears of: everything that changes their listing."""


def _to_seller(case: CaseView, verdict: Verdict, explanation: list[str], outcome: Outcome) -> NotifyUser:
    of_change = case.kind is CaseKind.PROPOSED_CHANGE
    kind, title, body = (_CHANGE_TOLD if of_change else _TOLD)[verdict]
    parts = [body.format(title=case.title)]
    if outcome.of_appeal:
        parts.append(_UPHELD if verdict in APPEALABLE else _CHANGED)
    parts += explanation
    if outcome.appeal_until is not None:
        what = "proposal/" if of_change else ""
        parts.append(_APPEAL.format(listing_id=case.listing_id, what=what, until=outcome.appeal_until))
    return _notice(case, case.seller_id, kind, _Text(title.format(title=case.title), parts))


def _to_reporter(case: CaseView, verdict: Verdict, user_id: str, reason: ReasonCode) -> NotifyUser:
    """Not what was noted for the seller or the review's author: that is between them and us."""
    outcome = _OUTCOMES.get(verdict, "it was left as it is")
    told = REASONS[reason]
    reported = f"{_REPORTED[case.kind]}“{case.title}”"
    parts = [f"You reported {reported}. We have looked into it, and {outcome}: {told.words} Thank you."]
    if reason is ReasonCode.UNFOUNDED:
        parts.append(told.next_step)
    return _notice(case, user_id, REPORT_DECIDED, _Text(f"Your report: {case.title}", parts))


def obsolete_notices(case: CaseView, bringers: Iterable[str]) -> list[NotifyUser]:
    """To those who reported what is gone before anybody decided about it."""
    if case.kind not in _REPORTED:
        return []
    reported = f"{_REPORTED[case.kind]}“{case.title}”"
    parts = [f"You reported {reported}. It is not there any more, so that there is nothing left to decide. Thank you."]
    text = _Text(f"Your report: {case.title}", parts)
    return [_notice(case, user_id, REPORT_DECIDED, text) for user_id in bringers]


_RESTORED = {
    CaseKind.REVIEW_APPEAL: "which was removed then. Its author",
    CaseKind.REPLY_APPEAL: "and the reply to it was removed then. The seller",
}


def restored_notices(case: CaseView, reporters: Iterable[str]) -> list[NotifyUser]:
    """To those who had reported a review that an appeal has brought back, or the reply to it."""
    removed = _RESTORED.get(case.kind)
    if removed is None or case.decision is not Verdict.RESTORE:
        return []
    told = (
        f"You reported a review of “{case.title}”, {removed} has appealed, and another moderator has brought it back."
    )
    text = _Text(f"Your report: {case.title}", [told])
    return [_notice(case, user_id, REPORT_DECIDED, text) for user_id in reporters]


def grant_of(case: CaseView, purchase_id: str, message: DecideCase) -> GrantRefund:
    """What buyer and seller are told of a refund that a moderator grants."""
    parts = [_HEARD] if case.kind is CaseKind.REFUND_APPEAL else []
    told, next_step = why(message.reason_code, message.public_note)
    return GrantRefund(
        purchase_id=purchase_id,
        case_id=case.id,
        reason_code=message.reason_code.value,
        public_note=message.public_note,
        words=REASONS[message.reason_code].words,
        to_buyer="\n\n".join([*parts, told, next_step]),
        to_seller="\n\n".join([*parts, *why(message.reason_code, message.public_note, SELLERS_NEXT)]),
    )


def suspicion_of(case: CaseView) -> DecideSuspicion:
    """Of a case of extraction that is decided: what its people are told, and the seller of refunds."""
    if case.subject is None or case.reason_code is None or case.public_note is None:
        raise ValueError("the case is not decided")
    reason, upheld = ReasonCode(case.reason_code), case.decision is not Verdict.DISMISS
    told, next_step = why(reason, case.public_note)
    return DecideSuspicion(
        case_id=case.id,
        listing_id=case.listing_id,
        subject=case.subject,
        upheld=upheld,
        reason_code=reason.value,
        public_note=case.public_note,
        words=REASONS[reason].words,
        explanation=f"{told}\n\n{next_step}" if upheld else told,
        to_seller="\n\n".join(why(reason, case.public_note, SELLERS_NEXT)),
    )


def why(reason: ReasonCode, note: str, next_steps: Mapping[ReasonCode, str] = _AS_IT_IS) -> list[str]:
    """Of a decision: its reason in words, with what was noted, and what can be done.

    `next_steps`: for whom the reason itself does not speak to.
    """
    told = REASONS[reason]
    return [f"Why ({reason}): {told.words} {note}", f"What you can do: {next_steps.get(reason, told.next_step)}"]


@dataclass(frozen=True, slots=True)
class _Text:
    title: str
    parts: list[str]


def _notice(case: CaseView, user_id: str, kind: str, text: _Text) -> NotifyUser:
    # Somebody may be both, and hears both: what is told them as the seller is more than what reporters hear.
    told = f"{case.id}:{user_id}"
    subject = {"case_id": case.id, "listing_id": case.listing_id}
    if case.reason_code is not None:
        subject["reason_code"] = str(case.reason_code)
    if case.purchase_id is not None:
        subject["purchase_id"] = case.purchase_id
    return NotifyUser(
        user_id=user_id,
        kind=kind,
        title=text.title,
        body="\n\n".join(text.parts),
        subject=subject,
        dedupe_key=f"{kind}:{told}" if kind == REPORT_DECIDED else f"moderation.decided:{told}",
    )
