"""Moderation on a real MongoDB: one case per submitted revision, one decision per case, all of it or nothing."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.marketplace.messages import (
    Decision,
    GetListing,
    ListingState,
    ListingView,
    SubmitListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    ClaimCase,
    DecideCase,
    GetCase,
    ListCases,
    OpenCase,
    ReasonCode,
    Verdict,
)
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt, write_conflict
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


async def submitted(branches: Branches, seller: Context, name: str) -> tuple[ListingView, str]:
    """A listing in review and its case."""
    draft = await branches.here.draft(seller, name)
    listing = await seller.ask(SubmitListing(listing_id=draft.id))
    await branches.here.jobs_done()
    return listing, await case_of(branches, listing)


async def case_of(branches: Branches, listing: ListingView) -> str:
    wanted = {"listing_id": listing.id, "revision": listing.revision}
    row = await branches.mongo.collection("moderation_cases").find_one(wanted)
    assert row is not None
    identifier: str = row["_id"]
    return identifier


async def test_a_case_is_opened_once_however_often_its_job_runs(branches: Branches) -> None:
    services = [branches.here.process.context(), branches.there.process.context()]
    for kind, times in ((CaseKind.REVIEW, 1), (CaseKind.REPORT, 16), (CaseKind.PROPOSED_CHANGE, 1)):
        opening = OpenCase(listing_id="lst_1", revision=2, seller_id="usr_1", title="A title", kind=kind)
        assert await all_at_once([(service, opening) for service in services * 8]) == {"done": 16}
        assert await branches.count("moderation_cases", kind=kind.value) == 1
        assert await branches.count("moderation_cases", kind=kind.value, times=times) == 1


async def test_of_moderators_in_two_processes_one_decides(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing, case_id = await submitted(branches, carla, "Contested")
    moderators = [await branches.person(f"moderator{number}", Role.MODERATOR) for number in range(4)]
    kinds = [Decision.APPROVE, Decision.REQUEST_CHANGES, Decision.REJECT]
    await moderators[0][0].ask(ClaimCase(case_id=case_id))
    asks = [(person, decision(case_id, kinds[number % 3])) for number, pair in enumerate(moderators) for person in pair]
    outcomes = await all_at_once(asks)
    assert outcomes["done"] == 2, "who has claimed it, in both processes: the second click hears what the first did"
    assert set(outcomes) <= {"done", "not_claimed", "already_decided"}
    assert await branches.count("moderation_decisions") == 1
    case = (await moderators[0][0].ask(GetCase(case_id=case_id))).case
    leads_to = {
        Verdict.APPROVE: ListingState.PUBLISHED,
        Verdict.REQUEST_CHANGES: ListingState.CHANGES_REQUESTED,
        Verdict.REJECT: ListingState.REJECTED,
    }
    seen = await carla.ask(GetListing(listing_id=listing.id))
    assert case.decision is not None
    assert seen.state is leads_to[case.decision]
    assert seen.revision == listing.revision + 1
    assert await branches.count("moderation_decisions", case_id=case_id, decided_by=case.decided_by) == 1
    assert await branches.count("moderation_decisions") == 1
    assert len(await branches.here.notices(carla)) == 1


async def test_a_decision_that_does_not_commit_decides_nothing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    listing, case_id = await submitted(branches, carla, "Interrupted")
    await mona.ask(ClaimCase(case_id=case_id))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await mona.ask(decision(case_id, Decision.REJECT))
    assert (await mona.ask(GetCase(case_id=case_id))).case.state is CaseState.OPEN
    assert (await carla.ask(GetListing(listing_id=listing.id))).state is ListingState.IN_REVIEW
    assert (await branches.count("moderation_decisions"), await branches.here.notices(carla)) == (0, [])
    decided = await mona_there.ask(decision(case_id))
    assert (decided.state, decided.decided_by) == (CaseState.DECIDED, mona.user_id)


async def test_nobody_decides_their_own_listing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER, Role.MODERATOR)
    listing, case_id = await submitted(branches, carla, "Own")
    assert await raised(carla, decision(case_id)) == "own_case"
    await carla.ask(WithdrawListing(listing_id=listing.id))
    assert await raised(carla, decision(case_id)) == "own_case"
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert (await mona.ask(GetCase(case_id=case_id))).case.state is CaseState.OPEN, "nor do they close it"


async def test_what_moved_on_before_the_commit_makes_the_case_obsolete(branches: Branches) -> None:
    """The decision loses a conflict against the seller's withdrawal, and sees it when it begins again."""
    carla, carla_there = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing, case_id = await submitted(branches, carla, "Withdrawn")

    await mona.ask(ClaimCase(case_id=case_id))

    done = anyio.Event()

    async def withdraw() -> None:
        await carla_there.ask(WithdrawListing(listing_id=listing.id))
        done.set()

    async def withdrawn() -> None:
        """The decision holds the listing until it is aborted: it loses until the withdrawal has come in between."""
        if branches.transactions.attempts == 1:
            tasks.start_soon(withdraw)
        if done.is_set():
            return  # the case is being closed
        branches.transactions.before_commit = withdrawn
        raise write_conflict()

    branches.transactions.attempts = 0
    branches.transactions.before_commit = withdrawn
    async with anyio.create_task_group() as tasks:
        outcome = await raised(mona, decision(case_id))
    seen = await carla.ask(GetListing(listing_id=listing.id))
    case = (await mona.ask(GetCase(case_id=case_id))).case
    assert (outcome, seen.state, case.state) == ("case_obsolete", ListingState.DRAFT, CaseState.OBSOLETE)
    assert await raised(mona, decision(case_id)) == "case_obsolete"
    assert (await branches.count("moderation_decisions"), await branches.here.notices(carla)) == (0, [])


async def test_a_decision_that_meets_a_withdrawal_comes_before_it_or_not_at_all(branches: Branches) -> None:
    carla, carla_there = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    for number in range(6):
        listing, case_id = await submitted(branches, carla, f"Raced {number}")
        await mona.ask(ClaimCase(case_id=case_id))
        asks = [(mona, decision(case_id)), (carla_there, WithdrawListing(listing_id=listing.id))]
        outcomes = await all_at_once(asks if number % 2 else asks[::-1])
        state = (await carla.ask(GetListing(listing_id=listing.id))).state
        case = (await mona.ask(GetCase(case_id=case_id))).case.state
        if state is ListingState.PUBLISHED:
            assert case is CaseState.DECIDED
            assert outcomes["done"] == 1
            assert set(outcomes) < {"done", "illegal_move", "stale_revision"}
        else:
            assert (state, case) == (ListingState.DRAFT, CaseState.OBSOLETE)
            assert outcomes == {"done": 1, "case_obsolete": 1}


async def test_each_submission_has_a_case_of_its_own_and_the_old_one_decides_nothing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing, old = await submitted(branches, carla, "Swapped")
    await carla.ask(WithdrawListing(listing_id=listing.id))
    await carla.ask(UpdateListing(listing_id=listing.id, title="Something else"))
    again = await carla.ask(SubmitListing(listing_id=listing.id))
    await branches.here.jobs_done()
    assert await raised(mona, decision(old)) == "case_obsolete"
    assert (await carla.ask(GetListing(listing_id=listing.id))).state is ListingState.IN_REVIEW
    new = await case_of(branches, again)
    detail = await mona.ask(GetCase(case_id=new))
    assert (detail.case.title, detail.listing.title) == ("Something else", "Something else")
    assert (await judge(mona, new)).state is CaseState.DECIDED


async def test_the_seller_hears_the_reason_and_not_the_internal_note(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing, case_id = await submitted(branches, carla, "Noted")
    message = DecideCase(
        case_id=case_id,
        decision=Verdict.REQUEST_CHANGES,
        reason_code=ReasonCode.TOO_VAGUE,
        public_note="Say what it is for.",
        internal_note="third time",
    )
    await mona.ask(ClaimCase(case_id=case_id))
    case = await mona.ask(message)
    assert (case.internal_note, case.decided_by) == ("third time", mona.user_id)
    seen = await carla.ask(GetListing(listing_id=listing.id))
    assert seen.review is not None
    assert (seen.review.reason_code, seen.review.note) == ("too_vague", "Say what it is for.")
    (notice,) = await branches.here.notices(carla)
    assert "Say what it is for." in notice.body
    for shown in (seen, notice):
        assert "third time" not in repr(shown)
        assert mona.user_id not in repr(shown), "who decided is not for the seller"


async def test_the_queue_is_for_moderators_and_comes_in_pages(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    ids = [(await submitted(branches, carla, f"Case {number}"))[1] for number in range(5)]
    await judge(mona, ids[0])
    for message in (ListCases(), GetCase(case_id=ids[1]), decision(ids[1])):
        assert await raised(carla, message) == "forbidden"
    for message in (GetCase(case_id="cas_nowhere"), decision("cas_nowhere")):
        assert await raised(mona, message) == "not_found"
    opening = OpenCase(listing_id="l", revision=1, seller_id="s", title="t")
    assert await raised(mona, opening) == "forbidden", "cases come from submissions"
    seen: list[str] = []
    cursor = None
    while len(seen) < 4 or cursor is not None:
        page = await mona.ask(ListCases(limit=3, cursor=cursor))
        seen += [case.id for case in page.items]
        cursor = page.next
    assert seen == ids[:0:-1]
    assert [case.id for case in (await mona.ask(ListCases(state=CaseState.DECIDED))).items] == [ids[0]]
    with pytest.raises(Invalid):
        await mona.ask(ListCases(cursor="x"))
