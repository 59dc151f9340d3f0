"""Cases of people whose accounts are closed meanwhile: nothing is decided for them, nothing of theirs comes back."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing, LeaveMarket
from promptforge.actors.marketplace.messages import ListingState, SubmitListing, UpdateListing
from promptforge.actors.marketplace.purchases.messages import AppealRefund
from promptforge.actors.moderation.messages import CaseKind, CaseState, CaseView, ClaimCase, GetCase, Verdict
from promptforge.actors.users.messages import CloseAccount
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.moderation.test_appeals import WORDS, open_case, refund_case
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


async def appealed(branches: Branches, carla: Context, mona: Context) -> str:
    """A listing whose rejection is appealed."""
    draft = await branches.here.draft(carla, "Appealed")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    return draft.id


async def state_of(branches: Branches, listing_id: str) -> ListingState:
    row = await branches.mongo.collection("marketplace_listings").find_one({"_id": listing_id})
    assert row is not None
    return ListingState(row["state"])


async def close(branches: Branches, person: Context) -> None:
    await branches.here.process.context().ask(CloseAccount(user_id=person.user_id))


async def is_over(moderator: Context, case: CaseView, verdict: Verdict) -> None:
    """Decided by whoever has claimed it: no case any more."""
    assert await raised(moderator, decision(case.id, verdict)) == "case_obsolete"
    assert (await moderator.ask(GetCase(case_id=case.id))).case.state is CaseState.OBSOLETE


@pytest.mark.parametrize("left", [False, True], ids=["closed", "has left the market too"])
async def test_an_appeal_of_who_has_left_publishes_nothing(branches: Branches, *, left: bool) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    listing_id = await appealed(branches, carla, mona)
    case = await open_case(branches, max_, CaseKind.APPEAL)
    await max_.ask(ClaimCase(case_id=case.id))
    await close(branches, carla)
    if left:
        context = branches.here.process.context()
        assert [await context.ask(LeaveMarket(seller_id=carla.user_id)) for _ in range(2)] == [1, 0]
    await is_over(max_, case, Verdict.APPROVE)
    assert await state_of(branches, listing_id) is ListingState.REJECTED


@pytest.mark.parametrize("kind", [CaseKind.REVIEW, CaseKind.PROPOSED_CHANGE])
async def test_what_waited_for_review_is_over_as_soon_as_the_account_is_closed(
    branches: Branches, kind: CaseKind
) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    if kind is CaseKind.REVIEW:
        listing = await branches.here.draft(carla, "Leaving")
        await carla.ask(SubmitListing(listing_id=listing.id))
    else:
        listing = await branches.here.published(carla, "Leaving")
        await carla.ask(UpdateListing(listing_id=listing.id, title="Left"))
    case = await open_case(branches, mona, kind)
    await mona.ask(ClaimCase(case_id=case.id))
    await close(branches, carla)
    await is_over(mona, case, Verdict.APPROVE)


@pytest.mark.parametrize("verdict", [Verdict.REFUND, Verdict.DISMISS])
@pytest.mark.parametrize("erased", [False, True])
async def test_a_refund_that_its_buyer_waits_for_no_more_is_no_case(
    branches: Branches, verdict: Verdict, *, erased: bool
) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    case = await refund_case(branches, carla, bruno, mona)
    await mona.ask(ClaimCase(case_id=case.id))
    if erased:
        await branches.mongo.collection("purchases").update_one({"_id": case.purchase_id}, {"$set": {"refund": None}})
    else:
        await close(branches, bruno)
    await is_over(mona, case, verdict)
    assert await branches.count("purchases", refunded_at=None) == 1
    assert await branches.ledger_is_right()


async def test_nor_is_an_appeal_against_its_refusal(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    case = await refund_case(branches, carla, bruno, mona)
    await judge(mona, case.id, Verdict.DISMISS)
    await bruno.ask(AppealRefund(purchase_id=case.purchase_id or "", words=WORDS))
    appeal = await open_case(branches, max_, CaseKind.REFUND_APPEAL)
    await max_.ask(ClaimCase(case_id=appeal.id))
    await close(branches, bruno)
    await is_over(max_, appeal, Verdict.REFUND)
