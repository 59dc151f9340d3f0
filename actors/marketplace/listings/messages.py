"""What sellers do about what is on offer or was decided, and the history that they read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from promptforge.actors.evaluations.messages import EvaluationId
from promptforge.actors.marketplace.messages import FieldChange, ListingId, ListingState, ListingView, Words
from promptforge.core.messages import Command, Query, requires
from promptforge.core.pages import DEFAULT_LIMIT, CursorToken, Limit, Page
from promptforge.core.principal import Role


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What became of a listing with one `revision`. `by`: whoever did it, where that is yours to know."""

    revision: int
    move: str
    by: str | None
    state: ListingState
    changes: tuple[FieldChange, ...]
    reason_code: str | None
    note: str | None
    created_at: datetime


@requires(Role.SELLER, scope="listings:write")
class WithdrawProposal(Command[ListingView]):
    """Take back what you proposed to change; the listing stays as it is."""

    listing_id: ListingId


@requires(Role.SELLER, scope="listings:write")
class AppealListing(Command[ListingView]):
    """Appeal a rejection or a suspension, once, in your own words. Another moderator decides; until then it stands.

    409 `already_appealed`, and `nothing_to_appeal` where the decision is final.
    """

    listing_id: ListingId
    words: Words


@requires(Role.SELLER, Role.MODERATOR, scope="listings:read")
class GetListingHistory(Query[Page[HistoryEntry]]):
    """Read everything that became of a listing of yours, newest first; moderators read any listing's."""

    listing_id: ListingId
    limit: Limit = DEFAULT_LIMIT
    cursor: CursorToken | None = None


@requires(Role.SELLER, scope="listings:write")
class AttachEvidence(Command[ListingView]):
    """Show with a listing how its version did in a finished evaluation; it takes the place of an older scorecard.

    409 `evidence_mismatch` where the evaluation is of another version, `evaluation_not_finished`; 404 where it is of
    another prompt.
    """

    listing_id: ListingId
    evaluation_id: EvaluationId


@requires(Role.SELLER, scope="listings:write")
class RemoveEvidence(Command[ListingView]):
    """Show no scorecard with a listing any more."""

    listing_id: ListingId
