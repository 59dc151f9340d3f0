"""Payouts from the request to the transfer at a Stripe (the sandbox, through the SDK): once, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from promptforge.actors.billing.errors import (
    BankDetailsTooNew,
    DebtOutstanding,
    InsufficientCredits,
    NotOnboarded,
    PayoutNotOpen,
    PayoutNotWhole,
    PayoutOnHold,
    PayoutsDisabled,
    PayoutTooSmall,
    PayoutUnderWay,
)
from promptforge.actors.billing.ledger.messages import FreezeTopup
from promptforge.actors.billing.payouts.messages import (
    GetPayout,
    HoldPayout,
    ReleasePayout,
    RequestPayout,
    SendPayout,
    SweepPayouts,
    WithdrawPayout,
)
from promptforge.core.errors import NotFound, PromptForgeError
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.payroll import Payroll, open_payroll

pytestmark = pytest.mark.anyio


@pytest.fixture
async def payroll(mongo: Mongo) -> AsyncIterator[Payroll]:
    async with open_payroll(mongo) as opened:
        yield opened


@pytest.fixture
async def ready(payroll: Payroll) -> Payroll:
    await payroll.onboard()
    return payroll


# From beginning to end


async def test_credits_become_money_at_the_bank(ready: Payroll) -> None:
    payout = await ready.request("50")
    assert (payout.state, payout.money, payout.currency) == ("requested", 50, "usd")
    assert await ready.credits() == ("35", "50")
    await ready.run()
    sent = await ready.payout(payout.id)
    assert sent.state == "sent"
    assert await ready.credits() == ("35", "0")
    (transfer,) = await ready.transfers()
    assert (transfer.amount, transfer.transfer_group) == (50, f"payout:{payout.id}")
    assert [told.kind for told in ready.bank.notified.told if told.user_id == ready.seller] == ["payout.sent"]
    await ready.till.control(f"/accounts/{await ready.account_id()}/payout")
    await ready.hear()
    assert (await ready.payout(payout.id)).bank_status == "paid"
    last = (await ready.account()).last_bank_payout
    assert last is not None
    assert (last.status, last.amount) == ("paid", 50)
    assert await ready.ended_well()


async def test_a_bank_that_refuses_moves_no_credits(ready: Payroll) -> None:
    payout = await ready.request("50")
    await ready.run()
    await ready.till.control(f"/accounts/{await ready.account_id()}/payout", {"outcome": "failed"})
    await ready.hear()
    after = await ready.payout(payout.id)
    assert (after.state, after.bank_status) == ("sent", "failed")
    assert await ready.credits() == ("35", "0")


# What is refused


async def test_nobody_is_paid_out_before_they_have_said_where_to(payroll: Payroll) -> None:
    with pytest.raises(NotOnboarded):
        await payroll.request()
    await payroll.onboarding()
    with pytest.raises(NotOnboarded):
        await payroll.request()
    assert await payroll.credits() == ("85", "0")


async def test_new_bank_details_wait_for_three_days(ready: Payroll) -> None:
    await ready.till.control(f"/accounts/{await ready.account_id()}/bank")
    await ready.till.control(f"/accounts/{await ready.account_id()}/onboard")
    await ready.hear()
    with pytest.raises(BankDetailsTooNew) as refused:
        await ready.request()
    assert "payouts_from" in refused.value.extra
    assert [told.kind for told in ready.bank.notified.told] == ["connect.bank_details"]
    ready.clock.advance(hours=73)
    assert (await ready.request()).state == "requested"


async def test_an_account_that_stripe_restricts_is_not_paid(ready: Payroll) -> None:
    await ready.till.control(f"/accounts/{await ready.account_id()}/require")
    await ready.hear()
    with pytest.raises(PayoutsDisabled) as refused:
        await ready.request()
    assert refused.value.extra["requirements_due"] == ["individual.verification.document"]


@pytest.mark.parametrize(
    ("amount", "error"), [("9.999", PayoutTooSmall), ("10.5", PayoutNotWhole), ("86", InsufficientCredits)]
)
async def test_amounts_that_cannot_be_paid_out(ready: Payroll, amount: str, error: type[PromptForgeError]) -> None:
    with pytest.raises(error):
        await ready.request(amount)
    assert await ready.credits() == ("85", "0")


async def test_who_owes_is_not_paid_out(ready: Payroll) -> None:
    await ready.bank.owe(ready.seller, 100)
    with pytest.raises((DebtOutstanding, InsufficientCredits)):
        await ready.request()


async def test_who_has_a_disputed_payment_is_not_paid_out(ready: Payroll) -> None:
    topup = await ready.bank.top_up(ready.seller, 10)
    await ready.bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    with pytest.raises(PayoutOnHold):
        await ready.request()


async def test_another_persons_payout_is_not_there(ready: Payroll) -> None:
    payout = await ready.request()
    stranger = ready.bank.context(await ready.bank.user(), Role.SELLER)
    with pytest.raises(NotFound):
        await stranger.ask(GetPayout(payout_id=payout.id))
    with pytest.raises(NotFound):
        await stranger.ask(WithdrawPayout(payout_id=payout.id))


# Twice, and at once


async def test_a_double_click_is_one_payout(ready: Payroll) -> None:
    answers: list[str] = []

    async def click() -> None:
        answers.append((await ready.request("20")).id)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(click)
    assert len(set(answers)) == 1
    assert await ready.credits() == ("65", "20")
    with pytest.raises(PayoutUnderWay):
        await ready.request("21")


@pytest.mark.parametrize("attempt", range(8))
async def test_of_cancelling_and_sending_one_wins(ready: Payroll, attempt: int) -> None:
    payout = await ready.request()
    ended: list[str] = []

    async def cancel() -> None:
        for _ in range(attempt):
            await anyio.sleep(0.002)
        try:
            await ready.bank.context(ready.seller).ask(WithdrawPayout(payout_id=payout.id))
            ended.append("cancelled")
        except PayoutNotOpen:
            ended.append("too late")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ready.run)
        tasks.start_soon(cancel)
    after = await ready.payout(payout.id)
    if ended == ["cancelled"]:
        assert (after.state, await ready.credits(), await ready.transfers()) == ("cancelled", ("85", "0"), [])
    else:
        assert (after.state, await ready.credits(), len(await ready.transfers())) == ("sent", ("35", "0"), 1)
    assert await ready.ended_well()


async def test_two_processes_send_one_payout_once(ready: Payroll) -> None:
    payout = await ready.request()
    jobs = [ready.bank.context().ask(SendPayout(payout_id=payout.id)) for _ in range(2)]
    async with anyio.create_task_group() as tasks:
        for job in jobs:
            tasks.start_soon(_settled, job)
        tasks.start_soon(ready.run)
    assert len(await ready.transfers()) == 1
    assert (await ready.payout(payout.id)).state == "sent"
    legs = await ready.bank.collection("transactions").find({"account": "stripe:payouts"}).to_list(None)
    assert Counter(leg["amount"] for leg in legs) == {50_000: 1}


async def _settled(job: object) -> None:
    await job  # type: ignore[misc]  # a coroutine that was made before


# Operators


async def test_what_is_held_is_not_sent_before_it_is_released(ready: Payroll) -> None:
    operator = ready.bank.context(await ready.bank.user(), Role.OPERATOR)
    payout = await ready.request()
    held = await operator.ask(HoldPayout(payout_id=payout.id, reason="Looks odd"))
    await ready.run()
    assert (held.state, held.reason, held.reason_code) == ("held", "Looks odd", "other")
    assert (await ready.payout(payout.id)).state == "held"
    assert await ready.credits() == ("35", "50")
    await operator.ask(ReleasePayout(payout_id=payout.id, reason="It is in order"))
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sent"
    with pytest.raises(PayoutNotOpen):
        await operator.ask(HoldPayout(payout_id=payout.id, reason="Too late"))
    told = await ready.bank.collection("audit_log").find({"target": payout.id}).to_list(None)
    assert {"payout.held", "payout.released"} <= {entry["action"] for entry in told}


async def test_a_second_click_holds_nothing_twice(ready: Payroll) -> None:
    operator = ready.bank.context(await ready.bank.user(), Role.OPERATOR)
    hold = HoldPayout(payout_id=(await ready.request()).id, reason="Looks odd")
    first = await operator.ask(hold)
    assert await operator.ask(hold) == first

    async def count() -> int:
        return await ready.bank.collection("audit_log").count_documents({"action": "payout.held"})

    assert await count() == 1
    assert (await operator.ask(replace(hold, reason="Looks odder"))).reason == "Looks odder"
    assert await count() == 2


async def test_what_a_lost_job_left_is_taken_up_again(ready: Payroll) -> None:
    payout = await ready.request()
    await ready.bank.collection("jobs").delete_many({})
    ready.clock.advance(minutes=11)
    assert await ready.bank.context().ask(SweepPayouts()) == 1
    await ready.run()
    assert (await ready.payout(payout.id)).state == "sent"


async def test_a_payout_waits_while_the_account_is_restricted_and_can_be_cancelled(ready: Payroll) -> None:
    payout = await ready.request()
    await ready.till.control(f"/accounts/{await ready.account_id()}/require")  # nobody has heard of it yet
    await ready.run()
    waiting = await ready.payout(payout.id)
    assert waiting.state == "requested"
    assert (waiting.reason_code, bool(waiting.reason)) == ("payouts_disabled", True)
    assert await ready.transfers() == []
    for _ in range(2):
        await ready.bank.context().ask(SweepPayouts())
        await ready.run()
    (told,) = [one for one in ready.bank.notified.told if one.kind == "payout.waiting"]
    assert (told.user_id, told.subject["reason_code"]) == (ready.seller, "payouts_disabled")
    context = ready.bank.context(ready.seller)
    assert (await context.ask(WithdrawPayout(payout_id=payout.id))).state == "cancelled"
    assert await ready.credits() == ("85", "0")


async def test_a_payout_waits_while_the_seller_is_suspended(ready: Payroll) -> None:
    payout = await ready.request()
    users = ready.bank.process.mongo.collection("users")
    await users.update_one(
        {"_id": ready.seller},
        {"$set": {"suspended": True, "created_at": payout.created_at, "updated_at": payout.created_at}},
    )
    await ready.run()
    waiting = await ready.payout(payout.id)
    assert (waiting.state, waiting.reason_code) == ("requested", "account_suspended")
    assert await ready.transfers() == []
    await users.update_one({"_id": ready.seller}, {"$set": {"suspended": False}})
    await ready.bank.context().ask(SendPayout(payout_id=payout.id))
    sent = await ready.payout(payout.id)
    assert (sent.state, sent.reason, sent.reason_code) == ("sent", None, None)
    assert len(await ready.transfers()) == 1


async def test_asking_again_after_the_end_is_another_payout(ready: Payroll) -> None:
    first = await ready.request("20")
    await ready.run()
    made = await ready.bank.context(ready.seller, Role.SELLER).ask(RequestPayout(amount="20"))
    assert made.new
    assert made.value.id != first.id
