"""The life of a listing as a table: who may move it from where to where."""

from __future__ import annotations

from enum import StrEnum

from promptforge.actors.marketplace.errors import IllegalMove
from promptforge.actors.marketplace.messages import Decision, ListingState


class Move(StrEnum):
    CREATE = "create"
    EDIT = "edit"
    PROPOSE = "propose"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    WITHDRAW_PROPOSAL = "withdraw_proposal"
    UNLIST = "unlist"
    RELIST = "relist"
    APPEAL = "appeal"
    APPEAL_PROPOSAL = "appeal_proposal"
    EVIDENCE = "evidence"
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"
    SUSPEND = "suspend"
    LIFT = "lift"


TRANSITIONS: dict[tuple[ListingState, Move], ListingState | None] = {
    (ListingState.DRAFT, Move.EDIT): ListingState.DRAFT,
    (ListingState.DRAFT, Move.EVIDENCE): ListingState.DRAFT,
    (ListingState.DRAFT, Move.SUBMIT): ListingState.IN_REVIEW,
    (ListingState.CHANGES_REQUESTED, Move.EDIT): ListingState.CHANGES_REQUESTED,
    (ListingState.CHANGES_REQUESTED, Move.EVIDENCE): ListingState.CHANGES_REQUESTED,
    (ListingState.CHANGES_REQUESTED, Move.SUBMIT): ListingState.IN_REVIEW,
    (ListingState.IN_REVIEW, Move.WITHDRAW): ListingState.DRAFT,
    (ListingState.IN_REVIEW, Move.APPROVE): ListingState.PUBLISHED,
    (ListingState.IN_REVIEW, Move.REQUEST_CHANGES): ListingState.CHANGES_REQUESTED,
    (ListingState.IN_REVIEW, Move.REJECT): ListingState.REJECTED,
    (ListingState.PUBLISHED, Move.EDIT): ListingState.PUBLISHED,
    (ListingState.PUBLISHED, Move.EVIDENCE): ListingState.PUBLISHED,
    (ListingState.PUBLISHED, Move.WITHDRAW_PROPOSAL): ListingState.PUBLISHED,
    (ListingState.PUBLISHED, Move.APPEAL_PROPOSAL): ListingState.PUBLISHED,
    (ListingState.PUBLISHED, Move.UNLIST): ListingState.UNLISTED,
    (ListingState.PUBLISHED, Move.SUSPEND): ListingState.SUSPENDED,
    (ListingState.UNLISTED, Move.EDIT): ListingState.UNLISTED,
    (ListingState.UNLISTED, Move.EVIDENCE): ListingState.UNLISTED,
    (ListingState.UNLISTED, Move.WITHDRAW_PROPOSAL): ListingState.UNLISTED,
    (ListingState.UNLISTED, Move.APPEAL_PROPOSAL): ListingState.UNLISTED,
    (ListingState.UNLISTED, Move.RELIST): ListingState.PUBLISHED,
    (ListingState.UNLISTED, Move.SUSPEND): ListingState.SUSPENDED,
    (ListingState.REJECTED, Move.APPEAL): ListingState.REJECTED,
    (ListingState.REJECTED, Move.APPROVE): ListingState.PUBLISHED,
    (ListingState.REJECTED, Move.REQUEST_CHANGES): ListingState.CHANGES_REQUESTED,
    (ListingState.REJECTED, Move.REJECT): ListingState.REJECTED,
    (ListingState.SUSPENDED, Move.EDIT): ListingState.SUSPENDED,
    (ListingState.SUSPENDED, Move.EVIDENCE): ListingState.SUSPENDED,
    (ListingState.SUSPENDED, Move.WITHDRAW_PROPOSAL): ListingState.SUSPENDED,
    (ListingState.SUSPENDED, Move.APPEAL_PROPOSAL): ListingState.SUSPENDED,
    (ListingState.SUSPENDED, Move.APPEAL): ListingState.SUSPENDED,
    (ListingState.SUSPENDED, Move.LIFT): None,
    (ListingState.SUSPENDED, Move.SUSPEND): ListingState.SUSPENDED,
}
"""None: where it was before. What moderators do about `rejected`, and about `suspended` but for lifting it, answers an
appeal. An edit of what is on offer is a proposal; see `proposals`. Nothing changes while it is being reviewed.
"""
MODERATORS_MOVES = frozenset({Move.APPROVE, Move.REQUEST_CHANGES, Move.REJECT, Move.SUSPEND, Move.LIFT})
MOVE_OF = {
    Decision.APPROVE: Move.APPROVE,
    Decision.REQUEST_CHANGES: Move.REQUEST_CHANGES,
    Decision.REJECT: Move.REJECT,
    Decision.SUSPEND: Move.SUSPEND,
    Decision.LIFT: Move.LIFT,
}
APPEALABLE = frozenset({Decision.REJECT, Decision.SUSPEND})


def next_state(state: ListingState, move: Move, *, before: ListingState | None = None) -> ListingState:
    """Where `move` leads; `before` is the state that a suspension found (unknown: off the market).

    Raises `IllegalMove`, which names the moves that are open to the seller.
    """
    if (state, move) not in TRANSITIONS:
        legal = [other for (start, other) in TRANSITIONS if start is state and other not in MODERATORS_MOVES]
        possible = ", ".join(legal) or "none"
        raise IllegalMove(
            f"The listing is {state}, so one cannot {move} it; possible now: {possible}",
            extra={"state": state.value, "legal_moves": [one.value for one in legal]},
        )
    target = TRANSITIONS[state, move] or before
    return ListingState.UNLISTED if target is None else target
