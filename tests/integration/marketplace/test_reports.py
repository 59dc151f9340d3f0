"""Reports of listings and reviews: once by each person, with a case for the moderators."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import UnlistListing
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason, ReportReview
from promptforge.actors.marketplace.reports.store import REPORTS
from promptforge.actors.moderation.messages import CaseKind
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.marketplace.test_reviews import said, sold
from tests.integration.marketplace.test_suspensions import open_cases
from tests.support.market import raised

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


async def test_a_seller_reports_a_review_and_the_case_names_it(branches: Branches) -> None:
    carla, listing, [(bruno, purchase)] = await sold(branches, "bruno")
    review = await bruno.ask(said(purchase, 1, "Buy mine instead."))
    message = ReportReview(review_id=review.id, reason=ReportReason.SPAM, words="It is an advertisement.")
    view = (await carla.ask(message)).value
    assert (view.review_id, view.listing_id) == (review.id, listing.id)
    (case,) = await open_cases(branches)
    assert case.reason == f"Review {review.id}: (spam) It is an advertisement."
