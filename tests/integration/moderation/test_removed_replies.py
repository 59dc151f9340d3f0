"""What a seller answers to a review is reported, removed and appealed as the review itself is; on a real MongoDB."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.reports.messages import ReportReason, ReportReview
from promptforge.actors.marketplace.reviews.messages import (
    AppealReplyRemoval,
    DeleteReply,
    DeleteReview,
    GetOwnReply,
    ListReviews,
    OwnReplyView,
    ReplyToReview,
    WriteReview,
)
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseView,
    ClaimCase,
    DecideCase,
    GetCase,
    ReasonCode,
    Verdict,
)
from promptforge.actors.users.messages import CloseAccount
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.moderation.test_appeals import open_case
from tests.integration.moderation.test_ruling_appeals import WORDS, Decided
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio
ABUSE = "You are a liar, and everybody should know where you live."


class Replied(Decided):
    """Carla has answered Bruno's review; Rita has reported that."""

    async def begin(self) -> Replied:
        await super().begin()
        review = await self.bruno.ask(WriteReview(purchase_id=self.bought.id, stars=2, text="It is slow."))
        self.review_id = review.id
        await self.carla.ask(ReplyToReview(review_id=review.id, text=ABUSE))
        await self.rita.ask(
            ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="The reply insults him.")
        )
        self.report = await open_case(self.branches, self.mona, CaseKind.REVIEW_REPORT)
        self.reply_appeal = AppealReplyRemoval(review_id=review.id, words=WORDS)
        return self

    async def removed(self) -> Replied:
        await self.mona.ask(ClaimCase(case_id=self.report.id))
        await self.mona.ask(removal(self.report))
        return self

    async def appealed(self) -> CaseView:
        await self.carla.ask(self.reply_appeal)
        return await open_case(self.branches, self.max, CaseKind.REPLY_APPEAL)

    async def replies(self) -> list[str | None]:
        return [one.reply for one in (await self.bruno.ask(ListReviews(listing_id=self.listing.id))).items]

    async def own(self) -> OwnReplyView:
        return await self.carla.ask(GetOwnReply(review_id=self.review_id))


def removal(case: CaseView) -> DecideCase:
    return DecideCase(
        case_id=case.id,
        decision=Verdict.REMOVE_REPLY,
        reason_code=ReasonCode.ABUSIVE,
        public_note="It threatens a buyer.",
    )


@pytest.fixture
async def here(branches: Branches) -> Replied:
    return await Replied(branches).begin()


async def test_a_reply_is_removed_without_the_review_that_it_answers(here: Replied) -> None:
    detail = await here.mona.ask(GetCase(case_id=here.report.id))
    assert detail.legal_decisions == (Verdict.REMOVE, Verdict.REMOVE_REPLY, Verdict.DISMISS)
    assert [ABUSE in one for one in detail.case.reported] == [True]
    await here.removed()
    assert (await here.replies(), await here.rating()) == ([None], (1, 2.0))
    own = await here.own()
    assert (own.text, own.removed_at is None) == (ABUSE, False)
    assert own.removal is not None
    (told,) = await here.told(here.carla, "review.reply_removed")
    assert "Why (abusive): It insults, threatens or harasses people. It threatens a buyer." in told
    assert "The review stays. Another reply to it cannot be written." in told
    assert own.removal.appeal_until is not None
    assert f"appeal until {own.removal.appeal_until:%Y-%m-%d}" in told
    assert f"/marketplace/reviews/{here.review_id}/reply/appeal" in told
    assert ["the seller's reply to it was removed" in one for one in await here.told(here.rita, "report.decided")]
    assert await here.told(here.bruno, "review.removed") == [], "his review stays"
    assert await raised(here.carla, ReplyToReview(review_id=here.review_id, text="Again.")) == "reply_removed"
    assert await here.branches.count("audit_log", action="review.reply_removed") == 1


async def test_of_a_review_without_a_reply_none_is_removed(here: Replied) -> None:
    await here.carla.ask(DeleteReply(review_id=here.review_id))
    await here.mona.ask(ClaimCase(case_id=here.report.id))
    detail = await here.mona.ask(GetCase(case_id=here.report.id))
    assert detail.legal_decisions == (Verdict.REMOVE, Verdict.DISMISS)
    assert await raised(here.mona, removal(here.report)) == "illegal_decision"
    assert await raised(here.carla, here.reply_appeal) == "not_found"


async def test_a_reply_that_was_removed_by_mistake_is_back(here: Replied) -> None:
    await here.removed()
    case = await here.appealed()
    assert (case.reason, case.against) == (WORDS, here.report.id)
    for moderator, code in ((here.mona, "own_decision"), (here.rita, "interested_party"), (here.carla, "forbidden")):
        assert await raised(moderator, ClaimCase(case_id=case.id)) == code
    detail = await here.max.ask(GetCase(case_id=case.id))
    assert set(detail.legal_decisions) == {Verdict.RESTORE, Verdict.REMOVE_REPLY}
    assert detail.review is not None
    assert detail.review.reply == ABUSE
    await judge(here.max, case.id, Verdict.RESTORE)
    assert await here.replies() == [ABUSE]
    own = (await here.own()).removal
    assert own is not None
    assert (own.final, own.overturned_at is None) == (True, False)
    assert ["shown again" in one for one in await here.told(here.carla, "review.reply_restored")] == [True]
    assert ["brought it back" in one for one in await here.told(here.rita, "report.decided")] == [True, False]
    assert await raised(here.carla, here.reply_appeal) == "nothing_to_appeal"
    await here.carla.ask(ReplyToReview(review_id=here.review_id, text="Thank you."))
    assert await here.replies() == ["Thank you."]


async def test_a_removal_that_is_upheld_is_final_and_appealed_once(here: Replied) -> None:
    await here.removed()
    asks = [(here.carla, here.reply_appeal), (here.carla_there, here.reply_appeal)] * 4
    assert await all_at_once(asks) == {"done": 1, "already_appealed": 7}
    case = await open_case(here.branches, here.max, CaseKind.REPLY_APPEAL)
    await here.max.ask(ClaimCase(case_id=case.id))
    await here.max.ask(removal(case))
    assert await here.replies() == [None]
    last, first = await here.told(here.carla, "review.reply_removed")
    assert ("That is final" in last, "/appeal" in last, "That is final" in first) == (True, False, False)
    assert await raised(here.carla, here.reply_appeal) == "nothing_to_appeal"


async def test_an_appeal_ends_when_its_limit_has_passed(here: Replied) -> None:
    await here.removed()
    await here.set_until("reviews", "reply_removal.appeal_until")
    assert await raised(here.carla, here.reply_appeal) == "appeal_too_late"


@pytest.mark.parametrize("how", ["taken back", "review gone", "closed"])
async def test_what_is_gone_meanwhile_is_not_brought_back(here: Replied, how: str) -> None:
    await here.removed()
    case = await here.appealed()
    await here.max.ask(ClaimCase(case_id=case.id))
    if how == "taken back":
        await here.carla.ask(DeleteReply(review_id=here.review_id))
    elif how == "review gone":
        await here.bruno.ask(DeleteReview(purchase_id=here.bought.id))
    else:
        await here.branches.here.process.context().ask(CloseAccount(user_id=here.carla.user_id))
    assert await raised(here.max, decision(case.id, Verdict.RESTORE)) == "case_obsolete"
    if how == "taken back":
        assert await raised(here.carla, here.reply_appeal) == "nothing_to_appeal"
        assert await here.branches.count("reviews", reply=ABUSE) == 0
