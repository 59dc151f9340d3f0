"""Which cases there are, what may be decided in each, and what a case is still about."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from promptforge.actors.marketplace.messages import ListingState, ListingView, ProposalState
from promptforge.actors.marketplace.reviews.messages import ReviewView
from promptforge.actors.moderation.errors import IllegalDecision
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    CaseView,
    DecideCase,
    DecisionView,
    OpenCase,
    Verdict,
)

_OFFERED = (ListingState.PUBLISHED, ListingState.UNLISTED)
_REVIEWED = (Verdict.APPROVE, Verdict.REQUEST_CHANGES, Verdict.REJECT)

LEGAL: dict[CaseKind, dict[ListingState | None, tuple[Verdict, ...]]] = {
    CaseKind.REVIEW: {ListingState.IN_REVIEW: _REVIEWED},
    CaseKind.PROPOSED_CHANGE: {None: _REVIEWED},
    CaseKind.REPORT: {
        **dict.fromkeys(_OFFERED, (Verdict.DISMISS, Verdict.SUSPEND)),
        ListingState.SUSPENDED: (Verdict.DISMISS, Verdict.LIFT),
    },
    CaseKind.APPEAL: {
        ListingState.REJECTED: _REVIEWED,
        ListingState.SUSPENDED: (Verdict.LIFT, Verdict.SUSPEND),
    },
    CaseKind.REVIEW_REPORT: {None: (Verdict.REMOVE, Verdict.REMOVE_REPLY, Verdict.DISMISS)},
    CaseKind.REFUND: {None: (Verdict.REFUND, Verdict.DISMISS)},
    CaseKind.REFUND_APPEAL: {None: (Verdict.REFUND, Verdict.DISMISS)},
    CaseKind.EXTRACTION: {None: (Verdict.DISMISS, Verdict.REFUND)},
    CaseKind.REVIEW_APPEAL: {None: (Verdict.RESTORE, Verdict.REMOVE)},
    CaseKind.SALE_APPEAL: {None: (Verdict.COMPENSATE, Verdict.REFUND)},
    CaseKind.EXTRACTION_APPEAL: {None: (Verdict.RESTORE, Verdict.REFUND)},
    CaseKind.REPLY_APPEAL: {None: (Verdict.RESTORE, Verdict.REMOVE_REPLY)},
}
"""What may be decided in a case of this kind about a listing in this state (None: in any).

Deciding an appeal as before upholds the decision. A state that is missing leaves nothing to decide.
"""
APPEALABLE = frozenset({Verdict.REJECT, Verdict.SUSPEND})
JUDGING = APPEALABLE | {Verdict.APPROVE, Verdict.LIFT}
"""By these a text is remembered as refused, or as approved."""
TO_THE_LISTING = frozenset({Verdict.APPROVE, Verdict.REQUEST_CHANGES, Verdict.REJECT, Verdict.SUSPEND, Verdict.LIFT})
"""What changes the listing; the others leave it as it is."""
CHECKED = frozenset({CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE, CaseKind.REPORT})
"""Cases about a text: the automatic checks look at it."""
RECOMMENDED = frozenset({CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE, CaseKind.REPORT})
"""Those that a language model is asked about, where one is configured."""
REFUNDS = frozenset({CaseKind.REFUND, CaseKind.REFUND_APPEAL})
"""Cases about what a buyer asks for: both are answered to the purchase."""
FOR_THE_SELLER = frozenset({CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE, CaseKind.APPEAL})
"""What only its seller asks for: once their account is closed, nobody does any more."""
GRANTED = frozenset({Verdict.RESTORE, Verdict.COMPENSATE})
"""What an appeal against something that was taken ends with, where it is granted."""
OF_RULINGS = frozenset(
    {CaseKind.REVIEW_APPEAL, CaseKind.REPLY_APPEAL, CaseKind.SALE_APPEAL, CaseKind.EXTRACTION_APPEAL}
)
"""Appeals that say which case they are against, and are answered to what that one was about."""
REPORTED = frozenset({CaseKind.REPORT, CaseKind.REVIEW_REPORT})
"""Cases that anybody may bring up, any number of people the same one."""
OF_REVIEWS = frozenset({CaseKind.REVIEW_REPORT, CaseKind.REVIEW_APPEAL, CaseKind.REPLY_APPEAL})
"""Cases about a review, or the reply to it: without that there is nothing to decide."""
_ONCE = frozenset({CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE})


def opens_once(kind: CaseKind) -> bool:
    """Whether each revision has one such case for ever; of the others there is one at a time."""
    return kind in _ONCE


def open_key(message: OpenCase) -> str:
    """What an open case is about: there is one of each."""
    subject = str(message.revision) if opens_once(message.kind) else message.subject or message.purchase_id or ""
    return f"{message.kind}:{message.listing_id}:{subject}"


def legal_decisions(kind: CaseKind, state: ListingState, review: ReviewView | None = None) -> tuple[Verdict, ...]:
    """None where there is nothing to decide any more. `review`: what the case is about, where it is about one."""
    table = LEGAL[kind]
    possible = table.get(state, table.get(None, ()))
    if review is not None and review.reply is None:
        return tuple(one for one in possible if one is not Verdict.REMOVE_REPLY)
    return possible


def check_legal(kind: CaseKind, state: ListingState, verdict: Verdict, review: ReviewView | None = None) -> None:
    """Raises `IllegalDecision`, which names those that are legal."""
    legal = legal_decisions(kind, state, review)
    if verdict not in legal:
        raise IllegalDecision(
            f"A case of the kind {kind} is not decided by {verdict}; possible now: {', '.join(legal)}",
            extra={"kind": kind.value, "legal_decisions": [one.value for one in legal]},
        )


def waits_for(listing: ListingView, case: CaseView) -> bool:
    """Whether there still is what the case is about.

    Reviews are about one revision, and once it has passed it never comes again: revisions only grow.
    """
    if not legal_decisions(case.kind, listing.state):
        return False
    match case.kind:
        case CaseKind.REVIEW:
            return listing.revision == case.revision
        case CaseKind.PROPOSED_CHANGE:
            change = listing.proposal
            return change is not None and (change.state, change.revision) == (ProposalState.IN_REVIEW, case.revision)
        case CaseKind.APPEAL:
            return listing.review is not None and listing.review.appealed_at is not None
        case _:
            return True


def answers_appeal(case: CaseView, listing: ListingView) -> bool:
    """Whether the case is an appeal: against a decision about the listing, or against the rejection of a change."""
    if case.kind is not CaseKind.PROPOSED_CHANGE:
        return case.kind is CaseKind.APPEAL
    note = None if listing.proposal is None else listing.proposal.review
    return note is not None and note.appealed_at is not None


def is_answered(case: CaseView, message: DecideCase, moderator_id: str) -> bool:
    """Whether this very decision of this moderator was carried out already, and its answer was lost."""
    if case.state is not CaseState.DECIDED or case.decided_by != moderator_id:
        return False
    decided = case.decision, case.reason_code, case.public_note, case.internal_note
    return decided == (message.decision, message.reason_code, message.public_note, message.internal_note)


def concerns(case: CaseView, bringers: Iterable[str], people: Collection[str]) -> bool:
    """Whether one of these accounts has a part in it: its seller, who brought it up, or whose runs it is about."""
    return case.seller_id in people or case.subject in people or any(one in people for one in bringers)


def shown_to_party(case: CaseView) -> CaseView:
    """What somebody who moderates sees of a case that concerns them: what they are told anyway.

    Not who said what of them, who works on it or decided it, what was noted for moderators, nor who is suspected.
    """
    return replace(
        case,
        reason=None,
        purchase_id=None,
        severity=None,
        claim=None,
        internal_note=None,
        decided_by=None,
        subject=None,
    )


def decision_shown_to_party(decision: DecisionView) -> DecisionView:
    return replace(decision, internal_note=None, decided_by=None)
