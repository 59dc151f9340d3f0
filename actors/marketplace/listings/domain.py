"""The life of a listing as a table: who may move it from where to where."""

from __future__ import annotations

from enum import StrEnum

from promptforge.actors.marketplace.errors import IllegalMove
from promptforge.actors.marketplace.messages import Decision, ListingState


class Move(StrEnum):
    EDIT = "edit"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    UNLIST = "unlist"
    RELIST = "relist"
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"


TRANSITIONS: dict[tuple[ListingState, Move], ListingState] = {
    (ListingState.DRAFT, Move.EDIT): ListingState.DRAFT,
    (ListingState.DRAFT, Move.SUBMIT): ListingState.IN_REVIEW,
    (ListingState.CHANGES_REQUESTED, Move.EDIT): ListingState.CHANGES_REQUESTED,
    (ListingState.CHANGES_REQUESTED, Move.SUBMIT): ListingState.IN_REVIEW,
    (ListingState.IN_REVIEW, Move.WITHDRAW): ListingState.DRAFT,
    (ListingState.IN_REVIEW, Move.APPROVE): ListingState.PUBLISHED,
    (ListingState.IN_REVIEW, Move.REQUEST_CHANGES): ListingState.CHANGES_REQUESTED,
    (ListingState.IN_REVIEW, Move.REJECT): ListingState.REJECTED,
    (ListingState.PUBLISHED, Move.UNLIST): ListingState.UNLISTED,
    (ListingState.UNLISTED, Move.RELIST): ListingState.PUBLISHED,
}
MODERATORS_MOVES = frozenset({Move.APPROVE, Move.REQUEST_CHANGES, Move.REJECT})
MOVE_OF = {
    Decision.APPROVE: Move.APPROVE,
    Decision.REQUEST_CHANGES: Move.REQUEST_CHANGES,
    Decision.REJECT: Move.REJECT,
}


def next_state(state: ListingState, move: Move) -> ListingState:
    """Where `move` leads. Raises `IllegalMove`, which names the moves that are open to the seller."""
    target = TRANSITIONS.get((state, move))
    if target is None:
        legal = [other for (start, other) in TRANSITIONS if start is state and other not in MODERATORS_MOVES]
        possible = ", ".join(legal) or "none"
        raise IllegalMove(
            f"The listing is {state}, so one cannot {move} it; possible now: {possible}",
            extra={"state": state.value, "legal_moves": [one.value for one in legal]},
        )
    return target
