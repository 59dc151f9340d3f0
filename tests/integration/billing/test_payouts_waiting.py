"""A payout that waits for the platform's funds: what comes up meanwhile counts, and it can be held and cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import pytest

from promptforge.actors.billing.connect.refreshing import ConnectRefresher
from promptforge.actors.billing.errors import PayoutNotOpen, StripeDeclined
from promptforge.actors.billing.payouts.messages import (
    HoldPayout,
    PayoutView,
    ReleasePayout,
    SendPayout,
    WithdrawPayout,
)
from promptforge.actors.billing.payouts.sending import PayoutSendingActor
from promptforge.actors.billing.payouts.store import PayoutStore
from promptforge.actors.billing.stripe.connect import Transfer, TransferRequest
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.payroll import RULES, Payroll, open_payroll

pytestmark = pytest.mark.anyio


@pytest.fixture
async def poor(mongo: Mongo) -> AsyncIterator[Payroll]:
    """The platform has nothing at Stripe."""
    async with open_payroll(mongo) as payroll:
        account_id = await payroll.onboard()
        await payroll.till.client.v1.transfers.create_async(
            {"amount": 1_000_000, "currency": "usd", "destination": account_id}
        )  # all that there is
        yield payroll


async def waiting(payroll: Payroll) -> PayoutView:
    payout = await payroll.request()
    await payroll.run()
    found = await payroll.payout(payout.id)
    assert found.state == "waiting_for_funds"
    return found


async def later(payroll: Payroll, *, funds: bool = True) -> None:
    if funds:
        await payroll.till.control("/funds", {"amount": 50})
    payroll.clock.advance(hours=7)
    await payroll.run()


async def sent(payroll: Payroll) -> int:
    """Of the seller's payouts: the transfer that took all the platform had is in no group."""
    return sum(bool(transfer.transfer_group) for transfer in await payroll.transfers())


async def test_new_bank_details_keep_it_back(poor: Payroll) -> None:
    payout = await waiting(poor)
    poor.clock.advance(hours=6)
    await poor.till.control(f"/accounts/{await poor.account_id()}/bank")
    await later(poor)
    kept = await poor.payout(payout.id)
    assert (kept.state, await sent(poor)) == ("waiting_for_funds", 0)
    assert kept.reason != payout.reason, "it waits for something else now"
    poor.clock.advance(hours=72)
    await later(poor, funds=False)
    assert ((await poor.payout(payout.id)).state, await sent(poor)) == ("sent", 1)
    assert await poor.ended_well()


async def test_it_can_be_cancelled_and_nothing_is_sent_later(poor: Payroll) -> None:
    payout = await waiting(poor)
    context = poor.bank.context(poor.seller)
    for _ in range(2):
        assert (await context.ask(WithdrawPayout(payout_id=payout.id))).state == "cancelled"
    assert await poor.credits() == ("85", "0")
    await later(poor)
    assert await sent(poor) == 0
    assert await poor.ended_well()


async def test_it_can_be_held_and_goes_on_with_another_key_once_it_is_released(poor: Payroll) -> None:
    payout = await waiting(poor)
    operator = poor.bank.context(await poor.bank.user(), Role.OPERATOR)
    assert (await operator.ask(HoldPayout(payout_id=payout.id, reason="Looks odd"))).state == "held"
    assert await poor.ended_well()
    await later(poor)
    assert ((await poor.payout(payout.id)).state, await sent(poor)) == ("held", 0)
    await operator.ask(ReleasePayout(payout_id=payout.id, reason="It is fine"))
    assert await poor.ended_well()
    await poor.run()
    assert ((await poor.payout(payout.id)).state, await sent(poor)) == ("sent", 1)
    row = await poor.bank.collection("payouts").find_one({"_id": payout.id})
    assert row is not None
    assert row["key_number"] == 2, "the first would only repeat what Stripe said to it"
    assert await poor.ended_well()


async def test_held_after_that_it_can_be_cancelled(poor: Payroll) -> None:
    payout = await waiting(poor)
    operator = poor.bank.context(await poor.bank.user(), Role.OPERATOR)
    await operator.ask(HoldPayout(payout_id=payout.id, reason="Looks odd"))
    assert (await poor.bank.context(poor.seller).ask(WithdrawPayout(payout_id=payout.id))).state == "cancelled"
    assert await poor.credits() == ("85", "0")
    assert await poor.ended_well()


async def test_what_stripe_has_a_transfer_of_is_neither_held_nor_cancelled(poor: Payroll) -> None:
    payout = await waiting(poor)
    await poor.till.control("/funds", {"amount": 50})
    await poor.till.client.v1.transfers.create_async(
        {
            "amount": payout.money,
            "currency": payout.currency,
            "destination": await poor.account_id(),
            "transfer_group": f"payout:{payout.id}",
        }
    )
    operator = poor.bank.context(await poor.bank.user(), Role.OPERATOR)
    with pytest.raises(PayoutNotOpen):
        await operator.ask(HoldPayout(payout_id=payout.id, reason="Looks odd"))
    with pytest.raises(PayoutNotOpen):
        await poor.bank.context(poor.seller).ask(WithdrawPayout(payout_id=payout.id))
    await later(poor, funds=False)
    assert ((await poor.payout(payout.id)).state, await sent(poor)) == ("sent", 1)
    assert await poor.ended_well()


@pytest.mark.parametrize("attempt", range(4))
async def test_of_cancelling_and_asking_again_one_wins(poor: Payroll, attempt: int) -> None:
    payout = await waiting(poor)
    await poor.till.control("/funds", {"amount": 50})
    refused: list[PayoutNotOpen] = []

    async def cancel() -> None:
        await anyio.sleep(attempt * 0.01)
        try:
            await poor.bank.context(poor.seller).ask(WithdrawPayout(payout_id=payout.id))
        except PayoutNotOpen as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(poor.bank.context().ask, SendPayout(payout_id=payout.id))
        tasks.start_soon(cancel)
    end = (await poor.payout(payout.id)).state
    assert (end, await sent(poor)) == (("sent", 1) if refused else ("cancelled", 0))
    assert await poor.ended_well()


class Settled(ConnectRefresher):
    """Nothing stands against the account."""

    def __init__(self) -> None: ...

    async def refresh(self, account_id: str, context: Context) -> None: ...


class Overtaken:
    """Stripe, whose answer comes once another attempt has stored another key."""

    def __init__(self, store: PayoutStore, payout_id: str, answer: StripeDeclined) -> None:
        self._store = store
        self._payout_id = payout_id
        self._answer = answer

    async def create(self, request: TransferRequest) -> Transfer:
        asked = await self._store.find(self._payout_id)
        assert asked is not None
        assert await self._store.use_another_key(asked, now=datetime.now(UTC)) is not None
        raise self._answer

    async def list_group(self, group: str) -> tuple[Transfer, ...]:
        return ()

    async def get(self, transfer_id: str) -> Transfer:
        raise NotImplementedError


@pytest.mark.parametrize("reason", ["balance_insufficient", "account_closed"])
async def test_an_answer_to_an_earlier_key_says_nothing_of_the_present_one(poor: Payroll, reason: str) -> None:
    """What is asked with that may succeed: it is neither looked for as refused, nor given back."""
    payout = await waiting(poor)
    store = PayoutStore(poor.bank.process.mongo)
    stripe = Overtaken(store, payout.id, StripeDeclined(reason, 400))
    late = PayoutSendingActor(store, Settled(), stripe, rules=RULES)
    await late.send(SendPayout(payout_id=payout.id), poor.bank.context())
    found = await store.find(payout.id)
    assert found is not None
    assert (found.key_number, found.look_first, found.state) == (3, False, "waiting_for_funds")
    assert await poor.credits() == ("35", "50")
