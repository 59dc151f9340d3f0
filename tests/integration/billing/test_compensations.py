"""The seller of a sale that was refunded by mistake is made whole by the platform: once, and as payable as it was."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.ledger.messages import (
    CompensateSale,
    FreezeTopup,
    SaleCompensated,
    SettleSeller,
    TakeBackTopup,
    ThawTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.sellers.messages import BuildSellerReport, ListSellerReport
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank, Interrupted, amounts, open_bank
from tests.integration.billing.trade import Trade
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def compensate(bank: Bank, purchase_id: str = "pur_a") -> SaleCompensated:
    return await bank.context().ask(CompensateSale(purchase_id=purchase_id, reason="the refund was a mistake"))


async def refunded(bank: Bank, *, granted: int = 0, purchased: int = 0) -> tuple[str, str]:
    """A sale of all that the buyer has, and back again."""
    buyer, seller = await bank.user(granted=granted, purchased=purchased), await bank.user()
    await bank.charge(buyer, seller, granted + purchased, "pur_a")
    await bank.refund("pur_a")
    return buyer, seller


async def settle(bank: Bank, clock: SteppedClock, seller: str, *, days: int) -> int:
    clock.advance(days=days)
    return await bank.context().ask(SettleSeller(seller_id=seller))


async def test_the_seller_has_the_share_again_and_the_buyer_keeps_the_refund(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await refunded(bank, purchased=100)
    assert await compensate(bank) == SaleCompensated(85_000, first=True)
    assert amounts(await bank.credits(buyer)) == {"purchased": "100"}
    assert amounts(await bank.credits(seller)) == {"pending": "85"}
    assert await bank.balance_of("platform:compensations") == -85_000
    assert await bank.balance_of("platform:fees") == 0
    assert await settle(bank, clock, seller, days=29) == 0, "it waits as that of a new sale does"
    assert await settle(bank, clock, seller, days=2) == 1
    assert amounts(await bank.credits(seller)) == {"earned": "85"}
    assert (await bank.verify()).violations == ()


async def test_what_was_paid_with_gifts_is_never_payable(bank: Bank, clock: SteppedClock) -> None:
    _, seller = await refunded(bank, granted=60, purchased=40)
    await compensate(bank)
    await settle(bank, clock, seller, days=31)
    assert amounts(await bank.credits(seller)) == {"granted": "51", "earned": "34"}
    assert (await bank.verify()).violations == ()


async def test_a_share_that_had_settled_is_there_again_without_another_wait(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    other = await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    assert await settle(bank, clock, seller, days=31) == 1
    await bank.charge(seller, other, 80)
    await bank.refund("pur_a")
    assert amounts(await bank.credits(seller)) == {"debt": "80"}
    await compensate(bank)
    await bank.process.runner.drain()
    assert amounts(await bank.credits(seller)) == {"earned": "5"}, "and what it made them owe is paid"
    assert (await bank.verify()).violations == ()


async def test_between_accounts_that_turn_out_to_be_linked_nothing_is_payable(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await refunded(bank, purchased=100)
    for person in (buyer, seller):
        await bank.learn(person, "card_1")
    await compensate(bank)
    await settle(bank, clock, seller, days=31)
    assert amounts(await bank.credits(seller)) == {"granted": "85"}
    assert (await bank.verify()).violations == ()


async def test_links_that_are_known_later_are_asked_for_when_it_settles(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await refunded(bank, purchased=100)
    await compensate(bank)
    for person in (buyer, seller):
        await bank.learn(person, "card_1")
    await settle(bank, clock, seller, days=31)
    assert amounts(await bank.credits(seller)) == {"granted": "85"}
    assert (await bank.verify()).violations == ()


async def test_what_settled_between_linked_accounts_comes_back_as_it_was(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    for person in (buyer, seller):
        await bank.learn(person, "card_1")
    assert await settle(bank, clock, seller, days=31) == 1
    await bank.refund("pur_a")
    await bank.collection("account_links").delete_many({})  # as if it had been forgotten
    await compensate(bank)
    await settle(bank, clock, seller, days=1)
    assert amounts(await bank.credits(seller)) == {"granted": "85"}
    assert (await bank.verify()).violations == ()


async def test_the_same_again_moves_nothing(bank: Bank) -> None:
    _, seller = await refunded(bank, purchased=100)
    assert [(await compensate(bank)).first for _ in range(3)] == [True, False, False]
    assert await bank.refund("pur_a") is False, "nor is it refunded again"
    assert amounts(await bank.credits(seller)) == {"pending": "85"}
    assert (await bank.verify()).violations == ()


async def test_of_many_at_once_one_moves_something(mongo: Mongo) -> None:
    async with open_bank(mongo) as bank:
        _, seller = await refunded(bank, purchased=100)
        first: list[bool] = []

        async def one() -> None:
            first.append((await compensate(bank)).first)

        async with anyio.create_task_group() as tasks:
            for _ in range(16):
                tasks.start_soon(one)
        assert sorted(first) == [False] * 15 + [True]
        assert amounts(await bank.credits(seller)) == {"pending": "85"}
        assert (await bank.verify()).violations == ()


async def test_what_was_interrupted_before_its_commit_is_done_once(bank: Bank) -> None:
    _, seller = await refunded(bank, purchased=100)
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await compensate(bank)
    assert amounts(await bank.credits(seller)) == {}
    assert await compensate(bank) == SaleCompensated(85_000, first=True)
    assert (await bank.verify()).violations == ()


async def test_only_what_was_refunded_is_made_good_and_a_gift_is_nothing(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=10), await bank.user()
    await bank.charge(buyer, seller, 10, "pur_a")
    with pytest.raises(NotFound):
        await compensate(bank)
    await bank.charge(buyer, seller, 0, "pur_free")
    await bank.refund("pur_free")
    assert await compensate(bank, "pur_free") == SaleCompensated(0, first=False)
    assert (await bank.verify()).violations == ()


async def test_a_partners_commission_stays_reversed(trade: Trade) -> None:
    await trade.sells("pur_a")
    await trade.bank.refund("pur_a")
    await compensate(trade.bank)
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0
    assert amounts(await trade.bank.credits(trade.seller)) == {"earned": "85"}


async def test_a_later_refund_of_another_sale_takes_of_it(bank: Bank, clock: SteppedClock) -> None:
    """It is income like another one: what the seller owes is taken from it."""
    _, seller = await refunded(bank, purchased=100)
    buyer, other = await bank.user(purchased=50), await bank.user()
    await bank.charge(buyer, seller, 50, "pur_b")
    await settle(bank, clock, seller, days=31)
    await bank.charge(seller, other, 42)
    await compensate(bank)
    await bank.refund("pur_b")
    assert amounts(await bank.credits(seller)) == {"pending": "42.5", "earned": "0.5"}
    assert (await bank.verify()).violations == ()


async def test_the_sellers_report_of_the_quarter_tells_of_it(bank: Bank, clock: SteppedClock) -> None:
    _, seller = await refunded(bank, purchased=100)
    await compensate(bank)
    year, quarter = clock.now().year, (clock.now().month + 2) // 3
    await bank.context().ask(BuildSellerReport(year=year, quarter=quarter))
    operator = bank.context("usr_operator", Role.OPERATOR)
    (row,) = (await operator.ask(ListSellerReport(year=year, quarter=quarter))).items
    assert (row.seller_id, row.net, row.refunded_net, row.compensated) == (seller, "85", "85", "85")


# What verification finds of compensations that were made up, with every sum and balance made to fit


async def forge(bank: Bank, key: str, *pending: tuple[int, str, str]) -> None:
    """Amounts with their sources, and for whom."""
    now = bank.process.context().now()
    total = sum(amount for amount, _, _ in pending)
    legs = [("pending", amount, user, source) for amount, source, user in pending]
    journal = {"kind": "compensation", "refs": {}, "leg_count": len(legs) + 1, "created_at": now}
    journal["parties"] = sorted({user for _, _, user in pending})
    await bank.collection("ledger_journals").insert_one({"_id": key, **journal, "reverses": None})
    sums = {"payable": 0, "granted": 0, "commission": 0}
    for number, (account, amount, user, source) in enumerate([*legs, ("platform:compensations", -total, None, None)]):
        leg = {"journal_id": key, "account": account, "amount": amount, "user_id": user, "source": source}
        lot = key if user else None
        await bank.collection("transactions").insert_one(
            {"_id": f"{key}#{number:03d}", "lot": lot, **leg, "created_at": now}
        )
        if user is not None:
            sums["payable" if source == "purchased" else "granted"] += amount
    await bank.collection("ledger_sales").insert_one({"_id": key, "seller_id": pending[0][2], **sums})


async def found(bank: Bank) -> set[tuple[str, str]]:
    return {(one.rule, one.subject) for one in (await bank.verify()).violations}


async def test_one_for_a_sale_that_stands_is_found(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    await forge(bank, "compensation:pur_a", (85_000, "purchased", seller))
    assert await found(bank) == {("unearned", "compensation:pur_a")}


async def test_one_for_no_sale_is_found(bank: Bank) -> None:
    seller = await bank.user()
    await forge(bank, "compensation:pur_none", (85_000, "purchased", seller))
    assert await found(bank) == {("unearned", "compensation:pur_none")}


@pytest.mark.parametrize(
    ("payable", "granted"),
    [(85_000, 0), (34_001, 50_999), (34_000, 51_001), (34_000, 50_999)],
)
async def test_one_that_is_more_or_more_payable_than_the_share_was_is_found(
    bank: Bank, payable: int, granted: int
) -> None:
    _, seller = await refunded(bank, granted=60, purchased=40)
    parts = [(payable, "purchased", seller), (granted, "granted", seller)]
    await forge(bank, "compensation:pur_a", *(part for part in parts if part[0]))
    assert await found(bank) == {("unearned", "compensation:pur_a")}


async def test_one_for_somebody_else_is_found(bank: Bank) -> None:
    buyer, _ = await refunded(bank, purchased=100)
    await forge(bank, "compensation:pur_a", (85_000, "purchased", buyer))
    assert await found(bank) == {(rule, "compensation:pur_a") for rule in ("unearned", "not_theirs")}


async def test_one_that_makes_payable_what_had_been_withheld_is_found(bank: Bank, clock: SteppedClock) -> None:
    buyer, seller = await bank.user(purchased=100), await bank.user()
    await bank.charge(buyer, seller, 100, "pur_a")
    for person in (buyer, seller):
        await bank.learn(person, "card_1")
    await settle(bank, clock, seller, days=31)
    await bank.refund("pur_a")
    await forge(bank, "compensation:pur_a", (85_000, "purchased", seller))
    assert await found(bank) == {("unearned", "compensation:pur_a")}


async def test_a_compensation_goes_back_where_the_payment_is_lost(bank: Bank, clock: SteppedClock) -> None:
    """It waits while that is undecided; the journal that takes it back is one that verification knows."""
    buyer, seller = await bank.user(), await bank.user()
    stolen = await bank.top_up(buyer, 100)
    await bank.give(buyer, 20)
    await bank.charge(buyer, seller, 120, "pur_a")
    await bank.refund("pur_a")
    await compensate(bank)
    await bank.context().ask(FreezeTopup(topup_id=stolen, dispute_id="dp_1"))
    assert await settle(bank, clock, seller, days=31) == 0
    lost = TakeBackTopup(
        topup_id=stolen, claim_id="dp_1", kind=ClaimKind.DISPUTE, amount=1, captured=1, undo_sales=True
    )
    await bank.context().ask(lost)
    await bank.context().ask(ThawTopup(topup_id=stolen, dispute_id="dp_1"))
    await settle(bank, clock, seller, days=1)
    assert amounts(await bank.credits(seller)) == {}
    assert await bank.balance_of("platform:compensations") == 0
    assert (await bank.verify()).violations == ()
