"""Payouts in the ledger: only earned credits, set aside once, and one end for each."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from promptforge.actors.billing.errors import (
    DebtOutstanding,
    InsufficientCredits,
    JournalMismatch,
    PayoutNotOpen,
    PayoutOnHold,
)
from promptforge.actors.billing.ledger.messages import (
    BeginPayoutTransfer,
    CancelPayout,
    CheckPayoutTransfer,
    FinalisePayout,
    FreezeTopup,
    PayoutHold,
    ReservePayout,
    ReturnPayout,
    SettleSeller,
    TakeBackTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.messages import Violation
from promptforge.core.errors import NotFound, PromptForgeError
from tests.integration.billing.bank import Bank, Interrupted, amounts
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


@pytest.fixture
async def seller(bank: Bank, clock: SteppedClock) -> str:
    """Somebody who has earned 85 credits, was given 10 and has bought 10."""
    seller = await bank.user(granted=10, purchased=10)
    await bank.charge(await bank.user(purchased=100), seller, 100)
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=seller))
    return seller


async def reserve(bank: Bank, seller: str, credits: int, payout_id: str = "po_1") -> PayoutHold:
    message = ReservePayout(payout_id=payout_id, user_id=seller, amount_millicredits=credits * 1000)
    return await bank.context().ask(message)


async def violations(bank: Bank) -> tuple[Violation, ...]:
    await bank.told_of_payouts()
    return (await bank.verify()).violations


async def test_a_payout_is_set_aside_sent_and_gone(bank: Bank, seller: str) -> None:
    assert (await reserve(bank, seller, 50)).state == "reserved"
    assert amounts(await bank.credits(seller)) == {
        "granted": "10", "purchased": "10", "earned": "35", "reserved": "50",
    }  # fmt: skip
    assert (await bank.context().ask(BeginPayoutTransfer(payout_id="po_1"))).state == "sending"
    assert (await bank.context().ask(FinalisePayout(payout_id="po_1"))).state == "sent"
    assert amounts(await bank.credits(seller)) == {"granted": "10", "purchased": "10", "earned": "35"}
    assert await bank.balance_of("stripe:payouts") == 50_000
    assert await violations(bank) == ()


async def test_neither_gifts_nor_bought_credits_are_paid_out(bank: Bank, seller: str) -> None:
    with pytest.raises(InsufficientCredits, match="85 earned credits"):
        await reserve(bank, seller, 86)
    with pytest.raises(InsufficientCredits):
        await reserve(bank, await bank.user(granted=100, purchased=100), 1)


async def test_nothing_is_paid_out_to_whoever_owes_or_is_disputed_with(bank: Bank, seller: str) -> None:
    topup = await bank.top_up(seller, 5)
    await bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    with pytest.raises(PayoutOnHold):
        await reserve(bank, seller, 1)
    claim = TakeBackTopup(topup_id=topup, claim_id="dp_1", kind=ClaimKind.DISPUTE, amount=5, captured=5)
    await bank.context().ask(claim)
    assert (await bank.credits(seller)).frozen == "0"  # nothing is left to freeze, and nothing is decided
    with pytest.raises(PayoutOnHold):
        await reserve(bank, seller, 1)
    await bank.collection("users").update_one({"_id": seller}, {"$set": {"credits.debt": -1}})
    with pytest.raises(DebtOutstanding):
        await reserve(bank, seller, 1)


@pytest.mark.parametrize("owing", [True, False])
async def test_a_debt_or_a_dispute_since_the_request_keeps_a_payout_from_being_sent(
    bank: Bank, seller: str, *, owing: bool
) -> None:
    topup = await bank.top_up(seller, 100)
    await reserve(bank, seller, 50)
    if owing:
        await bank.charge(seller, await bank.user(), 145)
        refund = TakeBackTopup(topup_id=topup, claim_id="re_1", kind=ClaimKind.REFUND, amount=1, captured=1)
        await bank.context().ask(refund)
    else:
        await bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    refused = DebtOutstanding if owing else PayoutOnHold
    for message in (BeginPayoutTransfer(payout_id="po_1"), CheckPayoutTransfer(payout_id="po_1")):
        with pytest.raises(refused):
            await bank.context().ask(message)
    assert (await bank.context().ask(CancelPayout(payout_id="po_1"))).state == "released"
    assert await violations(bank) == ()


async def test_every_step_again_answers_the_same_and_moves_nothing(bank: Bank, seller: str) -> None:
    for _ in range(2):
        assert (await reserve(bank, seller, 50)).state == "reserved"
    with pytest.raises(JournalMismatch):
        await reserve(bank, seller, 49)
    for _ in range(2):
        assert (await bank.context().ask(BeginPayoutTransfer(payout_id="po_1"))).state == "sending"
    for _ in range(2):
        assert (await bank.context().ask(FinalisePayout(payout_id="po_1"))).state == "sent"
    for _ in range(2):
        assert (await bank.context().ask(ReturnPayout(payout_id="po_1"))).state == "released"
    assert (await bank.credits(seller)).earned == "85"
    assert await bank.balance_of("stripe:payouts") == 0
    assert await violations(bank) == ()


async def test_what_was_cancelled_is_not_sent_and_what_is_being_sent_is_not_cancelled(bank: Bank, seller: str) -> None:
    await reserve(bank, seller, 50, "po_1")
    await bank.context().ask(CancelPayout(payout_id="po_1"))
    with pytest.raises(PayoutNotOpen):
        await bank.context().ask(BeginPayoutTransfer(payout_id="po_1"))
    await reserve(bank, seller, 50, "po_2")
    await bank.context().ask(BeginPayoutTransfer(payout_id="po_2"))
    with pytest.raises(PayoutNotOpen):
        await bank.context().ask(CancelPayout(payout_id="po_2"))
    with pytest.raises(NotFound):
        await bank.context().ask(CancelPayout(payout_id="po_none"))
    assert await violations(bank) == ()


async def test_a_transfer_that_was_refused_for_good_gives_the_credits_back(bank: Bank, seller: str) -> None:
    await reserve(bank, seller, 50)
    await bank.context().ask(BeginPayoutTransfer(payout_id="po_1"))
    await bank.context().ask(ReturnPayout(payout_id="po_1"))
    assert (await bank.credits(seller)).earned == "85"
    assert await violations(bank) == ()


async def test_of_cancelling_and_sending_at_once_exactly_one_wins(bank: Bank, seller: str) -> None:
    for number in range(10):
        payout_id = f"po_{number}"
        await reserve(bank, seller, 50, payout_id)
        outcomes: Counter[str] = Counter()

        async def end(message: CancelPayout | BeginPayoutTransfer, outcomes: Counter[str] = outcomes) -> None:
            try:
                await bank.context().ask(message)
            except PayoutNotOpen:
                outcomes["too late"] += 1
            else:
                outcomes[type(message).__name__] += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, CancelPayout(payout_id=payout_id))
            tasks.start_soon(end, BeginPayoutTransfer(payout_id=payout_id))
        assert outcomes["too late"] == 1, outcomes
        if outcomes["BeginPayoutTransfer"]:
            await bank.context().ask(ReturnPayout(payout_id=payout_id))
        assert (await bank.credits(seller)).earned == "85"
    assert await violations(bank) == ()


async def test_of_cancelling_and_sending_in_two_processes_exactly_one_wins(bank: Bank, seller: str) -> None:
    """The other process is past this one's queues: only the database decides."""
    for number in range(10):
        payout_id = f"po_{number}"
        await reserve(bank, seller, 50, payout_id)
        ended: list[str] = []

        async def end(step: str, payout_id: str = payout_id, ended: list[str] = ended) -> None:
            try:
                await bank.payout_beside_the_actor(step, payout_id)
            except PayoutNotOpen:
                return
            ended.append(step)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end, "cancel")
            tasks.start_soon(end, "begin_sending")
        assert len(ended) == 1
        if ended == ["begin_sending"]:
            await bank.context().ask(ReturnPayout(payout_id=payout_id))
    assert (await bank.credits(seller)).earned == "85"


async def test_many_payouts_at_once_never_pay_out_more_than_was_earned(bank: Bank, seller: str) -> None:
    outcomes: Counter[str] = Counter()

    async def cash_out(number: int) -> None:
        try:
            await reserve(bank, seller, 30, f"po_{number}")
        except PromptForgeError as error:
            outcomes[error.code] += 1
        else:
            outcomes["reserved"] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(cash_out, number)
    assert outcomes == {"reserved": 2, "insufficient_credits": 6}
    assert (await bank.credits(seller)).earned == "25"
    assert await violations(bank) == ()


async def test_what_is_set_aside_is_not_taken_by_a_claim_and_the_rest_is_a_debt(bank: Bank, seller: str) -> None:
    topup = await bank.top_up(seller, 100)
    await bank.charge(seller, await bank.user(), 105)  # what was bought, and some of the gifts and the earnings
    await reserve(bank, seller, 60)
    await bank.context().ask(
        TakeBackTopup(topup_id=topup, claim_id="re_1", kind=ClaimKind.REFUND, amount=1, captured=1)
    )
    told = await bank.credits(seller)
    assert (told.reserved, told.earned) == ("60", "0")
    assert float(told.debt) > 0
    await bank.context().ask(CancelPayout(payout_id="po_1"))
    after = await bank.credits(seller)
    assert (after.debt, after.reserved) == ("0", "0"), "what comes back pays the debt first"
    assert await violations(bank) == ()


async def test_a_payout_that_is_not_committed_has_not_happened(bank: Bank, seller: str) -> None:
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await reserve(bank, seller, 50)
    assert (await bank.credits(seller)).earned == "85"
    assert (await reserve(bank, seller, 50)).state == "reserved"
