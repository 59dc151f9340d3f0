"""Accounts that share a card or a bank account earn nothing payable from each other, whenever that is learned."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.billing.ledger.commissions.messages import SettleCommissions
from promptforge.actors.billing.ledger.messages import ReservePayout, SettleSeller
from promptforge.actors.billing.ledger.sales.commands import settle as settle_sale
from promptforge.actors.billing.ledger.sales.domain import Terms
from promptforge.actors.billing.messages import ChargePurchase, SaleCommission
from promptforge.core.amounts import MILLI
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.deploy.upgrade.earned_sales import tell_what_is_earned
from tests.integration.billing.bank import Bank, amounts, open_bank
from tests.integration.billing.payroll import open_payroll
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def settle(bank: Bank, clock: SteppedClock, seller: str) -> None:
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=seller))


async def test_whoever_shares_an_instrument_is_linked_and_nobody_else(bank: Bank) -> None:
    one, other, stranger = [await bank.user() for _ in range(3)]
    await bank.learn(one, "card:a", "bank:b")
    await bank.learn(stranger, "card:b", "bank:a")
    assert not await bank.linked(one, other)
    await bank.learn(other, "card:a")
    await bank.learn(other, "card:a")
    assert await bank.linked(one, other)
    assert await bank.linked(other, one)
    assert not await bank.linked(one, stranger)
    assert not await bank.linked(other, stranger)


async def test_links_go_through_others(bank: Bank) -> None:
    people = [await bank.user() for _ in range(5)]
    shared = (people[0], people[1]), (people[3], people[4]), (people[2], people[3]), (people[1], people[2])
    for number, pair in enumerate(shared):
        for user in pair:
            await bank.learn(user, f"card:{number}")
    assert await bank.linked(people[0], people[4])


async def test_a_chain_that_is_learned_all_at_once_is_one_group(bank: Bank) -> None:
    """Two joins that have a member in common write the same head, so one of them starts over: else the chain breaks."""
    people = [await bank.user() for _ in range(12)]
    async with anyio.create_task_group() as tasks:
        for number, (one, other) in enumerate(pairwise(people)):
            tasks.start_soon(bank.learn, one, f"bank:{number}")
            tasks.start_soon(bank.learn, other, f"bank:{number}")
    rows = await bank.collection("account_links").find({}).to_list(None)
    assert {row["_id"] for row in rows} == set(people)
    assert len({row["group"] for row in rows}) == 1


async def test_that_two_are_linked_is_in_the_audit_log_without_the_fingerprint(bank: Bank) -> None:
    one, other = await bank.user(), await bank.user()
    await bank.learn(one, "card:secret")
    await bank.learn(other, "card:secret")
    rows = await bank.collection("audit_log").find({"action": "account.linked"}).to_list(None)
    assert [(row["target"], row["after"]) for row in rows] == [(other, {"with": one, "shared": "card"})]


async def test_what_linked_people_sell_each_other_is_never_payable(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.learn(buyer, "card:a")
    await bank.learn(seller, "card:a")
    await bank.charge(buyer, seller, 10)
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"granted": "8.5"}
    assert (await bank.verify()).violations == ()


async def test_a_card_that_is_learned_after_the_sale_makes_it_unpayable_too(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(granted=4, purchased=20), await bank.user()
    message = ChargePurchase(
        purchase_id="pur_a",
        buyer_id=buyer,
        seller_id=seller,
        price_millicredits=20 * MILLI,
        commission=SaleCommission("ptn_1", 500, "usr_referrer", "code_1"),
    )

    async def sell(tx: Context) -> None:
        await tx.ask(message)
        bought = {"_id": "pur_a", "buyer_id": buyer, "seller_id": seller, "price": 20 * MILLI}
        await bank.collection("purchases").insert_one(bought, session=tx.session)

    await bank.context().transaction(sell)
    assert await bank.balance_of("partner:ptn_1:pending") == 800
    await bank.learn(seller, "bank:a")
    await bank.learn(buyer, "bank:a")
    await settle(bank, clock, seller)
    await bank.context().ask(SettleCommissions(partner_id="ptn_1"))
    assert amounts(await bank.credits(seller)) == {"granted": "17"}
    assert await bank.balance_of("partner:ptn_1:earned") == 0
    assert await bank.balance_of("platform:fees") == 3 * MILLI
    assert (await bank.verify()).violations == ()
    assert await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {}
    assert amounts(await bank.credits(buyer)) == {"granted": "4", "purchased": "20"}
    assert await bank.balance_of("platform:fees") == 0
    assert (await bank.verify()).violations == ()


async def test_what_had_settled_before_they_were_known_to_be_linked_is_not_paid_out(
    bank: Bank, clock: SteppedClock
) -> None:
    """A seller may give Stripe their bank only after the sale has settled. What honest buyers paid stays payable."""
    buyer, honest, seller = await bank.user(purchased=100), await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    await bank.charge(honest, seller, 20)
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"earned": "102"}
    await bank.learn(buyer, "bank:a")
    await bank.learn(seller, "bank:a")
    await bank.process.runner.drain()
    assert amounts(await bank.credits(seller)) == {"earned": "17", "granted": "85"}
    assert (await bank.verify()).violations == ()
    assert await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"earned": "17"}
    assert amounts(await bank.credits(buyer)) == {"purchased": "100"}
    assert (await bank.verify()).violations == ()


async def test_what_is_not_there_any_more_is_not_taken_from_anywhere_else(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user(purchased=10)
    await bank.charge(buyer, seller, 100)
    await settle(bank, clock, seller)
    await bank.charge(seller, await bank.user(), 60)  # what was bought, and 50 of what was earned
    for user in (buyer, seller):
        await bank.learn(user, "bank:a")
    await bank.process.runner.drain()
    assert amounts(await bank.credits(seller)) == {"granted": "35"}
    assert (await bank.verify()).violations == ()


async def test_the_rolling_reserve_of_a_linked_sale_is_not_payable_either(mongo: Mongo, clock: SteppedClock) -> None:
    async with open_bank(mongo, clock=clock, running=False, terms=Terms(reserve_bp=2000)) as bank:
        buyer, seller = await bank.user(purchased=100), await bank.user()
        await bank.charge(buyer, seller, 100, "pur_a")
        await settle(bank, clock, seller)
        assert amounts(await bank.credits(seller)) == {"earned": "68", "pending": "17"}
        for user in (buyer, seller):
            await bank.learn(user, "card:a")
        clock.advance(days=90)
        await settle(bank, clock, seller)
        assert amounts(await bank.credits(seller)) == {"earned": "68", "granted": "17"}
        assert await bank.refund("pur_a")
        assert amounts(await bank.credits(seller)) == {}
        assert (await bank.verify()).violations == ()


async def test_a_sale_of_before_that_does_not_say_who_bought_it_is_asked_of_its_journal(
    bank: Bank, clock: SteppedClock
) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10)
    await bank.collection("ledger_sales").update_many({}, {"$unset": {"buyer_id": "", "withheld": "", "forgone": ""}})
    for user in (buyer, seller):
        await bank.learn(user, "card:a")
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"granted": "8.5"}


async def test_two_sellers_with_one_bank_account_are_linked(mongo: Mongo) -> None:
    async with open_payroll(mongo) as payroll:
        other = await payroll.bank.user()
        for user in (payroll.seller, other):
            await payroll.onboarding(user)
            await payroll.till.control(
                f"/accounts/{await payroll.account_id(user)}/onboard", {"bank": "one and the same"}
            )
        assert not await payroll.bank.linked(payroll.seller, other)
        await payroll.hear()
        assert await payroll.bank.linked(payroll.seller, other)
        assert not await payroll.bank.linked(payroll.seller, await payroll.bank.user())


async def test_a_sale_that_settles_just_as_they_are_linked_is_withheld_before_it_is_paid_out(
    bank: Bank, clock: SteppedClock
) -> None:
    """The settlement is written, and saw no link; the job of the link sees no settlement, and is over."""
    buyer, honest, seller = await bank.user(purchased=10), await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    await bank.charge(honest, seller, 10, "pur_b")
    clock.advance(days=31)
    written, learned = anyio.Event(), anyio.Event()

    async def work(tx: Context) -> None:
        books = bank.books.open(tx)
        for sale in ("purchase:pur_a", "purchase:pur_b"):
            assert await settle_sale(books, sale, Terms()) is not None
        written.set()
        await learned.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bank.context().transaction, work)
        await written.wait()
        for user in (buyer, seller):
            await bank.learn(user, "card:a")
        await bank.process.runner.drain()
        learned.set()
    assert amounts(await bank.credits(seller)) == {"earned": "17"}, "nobody has noticed"
    with pytest.raises(InsufficientCredits):
        await bank.context().ask(ReservePayout(payout_id="po_1", user_id=seller, amount_millicredits=8_501))
    await bank.context().ask(ReservePayout(payout_id="po_1", user_id=seller, amount_millicredits=8_500))
    assert amounts(await bank.credits(seller)) == {"granted": "8.5", "reserved": "8.5"}
    await bank.told_of_payouts()
    assert (await bank.verify()).violations == ()


async def test_sales_of_before_say_what_is_earned_by_their_settlements(mongo: Mongo, clock: SteppedClock) -> None:
    async with open_bank(mongo, clock=clock, running=False, terms=Terms(reserve_bp=2000)) as bank:
        buyer, linked, seller = (
            await bank.user(granted=10, purchased=200),
            await bank.user(purchased=100),
            await bank.user(),
        )
        await bank.charge(buyer, seller, 110, "pur_settled")
        await bank.charge(linked, seller, 100, "pur_linked")
        await settle(bank, clock, seller)
        for user in (linked, seller):
            await bank.learn(user, "card:a")
        await bank.process.runner.drain()
        await bank.charge(buyer, seller, 10, "pur_pending")
        sales = bank.collection("ledger_sales")

        async def told() -> dict[str, int]:
            return {row["_id"]: row["earned"] for row in await sales.find({}).to_list(None)}

        before = await told()
        assert before == {"purchase:pur_settled": 68_000, "purchase:pur_linked": 0, "purchase:pur_pending": 0}
        await sales.update_many({}, {"$unset": {"earned": ""}})
        for _ in range(2):
            await tell_what_is_earned(mongo)
            assert await told() == before
