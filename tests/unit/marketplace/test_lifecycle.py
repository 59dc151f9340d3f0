"""The life of a listing: the table, written out a second time as the product describes it."""

from __future__ import annotations

import itertools

import pytest

from promptforge.actors.marketplace.errors import IllegalMove
from promptforge.actors.marketplace.listings.domain import MODERATORS_MOVES, MOVE_OF, TRANSITIONS, Move, next_state
from promptforge.actors.marketplace.listings.proposals import ON_OFFER
from promptforge.actors.marketplace.messages import Decision, ListingState

LEGAL = {
    "draft": {"edit": "draft", "evidence": "draft", "submit": "in_review"},
    "in_review": {
        "withdraw": "draft",
        "approve": "published",
        "request_changes": "changes_requested",
        "reject": "rejected",
    },
    "changes_requested": {"edit": "changes_requested", "evidence": "changes_requested", "submit": "in_review"},
    "rejected": {
        "appeal": "rejected",
        "approve": "published",
        "request_changes": "changes_requested",
        "reject": "rejected",
    },
    "published": {
        "edit": "published",
        "evidence": "published",
        "withdraw_proposal": "published",
        "appeal_proposal": "published",
        "unlist": "unlisted",
        "suspend": "suspended",
    },
    "unlisted": {
        "edit": "unlisted",
        "evidence": "unlisted",
        "withdraw_proposal": "unlisted",
        "appeal_proposal": "unlisted",
        "relist": "published",
        "suspend": "suspended",
    },
    "suspended": {
        "edit": "suspended",
        "evidence": "suspended",
        "withdraw_proposal": "suspended",
        "appeal_proposal": "suspended",
        "appeal": "suspended",
        "lift": "published",
        "suspend": "suspended",
    },
}
MODERATORS = {"approve", "request_changes", "reject", "suspend", "lift"}
EVERY = list(itertools.product(ListingState, Move))


@pytest.mark.parametrize(("state", "move"), [pair for pair in EVERY if pair[1] in LEGAL[pair[0]]])
def test_a_legal_move_leads_where_the_product_says(state: ListingState, move: Move) -> None:
    assert next_state(state, move, before=ListingState.PUBLISHED) == LEGAL[state][move]


@pytest.mark.parametrize(("state", "move"), [pair for pair in EVERY if pair[1] not in LEGAL[pair[0]]])
def test_an_illegal_move_is_refused_and_names_what_the_seller_may_do(state: ListingState, move: Move) -> None:
    with pytest.raises(IllegalMove) as refused:
        next_state(state, move)
    sellers = [one for one in LEGAL[state] if one not in MODERATORS]
    assert refused.value.extra == {"state": state.value, "legal_moves": sellers}
    assert state in refused.value.detail
    assert all(one in refused.value.detail for one in sellers)
    assert refused.value.status == 409


def test_nothing_reaches_the_market_without_an_approval() -> None:
    """Without the moderators' moves no path leads from a draft to the market."""
    reached: set[ListingState] = {ListingState.DRAFT}
    waiting = [ListingState.DRAFT]
    while waiting:
        state = waiting.pop()
        for (start, move), target in TRANSITIONS.items():
            if start is not state or move in MODERATORS_MOVES or target is None or target in reached:
                continue
            reached.add(target)
            waiting.append(target)
    assert reached == {ListingState.DRAFT, ListingState.IN_REVIEW}


def test_a_lifted_suspension_leads_back_and_nowhere_near_the_market_if_it_is_not_known_where_from() -> None:
    assert next_state(ListingState.SUSPENDED, Move.LIFT, before=ListingState.UNLISTED) is ListingState.UNLISTED
    assert next_state(ListingState.SUSPENDED, Move.LIFT) is ListingState.UNLISTED


def test_every_edit_of_what_is_on_offer_is_a_proposal_and_moves_nothing() -> None:
    editable = {state for state, move in TRANSITIONS if move is Move.EDIT}
    assert editable == {ListingState.DRAFT, ListingState.CHANGES_REQUESTED, *ON_OFFER}
    assert all(next_state(state, Move.EDIT) is state for state in editable)
    assert {state for state, move in TRANSITIONS if move is Move.WITHDRAW_PROPOSAL} == ON_OFFER


def test_every_decision_is_a_moderators_move() -> None:
    assert set(MOVE_OF) == set(Decision)
    assert set(MOVE_OF.values()) == MODERATORS_MOVES
