"""A payout that Stripe has answered with an error of its own, or with nothing for a day, and that something has come up
against: it is held and cancelled as long as Stripe has no transfer of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from promptforge.actors.billing.errors import PayoutNotOpen
from promptforge.actors.billing.payouts.messages import (
    HoldPayout,
    PayoutView,
    ReleasePayout,
    SendPayout,
    WithdrawPayout,
)
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.payroll import Payroll, open_payroll

pytestmark = pytest.mark.anyio
SDK_TRIES = 3


@pytest.fixture
async def ready(mongo: Mongo) -> AsyncIterator[Payroll]:
    async with open_payroll(mongo) as payroll:
        await payroll.onboard()
        yield payroll


async def unanswered(payroll: Payroll, kind: str, hours: float) -> PayoutView:
    """Asked for once, and then kept back by what the seller owes, for as long as anybody likes."""
    await payroll.fault(kind, times=SDK_TRIES if kind == "disconnect" else 1)
    payout = await payroll.request()
    await payroll.run()
    await payroll.bank.owe(payroll.seller, 40)
    payroll.clock.advance(hours=hours)
    await payroll.run()
    after = await payroll.payout(payout.id)
    assert after.state == "sending"
    return after


async def cancel(payroll: Payroll, payout: PayoutView) -> PayoutView:
    return await payroll.bank.context(payroll.seller).ask(WithdrawPayout(payout_id=payout.id))


@pytest.mark.parametrize(("kind", "hours"), [("server_error", 1), ("disconnect", 25)])
async def test_it_can_be_cancelled_and_what_comes_back_pays_the_debt(ready: Payroll, kind: str, hours: float) -> None:
    payout = await unanswered(ready, kind, hours)
    assert "owe" in (payout.reason or "")
    assert (await cancel(ready, payout)).state == "cancelled"
    assert await ready.credits() == ("45", "0")
    assert await ready.transfers() == []
    ready.clock.advance(hours=7)
    await ready.run()
    assert (await ready.payout(payout.id)).state == "cancelled"
    assert await ready.ended_well()


async def test_it_can_be_held_and_goes_on_with_another_key(ready: Payroll) -> None:
    await ready.fault("server_error")
    payout = await ready.request()
    await ready.run()
    operator = ready.bank.context(await ready.bank.user(), Role.OPERATOR)
    assert (await operator.ask(HoldPayout(payout_id=payout.id, reason="Looks odd"))).state == "held"
    ready.clock.advance(hours=7)
    await ready.run()
    assert await ready.transfers() == []
    await operator.ask(ReleasePayout(payout_id=payout.id, reason="It is fine"))
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sent"
    row = await ready.bank.collection("payouts").find_one({"_id": payout.id})
    assert row is not None
    assert row["key_number"] == 2
    assert await ready.ended_well()


@pytest.mark.parametrize("hours", [0, 22.9, 23.9])
async def test_one_whose_answer_may_still_come_is_not_cancelled(ready: Payroll, hours: float) -> None:
    """Whoever has asked with its key shortly before that was given up may not have heard yet."""
    await ready.fault("disconnect", times=SDK_TRIES)
    payout = await ready.request()
    await ready.run()
    ready.clock.advance(hours=hours)
    with pytest.raises(PayoutNotOpen):
        await cancel(ready, payout)
    assert (await ready.payout(payout.id)).state == "sending"


async def test_one_that_stripe_has_a_transfer_of_in_spite_of_its_error_is_not_cancelled(ready: Payroll) -> None:
    await ready.fault("server_error", after=True)
    payout = await ready.request()
    await ready.run()
    with pytest.raises(PayoutNotOpen):
        await cancel(ready, payout)
    ready.clock.advance(hours=1)
    await ready.run()
    assert ((await ready.payout(payout.id)).state, len(await ready.transfers())) == ("sent", 1)
    assert await ready.ended_well()


@pytest.mark.parametrize("attempt", range(4))
async def test_of_cancelling_and_asking_again_one_wins(ready: Payroll, attempt: int) -> None:
    await ready.fault("server_error")
    payout = await ready.request()
    await ready.run()
    refused: list[PayoutNotOpen] = []

    async def withdraw() -> None:
        await anyio.sleep(attempt * 0.01)
        try:
            await cancel(ready, payout)
        except PayoutNotOpen as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ready.bank.context().ask, SendPayout(payout_id=payout.id))
        tasks.start_soon(withdraw)
    end = (await ready.payout(payout.id)).state
    assert (end, len(await ready.transfers())) == (("sent", 1) if refused else ("cancelled", 0))
    assert await ready.ended_well()
