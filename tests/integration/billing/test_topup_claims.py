"""Refunds and disputes of what credits were bought with: taken in proportion, in order, never twice, and given back."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import anyio
import pytest

from promptforge.actors.billing.errors import DebtOutstanding, InsufficientCredits
from promptforge.actors.billing.ledger.messages import (
    FreezeTopup,
    GiveBackTopup,
    SettleSeller,
    TakeBackTopup,
    ThawTopup,
    TopupClaimed,
)
from promptforge.actors.billing.ledger.sales.commands import refund as refund_sale
from promptforge.actors.billing.ledger.topups.domain import ClaimKind, invoice_journal
from promptforge.core.context import Context
from promptforge.core.errors import NotFound, Unavailable
from tests.integration.billing.bank import Bank, Interrupted, amounts
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
CAPTURED = 1000


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def take(
    bank: Bank, topup: str, claim: str = "re_1", *, money: int = CAPTURED, undo_sales: bool = False
) -> TopupClaimed:
    kind = ClaimKind.DISPUTE if claim.startswith("dp") else ClaimKind.REFUND
    message = TakeBackTopup(
        topup_id=topup, claim_id=claim, kind=kind, amount=money, captured=CAPTURED, undo_sales=undo_sales
    )
    return await bank.context().ask(message)


async def give(bank: Bank, topup: str, claim: str = "re_1", *, money: int = CAPTURED) -> TopupClaimed:
    kind = ClaimKind.DISPUTE if claim.startswith("dp") else ClaimKind.REFUND
    return await bank.context().ask(GiveBackTopup(topup_id=topup, claim_id=claim, kind=kind, amount=money))


async def test_a_total_refund_takes_the_lot(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    assert await take(bank, topup) == TopupClaimed("refund:re_1", 10_000, ())
    assert amounts(await bank.credits(user)) == {}
    assert await bank.balance_of("stripe:topups") == 0
    assert (await bank.verify()).violations == ()


async def test_partial_refunds_are_rounded_up_and_add_up_to_what_was_given(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    assert (await take(bank, topup, "re_1", money=333)).taken_millicredits == 3_330
    assert (await take(bank, topup, "re_2", money=1)).taken_millicredits == 10
    assert (await take(bank, topup, "re_3", money=666)).taken_millicredits == 6_660
    assert amounts(await bank.credits(user)) == {}
    assert (await bank.verify()).violations == ()


async def test_the_same_refund_many_times_and_all_at_once_takes_once(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(partial(take, bank, topup, money=500))
    assert amounts(await bank.credits(user)) == {"purchased": "5"}
    assert (await bank.verify()).ok


async def test_different_refunds_all_at_once_take_what_they_claim_together(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(partial(take, bank, topup, f"re_{number}", money=100))
    assert amounts(await bank.credits(user)) == {"purchased": "2"}
    assert (await bank.verify()).ok


async def test_a_refund_after_the_credits_were_spent_is_a_debt(bank: Bank) -> None:
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 10)
    await bank.charge(user, seller, 7)
    await take(bank, topup)
    assert amounts(await bank.credits(user)) == {"debt": "7"}
    assert amounts(await bank.credits(seller)) == {"pending": "5.95"}, "the seller has nothing to do with it"
    assert (await bank.verify()).violations == ()


async def test_a_dispute_undoes_the_unpaid_sales_that_the_lot_paid_for(bank: Bank, clock: SteppedClock) -> None:
    user, seller, other = await bank.user(), await bank.user(), await bank.user()
    topup = await bank.top_up(user, 30)
    await bank.charge(user, seller, 10, "pur_settled")
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=seller))
    await bank.charge(user, seller, 5, "pur_old")
    clock.advance(minutes=1)
    await bank.charge(user, other, 5, "pur_new")
    claimed = await take(bank, topup, "dp_1", undo_sales=True)
    assert claimed.refunded_purchases == ("pur_new", "pur_old")
    assert amounts(await bank.credits(user)) == {"debt": "10"}
    assert amounts(await bank.credits(other)) == {}
    assert amounts(await bank.credits(seller)) == {"earned": "8.5"}
    await bank.process.runner.drain()
    assert await bank.collection("purchases").count_documents({"refunded_at": {"$type": "date"}}) == 2
    assert (await bank.verify()).violations == ()


async def test_only_as_many_sales_are_undone_as_the_claim_needs(bank: Bank, clock: SteppedClock) -> None:
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 10)
    for number in range(4):
        await bank.charge(user, seller, 2, f"pur_{number}")
        clock.advance(minutes=1)
    claimed = await take(bank, topup, "dp_1", money=500, undo_sales=True)
    assert claimed.refunded_purchases == ("pur_3", "pur_2")
    assert amounts(await bank.credits(user)) == {"purchased": "1"}
    await bank.process.runner.drain()
    assert (await bank.verify()).violations == ()


async def test_pending_then_earned_then_other_purchased_credits_are_taken_and_no_gift(
    bank: Bank, clock: SteppedClock
) -> None:
    user, buyer, seller = await bank.user(), await bank.user(purchased=100), await bank.user()
    topup = await bank.top_up(user, 60)
    await bank.charge(user, seller, 60)
    await bank.charge(buyer, user, 20)
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=user))
    await bank.charge(buyer, user, 20)
    await bank.top_up(user, 10)
    await bank.give(user, 50)
    assert amounts(await bank.credits(user)) == {"granted": "50", "purchased": "10", "earned": "17", "pending": "17"}
    await take(bank, topup)
    assert amounts(await bank.credits(user)) == {"granted": "50", "debt": "16"}
    assert (await bank.verify()).violations == ()


async def test_a_refund_that_failed_gives_every_part_back(bank: Bank, clock: SteppedClock) -> None:
    user, buyer, seller = await bank.user(), await bank.user(purchased=100), await bank.user()
    topup = await bank.top_up(user, 40)
    await bank.charge(user, seller, 30)
    await bank.charge(buyer, user, 20)
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=user))
    await take(bank, topup)
    assert amounts(await bank.credits(user)) == {"debt": "13"}
    assert await give(bank, topup) == TopupClaimed("refund:re_1:failed", -40_000, ())
    assert amounts(await bank.credits(user)) == {"purchased": "10", "earned": "17"}
    assert await give(bank, topup) == TopupClaimed(None, 0, ())
    assert await take(bank, topup) == TopupClaimed(None, 0, ()), "it has failed"
    assert (await bank.verify()).violations == ()


async def test_a_refund_and_a_dispute_of_one_charge_never_take_twice(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    await take(bank, topup, "re_1", money=600)
    assert (await take(bank, topup, "dp_1")).taken_millicredits == 4_000
    assert amounts(await bank.credits(user)) == {}
    assert (await give(bank, topup, "dp_1")).taken_millicredits == -4_000
    assert amounts(await bank.credits(user)) == {"purchased": "4"}
    assert (await bank.verify()).violations == ()


async def test_what_is_claimed_beyond_the_charge_is_the_platforms_loss(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    await take(bank, topup, "re_1", money=600)
    await take(bank, topup, "dp_1", money=CAPTURED)
    assert await bank.balance_of("platform:losses") == -6_000
    await give(bank, topup, "dp_1")
    assert await bank.balance_of("platform:losses") == 0
    assert (await bank.verify()).violations == ()


async def test_whatever_comes_first_the_end_is_the_same(bank: Bank) -> None:
    """A refund, one that failed, and a dispute that was won, in every order and each told twice."""
    ends = set()
    for order in permutations(range(5)):
        user = await bank.user()
        topup = await bank.top_up(user, 10)
        for step in order:
            for _ in range(2):
                if step == 0:
                    await take(bank, topup, f"re_stands_{user}", money=250)
                elif step == 1:
                    await take(bank, topup, f"re_fails_{user}", money=300)
                elif step == 2:
                    await give(bank, topup, f"re_fails_{user}", money=300)
                elif step == 3:
                    await take(bank, topup, f"dp_{user}", money=1000)
                else:
                    await give(bank, topup, f"dp_{user}", money=1000)
        ends.add((await bank.credits(user)).purchased)
    assert ends == {"7.5"}
    assert (await bank.verify()).violations == ()


async def test_credits_whose_payment_is_disputed_cannot_be_spent(bank: Bank) -> None:
    user, seller = await bank.user(), await bank.user()
    disputed = await bank.top_up(user, 10)
    await bank.top_up(user, 3)
    for dispute in ("dp_1", "dp_2"):
        await bank.context().ask(FreezeTopup(topup_id=disputed, dispute_id=dispute))
    told = await bank.credits(user)
    assert (told.available, told.frozen, told.purchased) == ("3", "10", "13")
    with pytest.raises(InsufficientCredits):
        await bank.charge(user, seller, 4)
    await bank.charge(user, seller, 3)
    await bank.context().ask(ThawTopup(topup_id=disputed, dispute_id="dp_1"))
    assert (await bank.credits(user)).frozen == "10", "the other dispute is still open"
    await bank.context().ask(ThawTopup(topup_id=disputed, dispute_id="dp_2"))
    await bank.charge(user, seller, 10)
    assert (await bank.verify()).violations == ()


async def test_what_comes_back_to_a_frozen_lot_is_frozen(bank: Bank) -> None:
    user, seller = await bank.user(), await bank.user()
    disputed = await bank.top_up(user, 10)
    await bank.charge(user, seller, 10, "pur_a")
    await bank.context().ask(FreezeTopup(topup_id=disputed, dispute_id="dp_1"))
    await bank.refund("pur_a")
    told = await bank.credits(user)
    assert (told.available, told.frozen) == ("0", "10")
    assert (await bank.verify()).violations == ()


@pytest.mark.parametrize("disputed", [True, False])
async def test_what_comes_back_just_as_a_dispute_begins_or_ends_follows_it(bank: Bank, *, disputed: bool) -> None:
    """The lot is spent to the last, so that the dispute finds nothing to mark; the refund has read before it."""
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 10)
    await bank.charge(user, seller, 10, "pur_a")
    freeze, thaw = FreezeTopup(topup_id=topup, dispute_id="dp_1"), ThawTopup(topup_id=topup, dispute_id="dp_1")
    if not disputed:
        await bank.context().ask(freeze)
    read, written = anyio.Event(), anyio.Event()

    async def work(tx: Context) -> None:
        books = bank.books.open(tx)
        await books.holdings(user)
        read.set()
        await written.wait()
        await refund_sale(books, "pur_a", reason="for the test")
        marked = {"$set": {"refunded_at": tx.now()}}
        await bank.collection("purchases").update_one({"_id": "pur_a"}, marked, session=tx.session)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bank.context().transaction, work)
        await read.wait()
        await bank.context().ask(freeze if disputed else thaw)
        written.set()
    assert (await bank.credits(user)).frozen == ("10" if disputed else "0")
    assert (await bank.verify()).violations == ()


async def test_credits_of_an_invoice_are_taken_back_like_any(bank: Bank) -> None:
    user = await bank.user()
    await bank.post(invoice_journal("in_1", user_id=user, amount=10_000, refs={}))
    assert (await take(bank, "invoice:in_1", money=100)).taken_millicredits == 1_000
    assert amounts(await bank.credits(user)) == {"purchased": "9"}
    assert (await bank.verify()).violations == ()


async def test_a_claim_on_what_nobody_paid_for_is_not_guessed_at(bank: Bank) -> None:
    with pytest.raises(NotFound):
        await take(bank, "topup:cs_none")
    user = await bank.user(granted=10)
    with pytest.raises(NotFound):
        await take(bank, f"grant:{user}")


async def test_a_claim_that_is_not_committed_has_not_happened(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 10)
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await take(bank, topup)
    assert amounts(await bank.credits(user)) == {"purchased": "10"}
    assert (await take(bank, topup)).taken_millicredits == 10_000
    assert (await bank.verify()).ok


async def test_a_refund_beside_purchases_takes_everything_and_spends_nothing_twice(bank: Bank) -> None:
    """Whoever comes first: what was bought is a debt, what was not is gone."""
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 10)
    bought: list[int] = []

    async def buy(number: int) -> None:
        try:
            await bank.charge(user, seller, 1, f"pur_{number}")
        except (InsufficientCredits, DebtOutstanding):
            return
        bought.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(buy, number)
        tasks.start_soon(take, bank, topup)
    debt = {"debt": str(len(bought))} if bought else {}
    assert amounts(await bank.credits(user)) == debt
    assert (await bank.verify()).violations == ()


async def five_sales(bank: Bank, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, str]:
    """Of one payment, where a transaction undoes two: the buyer, the seller and the payment."""
    monkeypatch.setattr("promptforge.actors.billing.ledger.sales.store.MOST_SALES", 2)
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 10)
    for number in range(5):
        await bank.charge(user, seller, 2, f"pur_{number}")
        clock.advance(minutes=1)
    return user, seller, topup


async def test_what_is_too_much_for_one_transaction_is_undone_by_jobs(
    bank: Bank, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the last one has run, none of the sales settles."""
    user, seller, topup = await five_sales(bank, clock, monkeypatch)
    await bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    claimed = await take(bank, topup, "dp_1", undo_sales=True)
    await bank.context().ask(ThawTopup(topup_id=topup, dispute_id="dp_1"))
    assert claimed.refunded_purchases == ("pur_4", "pur_3")
    clock.advance(days=31)
    assert await bank.context().ask(SettleSeller(seller_id=seller)) == 0
    await bank.process.runner.drain()
    assert amounts(await bank.credits(seller)) == {}
    assert amounts(await bank.credits(user)) == {}
    assert await bank.collection("purchases").count_documents({"refunded_at": {"$type": "date"}}) == 5
    row = await bank.collection("ledger_topups").find_one({"_id": topup})
    assert row is not None
    assert row["frozen_by"] == []
    assert (await bank.verify()).violations == ()


async def test_undoing_that_is_cut_off_before_its_commit_is_done_again_once(
    bank: Bank, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for the kills of tests/support/trade: two hundred sales of one payment are too many for them."""
    _, _, topup = await five_sales(bank, clock, monkeypatch)
    cut_off: list[str] = []

    def cut(point: str) -> None:
        if point == "undoing.before_commit" and len(cut_off) < 2:
            cut_off.append(point)
            raise Unavailable("As if the process had ended here")

    monkeypatch.setattr("promptforge.actors.billing.ledger.topups.actor.reach", cut)
    await take(bank, topup, "dp_1", undo_sales=True)
    left = {"kind": "billing.UndoSales", "state": {"$in": ["available", "running"]}}
    with anyio.fail_after(60):
        while await bank.collection("jobs").count_documents(left):
            clock.advance(minutes=1)
            await bank.process.runner.drain()
    assert len(cut_off) == 2
    assert await bank.collection("purchases").count_documents({"refunded_at": {"$type": "date"}}) == 5
    assert await bank.collection("ledger_journals").count_documents({"_id": {"$regex": ":refund$"}}) == 5
    assert (await bank.verify()).violations == ()
