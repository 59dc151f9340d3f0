"""What a case is still about, and how its decision is told to the seller."""

from __future__ import annotations

from promptforge.actors.marketplace.messages import Decision, ListingState, ListingView, ProposalState
from promptforge.actors.moderation.messages import CaseKind, CaseView
from promptforge.actors.notifications.messages import NotifyUser

_TOLD = {
    Decision.APPROVE: ("listing.approved", "Published: {title}", "“{title}” was approved and is on the market."),
    Decision.REQUEST_CHANGES: (
        "listing.changes_requested",
        "Changes requested: {title}",
        "“{title}” needs changes before it can be published. Edit it and submit it again.",
    ),
    Decision.REJECT: (
        "listing.rejected",
        "Rejected: {title}",
        "“{title}” was rejected and cannot be submitted again. If that is wrong, appeal: another moderator decides.",
    ),
    Decision.SUSPEND: (
        "listing.suspended",
        "Suspended: {title}",
        "“{title}” was taken off the market; buyers keep it. If that is wrong, appeal: another moderator decides.",
    ),
    Decision.LIFT: ("listing.lifted", "Back: {title}", "“{title}” is no longer suspended."),
}


def waits_for(listing: ListingView, case: CaseView) -> bool:
    """Whether the listing waits for this case; once it does not, it never will again: revisions only grow."""
    if case.kind is CaseKind.REPORT:
        return listing.state in {ListingState.PUBLISHED, ListingState.UNLISTED}
    if case.kind is CaseKind.APPEAL:
        return listing.review is not None and listing.review.appealed_at is not None
    if case.kind is CaseKind.PROPOSED_CHANGE:
        proposal = listing.proposal
        return proposal is not None and (proposal.state, proposal.revision) == (ProposalState.IN_REVIEW, case.revision)
    return listing.state is ListingState.IN_REVIEW and listing.revision == case.revision


def notice_of(case: CaseView, decision: Decision, *, reason_code: str, public_note: str) -> NotifyUser:
    """What the seller reads: what was decided, why, and what they can do."""
    kind, title, body = _TOLD[decision]
    return NotifyUser(
        user_id=case.seller_id,
        kind=kind,
        title=title.format(title=case.title),
        body=f"{body.format(title=case.title)} Reason ({reason_code}): {public_note}",
        subject={"case_id": case.id, "listing_id": case.listing_id, "reason_code": reason_code},
        dedupe_key=f"moderation.decided:{case.id}",
    )
