"""A refund that a moderator grants tells buyer and seller why, whole, and what they can do; on a real MongoDB."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.messages import ListPurchases
from promptforge.actors.marketplace.purchases.messages import AppealRefund
from promptforge.actors.marketplace.refunds.messages import RefundState
from promptforge.actors.moderation.messages import CaseKind, CaseView, ClaimCase, DecideCase, ReasonCode, Verdict
from promptforge.actors.moderation.reasons import REASONS
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.integration.moderation.test_appeals import open_case, refund_case
from tests.support.market import judge, raised

pytestmark = pytest.mark.anyio
NOTE = "It promises a table and writes a poem. " * 50 + "Thank you for the examples."


async def granted(branches: Branches, moderator: Context, case: CaseView) -> None:
    await moderator.ask(ClaimCase(case_id=case.id))
    await moderator.ask(
        DecideCase(case_id=case.id, decision=Verdict.REFUND, reason_code=ReasonCode.NOT_AS_DESCRIBED, public_note=NOTE)
    )
    await branches.here.jobs_done()


async def expect_told(branches: Branches, person: Context, kind: str) -> str:
    (notice,) = [one for one in await branches.here.notices(person) if one.kind == kind]
    reason = REASONS[ReasonCode.NOT_AS_DESCRIBED]
    assert f"Why (not_as_described): {reason.words} {NOTE}" in notice.body
    assert "What you can do: " in notice.body
    assert notice.subject["reason_code"] == "not_as_described"
    return notice.body


async def test_both_read_the_whole_note_and_the_purchase_keeps_it(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    assert len(NOTE) > 1900
    await granted(branches, mona, await refund_case(branches, carla, bruno, mona))
    bought = await expect_told(branches, bruno, "purchase.refunded")
    sold = await expect_told(branches, carla, "sale.refunded")
    assert REASONS[ReasonCode.NOT_AS_DESCRIBED].next_step in bought
    (purchase,) = (await bruno.ask(ListPurchases())).items
    assert f"/marketplace/sales/{purchase.id}/refund/appeal" in sold, "and how to appeal"
    assert "appeal" not in bought
    refund = purchase.refund
    assert refund is not None
    assert (refund.state, refund.reason_code, refund.note) == (RefundState.REFUNDED, "not_as_described", NOTE)
    assert (refund.final, refund.appeal_until, refund.decided_at) == (True, None, purchase.refunded_at)
    appeal = AppealRefund(purchase_id=purchase.id, words="I want it back, I think.")
    assert await raised(bruno, appeal) == "purchase_refunded"
    assert await branches.ledger_is_right()


async def test_what_was_refused_and_then_granted_has_the_reason_of_the_grant(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    bruno, _ = await branches.person("bruno")
    mona, _ = await branches.person("mona", Role.MODERATOR)
    max_, _ = await branches.person("max", Role.MODERATOR)
    case = await refund_case(branches, carla, bruno, mona)
    await judge(mona, case.id, Verdict.DISMISS)
    await bruno.ask(AppealRefund(purchase_id=case.purchase_id or "", words="It does not work, look again."))
    await granted(branches, max_, await open_case(branches, max_, CaseKind.REFUND_APPEAL))
    for person, kind in ((bruno, "purchase.refunded"), (carla, "sale.refunded")):
        assert "heard by another moderator" in await expect_told(branches, person, kind)
    (purchase,) = (await bruno.ask(ListPurchases())).items
    assert purchase.refund is not None
    assert (purchase.refund.state, purchase.refund.reason_code) == (RefundState.REFUNDED, "not_as_described")
    assert purchase.refund.note == NOTE
