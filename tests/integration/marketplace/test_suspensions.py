"""Suspensions, rejections and the appeals against both, with the market served by two processes."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.errors import IllegalMove
from promptforge.actors.marketplace.listings.messages import (
    AppealListing,
)
from promptforge.actors.marketplace.messages import (
    ApplyDecision,
    Decision,
    GetListing,
    ListingState,
    ListingView,
    PurchaseListing,
    RelistListing,
    SubmitListing,
    UnlistListing,
)
from promptforge.actors.moderation.messages import CaseKind, CaseView, ListCases
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import judge, raised

pytestmark = pytest.mark.anyio
WORDS = "The words that were found are a quotation, and it is marked as one."


def decided(listing: ListingView, kind: Decision, reason_code: str = "copied", note: str = "Why.") -> ApplyDecision:
    return ApplyDecision(
        listing_id=listing.id,
        revision=listing.revision,
        decision=kind,
        moderator_id="usr_m",
        reason_code=reason_code,
        public_note=note,
    )


async def seen(seller: Context, listing: ListingView) -> ListingView:
    return await seller.ask(GetListing(listing_id=listing.id))


async def open_cases(branches: Branches) -> list[CaseView]:
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await branches.here.jobs_done()
    return list((await mona.ask(ListCases(limit=100))).items)


async def test_a_suspended_listing_is_off_the_market_and_its_seller_knows_why(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 100)
    listing = await branches.here.published(carla, "Suspended")
    bought = await branches.here.buy(bruno, listing)
    await branches.here.process.context().ask(decided(listing, Decision.SUSPEND))
    view = await seen(carla, listing)
    assert view.state is ListingState.SUSPENDED
    assert view.review is not None
    assert (view.review.decision, view.review.reason_code, view.review.note) == (Decision.SUSPEND, "copied", "Why.")
    assert not view.review.final
    assert await raised(bruno, GetListing(listing_id=listing.id)) == "not_found"
    eve, _ = await branches.person("eve")
    assert await raised(eve, PurchaseListing(listing_id=listing.id, expected_price="10")) == "not_for_sale"
    row = await branches.mongo.collection("entitlements").find_one({"purchase_id": bought.id})
    assert row is not None, "who has bought it keeps it"
    for message in (SubmitListing, UnlistListing, RelistListing):
        with pytest.raises(IllegalMove) as refused:
            await carla.ask(message(listing_id=listing.id))
        assert refused.value.extra["legal_moves"] == [
            "edit",
            "evidence",
            "withdraw_proposal",
            "appeal_proposal",
            "appeal",
        ]


@pytest.mark.parametrize("unlisted", [False, True])
async def test_a_lifted_suspension_puts_the_listing_where_it_was(branches: Branches, *, unlisted: bool) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Lifted")
    if unlisted:
        await carla.ask(UnlistListing(listing_id=listing.id))
    before = await seen(carla, listing)
    service = branches.here.process.context()
    await service.ask(decided(before, Decision.SUSPEND))
    await carla.ask(AppealListing(listing_id=listing.id, words=WORDS))
    lifted = await service.ask(decided(before, Decision.LIFT, "mistaken"))
    assert (lifted.state, lifted.published_at) == (before.state, before.published_at)
    assert lifted.review is not None
    assert (lifted.review.reason_code, lifted.review.appealed_at) == ("mistaken", None)
    assert await raised(carla, AppealListing(listing_id=listing.id, words=WORDS)) == "illegal_move"


async def test_a_suspension_holds_whatever_the_seller_does_meanwhile(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Dodging")
    reviewed = await seen(carla, listing)
    await carla.ask(UnlistListing(listing_id=listing.id))
    service = branches.here.process.context()
    assert (await service.ask(decided(reviewed, Decision.SUSPEND))).state is ListingState.SUSPENDED
    for number in range(3):
        one = await branches.here.published(carla, f"Raced {number}")
        here, there = branches.here.process.context(), await branches.person("carla", Role.SELLER)
        outcomes = await all_at_once(
            [(here, decided(one, Decision.SUSPEND)), (there[1], UnlistListing(listing_id=one.id))]
        )
        assert outcomes in ({"done": 2}, {"done": 1, "illegal_move": 1})
        assert (await seen(carla, one)).state is ListingState.SUSPENDED


async def test_an_appeal_opens_a_case_with_the_sellers_words_once(branches: Branches) -> None:
    carla, carla_there = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Appealed")
    appeal = AppealListing(listing_id=listing.id, words=WORDS)
    assert await raised(carla, appeal) == "illegal_move", "nothing was decided against it"
    await branches.here.process.context().ask(decided(listing, Decision.SUSPEND))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await carla.ask(appeal)
    assert await branches.count("jobs", kind="moderation.OpenCase", state="available") == 0
    outcomes = await all_at_once([(carla, appeal), (carla_there, appeal), (carla, appeal), (carla_there, appeal)])
    assert outcomes == {"done": 1, "already_appealed": 3}
    assert await raised(carla, appeal) == "already_appealed"
    (case,) = await open_cases(branches)
    view = await seen(carla, listing)
    assert (case.kind, case.reason, case.revision) == (CaseKind.APPEAL, WORDS, view.revision)
    assert view.state is ListingState.SUSPENDED, "an appeal does not lift anything"
    assert view.review is not None
    assert view.review.appealed_at is not None


async def test_what_an_appeal_ends_with_is_final(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Rejected twice")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Decision.REJECT)
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    max_, _ = await branches.person("max", Role.MODERATOR)
    await judge(max_, await branches.here.case_of(max_, submitted), Decision.REJECT)
    view = await seen(carla, draft)
    assert view.state is ListingState.REJECTED
    assert view.review is not None
    assert view.review.final
    assert await raised(carla, AppealListing(listing_id=draft.id, words=WORDS)) == "nothing_to_appeal"
    assert [notice.kind for notice in await branches.here.notices(carla)] == ["listing.rejected"] * 2


async def test_an_appeal_that_is_right_publishes_what_was_rejected(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Rejected by mistake")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Decision.REJECT)
    rejected = await seen(carla, draft)
    service = branches.here.process.context()
    assert await raised(service, decided(rejected, Decision.APPROVE)) == "listing_moved", "nobody has appealed"
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    max_, _ = await branches.person("max", Role.MODERATOR)
    await judge(max_, await branches.here.case_of(max_, submitted))
    assert (await seen(carla, draft)).state is ListingState.PUBLISHED


async def test_a_listing_of_the_service_before_has_nothing_to_appeal(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.draft(carla, "Old")
    review = {"decision": "reject", "reason_code": "from_the_service_before", "note": "No version.", "decided_at": None}
    changes = {"state": "rejected", "version": 0, "content_hash": "", "review": review}
    await branches.mongo.collection("marketplace_listings").update_one({"_id": listing.id}, {"$set": changes})
    assert await raised(carla, AppealListing(listing_id=listing.id, words=WORDS)) == "nothing_to_appeal"


async def test_other_peoples_decisions_are_not_ones_own_to_appeal(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    listing = await branches.here.published(carla, "Mine")
    await branches.here.process.context().ask(decided(listing, Decision.SUSPEND))
    assert await raised(eve, AppealListing(listing_id=listing.id, words=WORDS)) == "not_found"
