"""What stands in the queue is what can be decided: of one listing's revisions the newest, on a real MongoDB."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import GetListing, SubmitListing, UpdateListing, WithdrawListing
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    CaseView,
    ClaimCase,
    GetCase,
    GetQueue,
    ListCases,
    OpenCase,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


async def cases_of(moderator: Context, kind: CaseKind, state: CaseState = CaseState.OPEN) -> list[CaseView]:
    return list((await moderator.ask(ListCases(kind=kind, state=state, limit=100))).items)


async def test_many_edits_of_a_proposal_leave_one_open_case(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Flooding")
    for number in range(12):
        await carla.ask(UpdateListing(listing_id=listing.id, title=f"Title {number}"))
        if number % 3 == 0:
            await branches.here.jobs_done()
    await branches.here.jobs_done()
    (case,) = await cases_of(mona, CaseKind.PROPOSED_CHANGE)
    proposal = (await carla.ask(GetListing(listing_id=listing.id))).proposal
    assert proposal is not None
    assert case.revision == proposal.revision
    assert len(await cases_of(mona, CaseKind.PROPOSED_CHANGE, CaseState.OBSOLETE)) == 11
    waiting = {one.kind: one.open for one in (await mona.ask(GetQueue())).kinds}
    assert waiting[CaseKind.PROPOSED_CHANGE] == 1
    await judge(mona, case.id)


async def test_submitting_again_and_again_leaves_one_open_case(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Back and forth")
    revisions = []
    for _ in range(5):
        revisions.append((await carla.ask(SubmitListing(listing_id=draft.id))).revision)
        await branches.here.jobs_done()
        await carla.ask(WithdrawListing(listing_id=draft.id))
    (case,) = await cases_of(mona, CaseKind.REVIEW)
    assert case.revision == revisions[-1]


async def test_a_case_that_is_claimed_is_not_closed_under_the_moderators_hands(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Claimed")
    await carla.ask(UpdateListing(listing_id=listing.id, title="First"))
    await branches.here.jobs_done()
    (first,) = await cases_of(mona, CaseKind.PROPOSED_CHANGE)
    await mona.ask(ClaimCase(case_id=first.id))
    await carla.ask(UpdateListing(listing_id=listing.id, title="Second"))
    await branches.here.jobs_done()
    assert (await mona.ask(GetCase(case_id=first.id))).case.state is CaseState.OPEN
    assert await raised(mona, decision(first.id)) == "case_obsolete"
    (second,) = await cases_of(mona, CaseKind.PROPOSED_CHANGE)
    assert second.id != first.id


async def test_a_job_that_comes_late_opens_no_case_of_what_has_passed(branches: Branches) -> None:
    mona, _ = await branches.person("mona", Role.MODERATOR)
    service = branches.here.process.context()
    for revision in (3, 2):
        opening = OpenCase(
            listing_id="lst_1",
            revision=revision,
            seller_id="usr_1",
            title="A title",
            kind=CaseKind.PROPOSED_CHANGE,
        )
        await service.ask(opening)
    assert [one.revision for one in await cases_of(mona, CaseKind.PROPOSED_CHANGE)] == [3]
