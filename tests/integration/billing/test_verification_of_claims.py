"""What refunds, settlements and payouts can be falsified into is found by name, one falsehood at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from promptforge.actors.billing.ledger.commissions.messages import SettleCommissions
from promptforge.actors.billing.ledger.messages import ReservePayout, SettleSeller, TakeBackTopup
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.messages import ChargePurchase, SaleCommission
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
BUYER, SELLER = "usr_0001", "usr_0002"


@pytest.fixture
async def books(mongo: Mongo) -> AsyncIterator[Bank]:
    """Bought, sold (one sale settled, one pending, one refunded), half of a payment refunded, a payout under way."""
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        await bank.user(granted=5, purchased=100)
        await bank.user()
        for name in ("settled", "refunded"):
            await bank.charge(BUYER, SELLER, 10, f"pur_{name}")
        await bank.refund("pur_refunded")
        partnered = ChargePurchase(
            purchase_id="pur_partnered",
            buyer_id=BUYER,
            seller_id=SELLER,
            price_millicredits=10_000,
            commission=SaleCommission("ptn_1", 500, "usr_referrer", "code_1"),
        )
        await bank.context().ask(partnered)
        await bank.collection("purchases").insert_one(
            {"_id": "pur_partnered", "buyer_id": BUYER, "seller_id": SELLER, "price": 10_000}
        )
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=SELLER))
        await bank.context().ask(SettleCommissions(partner_id="ptn_1"))
        await bank.charge(BUYER, SELLER, 10, "pur_pending")
        taken = TakeBackTopup(
            topup_id=f"topup:cs_{BUYER}", claim_id="re_1", kind=ClaimKind.REFUND, amount=50, captured=100
        )
        await bank.context().ask(taken)
        await bank.context().ask(ReservePayout(payout_id="po_1", user_id=SELLER, amount_millicredits=1000))
        await bank.told_of_payouts()
        assert (await bank.verify()).violations == ()
        yield bank


async def test_earned_credits_that_came_from_no_sale_are_found(books: Bank) -> None:
    """A gift that was turned into earnings, with every sum made to fit."""
    legs = books.collection("transactions")
    await legs.update_one(
        {"journal_id": f"grant:{BUYER}", "user_id": BUYER}, {"$set": {"account": "earned", "lot": None}}
    )
    spent = legs.find({"user_id": BUYER, "account": "granted"})
    for leg in await spent.to_list(None):
        await legs.update_one({"_id": leg["_id"]}, {"$set": {"account": "purchased", "lot": f"topup:cs_{BUYER}"}})
    assert "unearned" in await books.rules_broken()


async def test_a_settlement_that_pays_out_gifts_is_found(books: Bank) -> None:
    """The granted part of a sale settled into earned credits."""
    granted = {"journal_id": "settle:purchase:pur_settled", "account": "granted"}
    earned = {"$set": {"account": "earned", "lot": None}}
    assert (await books.collection("transactions").update_one(granted, earned)).matched_count == 1
    found = {(one.rule, one.subject) for one in (await books.verify()).violations}
    assert ("unearned", "settle:purchase:pur_settled") in found


async def test_more_taken_back_than_was_given_is_found(books: Bank) -> None:
    legs = books.collection("transactions")
    await legs.update_one({"journal_id": "refund:re_1", "user_id": None}, {"$inc": {"amount": 60_000}})
    found = [one for one in (await books.verify()).violations if one.rule == "over_taken"]
    assert found[0].subject == f"topup:cs_{BUYER}"
    assert "100 were given for it, and 110 taken back" in found[0].detail


async def test_a_claim_that_is_not_in_the_ledger_is_found(books: Bank) -> None:
    claim = {"$set": {"claims.0.amount": 60}}
    await books.collection("ledger_topups").update_one({}, claim)
    assert await books.rules_broken() == {"over_taken"}
    await books.collection("ledger_topups").delete_many({})
    assert await books.rules_broken() == {"over_taken"}


@pytest.mark.parametrize("name", ["payable", "commission", "granted"])
async def test_a_sale_that_would_settle_to_more_than_is_pending_is_found(books: Bank, name: str) -> None:
    await books.collection("ledger_sales").update_one({"_id": "purchase:pur_pending"}, {"$inc": {name: 1}})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("sale", "purchase:pur_pending")


async def test_a_settlement_of_no_sale_is_found(books: Bank) -> None:
    await books.collection("ledger_sales").delete_one({"_id": "purchase:pur_pending"})
    assert await books.rules_broken() == {"sale"}


async def test_a_refund_in_the_ledger_only_is_found_after_an_hour(books: Bank) -> None:
    """Beside a dispute the marketplace is told by a job, so at first it is not wrong."""
    purchases = books.collection("purchases")
    await purchases.update_one({"_id": "pur_refunded"}, {"$unset": {"refunded_at": ""}})
    journals = books.collection("ledger_journals")
    key = {"_id": "purchase:pur_refunded:refund"}
    assert await books.rules_broken() == set(), "by the clock of the verification it was posted just now, or later"
    await journals.update_one(key, {"$set": {"created_at": datetime(2026, 1, 1, tzinfo=UTC)}})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("refund_not_applied", "pur_refunded")


async def test_a_refund_in_the_marketplace_only_is_found(books: Bank) -> None:
    marked = {"$set": {"refunded_at": datetime.now(UTC)}}
    await books.collection("purchases").update_one({"_id": "pur_pending"}, marked)
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("refund_without_journal", "pur_pending")


async def test_a_refund_of_what_was_never_charged_is_found(books: Bank) -> None:
    await books.collection("ledger_journals").delete_one({"_id": "purchase:pur_refunded"})
    assert "refund_without_purchase" not in await books.rules_broken(), "the market still says that it was refunded"
    await books.collection("purchases").delete_one({"_id": "pur_refunded"})
    assert "refund_without_purchase" in await books.rules_broken()


async def test_a_partners_changed_balance_is_found(books: Bank) -> None:
    await books.collection("ledger_partners").update_one({"_id": "ptn_1"}, {"$inc": {"earned": 1}})
    (violation,) = (await books.verify()).violations
    assert (violation.rule, violation.subject) == ("balance", "partner:ptn_1")


async def test_a_debt_above_zero_is_found(books: Bank) -> None:
    await books.collection("users").update_one({"_id": BUYER}, {"$set": {"credits.debt": 5}})
    assert await books.rules_broken() == {"balance", "negative"}
