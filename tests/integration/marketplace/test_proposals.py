"""Changes of listings on offer: proposed, reviewed and applied as reviewed, while the old one stays up."""

from __future__ import annotations

from typing import Any

import pytest

from promptforge.actors.marketplace.errors import StaleRevision
from promptforge.actors.marketplace.listings.messages import (
    GetListingHistory,
    HistoryEntry,
    WithdrawProposal,
)
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    GetListing,
    ListingState,
    ListingView,
    ProposalState,
    PurchaseListing,
    RelistListing,
    UnlistListing,
    UpdateListing,
)
from promptforge.actors.moderation.messages import CaseKind
from promptforge.actors.prompts.messages import CreateVersion
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_suspensions import decided, open_cases, seen
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


async def on_the_market(branches: Branches) -> tuple[Context, Context, ListingView]:
    """Its seller in both processes, and a published listing."""
    carla, there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "On the market")
    return carla, there, await seen(carla, listing)


async def edit(seller: Context, listing: ListingView, **changes: Any) -> ListingView:  # Any: fields of the message
    return await seller.ask(UpdateListing(listing_id=listing.id, **changes))


def about(view: ListingView, kind: Decision = Decision.APPROVE) -> ApplyDecision:
    """A decision on the proposal as this view shows it."""
    assert view.proposal is not None
    return ApplyDecision(
        listing_id=view.id,
        revision=view.proposal.revision,
        decision=kind,
        moderator_id="usr_m",
        reason_code="fine",
        public_note="Good.",
    )


async def history(person: Context, listing: ListingView) -> list[HistoryEntry]:
    """The oldest first."""
    found: list[HistoryEntry] = []
    cursor = None
    while True:
        page = await person.ask(GetListingHistory(listing_id=listing.id, limit=3, cursor=cursor))
        found += page.items
        cursor = page.next
        if cursor is None:
            return found[::-1]


async def test_an_edit_of_a_published_listing_waits_while_the_old_one_stays_up(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    await carla.ask(CreateVersion(prompt_id=listing.prompt_id, content="A better {{word}}."))
    view = await edit(carla, listing, title="A new title", version=2, price="20")
    assert (view.title, view.version, view.price, view.state) == ("On the market", 1, "10", ListingState.PUBLISHED)
    assert view.proposal is not None
    assert view.proposal.state is ProposalState.IN_REVIEW
    assert {change.field: (change.before, change.after) for change in view.proposal.changes} == {
        "title": ("On the market", "A new title"),
        "version": (1, 2),
        "price": ("10", "20"),
    }
    eve, _ = await branches.person("eve")
    shown = await eve.ask(GetListing(listing_id=listing.id))
    assert (shown.title, shown.proposal) == ("On the market", None), "what is proposed is for the seller only"
    await branches.here.fund(eve, 50)
    bought = await branches.here.buy(eve, listing)
    assert bought.version == 1, "what is sold is what was reviewed"


async def test_a_proposal_is_decided_in_a_case_and_applied_as_it_was_reviewed(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await edit(carla, listing, title="Reviewed title", tags=("x",))
    (case,) = await open_cases(branches)
    assert case.kind is CaseKind.PROPOSED_CHANGE
    await judge(mona, case.id)
    view = await seen(carla, listing)
    assert (view.title, view.tags, view.proposal) == ("Reviewed title", ("x",), None)
    assert (view.state, view.published_at) == (ListingState.PUBLISHED, listing.published_at)


async def test_a_proposal_that_changed_meanwhile_is_not_what_was_reviewed(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    first = await edit(carla, listing, title="First title")
    (case,) = await open_cases(branches)
    await edit(carla, listing, title="Second title")
    assert await raised(branches.here.process.context(), about(first)) == "listing_moved"
    assert await raised(mona, decision(case.id)) == "case_obsolete"
    (case,) = await open_cases(branches)
    await judge(mona, case.id)
    assert (await seen(carla, listing)).title == "Second title"


async def test_a_lower_price_holds_at_once_and_leaves_a_proposal_as_it_was_reviewed(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    proposed = await edit(carla, listing, title="New title")
    lower = await edit(carla, listing, price="4")
    assert (lower.price, lower.proposal) == ("4", proposed.proposal)
    view = await branches.here.process.context().ask(about(proposed))
    assert (view.price, view.title) == ("4", "New title")
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 10)
    assert await raised(bruno, PurchaseListing(listing_id=listing.id, expected_price="10")) == "price_changed"
    await branches.here.buy(bruno, listing, "4")


async def test_a_lower_price_takes_back_a_higher_one_that_waits(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    raised_price = await edit(carla, listing, price="12", title="New title")
    view = await edit(carla, listing, price="9")
    assert view.price == "9"
    assert view.proposal is not None
    assert [change.field for change in view.proposal.changes] == ["title"]
    service = branches.here.process.context()
    assert await raised(service, about(raised_price)) == "listing_moved"
    applied = await service.ask(about(view))
    assert (applied.price, applied.title) == ("9", "New title")


@pytest.mark.parametrize("kind", [Decision.REQUEST_CHANGES, Decision.REJECT])
async def test_a_proposal_that_is_refused_changes_nothing_and_says_why(branches: Branches, kind: Decision) -> None:
    carla, _, listing = await on_the_market(branches)
    view = await branches.here.process.context().ask(about(await edit(carla, listing, title="New title"), kind))
    assert (view.title, view.state, view.review) == (listing.title, ListingState.PUBLISHED, listing.review)
    assert view.proposal is not None
    assert view.proposal.review is not None
    assert (view.proposal.review.reason_code, view.proposal.review.note) == ("fine", "Good.")
    again = await edit(carla, listing, summary="Another summary")
    assert again.proposal is not None
    assert again.proposal.state is ProposalState.IN_REVIEW
    fields = [change.field for change in again.proposal.changes]
    assert fields == (["summary", "title"] if kind is Decision.REQUEST_CHANGES else ["summary"])


async def test_a_proposal_can_be_withdrawn_and_then_decides_nothing(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    assert await raised(carla, WithdrawProposal(listing_id=listing.id)) == "no_proposal"
    proposed = await edit(carla, listing, title="New title")
    assert (await carla.ask(WithdrawProposal(listing_id=listing.id))).proposal is None
    assert await raised(branches.here.process.context(), about(proposed)) == "listing_moved"
    proposed = await edit(carla, listing, title="New title")
    assert (await edit(carla, listing, title=listing.title)).proposal is None, "back to what it is"
    assert (await seen(carla, listing)).title == listing.title
    draft = await branches.here.draft(carla, "Draft")
    assert await raised(carla, WithdrawProposal(listing_id=draft.id)) == "illegal_move"
    eve, _ = await branches.person("eve", Role.SELLER)
    assert await raised(eve, WithdrawProposal(listing_id=listing.id)) == "not_found"


async def test_what_was_unlisted_or_suspended_meanwhile_stays_so_with_the_approved_change_in_it(
    branches: Branches,
) -> None:
    carla, _, listing = await on_the_market(branches)
    service = branches.here.process.context()
    proposed = await edit(carla, listing, title="While unlisted")
    await carla.ask(UnlistListing(listing_id=listing.id))
    view = await service.ask(about(proposed))
    assert (view.state, view.title) == (ListingState.UNLISTED, "While unlisted")
    await carla.ask(RelistListing(listing_id=listing.id))
    proposed = await edit(carla, listing, title="While suspended")
    suspended = await service.ask(decided(listing, Decision.SUSPEND))
    view = await service.ask(about(proposed))
    assert (view.state, view.title) == (ListingState.SUSPENDED, "While suspended")
    assert view.review == suspended.review, "why it is suspended is still what the seller reads, and can appeal"
    assert (await service.ask(decided(view, Decision.LIFT))).state is ListingState.PUBLISHED


async def test_a_proposal_and_its_case_are_one(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    jobs = await branches.count("jobs", kind="moderation.OpenCase")
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await edit(carla, listing, title="New title", price="5")
    assert await seen(carla, listing) == listing
    assert await branches.count("jobs", kind="moderation.OpenCase") == jobs
    assert len(await history(carla, listing)) == 3


async def test_an_approval_that_meets_an_edit_applies_what_was_reviewed_or_nothing(branches: Branches) -> None:
    carla, there, listing = await on_the_market(branches)
    service = branches.here.process.context()
    for number in range(4):
        proposed = await edit(carla, listing, title=f"Reviewed {number}")
        meanwhile = UpdateListing(listing_id=listing.id, title=f"Unseen {number}")
        outcomes = await all_at_once([(service, about(proposed)), (there, meanwhile)])
        view = await seen(carla, listing)
        assert not view.title.startswith("Unseen")
        assert view.proposal is not None
        assert view.proposal.changes[0].after == f"Unseen {number}"
        assert view.title == f"Reviewed {number}" or outcomes["listing_moved"] == 1
        await carla.ask(WithdrawProposal(listing_id=listing.id))


async def test_an_edit_of_another_revision_than_was_read_is_refused(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    await edit(carla, listing, title="New title", revision=listing.revision)
    with pytest.raises(StaleRevision) as refused:
        await edit(carla, listing, price="1", revision=listing.revision)
    assert refused.value.extra == {"revision": listing.revision + 1}


async def test_the_history_tells_every_revision_and_to_the_seller_not_who_decided(branches: Branches) -> None:
    carla, _, listing = await on_the_market(branches)
    proposed = await edit(carla, listing, title="New title", price="8")
    await branches.here.process.context().ask(about(proposed))
    await carla.ask(UnlistListing(listing_id=listing.id))
    entries = await history(carla, listing)
    assert [(entry.revision, entry.move, entry.state.value) for entry in entries] == [
        (1, "create", "draft"),
        (2, "submit", "in_review"),
        (3, "approve", "published"),
        (4, "edit", "published"),
        (5, "propose", "published"),
        (6, "approve", "published"),
        (7, "unlist", "unlisted"),
    ]
    assert {change.field for change in entries[0].changes} >= {"title", "price", "version", "licence"}
    told = [[(one.field, one.before, one.after) for one in entry.changes] for entry in entries[1:]]
    title = ("title", "On the market", "New title")
    assert told == [[], [], [("price", "10", "8")], [title], [title], []]
    assert [entry.by for entry in entries] == [carla.user_id] * 2 + [None] + [carla.user_id] * 2 + [None, carla.user_id]
    assert (entries[5].reason_code, entries[5].note) == ("fine", "Good.")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert [entry.by for entry in await history(mona, listing)][5] == "usr_m"
    eve, _ = await branches.person("eve", Role.SELLER)
    assert await raised(eve, GetListingHistory(listing_id=listing.id)) == "not_found"
