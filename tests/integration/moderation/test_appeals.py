"""Appeals, reports and refunds as cases on a real MongoDB: who decides them, what follows, and what stays on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.marketplace.messages import (
    GetListing,
    GetPurchase,
    ListingState,
    ListingView,
    SubmitListing,
    UnlistListing,
    UpdateListing,
)
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseView,
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
from tests.integration.marketplace.branches import Branches, Interrupted, interrupt
from tests.support.market import decision, judge, raised
from tests.support.processes import UNHURRIED_SECONDS

pytestmark = pytest.mark.anyio
WORDS = "It does exactly what the description says."


async def open_case(branches: Branches, moderator: Context, kind: CaseKind) -> CaseView:
    """The one of this kind."""
    await branches.here.jobs_done()
    (case,) = (await moderator.ask(ListCases(kind=kind))).items
    return case


async def test_a_suspended_seller_can_appeal_what_was_decided_about_their_listing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert carla.principal is not None
    suspended = branches.here.process.system.context(
        request_id="suspended", principal=replace(carla.principal, suspended=True), timeout_seconds=UNHURRIED_SECONDS
    )
    draft = await branches.here.draft(carla, "Appealed")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    assert await raised(suspended, SubmitListing(listing_id=draft.id)) == "account_suspended"
    await suspended.ask(AppealListing(listing_id=draft.id, words=WORDS))
    assert (await open_case(branches, mona, CaseKind.APPEAL)).reason == WORDS


async def report(branches: Branches, listing: ListingView, *reporters: Context) -> None:
    for person in reporters:
        opening = OpenCase(
            listing_id=listing.id,
            revision=listing.revision,
            seller_id=listing.seller_id,
            title=listing.title,
            kind=CaseKind.REPORT,
            reason="It is mine",
            brought_by=person.user_id,
        )
        await branches.here.process.context().ask(opening)


async def state_of(seller: Context, listing: ListingView) -> ListingState:
    return (await seller.ask(GetListing(listing_id=listing.id))).state


async def test_an_appeal_is_decided_by_another_moderator_than_the_one_who_decided(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Appealed")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    case = await open_case(branches, mona, CaseKind.APPEAL)
    assert case.reason == WORDS
    for person in (mona, mona_there):
        assert await raised(person, ClaimCase(case_id=case.id)) == "own_decision"
        assert await raised(person, decision(case.id)) == "own_decision"
    assert (await judge(max_, case.id)).decided_by == max_.user_id
    assert await state_of(carla, draft) is ListingState.PUBLISHED
    notice = (await branches.here.notices(carla))[0]
    assert "changed the decision" in notice.body


async def test_who_decided_something_else_about_the_listing_may_decide_the_appeal(branches: Branches) -> None:
    """Mona approved it once; Max suspended it, and the appeal is against him."""
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    rita, _ = await branches.person("rita")
    draft = await branches.here.draft(carla, "Suspended")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted))
    await report(branches, submitted, rita)
    reported = await open_case(branches, max_, CaseKind.REPORT)
    await judge(max_, reported.id, Verdict.SUSPEND)
    assert await state_of(carla, draft) is ListingState.SUSPENDED
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    appeal = await open_case(branches, mona, CaseKind.APPEAL)
    assert await raised(max_, ClaimCase(case_id=appeal.id)) == "own_decision"
    detail = await mona.ask(GetCase(case_id=appeal.id))
    assert set(detail.legal_decisions) == {Verdict.LIFT, Verdict.SUSPEND}
    assert [(one.decision, one.decided_by) for one in detail.history] == [
        (Verdict.SUSPEND, max_.user_id),
        (Verdict.APPROVE, mona.user_id),
    ]
    assert await raised(mona, ClaimCase(case_id=appeal.id)) == "done"
    assert await raised(mona, decision(appeal.id, Verdict.APPROVE)) == "illegal_decision"
    await judge(mona, appeal.id, Verdict.LIFT)
    assert await state_of(carla, draft) is ListingState.PUBLISHED


async def test_an_appeal_is_against_the_suspension_whatever_was_decided_since(branches: Branches) -> None:
    """Mona suspended it. That Max rejected a change of it later, and many reports were dismissed, is another matter."""
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    rita, _ = await branches.person("rita")
    listing = await branches.here.published(carla, "Suspended")
    await report(branches, listing, rita)
    await judge(mona, (await open_case(branches, mona, CaseKind.REPORT)).id, Verdict.SUSPEND)
    await carla.ask(UpdateListing(listing_id=listing.id, title="Another title"))
    await judge(max_, (await open_case(branches, max_, CaseKind.PROPOSED_CHANGE)).id, Verdict.REJECT)
    later = {"listing_id": listing.id, "decision": "dismiss", "kind": "report", "decided_by": max_.user_id}
    rows = branches.mongo.collection("moderation_decisions")
    await rows.insert_many([{"_id": f"dec_{n}", "created_at": datetime.now(UTC), **later} for n in range(60)])
    await carla.ask(AppealListing(listing_id=listing.id, words=WORDS))
    case = await open_case(branches, max_, CaseKind.APPEAL)
    assert await raised(mona, ClaimCase(case_id=case.id)) == "own_decision"
    assert await raised(max_, ClaimCase(case_id=case.id)) == "done"


async def test_an_appeal_that_fails_is_final_and_says_so(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Upheld")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    first = (await branches.here.notices(carla))[0]
    assert f"/marketplace/listings/{draft.id}/appeal" in first.body
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    await judge(max_, (await open_case(branches, max_, CaseKind.APPEAL)).id, Verdict.REJECT)
    second = (await branches.here.notices(carla))[0]
    assert "That is final" in second.body
    assert "/appeal" not in second.body
    assert await raised(carla, AppealListing(listing_id=draft.id, words=WORDS)) == "nothing_to_appeal"


async def test_reports_of_many_are_one_case_and_each_reporter_hears_the_outcome(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    people = [(await branches.person(f"reporter{number}"))[0] for number in range(3)]
    listing = await branches.here.published(carla, "Reported")
    await report(branches, listing, *people, people[0])
    case = await open_case(branches, mona, CaseKind.REPORT)
    assert case.times == 3, "the same person again is not another one"
    await judge(mona, case.id, Verdict.DISMISS)
    assert await state_of(carla, listing) is ListingState.PUBLISHED
    for person in people:
        (notice,) = await branches.here.notices(person)
        assert notice.kind == "report.decided"
    assert [notice.kind for notice in await branches.here.notices(carla)] == ["listing.approved"]
    await report(branches, listing, people[0])
    again = await open_case(branches, mona, CaseKind.REPORT)
    assert (again.id != case.id, again.times) == (True, 1), "a new report is a new case once the old one is decided"


async def test_a_report_holds_whatever_the_seller_does_meanwhile(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    rita, _ = await branches.person("rita")
    listing = await branches.here.published(carla, "Dodging")
    await report(branches, listing, rita)
    case = await open_case(branches, mona, CaseKind.REPORT)
    await mona.ask(ClaimCase(case_id=case.id))
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(mona, decision(case.id, Verdict.SUSPEND)) == "done"
    assert await state_of(carla, listing) is ListingState.SUSPENDED


async def refund_case(branches: Branches, seller: Context, buyer: Context, moderator: Context) -> CaseView:
    """Of something bought and used, which is not refunded by itself."""
    await branches.here.fund(buyer, 100)
    listing = await branches.here.published(seller, f"For {buyer.user_id}")
    bought = await branches.here.buy(buyer, listing)
    await buyer.ask(GetPurchase(purchase_id=bought.id))
    await buyer.ask(RequestRefund(purchase_id=bought.id, words="It does not work at all."))
    case = await open_case(branches, moderator, CaseKind.REFUND)
    assert (case.purchase_id, case.reason) == (bought.id, "It does not work at all.")
    return case


async def test_a_refund_that_is_granted_gives_back_and_one_that_is_refused_says_why(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    outcomes = {}
    for number, verdict in enumerate((Verdict.REFUND, Verdict.DISMISS)):
        bruno, _ = await branches.person(f"bruno{number}")
        case = await refund_case(branches, carla, bruno, mona)
        await judge(mona, case.id, verdict)
        outcomes[verdict] = await raised(bruno, GetPurchase(purchase_id=case.purchase_id or ""))
        notice = (await branches.here.notices(bruno))[0]
        assert "Because." in notice.body
    assert outcomes == {Verdict.REFUND: "purchase_refunded", Verdict.DISMISS: "done"}
    assert await branches.ledger_is_right()


async def test_a_refund_that_does_not_commit_leaves_case_purchase_and_history_as_they_were(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, mona_there = await branches.person("mona", Role.MODERATOR)
    bruno, _ = await branches.person("bruno")
    case = await refund_case(branches, carla, bruno, mona)
    bought = GetPurchase(purchase_id=case.purchase_id or "")
    await mona.ask(ClaimCase(case_id=case.id))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await mona.ask(decision(case.id, Verdict.REFUND))
    assert await branches.count("moderation_decisions", case_id=case.id) == 0
    assert await raised(bruno, bought) == "done"
    assert await raised(mona_there, decision(case.id, Verdict.REFUND)) == "done"
    assert await raised(bruno, bought) == "purchase_refunded"
    assert await branches.ledger_is_right()


async def test_the_reason_must_be_one_for_the_decision(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Reasoned")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    case_id = await branches.here.case_of(mona, submitted)
    await mona.ask(ClaimCase(case_id=case_id))
    wrong = DecideCase(
        case_id=case_id, decision=Verdict.REJECT, reason_code=ReasonCode.MEETS_GUIDELINES, public_note="No."
    )
    with pytest.raises(Invalid) as refused:
        await mona.ask(wrong)
    assert refused.value.errors[0].pointer == "/reason_code"
    assert await branches.count("moderation_decisions") == 0


async def test_what_was_decided_stays_on_record_as_it_was_whatever_is_decided_later(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    rows = branches.mongo.collection("moderation_decisions")
    draft = await branches.here.draft(carla, "Recorded")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    first = await rows.find({}).to_list(None)
    await carla.ask(AppealListing(listing_id=draft.id, words=WORDS))
    await judge(max_, (await open_case(branches, max_, CaseKind.APPEAL)).id)
    rita, _ = await branches.person("rita")
    await report(branches, submitted, rita)
    await judge(mona, (await open_case(branches, mona, CaseKind.REPORT)).id, Verdict.SUSPEND)
    later = await rows.find({}).sort([("created_at", 1), ("_id", 1)]).to_list(None)
    assert len(later) == 3
    assert later[0] == first[0]
