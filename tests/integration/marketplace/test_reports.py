"""Reports of listings and reviews: once by each person, with a case for the moderators."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import GetListing, PurchaseView, UnlistListing, UpdateListing
from promptforge.actors.marketplace.reports import actor as reporting
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason, ReportReview
from promptforge.actors.marketplace.reports.store import REPORTS
from promptforge.actors.marketplace.reviews.messages import DeleteReview, ListReviews, ReplyToReview, ReviewView
from promptforge.actors.moderation import store as cases
from promptforge.actors.moderation.messages import CaseKind, ClaimCase, DecideCase, GetCase, ReasonCode, Verdict
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


async def test_what_was_changed_since_can_be_reported_again(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Reported", price="10")
    assert (await eve.ask(reported(listing.id))).new
    (case,) = await open_cases(branches)
    await judge(mona, case.id, Verdict.DISMISS)
    assert not (await eve.ask(reported(listing.id, "Look again, please."))).new, "it is as it was"
    await carla.ask(UpdateListing(listing_id=listing.id, price="9"))
    assert (await eve.ask(reported(listing.id, "Now it is even cheaper."))).new
    (again,) = await open_cases(branches)
    assert again.reason == "(copied) Now it is even cheaper."
    (told,) = [one for one in await branches.here.notices(eve) if one.kind == "report.decided"]
    assert "What is changed later can be reported again." in told.body


async def test_nobody_gets_a_review_past_its_reporters_by_changing_it_for_a_while(branches: Branches) -> None:
    carla, _, [(bruno, purchase)] = await sold(branches, "bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    abusive, harmless = "Carla is a thief and her mother too.", "It works well."
    review = await bruno.ask(said(purchase, 1, abusive))
    report = ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="It insults me.")
    assert (await carla.ask(report)).new
    await branches.here.jobs_done()
    await bruno.ask(said(purchase, 1, harmless))
    (case,) = await open_cases(branches)
    assert case.reported == (f"1 of 5 stars: {abusive}",), "as it was reported"
    await judge(mona, case.id, Verdict.DISMISS)
    await bruno.ask(said(purchase, 1, abusive))
    assert (await carla.ask(report)).new
    assert not (await carla.ask(report)).new
    (case,) = await open_cases(branches)
    await bruno.ask(said(purchase, 1, harmless))
    await carla.ask(ReplyToReview(review_id=review.id, text="Thank you."))
    assert (await carla.ask(report)).new
    (same,) = await open_cases(branches)
    told = f"1 of 5 stars: {harmless}\n\nThe seller's reply: Thank you."
    assert (same.id, same.times, same.reported) == (case.id, 1, (f"1 of 5 stars: {abusive}", told))
    await bruno.ask(DeleteReview(purchase_id=purchase.id))
    await bruno.ask(said(purchase, 1, abusive))
    assert (await carla.ask(report)).new, "another one has the same id"


@pytest.mark.parametrize("verdict", [Verdict.SUSPEND, Verdict.DISMISS])
async def test_all_who_reported_it_hear_the_outcome_however_many_they_are(
    branches: Branches, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    monkeypatch.setattr(cases, "MOST_PEOPLE", 2)
    monkeypatch.setattr(reporting, "TOLD_AT_ONCE", 2)
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Reported")
    reporters = [(await branches.person(f"eve{number}"))[0] for number in range(7)]
    for eve in reporters:
        await eve.ask(reported(listing.id))
    rita, _ = await branches.person("rita", Role.MODERATOR)
    await rita.ask(reported(listing.id))
    (case,) = await open_cases(branches)
    assert case.times == 8
    assert await raised(rita, ClaimCase(case_id=case.id)) == "interested_party", "one of the last is one of them too"
    await judge(mona, case.id, verdict)
    for eve in reporters:
        (told,) = [one for one in await branches.here.notices(eve) if one.kind == "report.decided"]
        assert told.subject["case_id"] == case.id
    assert [one for one in await branches.here.notices(carla) if one.kind == "report.decided"] == []


async def test_a_case_counts_the_people_who_reported_it_however_many_they_are_and_however_often(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reports each edition of a listing is one person, also once the case keeps nobody's name any more."""
    monkeypatch.setattr(cases, "MOST_PEOPLE", 2)
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Reported", price="10")
    reporters = [await branches.person(f"eve{number}") for number in range(5)]
    for price in ("9", "8", "7"):
        asks = [(person, reported(listing.id)) for pair in reporters for person in pair]
        assert await all_at_once(asks) == {"done": 10}
        await branches.here.jobs_done()
        await carla.ask(UpdateListing(listing_id=listing.id, price=price))
    assert await branches.count(REPORTS) == 15
    (case,) = await open_cases(branches)
    assert case.times == 5
    assert await branches.count("moderation_cases", _id=case.id, brought_by={"$size": 2}) == 1
    await judge(mona, case.id, Verdict.DISMISS)
    last, _ = reporters[-1]
    assert (await last.ask(reported(listing.id))).new
    (case,) = await open_cases(branches)
    assert case.times == 1, "another case counts anew"


async def test_only_what_is_seen_can_be_reported(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve")
    listing = await branches.here.published(carla, "Gone")
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(eve, reported(listing.id)) == "not_found"
    assert await raised(eve, reported("lst_nowhere")) == "not_found"
    message = ReportReview(review_id="rvw_nowhere", reason=ReportReason.SPAM, words=WORDS)
    assert await raised(eve, message) == "not_found"


async def test_what_its_seller_alone_sees_is_no_case(branches: Branches) -> None:
    """Or whoever writes drafts keeps moderators, checks and a model busy."""
    carla, _ = await branches.person("carla", Role.SELLER)
    draft = await branches.here.draft(carla, "A draft")
    assert await raised(carla, reported(draft.id)) == "not_found"
    listing = await branches.here.published(carla, "Gone")
    await carla.ask(UnlistListing(listing_id=listing.id))
    assert await raised(carla, reported(listing.id)) == "not_found"


async def test_who_reports_their_own_listing_hears_of_its_suspension_all_the_same(branches: Branches) -> None:
    """As its seller, with the reason and how to appeal; and as who reported it."""
    carla, _ = await branches.person("carla", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    listing = await branches.here.published(carla, "Reported")
    await carla.ask(reported(listing.id))
    (case,) = await open_cases(branches)
    await judge(mona, case.id, Verdict.SUSPEND)
    told = {one.kind for one in await branches.here.notices(carla)}
    assert {"listing.suspended", "report.decided"} <= told


async def test_one_reporter_alone_does_not_fill_what_a_case_keeps_of_a_review(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes a review and reports each harmless version of it would leave no room for the one that matters."""
    monkeypatch.setattr(cases, "MOST_REPORTED", 4)
    _, _, [(bruno, purchase)] = await sold(branches, "bruno")
    accomplice, _ = await branches.person("eve")
    rita, _ = await branches.person("rita")
    for number in range(5):
        review = await bruno.ask(said(purchase, 1, f"Harmless {number}."))
        await accomplice.ask(ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="Look at this."))
        await branches.here.jobs_done()
    review = await bruno.ask(said(purchase, 1, "Carla is a thief."))
    await rita.ask(ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="It insults her."))
    (case,) = await open_cases(branches)
    assert case.reported == (
        *(f"1 of 5 stars: Harmless {number}." for number in (0, 1)),
        "1 of 5 stars: Carla is a thief.",
    )


async def test_a_reply_that_was_removed_is_not_told_as_what_was_reported(branches: Branches) -> None:
    carla, _, [(bruno, purchase)] = await sold(branches, "bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    rita, _ = await branches.person("rita")
    review = await bruno.ask(said(purchase, 1, "It is slow."))
    await carla.ask(ReplyToReview(review_id=review.id, text="You are a fool."))
    report = ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="It insults him.")
    await rita.ask(report)
    (case,) = await open_cases(branches)
    remove = DecideCase(
        case_id=case.id, decision=Verdict.REMOVE_REPLY, reason_code=ReasonCode.ABUSIVE, public_note="An insult."
    )
    await mona.ask(ClaimCase(case_id=case.id))
    await mona.ask(remove)
    await bruno.ask(said(purchase, 1, "It is slow, and so is she."))
    await rita.ask(report)
    (again,) = await open_cases(branches)
    assert again.reported == ("1 of 5 stars: It is slow, and so is she.",)


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
    found = {case.subject: case for case in await open_cases(branches)}
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert found.keys() == {review.id for _, _, review in reviews}
    for _, _, review in reviews:
        detail = await mona.ask(GetCase(case_id=found[review.id].id))
        assert (detail.case.kind, detail.review) == (CaseKind.REVIEW_REPORT, review)
        assert detail.case.reason == "(spam) It is an advertisement."
        assert detail.legal_decisions == (Verdict.REMOVE, Verdict.DISMISS)


async def test_a_removed_review_is_gone_from_the_rating_and_everybody_hears_why(branches: Branches) -> None:
    carla, [(bruno, purchase, review), (_, _, other)] = await two_reported(branches)
    found = {case.subject: case for case in await open_cases(branches)}
    mona, _ = await branches.person("mona", Role.MODERATOR)
    await judge(mona, found[other.id].id, Verdict.DISMISS)
    assert (await carla.ask(GetListing(listing_id=review.listing_id))).rating.count == 2
    await judge(mona, found[review.id].id, Verdict.REMOVE)
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
