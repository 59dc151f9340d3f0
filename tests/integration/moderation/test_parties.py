"""What moderators see of cases that concern themselves, on a real MongoDB: what they are told anyway."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    CaseView,
    ClaimCase,
    DecideCase,
    GetCase,
    ListCases,
    OpenCase,
    ReasonCode,
    ReleaseCase,
    Verdict,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches

pytestmark = pytest.mark.anyio
NOTED = "Between moderators: the third this week."
SAID = "(copied) She took it from me."


async def reported(branches: Branches, seller: Context, reporter: Context) -> str:
    """A listing of a seller's, and the case of a report of it."""
    listing = await branches.here.published(seller, "Reported")
    opening = OpenCase(
        listing_id=listing.id,
        revision=listing.revision,
        seller_id=seller.user_id,
        title=listing.title,
        kind=CaseKind.REPORT,
        reason=SAID,
        purchase_id="pur_1",
        brought_by=reporter.user_id,
        subject=reporter.user_id,
    )
    await branches.here.process.context().ask(opening)
    (case,) = (await reporter.ask(ListCases(kind=CaseKind.REPORT))).items
    finding = {"check": "banned_terms", "severity": "high", "code": "fraud", "detail": "A finding"}
    await branches.mongo.collection("moderation_cases").update_one(
        {"_id": case.id}, {"$set": {"findings": {"rules": [finding]}}}
    )
    return case.id


def secret_side(case: CaseView) -> list[object]:
    return [
        case.reason,
        case.purchase_id,
        case.severity,
        case.claim,
        case.internal_note,
        case.decided_by,
        case.subject,
    ]


async def seen_by(person: Context, case_id: str, state: CaseState) -> list[CaseView]:
    """As each operation that shows a case does; none of them changes it."""
    detail = await person.ask(GetCase(case_id=case_id))
    listed = [one for one in (await person.ask(ListCases(state=state))).items if one.id == case_id]
    return [detail.case, *listed, await person.ask(ReleaseCase(case_id=case_id))]


async def test_who_sells_and_moderates_sees_no_secret_side_of_a_case_about_what_is_theirs(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER, Role.MODERATOR)
    other, _ = await branches.person("other-account", Role.MODERATOR)
    rita, _ = await branches.person("rita", Role.MODERATOR)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    links = branches.mongo.collection("account_links")
    await links.insert_many([{"_id": one.user_id, "group": "lnk_1"} for one in (carla, other)])
    case_id = await reported(branches, carla, rita)
    await mona.ask(ClaimCase(case_id=case_id))
    for party in (carla, other, rita):
        views = await seen_by(party, case_id, CaseState.OPEN)
        assert len(views) == 3
        assert [secret_side(view) for view in views] == [[None] * 7] * 3
    full = await seen_by(mona, case_id, CaseState.OPEN)
    assert None not in [full[0].reason, full[0].purchase_id, full[0].severity, full[0].claim, full[0].subject]
    await mona.ask(ClaimCase(case_id=case_id))
    await mona.ask(
        DecideCase(
            case_id=case_id,
            decision=Verdict.SUSPEND,
            reason_code=ReasonCode.COPIED,
            public_note="It is a copy.",
            internal_note=NOTED,
        )
    )
    for party in (carla, other, rita):
        detail = await party.ask(GetCase(case_id=case_id))
        shown = repr([detail, await seen_by(party, case_id, CaseState.DECIDED)])
        for secret in (mona.user_id, NOTED, SAID, "A finding", "pur_1"):
            assert secret not in shown
        assert detail.case.public_note == "It is a copy."
        assert [one.decision for one in detail.history] == [Verdict.SUSPEND, Verdict.APPROVE]
    theirs = repr(await mona.ask(GetCase(case_id=case_id)))
    assert all(secret in theirs for secret in (mona.user_id, NOTED, SAID, "A finding", "pur_1"))


async def test_who_appealed_and_moderates_does_not_read_who_works_on_it(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER, Role.MODERATOR)
    rita, _ = await branches.person("rita", Role.MODERATOR)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    case_id = await reported(branches, carla, rita)
    listing_id = (await mona.ask(GetCase(case_id=case_id))).listing.id
    await mona.ask(ClaimCase(case_id=case_id))
    suspending = DecideCase(
        case_id=case_id, decision=Verdict.SUSPEND, reason_code=ReasonCode.COPIED, public_note="It is a copy."
    )
    await mona.ask(suspending)
    await carla.ask(AppealListing(listing_id=listing_id, words="It is mine, and always was."))
    await branches.here.jobs_done()
    (appeal,) = (await max_.ask(ListCases(kind=CaseKind.APPEAL))).items
    await max_.ask(ClaimCase(case_id=appeal.id))
    shown = repr([await carla.ask(GetCase(case_id=appeal.id)), await carla.ask(ListCases(kind=CaseKind.APPEAL))])
    assert max_.user_id not in shown
    assert mona.user_id not in shown
