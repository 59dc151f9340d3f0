"""A refund that was refused is appealed, once: another moderator decides, and everybody hears what became of it."""

from __future__ import annotations

import pytest

from promptforge.actors.billing.messages import GetCredits
from promptforge.actors.marketplace.messages import (
    ListPurchases,
    PurchaseView,
    RevokePurchase,
)
from promptforge.actors.marketplace.purchases.messages import AppealRefund, RequestRefund
from promptforge.actors.marketplace.refunds.messages import RefundState, RefundView
from promptforge.actors.moderation.messages import CaseKind, CaseState, ClaimCase, GetCase, ListCases, Verdict
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.integration.moderation.test_appeals import open_case, refund_case
from tests.support.market import decision, judge, raised

pytestmark = pytest.mark.anyio
WORDS = "It still does nothing of what it says."


class Refused:
    """Somebody whose refund Mona has refused."""

    def __init__(self, branches: Branches) -> None:
        self.branches = branches

    async def begin(self) -> Refused:
        self.carla, _ = await self.branches.person("carla", Role.SELLER)
        self.mona, _ = await self.branches.person("mona", Role.MODERATOR)
        self.max, _ = await self.branches.person("max", Role.MODERATOR)
        self.bruno, self.bruno_there = await self.branches.person("bruno")
        case = await refund_case(self.branches, self.carla, self.bruno, self.mona)
        await judge(self.mona, case.id, Verdict.DISMISS)
        self.purchase_id = case.purchase_id or ""
        self.appeal = AppealRefund(purchase_id=self.purchase_id, words=WORDS)
        return self

    async def purchase(self) -> PurchaseView:
        (one,) = (await self.bruno.ask(ListPurchases())).items
        return one

    async def refund(self) -> RefundView:
        refund = (await self.purchase()).refund
        assert refund is not None
        return refund

    async def told(self, person: Context, kind: str) -> list[str]:
        return [one.body for one in await self.branches.here.notices(person) if one.kind == kind]


async def test_an_appeal_against_a_refusal_is_decided_by_another_moderator(branches: Branches) -> None:
    here = await Refused(branches).begin()
    (first,) = await here.told(here.bruno, "refund.refused")
    assert f"/marketplace/purchases/{here.purchase_id}/refund/appeal" in first
    assert "What you can do" in first
    view = (await here.bruno.ask(here.appeal)).refund
    assert view is not None
    assert (view.state, view.appealed_at is None, view.final) == (RefundState.IN_REVIEW, False, False)
    case = await open_case(branches, here.max, CaseKind.REFUND_APPEAL)
    assert (case.reason, case.purchase_id) == (WORDS, here.purchase_id)
    assert await raised(here.mona, ClaimCase(case_id=case.id)) == "own_decision"
    assert await raised(here.mona, decision(case.id, Verdict.REFUND)) == "own_decision"
    detail = await here.max.ask(GetCase(case_id=case.id))
    assert set(detail.legal_decisions) == {Verdict.REFUND, Verdict.DISMISS}
    await judge(here.max, case.id, Verdict.REFUND)
    assert ((await here.refund()).state, (await here.bruno.ask(GetCredits())).available) == ("refunded", "100")
    assert ["changed the decision" in one for one in await here.told(here.bruno, "purchase.refunded")] == [True]
    assert ["changed the decision" in one for one in await here.told(here.carla, "sale.refunded")] == [True]
    assert await raised(here.bruno, here.appeal) == "purchase_refunded"
    assert await branches.ledger_is_right()


async def test_a_refusal_that_is_upheld_is_final_and_says_so(branches: Branches) -> None:
    here = await Refused(branches).begin()
    await here.bruno.ask(here.appeal)
    await judge(here.max, (await open_case(branches, here.max, CaseKind.REFUND_APPEAL)).id, Verdict.DISMISS)
    refund = await here.refund()
    assert (refund.state, refund.final) == (RefundState.REFUSED, True)
    last, first = await here.told(here.bruno, "refund.refused")
    for told in (first, last):
        assert "you can write a review" in told
        assert "report" not in told, "one asks for a refund once"
    assert ("That is final" in last, "/appeal" in last, "That is final" in first) == (True, False, False)
    assert await raised(here.bruno, here.appeal) == "nothing_to_appeal"
    again = RequestRefund(purchase_id=here.purchase_id, words=WORDS)
    assert await raised(here.bruno, again) == "refund_refused"


async def test_a_refusal_is_appealed_once_however_many_try_at_once(branches: Branches) -> None:
    here = await Refused(branches).begin()
    outcomes = await all_at_once([(here.bruno, here.appeal), (here.bruno_there, here.appeal)] * 8)
    assert outcomes == {"done": 1, "already_appealed": 15}
    await branches.here.jobs_done()
    assert len((await here.max.ask(ListCases(kind=CaseKind.REFUND_APPEAL))).items) == 1
    again = RequestRefund(purchase_id=here.purchase_id, words=WORDS)
    assert await raised(here.bruno, again) == "refund_pending"


async def test_only_the_buyer_appeals_and_only_what_was_refused(branches: Branches) -> None:
    here = await Refused(branches).begin()
    eve, _ = await branches.person("eve")
    for other in (here.carla, here.mona, eve):
        assert await raised(other, here.appeal) == "not_found"
    listing = await branches.here.published(here.carla, "Never refused")
    bought = await branches.here.buy(here.bruno, listing)
    assert await raised(here.bruno, AppealRefund(purchase_id=bought.id, words=WORDS)) == "nothing_to_appeal"


async def test_an_appeal_that_does_not_commit_leaves_no_case(branches: Branches) -> None:
    here = await Refused(branches).begin()
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await here.bruno.ask(here.appeal)
    await branches.here.jobs_done()
    assert (await here.max.ask(ListCases(kind=CaseKind.REFUND_APPEAL))).items == ()
    assert (await here.refund()).state is RefundState.REFUSED
    assert await raised(here.bruno, here.appeal) == "done"


async def test_an_appeal_beside_a_dispute_of_the_payment_ends_with_the_purchase_gone(branches: Branches) -> None:
    here = await Refused(branches).begin()
    service = branches.there.process.context()
    revoke = RevokePurchase(purchase_id=here.purchase_id)
    outcomes = await all_at_once([(here.bruno, here.appeal), (service, revoke)])
    assert outcomes in ({"done": 2}, {"done": 1, "purchase_refunded": 1})
    assert (await here.refund()).state is RefundState.REFUNDED


async def test_a_case_about_what_was_given_back_meanwhile_has_nothing_to_decide(branches: Branches) -> None:
    here = await Refused(branches).begin()
    await here.bruno.ask(here.appeal)
    appeal = await open_case(branches, here.max, CaseKind.REFUND_APPEAL)
    eve, _ = await branches.person("eve")
    request = await refund_case(branches, here.carla, eve, here.max)
    await here.max.ask(ClaimCase(case_id=appeal.id))
    for case in (appeal, request):
        await branches.here.process.context().ask(RevokePurchase(purchase_id=case.purchase_id or ""))
        assert (await here.max.ask(GetCase(case_id=case.id))).legal_decisions == ()
    assert await raised(here.max, decision(appeal.id, Verdict.DISMISS)) == "case_obsolete"
    assert await raised(here.max, ClaimCase(case_id=request.id)) == "case_obsolete"
    for case in (appeal, request):
        assert (await here.max.ask(GetCase(case_id=case.id))).case.state is CaseState.OBSOLETE
    for kind in (CaseKind.REFUND, CaseKind.REFUND_APPEAL):
        assert (await here.max.ask(ListCases(kind=kind, state=CaseState.OPEN))).items == ()


async def test_who_shares_a_card_with_the_buyer_or_with_who_refused_does_not_decide(branches: Branches) -> None:
    here = await Refused(branches).begin()
    alt, _ = await branches.person("alt", Role.MODERATOR)
    other, _ = await branches.person("other", Role.MODERATOR)
    links = branches.mongo.collection("account_links")
    for one, two in ((alt, here.bruno), (other, here.mona)):
        await links.insert_many([{"_id": person.user_id, "group": one.user_id} for person in (one, two)])
    await here.bruno.ask(here.appeal)
    case = await open_case(branches, here.max, CaseKind.REFUND_APPEAL)
    for moderator, code in ((alt, "interested_party"), (other, "own_decision")):
        assert await raised(moderator, ClaimCase(case_id=case.id)) == code
        assert await raised(moderator, decision(case.id, Verdict.REFUND)) == code
    assert await raised(here.max, ClaimCase(case_id=case.id)) == "done"
