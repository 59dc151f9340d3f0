"""Appeals against a removed review and a granted refund on a real MongoDB: who decides, what follows, and only once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.messages import GetListing, GetPurchase, ListSales
from promptforge.actors.marketplace.purchases.messages import AppealSaleRefund, RequestRefund
from promptforge.actors.marketplace.reports.messages import ReportReason, ReportReview
from promptforge.actors.marketplace.reviews.messages import (
    AppealRemoval,
    CheckRatings,
    DeleteReview,
    GetOwnReview,
    ListReviews,
    WriteReview,
)
from promptforge.actors.marketplace.rulings.messages import RulingView
from promptforge.actors.moderation.messages import (
    CaseKind,
    CaseState,
    CaseView,
    ClaimCase,
    GetCase,
    ListCases,
    Verdict,
)
from promptforge.actors.users.messages import CloseAccount
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.moderation.test_appeals import open_case, refund_case
from tests.support.market import decision, judge, raised, top_up

pytestmark = pytest.mark.anyio
WORDS = "It is what I have found, and I can show it."


class Decided:
    """Carla sells, Bruno has bought and reviewed; Mona decides against one of them, Max hears the appeal."""

    def __init__(self, branches: Branches) -> None:
        self.branches = branches

    async def begin(self) -> Decided:
        self.carla, self.carla_there = await self.branches.person("carla", Role.SELLER)
        self.mona, _ = await self.branches.person("mona", Role.MODERATOR)
        self.max, self.max_there = await self.branches.person("max", Role.MODERATOR)
        self.rita, _ = await self.branches.person("rita", Role.MODERATOR)
        self.bruno, self.bruno_there = await self.branches.person("bruno")
        await top_up(self.branches.mongo, self.bruno, 100)
        self.listing = await self.branches.here.published(self.carla, "Judged")
        self.bought = await self.branches.here.buy(self.bruno, self.listing)
        return self

    async def review_removed(self) -> Decided:
        review = await self.bruno.ask(WriteReview(purchase_id=self.bought.id, stars=2, text="It is slow."))
        await self.rita.ask(ReportReview(review_id=review.id, reason=ReportReason.OTHER, words="It is not about it."))
        case = await open_case(self.branches, self.mona, CaseKind.REVIEW_REPORT)
        await judge(self.mona, case.id, Verdict.REMOVE)
        self.appeal = AppealRemoval(purchase_id=self.bought.id, words=WORDS)
        return self

    async def sale_refunded(self) -> Decided:
        await self.bruno.ask(GetPurchase(purchase_id=self.bought.id))
        await self.bruno.ask(RequestRefund(purchase_id=self.bought.id, words="It does not work at all."))
        case = await open_case(self.branches, self.mona, CaseKind.REFUND)
        await judge(self.mona, case.id, Verdict.REFUND)
        self.sale_appeal = AppealSaleRefund(purchase_id=self.bought.id, words=WORDS)
        return self

    async def appealed_review(self) -> CaseView:
        await self.bruno.ask(self.appeal)
        return await open_case(self.branches, self.max, CaseKind.REVIEW_APPEAL)

    async def appealed_sale(self) -> CaseView:
        await self.carla.ask(self.sale_appeal)
        return await open_case(self.branches, self.max, CaseKind.SALE_APPEAL)

    async def removal(self) -> RulingView:
        removal = (await self.bruno.ask(GetOwnReview(purchase_id=self.bought.id))).removal
        assert removal is not None
        return removal

    async def ruling(self) -> RulingView:
        (sale,) = [one for one in (await self.carla.ask(ListSales())).items if one.id == self.bought.id]
        assert sale.ruling is not None
        return sale.ruling

    async def rating(self) -> tuple[int, float | None]:
        shown = (await self.carla.ask(GetListing(listing_id=self.listing.id))).rating
        assert await self.branches.here.process.context().ask(CheckRatings()) == 0
        return shown.count, shown.average

    async def shown(self) -> int:
        return len((await self.carla.ask(ListReviews(listing_id=self.listing.id))).items)

    async def told(self, person: Context, kind: str) -> list[str]:
        return [one.body for one in await self.branches.here.notices(person) if one.kind == kind]

    async def set_until(self, collection: str, field: str) -> None:
        late = {"$set": {field: datetime.now(UTC) - timedelta(seconds=1)}}
        assert (await self.branches.mongo.collection(collection).update_many({}, late)).modified_count >= 1


@pytest.fixture
async def here(branches: Branches) -> Decided:
    return await Decided(branches).begin()


# Removed reviews


async def test_a_review_that_was_removed_by_mistake_is_back_and_counts(here: Decided) -> None:
    await here.review_removed()
    assert (await here.rating(), await here.shown()) == ((0, None), 0)
    (told,) = await here.told(here.bruno, "review.removed")
    until = (await here.removal()).appeal_until
    assert until is not None
    assert f"appeal until {until:%Y-%m-%d}" in told
    assert f"/marketplace/purchases/{here.bought.id}/review/appeal" in told
    case = await here.appealed_review()
    assert (case.reason, case.against is None) == (WORDS, False)
    for moderator, code in ((here.mona, "own_decision"), (here.rita, "interested_party")):
        assert await raised(moderator, ClaimCase(case_id=case.id)) == code
        assert await raised(moderator, decision(case.id, Verdict.RESTORE)) == code
    detail = await here.max.ask(GetCase(case_id=case.id))
    assert set(detail.legal_decisions) == {Verdict.RESTORE, Verdict.REMOVE}
    assert detail.review is not None
    assert detail.review.text == "It is slow."
    await judge(here.max, case.id, Verdict.RESTORE)
    assert (await here.rating(), await here.shown()) == ((1, 2.0), 1)
    removal = await here.removal()
    assert (removal.final, removal.overturned_at is None, removal.reason_code) == (True, False, "mistaken")
    assert ["shown again" in one for one in await here.told(here.bruno, "review.restored")] == [True]
    assert ["is back" in one or "shown again" in one for one in await here.told(here.carla, "listing.review_restored")]
    assert "brought it back" in (await here.told(here.rita, "report.decided"))[0]
    assert await here.branches.count("audit_log", action="review.restored") == 1
    assert await raised(here.bruno, here.appeal) == "nothing_to_appeal"


async def test_a_removal_that_is_upheld_is_final_and_says_so(here: Decided) -> None:
    await here.review_removed()
    case = await here.appealed_review()
    await judge(here.max, case.id, Verdict.REMOVE)
    assert (await here.rating(), await here.shown()) == ((0, None), 0)
    last, first = await here.told(here.bruno, "review.removed")
    assert ("That is final" in last, "/appeal" in last, "That is final" in first) == (True, False, False)
    assert await raised(here.bruno, here.appeal) == "nothing_to_appeal"


async def test_a_review_of_what_was_refunded_meanwhile_is_back_and_does_not_count(here: Decided) -> None:
    await here.review_removed()
    await here.sale_refunded()
    await judge(here.max, (await here.appealed_review()).id, Verdict.RESTORE)
    assert (await here.rating(), await here.shown()) == ((0, None), 1)


async def test_a_refund_beside_the_restoring_leaves_the_rating_right(here: Decided) -> None:
    await here.review_removed()
    case = await here.appealed_review()
    await here.max.ask(ClaimCase(case_id=case.id))
    request = RequestRefund(purchase_id=here.bought.id, words="I have changed my mind.")
    outcomes = await all_at_once([(here.bruno_there, request), (here.max, decision(case.id, Verdict.RESTORE))])
    assert outcomes == {"done": 2}
    assert (await here.rating(), await here.shown()) == ((0, None), 1)


async def test_what_its_author_has_taken_back_is_not_brought_back(here: Decided) -> None:
    await here.review_removed()
    case = await here.appealed_review()
    await here.max.ask(ClaimCase(case_id=case.id))
    await here.bruno.ask(DeleteReview(purchase_id=here.bought.id))
    assert await raised(here.max, decision(case.id, Verdict.RESTORE)) == "case_obsolete"
    assert (await here.max.ask(GetCase(case_id=case.id))).case.state is CaseState.OBSOLETE
    assert (await here.rating(), await here.shown()) == ((0, None), 0)
    assert await raised(here.bruno, here.appeal) == "nothing_to_appeal"
    assert await here.branches.count("reviews", text="It is slow.") == 0


async def test_who_has_closed_their_account_is_not_heard_any_more(here: Decided) -> None:
    await here.review_removed()
    case = await here.appealed_review()
    await here.branches.here.process.context().ask(CloseAccount(user_id=here.bruno.user_id))
    assert await raised(here.max, ClaimCase(case_id=case.id)) == "case_obsolete"
    assert await here.shown() == 0


# Granted refunds


async def test_a_seller_is_made_whole_and_the_buyer_keeps_the_refund(here: Decided) -> None:
    await here.sale_refunded()
    (told,) = await here.told(here.carla, "sale.refunded")
    until = (await here.ruling()).appeal_until
    assert until is not None
    assert f"appeal until {until:%Y-%m-%d}" in told
    assert f"/marketplace/sales/{here.bought.id}/refund/appeal" in told
    case = await here.appealed_sale()
    assert await raised(here.mona, ClaimCase(case_id=case.id)) == "own_decision"
    assert await raised(here.carla, ClaimCase(case_id=case.id)) == "forbidden"
    assert set((await here.max.ask(GetCase(case_id=case.id))).legal_decisions) == {Verdict.COMPENSATE, Verdict.REFUND}
    await judge(here.max, case.id, Verdict.COMPENSATE)
    assert (await here.bruno.ask(GetCredits())).available == "100"
    assert (await here.carla.ask(GetCredits())).pending == "8.5"
    ruling = await here.ruling()
    assert (ruling.final, ruling.overturned_at is None, ruling.appeal_until) == (True, False, None)
    assert ["8.5 credits" in one for one in await here.told(here.carla, "sale.compensated")] == [True]
    assert ["you keep" in one for one in await here.told(here.bruno, "refund.heard")] == [True]
    assert await raised(here.carla, here.sale_appeal) == "nothing_to_appeal"
    assert await here.branches.count("audit_log", action="sale.compensated") == 1
    assert await here.branches.ledger_is_right()


async def test_a_refund_that_is_upheld_is_final_and_moves_nothing(here: Decided) -> None:
    await here.sale_refunded()
    await judge(here.max, (await here.appealed_sale()).id, Verdict.REFUND)
    assert (await here.carla.ask(GetCredits())).pending == "0"
    last, first = await here.told(here.carla, "sale.refunded")
    assert ("That is final" in last, "/appeal" in last, "That is final" in first) == (True, False, False)
    assert await raised(here.carla, here.sale_appeal) == "nothing_to_appeal"
    assert await here.branches.ledger_is_right()


async def test_two_moderators_and_many_clicks_pay_once(here: Decided) -> None:
    await here.sale_refunded()
    case = await here.appealed_sale()
    await here.max.ask(ClaimCase(case_id=case.id))
    asks = [(person, decision(case.id, Verdict.COMPENSATE)) for person in (here.max, here.max_there)] * 4
    outcomes = await all_at_once([*asks, (here.rita, decision(case.id, Verdict.REFUND))])
    assert outcomes["done"] == 8, "each click of the one who decides hears what the first of them did"
    assert set(outcomes) <= {"done", "already_decided", "not_claimed"}
    assert (await here.carla.ask(GetCredits())).pending == "8.5"
    assert await here.branches.count("ledger_journals", kind="compensation") == 1
    assert await here.branches.ledger_is_right()


async def test_a_decision_that_does_not_commit_pays_nothing_and_is_made_again(here: Decided) -> None:
    await here.sale_refunded()
    case = await here.appealed_sale()
    await here.max.ask(ClaimCase(case_id=case.id))
    here.branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await here.max.ask(decision(case.id, Verdict.COMPENSATE))
    assert (await here.carla.ask(GetCredits())).pending == "0"
    assert (await here.ruling()).final is False
    assert await raised(here.max, decision(case.id, Verdict.COMPENSATE)) == "done"
    assert (await here.carla.ask(GetCredits())).pending == "8.5"
    assert await here.branches.ledger_is_right()


async def test_what_came_back_by_itself_has_no_appeal(here: Decided) -> None:
    await here.bruno.ask(RequestRefund(purchase_id=here.bought.id, words="I have changed my mind."))
    assert await raised(here.carla, AppealSaleRefund(purchase_id=here.bought.id, words=WORDS)) == "nothing_to_appeal"
    assert ["appeal" in one for one in await here.told(here.carla, "sale.refunded")] == [False]


async def test_what_cost_nothing_has_no_appeal(here: Decided) -> None:
    free = await here.branches.here.published(here.carla, "Free", price="0")
    bought = await here.branches.here.buy(here.bruno, free, "0")
    here.bought = bought
    await here.sale_refunded()
    assert await raised(here.carla, here.sale_appeal) == "nothing_to_appeal"
    assert ["nothing to appeal" in one for one in await here.told(here.carla, "sale.refunded")] == [True]


async def test_what_was_paid_with_a_gift_is_made_good_as_one(here: Decided) -> None:
    branches = here.branches
    case = await refund_case(branches, here.carla, here.bruno, here.mona)
    await judge(here.mona, case.id, Verdict.REFUND)
    await here.carla.ask(AppealSaleRefund(purchase_id=case.purchase_id or "", words=WORDS))
    appeal = await open_case(branches, here.max, CaseKind.SALE_APPEAL)
    await judge(here.max, appeal.id, Verdict.COMPENSATE)
    assert (await here.carla.ask(GetCredits())).pending == "17", "the other sale, which stands, and this one"
    legs = branches.mongo.collection("transactions")
    sources = {
        row["source"] async for row in legs.find({"journal_id": {"$regex": "^compensation:"}, "amount": {"$gt": 0}})
    }
    assert sources == {"granted"}, "it was paid with a gift, and is never payable"
    assert await branches.ledger_is_right()


# Both


async def test_others_do_not_know_of_it_and_after_its_time_nobody_appeals(here: Decided) -> None:
    await here.review_removed()
    await here.sale_refunded()
    for person in (here.carla, here.mona, here.rita):
        assert await raised(person, here.appeal) == "not_found"
    eve, _ = await here.branches.person("eve", Role.SELLER)
    assert await raised(eve, here.sale_appeal) == "not_found"
    await here.set_until("reviews", "removal.appeal_until")
    await here.set_until("purchases", "ruling.appeal_until")
    assert await raised(here.bruno, here.appeal) == "appeal_too_late"
    assert await raised(here.carla, here.sale_appeal) == "appeal_too_late"
    await here.branches.here.jobs_done()
    for kind in (CaseKind.REVIEW_APPEAL, CaseKind.SALE_APPEAL):
        assert (await here.max.ask(ListCases(kind=kind))).items == ()


async def test_each_is_appealed_once_however_many_try_at_once(here: Decided) -> None:
    await here.review_removed()
    await here.sale_refunded()
    reviews = [(one, here.appeal) for one in (here.bruno, here.bruno_there)] * 4
    sales = [(one, here.sale_appeal) for one in (here.carla, here.carla_there)] * 4
    assert await all_at_once(reviews) == {"done": 1, "already_appealed": 7}
    assert await all_at_once(sales) == {"done": 1, "already_appealed": 7}
    await here.branches.here.jobs_done()
    for kind in (CaseKind.REVIEW_APPEAL, CaseKind.SALE_APPEAL):
        assert len((await here.max.ask(ListCases(kind=kind))).items) == 1
