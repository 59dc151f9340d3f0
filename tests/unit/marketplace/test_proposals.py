"""What an edit of a listing on offer becomes: some of it at once, the rest a proposal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptforge.actors.marketplace.listings.proposals import Proposal, changes_between, proposed, split, without
from promptforge.actors.marketplace.messages import Decision, FieldChange, ProposalState, ReviewNote

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CURRENT: dict[str, Any] = {"version": 1, "content_hash": "a", "title": "Old", "tags": ["a"], "price": 10_000}


def after(before: Proposal | None, **sent: Any) -> Proposal | None:
    return proposed(before, sent, CURRENT, revision=8, now=LATER)


def waiting(**changes: Any) -> Proposal:
    return Proposal(7, ProposalState.IN_REVIEW, changes, NOW)


@pytest.mark.parametrize(
    ("sent", "at_once", "later"),
    [
        ({"price": 9_999}, {"price": 9_999}, {}),
        ({"price": 0, "title": "New"}, {"price": 0}, {"title": "New"}),
        ({"price": 10_001}, {}, {"price": 10_001}),
        ({"price": 10_000}, {}, {"price": 10_000}),
        ({"title": "New"}, {}, {"title": "New"}),
        ({}, {}, {}),
    ],
)
def test_only_a_lower_price_takes_effect_at_once(
    sent: dict[str, Any], at_once: dict[str, Any], later: dict[str, Any]
) -> None:
    assert split(CURRENT, sent) == (at_once, later)


def test_an_edit_is_a_proposal_of_what_differs() -> None:
    assert after(None, title="New", tags=["a"]) == Proposal(8, ProposalState.IN_REVIEW, {"title": "New"}, LATER)
    assert after(None, title="Old", tags=["a"], price=10_000) is None


def test_further_edits_add_to_what_waits_and_make_it_another_proposal() -> None:
    there = waiting(title="New")
    assert after(there, tags=["b"]) == Proposal(8, ProposalState.IN_REVIEW, {"title": "New", "tags": ["b"]}, LATER)
    assert after(there, title="Newer") == Proposal(8, ProposalState.IN_REVIEW, {"title": "Newer"}, LATER)


def test_the_same_again_is_the_proposal_that_is_being_reviewed() -> None:
    there = waiting(title="New")
    assert after(there, title="New") is there


def test_what_is_sent_as_it_is_is_proposed_no_more() -> None:
    assert after(waiting(title="New"), title="Old") is None
    left = after(waiting(title="New", tags=["b"]), title="Old")
    assert left is not None
    assert (left.changes, left.revision) == ({"tags": ["b"]}, 8)


def test_what_was_sent_back_is_added_to_and_what_was_rejected_is_not() -> None:
    back = replace(waiting(title="New", tags=["b"]), state=ProposalState.CHANGES_REQUESTED)
    again = after(back, title="Newer")
    assert again == Proposal(8, ProposalState.IN_REVIEW, {"title": "Newer", "tags": ["b"]}, LATER)
    assert after(back, title="New") == replace(again, changes={"title": "New", "tags": ["b"]}), "sent again as it was"
    rejected = replace(back, state=ProposalState.REJECTED)
    assert after(rejected, title="Newer") == Proposal(8, ProposalState.IN_REVIEW, {"title": "Newer"}, LATER)


def test_a_lower_price_takes_back_a_higher_one_that_waits() -> None:
    assert without(waiting(price=12_000), "price", revision=8, now=LATER) is None
    assert without(waiting(price=12_000, title="New"), "price", revision=8, now=LATER) == Proposal(
        8, ProposalState.IN_REVIEW, {"title": "New"}, LATER
    )
    there = waiting(title="New")
    assert without(there, "price", revision=8, now=LATER) is there
    assert without(None, "price", revision=8, now=LATER) is None


def test_what_is_appealed_is_no_appeal_any_more_once_a_lower_price_has_changed_it() -> None:
    note = ReviewNote(Decision.REJECT, "misleading", "No.", NOW, appealed_at=NOW)
    appealed = replace(waiting(price=12_000, title="New"), review=note)
    left = without(appealed, "price", revision=8, now=LATER)
    assert left == Proposal(8, ProposalState.IN_REVIEW, {"title": "New"}, LATER)
    rejected = replace(appealed, state=ProposalState.REJECTED, review=replace(note, appealed_at=None))
    left = without(rejected, "price", revision=8, now=LATER)
    assert left is not None
    assert left.review == rejected.review, "it can still be appealed"


def test_changes_are_told_without_hashes_and_in_credits() -> None:
    told = changes_between(CURRENT, {"version": 2, "content_hash": "b", "price": 12_500, "tags": ["b"], "title": "Old"})
    assert told == (
        FieldChange("price", "10", "12.5"),
        FieldChange("tags", ("a",), ("b",)),
        FieldChange("version", 1, 2),
    )
