"""A decision says until when it can be appealed, and is final after that: for sellers, buyers and partners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.marketplace.messages import ApplyDecision, Decision, GetListing, ReviewNote, SubmitListing
from promptforge.actors.moderation.messages import CaseKind, ListCases, Verdict
from promptforge.actors.partnerships.messages import AppealSuspension, GetPartnership, PartnershipDecision
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.moderation.test_appeals import open_case
from tests.integration.moderation.test_refund_appeals import Refused
from tests.integration.partnerships.partners import decide, partner
from tests.support.market import judge, raised

pytestmark = pytest.mark.anyio
WORDS = "It does exactly what the description says."
HALF_A_YEAR = timedelta(days=184)


def just_over() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=1)


async def set_until(branches: Branches, collection: str, field: str, until: datetime | None) -> None:
    """None: as it is in documents from before there was a limit."""
    update = {"$unset": {field: ""}} if until is None else {"$set": {field: until}}
    changed = await branches.mongo.collection(collection).update_many({}, update)
    assert changed.modified_count == 1


async def test_a_rejection_can_be_appealed_until_it_says(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    draft = await branches.here.draft(carla, "Late")
    submitted = await carla.ask(SubmitListing(listing_id=draft.id))
    await judge(mona, await branches.here.case_of(mona, submitted), Verdict.REJECT)
    review = (await carla.ask(GetListing(listing_id=draft.id))).review
    assert review is not None
    assert review.appeal_until == review.decided_at + HALF_A_YEAR
    (notice,) = [one for one in await branches.here.notices(carla) if one.kind == "listing.rejected"]
    assert f"appeal until {review.appeal_until:%Y-%m-%d}" in notice.body
    appeal = AppealListing(listing_id=draft.id, words=WORDS)
    await set_until(branches, "marketplace_listings", "review.appeal_until", just_over())
    assert await raised(carla, appeal) == "appeal_too_late"
    await branches.here.jobs_done()
    assert (await mona.ask(ListCases(kind=CaseKind.APPEAL))).items == ()
    await set_until(branches, "marketplace_listings", "review.appeal_until", None)
    assert await raised(carla, appeal) == "done", "decided when nothing was said of a limit"


async def test_a_suspension_has_the_limit_and_what_answers_its_appeal_has_none(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    max_, _ = await branches.person("max", Role.MODERATOR)
    listing = await branches.here.published(carla, "Suspended")
    service = branches.here.process.context()

    async def review() -> ReviewNote:
        note = (await carla.ask(GetListing(listing_id=listing.id))).review
        assert note is not None
        return note

    assert (await review()).appeal_until is None, "an approval has no appeal"
    suspension = ApplyDecision(
        listing_id=listing.id,
        revision=listing.revision,
        decision=Decision.SUSPEND,
        moderator_id="usr_moderator",
        reason_code="copied",
        public_note="Why.",
    )
    await service.ask(suspension)
    note = await review()
    assert note.appeal_until == note.decided_at + HALF_A_YEAR
    await carla.ask(AppealListing(listing_id=listing.id, words=WORDS))
    await judge(max_, (await open_case(branches, max_, CaseKind.APPEAL)).id, Verdict.SUSPEND)
    assert ((await review()).final, (await review()).appeal_until) == (True, None)


async def test_a_refused_refund_can_be_appealed_until_it_says(branches: Branches) -> None:
    here = await Refused(branches).begin()
    refund = await here.refund()
    assert refund.decided_at is not None
    assert refund.appeal_until == refund.decided_at + HALF_A_YEAR
    (told,) = await here.told(here.bruno, "refund.refused")
    assert f"appeal until {refund.appeal_until:%Y-%m-%d}" in told
    await set_until(branches, "purchases", "refund.appeal_until", just_over())
    assert await raised(here.bruno, here.appeal) == "appeal_too_late"
    await branches.here.jobs_done()
    assert (await here.max.ask(ListCases(kind=CaseKind.REFUND_APPEAL))).items == ()
    await set_until(branches, "purchases", "refund.appeal_until", None)
    await here.bruno.ask(here.appeal)
    await judge(here.max, (await open_case(branches, here.max, CaseKind.REFUND_APPEAL)).id, Verdict.DISMISS)
    assert ((await here.refund()).final, (await here.refund()).appeal_until) == (True, None)


async def test_a_partners_suspension_can_be_appealed_until_it_says(branches: Branches) -> None:
    pat, _ = await branches.person("pat")
    admin, _ = await branches.person("admin", Role.ADMIN)
    made = await partner(pat, admin)
    assert made.appeal_until is None
    suspended = (await decide(admin, made.id, PartnershipDecision.SUSPEND)).partnership
    assert suspended.appeal_until == suspended.updated_at + HALF_A_YEAR
    upheld = (await decide(admin, made.id, PartnershipDecision.UPHOLD)).partnership
    assert upheld.appeal_until == suspended.appeal_until, "what stays as it is has no new limit"
    appeal = AppealSuspension(partner_id=made.id, words=WORDS)
    await set_until(branches, "partners", "appeal_until", just_over())
    assert await raised(pat, appeal) == "appeal_too_late"
    await set_until(branches, "partners", "appeal_until", None)
    assert await raised(pat, appeal) == "done"
    assert (await pat.ask(GetPartnership(partner_id=made.id))).appeal_until is None, "it was used"
