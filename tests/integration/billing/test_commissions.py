"""Commissions: out of the fee, settled with the sale, reversed with it, frozen with a suspension, and collected."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.errors import FreezeDecided, InsufficientCredits
from promptforge.actors.billing.ledger.commissions.messages import (
    CarryOutFreeze,
    DecideFreeze,
)
from promptforge.actors.billing.ledger.messages import (
    SettleSeller,
)
from promptforge.actors.billing.messages import ListTransactions, SaleCommission
from promptforge.core.errors import NotFound
from tests.integration.billing.bank import Bank, amounts
from tests.integration.billing.trade import PARTNER, Trade

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def test_a_commission_comes_out_of_the_fee_and_settles_with_the_sale(trade: Trade) -> None:
    await trade.sells("pur_a")
    assert await trade.has() == (5, 0, 0)
    assert await trade.fees() == 10
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 5)
    assert amounts(await trade.bank.credits(trade.seller)) == {"earned": "85"}, "the seller gets what they always get"


@pytest.mark.parametrize(("bp", "commission"), [(0, 0), (333, 233), (1500, 1050), (10_000, 1050)])
async def test_a_commission_is_rounded_down_and_never_exceeds_the_fee(trade: Trade, bp: int, commission: int) -> None:
    await trade.sells("pur_a", 7, bp=bp)
    assert (await trade.stand()).pending == commission
    assert await trade.bank.balance_of("platform:fees") == 1050 - commission


async def test_what_was_free_or_paid_with_gifts_earns_nothing(trade: Trade) -> None:
    await trade.sells("pur_free", 0)
    await trade.sells("pur_gift", 10, buyer=await trade.bank.user(granted=10))
    await trade.sells("pur_half", 20, buyer=await trade.bank.user(granted=10, purchased=10))
    assert (await trade.stand()).pending == 500, "5 % of the ten that were bought"


async def test_a_refund_takes_the_commission_back_before_settlement_and_after_it(trade: Trade) -> None:
    await trade.sells("pur_a")
    await trade.bank.refund("pur_a")
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0
    await trade.sells("pur_b")
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 5)
    await trade.bank.refund("pur_b")
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0


async def test_what_was_collected_of_a_refunded_sale_is_owed_by_whoever_collected_it(trade: Trade) -> None:
    await trade.sells("pur_a")
    await trade.sells("pur_b")
    await trade.a_month_passes()
    assert await trade.collect("col_1", 7) == 7
    assert amounts(await trade.bank.credits(trade.referrer)) == {"earned": "7"}
    await trade.bank.refund("pur_a")
    assert await trade.has() == (0, 0, 0), "the three that were left go first"
    assert amounts(await trade.bank.credits(trade.referrer)) == {"earned": "5"}
    await trade.bank.charge(trade.referrer, await trade.bank.user(), 5)
    await trade.bank.refund("pur_b")
    assert amounts(await trade.bank.credits(trade.referrer)) == {"debt": "5"}
    await trade.stand()
    assert await trade.bank.balance_of("platform:losses") == 0


async def test_a_referrer_is_not_told_who_bought_what_was_refunded(trade: Trade) -> None:
    buyer = await trade.sells("pur_a")
    await trade.a_month_passes()
    await trade.collect()
    await trade.bank.refund("pur_a")
    told = await trade.bank.context(trade.referrer).ask(ListTransactions())
    assert [(one.kind, dict(one.refs)) for one in told.items] == [
        ("purchase_refund", {"purchase_id": "pur_a", "partner_id": PARTNER}),
        ("commission_collect", {"partner_id": PARTNER, "amount": "5"}),
    ]
    bought = await trade.bank.context(buyer).ask(ListTransactions())
    assert bought.items[0].refs["seller_id"] == trade.seller


async def test_an_account_is_not_closed_unasked_while_commissions_are_left(trade: Trade) -> None:
    async def left() -> int:
        store = trade.bank.books.commissions
        return await store.uncollected_of([PARTNER], session=None)

    await trade.sells("pur_a")
    assert await left() == 5_000
    await trade.a_month_passes()
    assert await left() == 5_000
    await trade.collect()
    assert await left() == 0, "it is among their own credits now"


async def test_the_same_collection_again_moves_nothing_and_more_than_there_is_is_refused(trade: Trade) -> None:
    await trade.sells("pur_a")
    with pytest.raises(InsufficientCredits):
        await trade.collect("col_0")
    await trade.a_month_passes()
    with pytest.raises(InsufficientCredits):
        await trade.collect("col_1", 6)
    assert [await trade.collect("col_1") for _ in range(3)] == [5, 5, 5]
    assert await trade.has() == (0, 0, 0)
    assert amounts(await trade.bank.credits(trade.referrer)) == {"earned": "5"}


async def test_ten_collections_at_once_take_what_there_is_once(trade: Trade) -> None:
    await trade.sells("pur_a")
    await trade.a_month_passes()
    outcomes: list[int] = []

    async def take(number: int) -> None:
        try:
            outcomes.append(await trade.collect(f"col_{number}", 5))
        except InsufficientCredits:
            outcomes.append(0)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(take, number)
    assert sorted(outcomes) == [0] * 9 + [5]
    assert await trade.has() == (0, 0, 0)


# Who earns nothing


@pytest.mark.parametrize("who", ["buyer", "seller"])
async def test_the_referrers_own_purchases_and_sales_pay_no_commission(trade: Trade, who: str) -> None:
    other = await trade.bank.user(purchased=100)
    await trade.bank.top_up(trade.referrer, 100)
    buyer, seller = (trade.referrer, other) if who == "buyer" else (other, trade.referrer)
    promised = SaleCommission(PARTNER, 500, trade.referrer, "code_a")
    await trade.bank.charge(buyer, seller, 100, "pur_a", commission=promised)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15


@pytest.mark.parametrize("who", ["buyer", "seller"])
async def test_an_account_that_is_linked_with_the_referrer_pays_no_commission(trade: Trade, who: str) -> None:
    buyer = await trade.bank.user(purchased=100)
    await trade.bank.learn(trade.referrer, "card:1")
    await trade.bank.learn(buyer if who == "buyer" else trade.seller, "card:1")
    await trade.sells("pur_a", buyer=buyer)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15


async def test_a_link_that_is_learned_after_the_sale_puts_its_commission_back_into_the_fee(trade: Trade) -> None:
    buyer = await trade.sells("pur_a")
    assert await trade.has() == (5, 0, 0)
    await trade.bank.learn(trade.referrer, "card:1")
    await trade.bank.learn(buyer, "card:1")
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    assert amounts(await trade.bank.credits(trade.seller)) == {"earned": "85"}
    await trade.bank.refund("pur_a")
    assert await trade.fees() == 0
    await trade.stand()


# Frozen


async def test_what_is_frozen_keeps_no_seller_waiting_and_does_not_settle_itself(trade: Trade) -> None:
    await trade.sells("pur_a")
    assert await trade.freeze() == 0
    assert await trade.has() == (0, 5, 0)
    await trade.a_month_passes()
    assert await trade.has() == (0, 5, 0)
    assert amounts(await trade.bank.credits(trade.seller)) == {"earned": "85"}


@pytest.mark.parametrize("settled_before", [True, False])
async def test_what_is_released_is_the_partners_once_its_sale_has_settled(
    trade: Trade, *, settled_before: bool
) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    if settled_before:
        await trade.a_month_passes()
    await trade.decide(term, release=True)
    assert await trade.has() == ((0, 0, 5) if settled_before else (5, 0, 0))
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 5)


@pytest.mark.parametrize("settled_before", [True, False])
async def test_what_is_forfeited_goes_back_into_the_fee_and_a_refund_takes_it_from_there(
    trade: Trade, *, settled_before: bool
) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    if settled_before:
        await trade.a_month_passes()
    await trade.decide(term, release=False)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    await trade.a_month_passes()
    await trade.bank.refund("pur_a")
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0


async def test_what_is_frozen_of_a_settled_sale_goes_with_its_refund(trade: Trade) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    await trade.a_month_passes()
    await trade.bank.refund("pur_a")
    assert await trade.has() == (0, 0, 0)
    await trade.decide(term, release=True)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0


async def test_what_was_settled_before_and_what_is_sold_after_a_suspension_is_not_frozen(trade: Trade) -> None:
    await trade.sells("pur_settled")
    await trade.a_month_passes()
    await trade.sells("pur_frozen")
    term = await trade.freeze()
    await trade.sells("pur_later")
    assert await trade.has() == (5, 5, 5)
    await trade.a_month_passes()
    assert await trade.has() == (0, 5, 10)
    await trade.decide(term, release=False)
    assert await trade.has() == (0, 0, 10)


async def test_a_sale_that_saw_the_partner_before_the_suspension_is_frozen_though_it_commits_after_it(
    trade: Trade,
) -> None:
    """The sale's transaction begins, the suspension commits, and then the sale does. No document of both is written."""
    buyer = await trade.bank.user(purchased=100)
    begun, suspended = anyio.Event(), anyio.Event()
    reading = trade.bank.books.commissions.balance_of

    async def slow(partner_id: str, **options: object) -> object:
        seen = await reading(partner_id, **options)  # type: ignore[arg-type]  # passed on as it came
        begun.set()
        await suspended.wait()
        return seen

    async def sale() -> None:
        trade.bank.books.commissions.balance_of = slow  # type: ignore[method-assign,assignment]  # the way in between
        await trade.sells("pur_a", buyer=buyer)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sale)
        await begun.wait()
        trade.bank.books.commissions.balance_of = reading  # type: ignore[method-assign]  # as it was
        term = await trade.freeze()
        suspended.set()
    assert await trade.has() == (0, 5, 0)
    await trade.decide(term, release=False)
    assert await trade.has() == (0, 0, 0)


async def test_of_two_decisions_at_once_one_wins_and_the_other_is_told(trade: Trade) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    outcomes: list[str] = []

    async def decide(*, release: bool) -> None:
        try:
            await trade.decide(term, release=release)
        except FreezeDecided:
            outcomes.append("late")
        else:
            outcomes.append("released" if release else "forfeited")

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(lambda release: decide(release=release), number % 2 == 0)
    assert outcomes.count("late") == 9
    await trade.bank.process.runner.drain()
    assert await trade.has() == ((5, 0, 0) if "released" in outcomes else (0, 0, 0))


async def test_nothing_is_decided_that_was_not_frozen(trade: Trade) -> None:
    with pytest.raises(NotFound):
        await trade.decide(0, release=True)


async def test_a_decision_beside_the_settlement_leaves_nothing_behind(trade: Trade) -> None:
    """Either is first: what was frozen is the partner's in the end, and nothing of it stays pending for ever."""
    for number in range(6):
        await trade.sells(f"pur_{number}")
    term = await trade.freeze()
    trade.clock.advance(days=31)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trade.bank.context().ask, SettleSeller(seller_id=trade.seller))
        tasks.start_soon(lambda: trade.decide(term, release=True))
    await trade.settles()
    assert await trade.has() == (0, 0, 30)


async def test_carrying_out_a_decision_many_times_at_once_moves_each_commission_once(trade: Trade) -> None:
    for number in range(30):
        await trade.sells(f"pur_{number:02}")
    term = await trade.freeze()
    await trade.a_month_passes()
    message = DecideFreeze(
        partner_id=PARTNER, term=term, release=True, decided_by="usr_admin", reason="looked at", reason_code="other"
    )
    await trade.bank.context().ask(message)
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(trade.bank.context().ask, CarryOutFreeze(partner_id=PARTNER, term=term))
        tasks.start_soon(trade.bank.process.runner.drain)
    assert await trade.has() == (0, 0, 150)


async def test_a_decision_in_the_middle_of_a_settlement_leaves_nothing_behind(trade: Trade) -> None:
    """It is carried out before the seller's settlement commits, and so sees a sale that has not settled."""
    await trade.sells("pur_a")
    term = await trade.freeze()
    trade.clock.advance(days=31)
    putting = trade.bank.books.sales.put

    async def decided_first(*what: object, **options: object) -> None:
        trade.bank.books.sales.put = putting  # type: ignore[method-assign]  # as it was
        await trade.decide(term, release=True)
        await putting(*what, **options)  # type: ignore[arg-type]  # passed on as it came

    trade.bank.books.sales.put = decided_first  # type: ignore[method-assign]  # the way in between
    await trade.bank.context().ask(SettleSeller(seller_id=trade.seller))
    await trade.settles()
    assert await trade.has() == (0, 0, 5)


# Verification


@pytest.mark.parametrize(
    ("collection", "change", "found"),
    [
        ("ledger_partners", {"$inc": {"earned": 1}}, {"balance"}),
        ("ledger_sales", {"$inc": {"promised": 1}}, {"balance"}),
        ("ledger_sales", {"$inc": {"forgone": 1}}, {"balance"}),
        ("ledger_sales", {"$set": {"partner_id": "ptn_b"}}, {"balance", "sale"}),
    ],
)
async def test_verification_sees_what_does_not_fit(
    trade: Trade, collection: str, change: dict[str, object], found: set[str]
) -> None:
    await trade.sells("pur_a")
    await trade.a_month_passes()
    await trade.stand()
    await trade.bank.collection(collection).update_one({}, change)
    assert await trade.bank.rules_broken() == found


async def test_verification_sees_a_commission_above_the_fee(trade: Trade) -> None:
    await trade.sells("pur_a")
    legs = trade.bank.collection("transactions")
    await legs.update_one({"journal_id": "purchase:pur_a", "account": "platform:fees"}, {"$inc": {"amount": -20_000}})
    assert "commission" in await trade.bank.rules_broken()
