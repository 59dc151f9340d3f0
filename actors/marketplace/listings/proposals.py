"""What a seller wants to change of a listing that is on offer: reviewed as a whole, while the old one stays.

A proposal has a revision: that of the listing when the proposal was last changed. A decision names it, so that what is
carried out is what was reviewed. Proposals change what a listing offers, never its state: a listing that was suspended
or unlisted meanwhile stays so, with the approved change in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from promptforge.actors.marketplace.messages import (
    Decision,
    FieldChange,
    ListingState,
    ProposalState,
    ProposalView,
    ReviewNote,
)
from promptforge.actors.marketplace.sealed.terms import in_words
from promptforge.core.amounts import from_millicredits

Values = Mapping[str, Any]
"""Any: fields of a listing, as stored."""

ON_OFFER = frozenset({ListingState.PUBLISHED, ListingState.UNLISTED, ListingState.SUSPENDED})
"""In these an edit is a proposal."""
OUTCOMES = {
    Decision.REQUEST_CHANGES: ProposalState.CHANGES_REQUESTED,
    Decision.REJECT: ProposalState.REJECTED,
}
_UNTOLD = frozenset({"content_hash"})


@dataclass(frozen=True, slots=True)
class Proposal:
    """`changes`: what would become of which fields, as stored; never empty."""

    revision: int
    state: ProposalState
    changes: Values
    proposed_at: datetime
    review: ReviewNote | None = None

    def view(self, current: Values) -> ProposalView:
        return ProposalView(
            revision=self.revision,
            state=self.state,
            changes=changes_between(current, self.changes),
            proposed_at=self.proposed_at,
            review=self.review,
        )


def split(current: Values, sent: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of an edit takes effect at once, a lower price, and what has to be reviewed first."""
    price = sent.get("price")
    if price is None or price >= current["price"]:
        return {}, dict(sent)
    return {"price": price}, {name: value for name, value in sent.items() if name != "price"}


def pending(before: Proposal | None) -> Values:
    """What a proposal would change, if it was not rejected."""
    return {} if before is None or before.state is ProposalState.REJECTED else before.changes


def proposed(
    before: Proposal | None, sent: Values, current: Values, *, revision: int, now: datetime
) -> Proposal | None:
    """The proposal that an edit leaves; None where nothing is left to propose.

    An edit adds to what waits for review and to what was sent back, and takes the place of what was rejected. What was
    sent as it is already is proposed no more.
    """
    wanted = {name: value for name, value in {**pending(before), **sent}.items() if value != current[name]}
    if not wanted:
        return None
    if before is not None and before.state is ProposalState.IN_REVIEW and wanted == before.changes:
        return before
    return Proposal(revision, ProposalState.IN_REVIEW, wanted, now)


def without(before: Proposal | None, name: str, *, revision: int, now: datetime) -> Proposal | None:
    """The proposal that does not speak of this field any more; one that changes by that is another one to review.

    What waits is no appeal then, as after any edit: its words were about what it was.
    """
    if before is None or name not in before.changes:
        return before
    left = {field: value for field, value in before.changes.items() if field != name}
    if not left:
        return None
    review = None if before.state is ProposalState.IN_REVIEW else before.review
    return replace(before, revision=revision, changes=left, proposed_at=now, review=review)


def changes_between(current: Values, changes: Values) -> tuple[FieldChange, ...]:
    """As the API tells them; what does not differ is left out."""
    return tuple(
        FieldChange(name, _told(name, current.get(name)), _told(name, changes[name]))
        for name in sorted(changes)
        if name not in _UNTOLD and changes[name] != current.get(name)
    )


def _told(name: str, value: Any) -> str | int | tuple[str, ...] | None:  # Any: a field as stored
    if name == "price" and value is not None:
        return from_millicredits(value)
    if name == "runs":
        return in_words(value)
    if name == "package" and value is not None:
        return str(value["version"])
    told: str | int | tuple[str, ...] | None = tuple(value) if isinstance(value, list) else value
    return told
