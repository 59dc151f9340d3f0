"""Claims on a real MongoDB: of two moderators one works on a case, for a while, and nobody whose own case it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.marketplace.messages import (
    GetListing,
    ListingState,
    RefundPurchase,
    SubmitListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseOrder,
    CaseState,
    ClaimCase,
    ClaimedBy,
    GetCase,
    GetQueue,
    ListCases,
    OpenCase,
    ReadCaseContent,
    ReasonCode,
    ReleaseCase,
    Verdict,
)
from promptforge.actors.prompts.messages import CreateVersion, Tool, Variable
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, all_at_once, write_conflict
from tests.integration.moderation.test_cases import submitted
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio


async def expire(branches: Branches, case_id: str) -> None:
    """As if nobody had prolonged the claim."""
    gone = {"$set": {"claim.until": datetime.now(UTC) - timedelta(seconds=1)}}
    await branches.mongo.collection("moderation_cases").update_one({"_id": case_id}, gone)


async def one_case(branches: Branches) -> tuple[Context, str]:
    """A seller, and the case of a listing of theirs."""
    carla, _ = await branches.person("carla", Role.SELLER)
    _, case_id = await submitted(branches, carla, "Claimed")
    return carla, case_id


async def test_of_moderators_in_two_processes_one_claims(branches: Branches) -> None:
    _, case_id = await one_case(branches)
    moderators = [await branches.person(f"moderator{number}", Role.MODERATOR) for number in range(4)]
    claims = [(pair[number % 2], ClaimCase(case_id=case_id)) for number, pair in enumerate(moderators)]
    assert await all_at_once(claims) == {"done": 1, "case_claimed": 3}
    case = (await moderators[0][0].ask(GetCase(case_id=case_id))).case
    assert case.claim is not None
    outcomes = {person.user_id: await raised(person, decision(case_id)) for person, _ in moderators}
    assert outcomes.pop(case.claim.moderator_id) == "done"
    assert set(outcomes.values()) <= {"not_claimed", "already_decided"}


async def test_who_has_not_claimed_a_case_does_not_decide_it(branches: Branches) -> None:
    carla, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    assert await raised(mona, decision(case_id)) == "not_claimed"
    await mona.ask(ClaimCase(case_id=case_id))
    assert await raised(max_, decision(case_id)) == "not_claimed"
    assert await raised(max_, ClaimCase(case_id=case_id)) == "case_claimed"
    assert (await mona.ask(GetCase(case_id=case_id))).case.state is CaseState.OPEN
    assert await branches.here.notices(carla) == []
    assert await raised(mona, decision(case_id)) == "done"


async def test_a_claim_that_nobody_prolongs_ends_and_then_anyone_may_have_the_case(branches: Branches) -> None:
    _, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    await mona.ask(ClaimCase(case_id=case_id))
    await expire(branches, case_id)
    assert (await max_.ask(GetCase(case_id=case_id))).case.claim is None
    assert await raised(mona, decision(case_id)) == "not_claimed", "also hers"
    assert await raised(mona, ReadCaseContent(case_id=case_id)) == "not_claimed"
    taken = await max_.ask(ClaimCase(case_id=case_id))
    assert taken.claim is not None
    assert taken.claim.moderator_id == max_.user_id
    assert await raised(mona, ClaimCase(case_id=case_id)) == "case_claimed"


async def test_claiming_again_and_reading_prolong_a_claim_that_began_when_it_began(branches: Branches) -> None:
    _, case_id = await one_case(branches)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    first = (await mona.ask(ClaimCase(case_id=case_id))).claim
    assert first is not None
    assert first.claimed_until - first.claimed_at == timedelta(minutes=30)
    await anyio.sleep(0.01)
    again = (await mona_there.ask(ClaimCase(case_id=case_id))).claim
    await anyio.sleep(0.01)
    read = await mona.ask(ReadCaseContent(case_id=case_id))
    assert again is not None
    assert again.claimed_at == first.claimed_at
    assert first.claimed_until < again.claimed_until < read.claimed_until
    await expire(branches, case_id)
    anew = (await mona.ask(ClaimCase(case_id=case_id))).claim
    assert anew is not None
    assert anew.claimed_at > first.claimed_at, "one that had ended is another one"


async def test_a_decision_whose_claim_was_taken_before_the_commit_decides_nothing(branches: Branches) -> None:
    """It loses a conflict against the claim of somebody else, and sees that when it begins again."""
    _, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    _, max_ = await branches.person("max", Role.MODERATOR)
    await mona.ask(ClaimCase(case_id=case_id))

    async def taken() -> None:
        is_taken = anyio.Event()

        async def take() -> None:
            await expire(branches, case_id)  # waits until the decision has been aborted
            await max_.ask(ClaimCase(case_id=case_id))
            is_taken.set()

        tasks.start_soon(take)
        branches.transactions.before_work = is_taken.wait
        raise write_conflict()

    branches.transactions.before_commit = taken
    async with anyio.create_task_group() as tasks:
        outcome = await raised(mona, decision(case_id))
    case = (await mona.ask(GetCase(case_id=case_id))).case
    assert (outcome, case.state) == ("not_claimed", CaseState.OPEN)
    assert case.claim is not None
    assert case.claim.moderator_id == max_.user_id
    assert await branches.count("moderation_decisions") == 0


async def test_a_released_case_is_anyones_and_releasing_somebody_elses_changes_nothing(branches: Branches) -> None:
    _, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    await mona.ask(ClaimCase(case_id=case_id))
    kept = await max_.ask(ReleaseCase(case_id=case_id))
    assert kept.claim is not None
    assert (await mona.ask(ReleaseCase(case_id=case_id))).claim is None
    assert (await max_.ask(ClaimCase(case_id=case_id))).claim is not None
    assert await raised(mona, ReleaseCase(case_id="cas_nowhere")) == "not_found"


async def test_the_sealed_text_is_shown_to_the_claimer_only_and_that_is_on_record(branches: Branches) -> None:
    _, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    assert await raised(mona, ReadCaseContent(case_id=case_id)) == "not_claimed"
    assert await branches.count("audit_log", action="case.content_read") == 0
    await mona.ask(ClaimCase(case_id=case_id))
    assert await raised(max_, ReadCaseContent(case_id=case_id)) == "not_claimed"
    shown = await mona.ask(ReadCaseContent(case_id=case_id))
    assert shown.content == "Say {{word}}."
    entries = await branches.mongo.collection("audit_log").find({"action": "case.content_read"}).to_list(None)
    assert [(entry["target"], entry["actor"]["user_id"]) for entry in entries] == [(case_id, mona.user_id)]
    assert "Say" not in repr(entries)
    await judge(mona, case_id)
    assert await raised(mona, ReadCaseContent(case_id=case_id)) == "not_claimed", "the case is over"


async def test_nobody_claims_or_decides_what_they_have_bought_even_if_they_gave_it_back(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, bruno_there = await branches.person("bruno", Role.MODERATOR)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Bought", price="0")
    bought = await branches.here.buy(bruno, listing, "0")
    service = branches.here.process.context()
    await service.ask(
        OpenCase(listing_id=listing.id, revision=3, seller_id=carla.user_id, title="Bought", kind=CaseKind.REPORT)
    )
    row = await branches.mongo.collection("moderation_cases").find_one({"kind": "report"})
    assert row is not None
    case_id = row["_id"]
    assert await raised(bruno, ClaimCase(case_id=case_id)) == "interested_party"
    await service.ask(RefundPurchase(purchase_id=bought.id, reason="A test"))
    assert await raised(bruno_there, ClaimCase(case_id=case_id)) == "interested_party"
    await branches.mongo.collection("moderation_cases").update_one(
        {"_id": case_id},
        {"$set": {"claim": {"by": bruno.user_id, "at": row["created_at"], "until": datetime.max.replace(tzinfo=UTC)}}},
    )
    assert await raised(bruno, decision(case_id)) == "interested_party", "who bought it after claiming it"
    assert await raised(mona, ClaimCase(case_id=case_id)) == "case_claimed"


async def test_nobody_claims_their_own_listing_or_what_they_brought_up(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER, Role.MODERATOR)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing, case_id = await submitted(branches, carla, "Own")
    assert await raised(carla, ClaimCase(case_id=case_id)) == "own_case"
    report = OpenCase(
        listing_id=listing.id,
        revision=2,
        seller_id=carla.user_id,
        title="Own",
        kind=CaseKind.REPORT,
        reason="It is mine",
        brought_by=mona.user_id,
    )
    await branches.here.process.context().ask(report)
    row = await branches.mongo.collection("moderation_cases").find_one({"kind": "report"})
    assert row is not None
    assert await raised(mona, ClaimCase(case_id=row["_id"])) == "interested_party"
    assert await raised(mona, ClaimCase(case_id=case_id)) == "done", "of the same listing, but nothing to do with it"


async def test_claiming_a_case_whose_listing_has_moved_on_closes_it(branches: Branches) -> None:
    carla, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing_id = (await mona.ask(GetCase(case_id=case_id))).case.listing_id
    await carla.ask(WithdrawListing(listing_id=listing_id))
    assert await raised(mona, ClaimCase(case_id=case_id)) == "case_obsolete"
    assert (await mona.ask(GetCase(case_id=case_id))).case.state is CaseState.OBSOLETE
    await carla.ask(SubmitListing(listing_id=listing_id))
    await branches.here.jobs_done()
    (again,) = (await mona.ask(ListCases())).items
    assert again.id != case_id
    assert (await judge(mona, again.id)).state is CaseState.DECIDED
    assert (await carla.ask(GetListing(listing_id=listing_id))).state is ListingState.PUBLISHED


async def test_the_queue_is_filtered_by_kind_and_claim_and_the_oldest_may_come_first(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    made = [await submitted(branches, carla, f"Case {number}") for number in range(4)]
    ids = [case_id for _, case_id in made]
    listing = made[0][0]
    opening = OpenCase(
        listing_id=listing.id, revision=2, seller_id=carla.user_id, title="Case 0", kind=CaseKind.REPORT, reason="Spam"
    )
    await branches.here.process.context().ask(opening)
    await mona.ask(ClaimCase(case_id=ids[1]))
    await max_.ask(ClaimCase(case_id=ids[2]))
    await max_.ask(ClaimCase(case_id=ids[3]))
    await expire(branches, ids[3])

    async def listed(**wanted: object) -> list[str]:
        seen: list[str] = []
        cursor = None
        while True:
            page = await mona.ask(ListCases(limit=2, cursor=cursor, **wanted))  # type: ignore[arg-type]  # any filter
            seen += [case.id for case in page.items]
            cursor = page.next
            if cursor is None:
                return seen

    reviews = {"kind": CaseKind.REVIEW}
    (report,) = await listed(kind=CaseKind.REPORT)
    assert await listed(**reviews) == ids[::-1]
    assert await listed(order=CaseOrder.OLDEST) == [*ids, report]
    assert await listed(**reviews, order=CaseOrder.OLDEST) == ids
    assert await listed(claimed_by=ClaimedBy.ME) == [ids[1]]
    assert await listed(claimed_by=ClaimedBy.OTHERS) == [ids[2]]
    assert await listed(claimed_by=ClaimedBy.NOBODY, order=CaseOrder.OLDEST) == [ids[0], ids[3], report]


async def test_a_proposed_change_shows_the_new_text_and_how_it_differs_from_the_published_one(
    branches: Branches,
) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Changing")
    await carla.ask(CreateVersion(prompt_id=listing.prompt_id, content="Say {{word}} twice."))
    await carla.ask(UpdateListing(listing_id=listing.id, version=2, title="Changed"))
    await branches.here.jobs_done()
    (case,) = (await mona.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    detail = await mona.ask(GetCase(case_id=case.id))
    assert detail.listing.proposal is not None
    assert {change.field for change in detail.listing.proposal.changes} == {"version", "title"}
    assert "twice" not in repr(detail), "the text is sealed"
    await mona.ask(ClaimCase(case_id=case.id))
    shown = await mona.ask(ReadCaseContent(case_id=case.id))
    assert (shown.version, shown.published_version, shown.content) == (2, 1, "Say {{word}} twice.")
    assert shown.unified is not None
    assert shown.unified.splitlines()[-2:] == ["-Say {{word}}.", "+Say {{word}} twice."]
    await judge(mona, case.id)
    seen = await carla.ask(GetListing(listing_id=listing.id))
    assert (seen.title, seen.version) == ("Changed", 2)
    assert (await branches.here.notices(carla))[0].kind == "change.approved"


async def test_a_proposed_change_of_what_stands_beside_the_content_is_shown(branches: Branches) -> None:
    """Version 2 has the same content; what is new of it goes to whoever buys it, and to the model."""
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Changing")
    tool = Tool("look_up", "Looks up the hidden word")
    variable = Variable("word", default="a hidden default")
    schema = {"type": "object", "description": "a hidden description"}
    await carla.ask(
        CreateVersion(
            prompt_id=listing.prompt_id,
            content="Say {{word}}.",
            variables=(variable,),
            tools=(tool,),
            response_schema=schema,
        )
    )
    await carla.ask(UpdateListing(listing_id=listing.id, version=2))
    await branches.here.jobs_done()
    (case,) = (await mona.ask(ListCases(kind=CaseKind.PROPOSED_CHANGE))).items
    await mona.ask(ClaimCase(case_id=case.id))
    shown = await mona.ask(ReadCaseContent(case_id=case.id))
    assert (shown.variables, shown.tools, shown.response_schema) == ((variable,), (tool,), schema)
    new = [line for line in (shown.unified or "").splitlines() if line.startswith("+")]
    for words in ("the hidden word", "a hidden default", "a hidden description"):
        assert any(words in line for line in new)


async def test_the_queue_says_what_waits_and_how_long_decisions_take(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    ids = [(await submitted(branches, carla, f"Waiting {number}"))[1] for number in range(4)]
    for number, case_id in enumerate(ids[:3]):
        await judge(mona, case_id)
        earlier = {"$set": {"created_at": datetime.now(UTC) - timedelta(hours=number + 1)}}
        await branches.mongo.collection("moderation_cases").update_one({"_id": case_id}, earlier)
    await mona.ask(ClaimCase(case_id=ids[3]))
    kinds = {one.kind: one for one in (await mona.ask(GetQueue())).kinds}
    assert set(kinds) == set(CaseKind)
    reviews, reports = kinds[CaseKind.REVIEW], kinds[CaseKind.REPORT]
    assert (reviews.open, reviews.claimed, reviews.decided) == (1, 1, 3)
    assert reviews.median_hours == pytest.approx(2.0, abs=0.1)
    assert reviews.oldest_at == (await mona.ask(GetCase(case_id=ids[3]))).case.created_at
    assert (reports.open, reports.oldest_at, reports.median_hours) == (0, None, None)
    await expire(branches, ids[3])
    assert next(one for one in (await mona.ask(GetQueue())).kinds if one.kind is CaseKind.REVIEW).claimed == 0


async def test_nobody_claims_the_listing_of_an_account_they_share_a_card_with(branches: Branches) -> None:
    carla, case_id = await one_case(branches)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    links = branches.mongo.collection("account_links")
    await links.insert_many([{"_id": user, "group": "lnk_1"} for user in (carla.user_id, mona.user_id)])
    assert await raised(mona, ClaimCase(case_id=case_id)) == "own_case"
    await links.update_one({"_id": mona.user_id}, {"$set": {"group": "lnk_2"}})
    assert await raised(mona, ClaimCase(case_id=case_id)) == "done"


async def test_who_repeats_their_decision_hears_its_outcome(branches: Branches) -> None:
    """The answer was lost with the network: what was decided is not decided again, and nobody is told twice."""
    carla, case_id = await one_case(branches)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    await mona.ask(ClaimCase(case_id=case_id))
    rejection = decision(case_id, Verdict.REJECT)
    outcomes = await all_at_once([(one, rejection) for one in (mona, mona_there)] * 4)
    assert outcomes == {"done": 8}, "a double click"
    decided = (await mona.ask(GetCase(case_id=case_id))).case
    assert await mona.ask(rejection) == decided
    others = [
        decision(case_id, Verdict.APPROVE),
        replace(rejection, reason_code=ReasonCode.HARMFUL),
        replace(rejection, public_note="Something else."),
        replace(rejection, internal_note="Something else."),
    ]
    assert {await raised(mona, one) for one in others} == {"already_decided"}
    assert await raised(max_, rejection) == "already_decided", "another's, word for word"
    assert await raised(carla, rejection) == "forbidden"
    assert await branches.count("moderation_decisions") == 1
    assert await branches.count("audit_log", action="case.decided") == 1
    assert [one.kind for one in await branches.here.notices(carla)] == ["listing.rejected"]
