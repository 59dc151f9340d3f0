"""Reports of listings and reviews: once by each person, with a case for the moderators."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import GetListing, PurchaseView, UnlistListing
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason, ReportReview
from promptforge.actors.marketplace.reports.store import REPORTS
from promptforge.actors.marketplace.reviews.messages import DeleteReview, ListReviews, ReviewView
from promptforge.actors.moderation.messages import CaseKind, ClaimCase, GetCase, ReasonCode, Verdict
from promptforge.actors.moderation.reasons import REASONS
from promptforge.actors.notifications.messages import ListNotifications
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_reviews import said, sold
from tests.integration.marketplace.test_suspensions import open_cases
from tests.support.market import judge, raised

pytestmark = pytest.mark.anyio
WORDS = "It is the same as one that I sell."


def reported(listing_id: str, words: str = WORDS) -> ReportListing:
    return ReportListing(listing_id=listing_id, reason=ReportReason.COPIED, words=words)


async def test_a_report_opens_a_case_with_the_reporters_words(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve")
    listing = await branches.here.published(carla, "Reported")
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await eve.ask(reported(listing.id))
    assert await branches.count(REPORTS) == 0
    assert (await eve.ask(reported(listing.id))).new
    (case,) = await open_cases(branches)
    assert (case.kind, case.listing_id) == (CaseKind.REPORT, listing.id)
    assert case.reason == f"(copied) {WORDS}"


async def test_the_same_person_again_is_the_first_report(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    here, there = await branches.person("eve")
    listing = await branches.here.published(carla, "Reported")
    asks = [(here if number % 2 else there, reported(listing.id, f"{WORDS} {number}")) for number in range(8)]
    assert await all_at_once(asks) == {"done": 8}
    assert await branches.count(REPORTS) == 1
    again = await here.ask(reported(listing.id, "And another thing about it."))
    assert not again.new
    assert again.value.words.startswith(WORDS)
    mike, _ = await branches.person("mike")
    assert (await mike.ask(reported(listing.id))).new, "everybody has one"
    assert await branches.count("jobs", kind="moderation.OpenCase") == 3, "the review, and two reports"


async def test_only_what_is_seen_can_be_reported(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve")
    listing = await branches.here.published(carla, "Gone")
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(eve, reported(listing.id)) == "not_found"
    assert await raised(eve, reported("lst_nowhere")) == "not_found"
    message = ReportReview(review_id="rvw_nowhere", reason=ReportReason.SPAM, words=WORDS)
    assert await raised(eve, message) == "not_found"


async def two_reported(branches: Branches) -> tuple[Context, list[tuple[Context, PurchaseView, ReviewView]]]:
    """Two reviews of one listing, each reported by its seller."""
    carla, _, sales = await sold(branches, "bruno", "mike")
    reviews = []
    for buyer, purchase in sales:
        review = await buyer.ask(said(purchase, 1, f"Buy mine instead, {buyer.user_id} says."))
        message = ReportReview(review_id=review.id, reason=ReportReason.SPAM, words="It is an advertisement.")
        view = (await carla.ask(message)).value
        assert (view.review_id, view.listing_id) == (review.id, review.listing_id)
        reviews.append((buyer, purchase, review))
    return carla, reviews


async def test_each_reported_review_is_a_case_of_its_own_that_shows_it(branches: Branches) -> None:
    _, reviews = await two_reported(branches)
    cases = {case.subject: case for case in await open_cases(branches)}
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert cases.keys() == {review.id for _, _, review in reviews}
    for _, _, review in reviews:
        detail = await mona.ask(GetCase(case_id=cases[review.id].id))
        assert (detail.case.kind, detail.review) == (CaseKind.REVIEW_REPORT, review)
        assert detail.case.reason == "(spam) It is an advertisement."
        assert detail.legal_decisions == (Verdict.REMOVE, Verdict.DISMISS)


async def test_a_removed_review_is_gone_from_the_rating_and_everybody_hears_why(branches: Branches) -> None:
    carla, [(bruno, purchase, review), (_, _, other)] = await two_reported(branches)
    cases = {case.subject: case for case in await open_cases(branches)}
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await judge(mona, cases[other.id].id, Verdict.DISMISS)
    assert (await carla.ask(GetListing(listing_id=review.listing_id))).rating.count == 2
    await judge(mona, cases[review.id].id, Verdict.REMOVE)
    await branches.here.jobs_done()
    assert (await carla.ask(GetListing(listing_id=review.listing_id))).rating.count == 1
    assert [one.id for one in (await carla.ask(ListReviews(listing_id=review.listing_id))).items] == [other.id]
    assert await raised(bruno, said(purchase, 1, "Again")) == "review_removed"
    told = [one for one in (await bruno.ask(ListNotifications())).items if one.kind == "review.removed"]
    assert [one.subject["reason_code"] for one in told] == ["off_topic"]
    assert REASONS[ReasonCode.OFF_TOPIC].next_step in told[0].body
    heard = [one.body for one in (await carla.ask(ListNotifications())).items if one.kind == "report.decided"]
    assert sorted("was removed" in body for body in heard) == [False, True]


async def test_a_review_that_its_author_takes_back_leaves_nothing_to_decide(branches: Branches) -> None:
    carla, [(bruno, purchase, review), _] = await two_reported(branches)
    case = next(case for case in await open_cases(branches) if case.subject == review.id)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await bruno.ask(DeleteReview(purchase_id=purchase.id))
    detail = await mona.ask(GetCase(case_id=case.id))
    assert (detail.review, detail.legal_decisions) == (None, ())
    assert await raised(mona, ClaimCase(case_id=case.id)) == "case_obsolete"
    assert review.id not in {one.subject for one in await open_cases(branches)}
    (told,) = [one for one in await branches.here.notices(carla) if one.kind == "report.decided"]
    assert "not there any more" in told.body, "who reported it hears that nobody decides about it"
