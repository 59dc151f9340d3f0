"""A change that was rejected can be appealed, once, and another moderator decides; on a real MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.marketplace.listings.messages import AppealProposal, WithdrawProposal
from promptforge.actors.marketplace.messages import (
    GetListing,
    ListingView,
    ProposalState,
    ProposalView,
    UpdateListing,
)
from promptforge.actors.moderation.messages import CaseKind, CaseView, ClaimCase, ListCases, Verdict
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio
WORDS = "The new title says what it does, word for word."


async def change_case(branches: Branches, moderator: Context) -> CaseView:
    await branches.here.jobs_done()
    (case,) = (await moderator.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    return case


async def proposal_of(seller: Context, listing: ListingView) -> ProposalView:
    found = (await seller.ask(GetListing(listing_id=listing.id))).proposal
    assert found is not None
    return found


async def rejected(branches: Branches, moderator: Context) -> tuple[Context, Context, ListingView]:
    """The seller in both processes, and their listing, a change of which the moderator has rejected."""
    carla, carla_there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "As it was")
    await carla.ask(UpdateListing(listing_id=listing.id, title="As it should be"))
    await judge(moderator, (await change_case(branches, moderator)).id, Verdict.REJECT)
    return carla, carla_there, listing


async def test_another_moderator_decides_the_appeal_about_what_was_rejected(branches: Branches) -> None:
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, _, listing = await rejected(branches, max_)
    first = await proposal_of(carla, listing)
    assert first.review is not None
    assert first.review.appeal_until is not None
    notice = next(one for one in await branches.here.notices(carla) if one.kind == "change.rejected")
    assert f"POST /marketplace/listings/{listing.id}/proposal/appeal" in notice.body
    assert f"{first.review.appeal_until:%Y-%m-%d}" in notice.body
    appealed = (await carla.ask(AppealProposal(listing_id=listing.id, words=WORDS))).proposal
    assert appealed is not None
    assert appealed.review is not None
    assert (appealed.state, appealed.changes) == (ProposalState.IN_REVIEW, first.changes)
    assert appealed.review.appealed_at is not None
    case = await change_case(branches, mona)
    assert (case.reason, case.revision) == (WORDS, appealed.revision)
    assert await raised(max_, ClaimCase(case_id=case.id)) == "own_decision"
    assert await raised(max_, decision(case.id)) == "own_decision"
    await judge(mona, case.id)
    after = await carla.ask(GetListing(listing_id=listing.id))
    assert (after.title, after.proposal) == ("As it should be", None)
    told = next(one for one in await branches.here.notices(carla) if one.kind == "change.approved")
    assert "heard by another moderator, and changed the decision" in told.body


async def test_an_appeal_that_fails_is_final_for_this_change_and_not_for_the_next_one(branches: Branches) -> None:
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, _, listing = await rejected(branches, max_)
    again = AppealProposal(listing_id=listing.id, words=WORDS)
    await carla.ask(again)
    assert await raised(carla, again) == "nothing_to_appeal", "it waits for a decision"
    await judge(mona, (await change_case(branches, mona)).id, Verdict.REJECT)
    upheld = (await proposal_of(carla, listing)).review
    assert upheld is not None
    assert (upheld.final, upheld.appeal_until) == (True, None)
    assert await raised(carla, again) == "nothing_to_appeal"
    told = (await branches.here.notices(carla))[0]
    assert "That is final" in told.body
    assert "/appeal" not in told.body
    await carla.ask(UpdateListing(listing_id=listing.id, title="As it could be"))
    case = await change_case(branches, mona)
    assert case.reason is None
    assert await raised(mona, ClaimCase(case_id=case.id)) == "done"


async def test_an_appealed_change_that_is_edited_is_another_one_and_no_appeal(branches: Branches) -> None:
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, _, listing = await rejected(branches, max_)
    await carla.ask(AppealProposal(listing_id=listing.id, words=WORDS))
    edited = (await carla.ask(UpdateListing(listing_id=listing.id, summary="Another summary"))).proposal
    assert edited is not None
    assert {one.field for one in edited.changes} == {"title", "summary"}
    assert (edited.state, edited.review) == (ProposalState.IN_REVIEW, None)
    await branches.here.jobs_done()
    cases = (await max_.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    newest = max(cases, key=lambda one: one.revision)
    assert await raised(max_, ClaimCase(case_id=newest.id)) == "done"


async def test_an_appealed_change_that_a_lower_price_has_changed_is_no_appeal_either(branches: Branches) -> None:
    """Its case has no words: it may not be taken for the appeal, and lose the right to one."""
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "As it was", price="10")
    await carla.ask(UpdateListing(listing_id=listing.id, title="As it should be", price="20"))
    await judge(max_, (await change_case(branches, max_)).id, Verdict.REJECT)
    appeal = AppealProposal(listing_id=listing.id, words=WORDS)
    await carla.ask(appeal)
    await branches.here.jobs_done()
    await carla.ask(UpdateListing(listing_id=listing.id, price="5"))
    left = await proposal_of(carla, listing)
    assert (left.state, left.review, [one.field for one in left.changes]) == (ProposalState.IN_REVIEW, None, ["title"])
    await judge(max_, (await change_case(branches, max_)).id, Verdict.REJECT)
    again = await proposal_of(carla, listing)
    assert again.review is not None
    assert (again.review.final, await raised(carla, appeal)) == (False, "done"), "it was not heard yet"


async def test_there_is_nothing_to_appeal_where_no_change_was_rejected(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    listing = await branches.here.published(carla, "Untouched")
    appeal = AppealProposal(listing_id=listing.id, words=WORDS)
    assert await raised(carla, appeal) == "nothing_to_appeal"
    assert await raised(eve, appeal) == "not_found"
    await carla.ask(UpdateListing(listing_id=listing.id, title="Waiting"))
    assert await raised(carla, appeal) == "nothing_to_appeal"
    draft = await branches.here.draft(carla, "Draft")
    assert await raised(carla, AppealProposal(listing_id=draft.id, words=WORDS)) == "illegal_move"


async def test_a_rejection_cannot_be_appealed_after_its_time(branches: Branches) -> None:
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, _, listing = await rejected(branches, max_)
    past = {"$set": {"proposal.review.appeal_until": datetime.now(UTC) - timedelta(seconds=1)}}
    await branches.mongo.collection("marketplace_listings").update_one({"_id": listing.id}, past)
    assert await raised(carla, AppealProposal(listing_id=listing.id, words=WORDS)) == "appeal_too_late"


async def test_of_an_appeal_and_a_withdrawal_at_once_one_comes_first(branches: Branches) -> None:
    max_, _ = await branches.person("max", Role.MODERATOR)
    carla, carla_there, listing = await rejected(branches, max_)
    appeal = AppealProposal(listing_id=listing.id, words=WORDS)
    outcomes = await all_at_once(
        [(carla, appeal), (carla_there, appeal), (carla_there, WithdrawProposal(listing_id=listing.id))]
    )
    assert outcomes["done"] in {1, 2}
    assert set(outcomes) <= {"done", "nothing_to_appeal"}
    assert (await carla.ask(GetListing(listing_id=listing.id))).proposal is None, "the withdrawal is never lost"
