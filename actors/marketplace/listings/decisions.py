"""What a moderator's decision and a seller's appeal make of a listing, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from promptforge.actors.marketplace.errors import AlreadyAppealed, ListingMoved, NothingToAppeal
from promptforge.actors.marketplace.listings.domain import APPEALABLE, MOVE_OF, next_state
from promptforge.actors.marketplace.listings.proposals import OUTCOMES, Proposal
from promptforge.actors.marketplace.listings.store import Listing, note_row, proposal_row
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    ListingState,
    ProposalState,
    ReviewNote,
)
from promptforge.core.appeals import expect_in_time

Changes = dict[str, Any]  # Any: a MongoDB document


def appealed(listing: Listing, now: datetime) -> Changes:
    """The decision with the appeal against it. A listing of the service before has no version to sell.

    Raises `NothingToAppeal`, `AlreadyAppealed` or `AppealTooLate`.
    """
    note = listing.review
    if note is None or note.decision not in APPEALABLE or note.final or not listing.content_hash:
        raise NothingToAppeal
    if note.appealed_at is not None:
        raise AlreadyAppealed
    expect_in_time(note.appeal_until, now)
    return {"review": note_row(replace(note, appealed_at=now))}


def appealed_proposal(listing: Listing, now: datetime) -> Changes:
    """What was rejected of a proposal is in review again, as another revision and with the appeal.

    Raises `NothingToAppeal` or `AppealTooLate`.
    """
    proposal = listing.proposal
    note = None if proposal is None else proposal.review
    if proposal is None or note is None or proposal.state is not ProposalState.REJECTED or note.final:
        raise NothingToAppeal
    expect_in_time(note.appeal_until, now)
    again = replace(
        proposal,
        revision=listing.revision + 1,
        state=ProposalState.IN_REVIEW,
        proposed_at=now,
        review=replace(note, appealed_at=now),
    )
    return {"proposal": proposal_row(again)}


def decided(listing: Listing, message: ApplyDecision, *, now: datetime, appeal_until: datetime) -> Changes:
    """What the decision changes, be it about the listing or about a proposal. Raises `ListingMoved`, `IllegalMove`.

    `appeal_until`: for how long it can be appealed, if it can be.
    """
    proposal = _reviewed_proposal(listing, message)
    note = ReviewNote(message.decision, message.reason_code, message.public_note, now)
    if proposal is None:
        return _about_listing(listing, message, note, appeal_until=appeal_until)
    if message.decision is Decision.APPROVE:
        return {**proposal.changes, "proposal": None}
    if message.decision is Decision.REJECT:
        final = proposal.review is not None and proposal.review.appealed_at is not None
        note = replace(note, final=final, appeal_until=None if final else appeal_until)
    return {"proposal": proposal_row(replace(proposal, state=OUTCOMES[message.decision], review=note))}


def _reviewed_proposal(listing: Listing, message: ApplyDecision) -> Proposal | None:
    proposal = listing.proposal
    if proposal is None or proposal.state is not ProposalState.IN_REVIEW or proposal.revision != message.revision:
        return None
    return None if message.decision in {Decision.SUSPEND, Decision.LIFT} else proposal


def _about_listing(listing: Listing, message: ApplyDecision, note: ReviewNote, *, appeal_until: datetime) -> Changes:
    _check_waiting(listing, message)
    state = next_state(listing.state, MOVE_OF[message.decision], before=listing.suspended_from)
    against = message.decision in APPEALABLE
    final = against and _waits_for_appeal(listing)
    note = replace(note, final=final, appeal_until=appeal_until if against and not final else None)
    changes: Changes = {"state": state.value, "review": note_row(note)}
    if message.decision is Decision.APPROVE:
        changes["published_at"] = listing.published_at or note.decided_at
    if state is ListingState.SUSPENDED:
        changes["suspended_from"] = (listing.suspended_from or listing.state).value
    if message.decision is Decision.LIFT:
        changes["suspended_from"] = None
    return changes


def _waits_for_appeal(listing: Listing) -> bool:
    return listing.review is not None and listing.review.appealed_at is not None


def _check_waiting(listing: Listing, message: ApplyDecision) -> None:
    """That the decision is about what is there; see `ApplyDecision`."""
    on_offer = listing.state in {ListingState.PUBLISHED, ListingState.UNLISTED}
    if message.decision is Decision.LIFT or (message.decision is Decision.SUSPEND and on_offer):
        return
    if listing.state is ListingState.SUSPENDED and _waits_for_appeal(listing):
        return  # proposals may have come since, and are another matter
    waits = listing.state is ListingState.IN_REVIEW or _waits_for_appeal(listing)
    if listing.revision != message.revision or not waits:
        raise ListingMoved(f"The listing is {listing.state} at revision {listing.revision}")
