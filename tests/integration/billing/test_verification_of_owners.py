"""Credits that were moved out of or into accounts of others are found by name, with every sum made to fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from promptforge.actors.billing.ledger.budgets.messages import FundBudget
from promptforge.actors.billing.ledger.commissions.messages import CollectCommissions, SettleCommissions
from promptforge.actors.billing.ledger.domain import JournalKind
from promptforge.actors.billing.ledger.messages import ReservePayout, ReserveRun, SettleSeller, TakeBackTopup
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.messages import SaleCommission
from promptforge.actors.billing.verification.ways import WAYS
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank
from tests.integration.billing.forging import Forged, forge, forge_leg, found
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
BUYER, SELLER, THIEF, REFERRER = "usr_0001", "usr_0002", "usr_0003", "usr_0004"
SETTLED, OPEN = "purchase:pur_settled", "purchase:pur_open"


@pytest.fixture
async def books(mongo: Mongo) -> AsyncIterator[Bank]:
    """The seller has earned 85 and has 34 pending; the referrer has collected a half of a commission of 4."""
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        await bank.user(granted=10, purchased=200)
        await bank.user()
        await bank.user(granted=10, purchased=50)
        await bank.user()
        commission = SaleCommission("ptn_1", 400, REFERRER, "code_1")
        await bank.charge(BUYER, SELLER, 110, "pur_settled", commission=commission)
        clock.advance(days=31)
        await bank.context().ask(SettleSeller(seller_id=SELLER))
        await bank.context().ask(SettleCommissions(partner_id="ptn_1"))
        await bank.collection("partners").insert_one({"_id": "ptn_1", "owner": REFERRER})
        some = CollectCommissions(
            collection_id="col_1", partner_id="ptn_1", owner_id=REFERRER, amount_millicredits=2_000
        )
        await bank.context().ask(some)
        await bank.charge(BUYER, SELLER, 40, "pur_open", commission=commission)
        await bank.context().ask(ReservePayout(payout_id="po_1", user_id=SELLER, amount_millicredits=5_000))
        await bank.told_of_payouts()
        assert (await bank.verify()).violations == ()
        yield bank


@pytest.mark.parametrize("key", ["", 7, None, ["purchase:pur_open"], {"journal": SETTLED}])
async def test_a_leg_of_no_journal_is_found_whatever_stands_for_one(books: Bank, key: object) -> None:
    made = {"journal_id": key, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    await forge_leg(books, "forged", Forged("earned", 9_000_000, THIEF), **made)
    assert await found(books) == {("orphan_leg", "forged"), ("total", "transactions")}


@pytest.mark.parametrize("leg", [Forged("earned", 9_000, THIEF), Forged("platform:fees", -9_000)])
async def test_a_leg_that_is_marked_as_none_is_found(books: Bank, leg: Forged) -> None:
    mark = {"before_ledger": {"user_id": None, "reason": None}, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    await forge_leg(books, "forged", leg, **mark)
    assert await found(books) == {("orphan_leg", "forged"), ("total", "transactions")}


async def test_a_row_of_the_service_before_is_no_leg(books: Bank) -> None:
    row = {"_id": 7, "amount": 5.5, "type": "spend", "before_ledger": {"user_id": THIEF, "reason": None}}
    await books.collection("transactions").insert_one(row)
    assert await found(books) == set()


async def test_a_journal_without_a_key_is_found(books: Bank) -> None:
    await books.collection("ledger_journals").insert_one({"_id": 7, "kind": "grant", "refs": {}, "leg_count": 0})
    assert await found(books) == {("unearned", "7")}


# Payments


async def test_credits_that_nobody_paid_for_are_found(books: Bank) -> None:
    for key, kind in (("topup:cs_forged", "topup"), ("invoice:in_forged", "invoice")):
        legs = [Forged("stripe:topups", -5_000, lot=key), Forged("purchased", 5_000, THIEF, key)]
        await forge(books, key, kind, legs)
        assert ("unpaid", key) in await found(books)


PAPERS: list[tuple[str, dict[str, Any]]] = [
    ("checkouts", {"state": "open"}),
    ("checkouts", {"user_id": BUYER}),
    ("checkouts", {"pack.credits": 5_000}),
    ("receipts", {"user_id": BUYER}),
    ("receipts", {"credits": 5_000}),
]


@pytest.mark.parametrize(("papers", "change"), PAPERS)
async def test_a_payment_of_which_something_else_is_known_is_found(
    books: Bank, papers: str, change: dict[str, Any]
) -> None:
    assert (await books.collection(papers).update_one({"user_id": THIEF}, {"$set": change})).modified_count == 1
    assert await found(books) == {("unpaid", f"topup:cs_{THIEF}")}


@pytest.mark.parametrize("papers", ["checkouts", "receipts"])
async def test_a_payment_without_its_papers_is_found(books: Bank, papers: str) -> None:
    await books.collection(papers).delete_one({"user_id": THIEF})
    assert await found(books) == {("unpaid", f"topup:cs_{THIEF}")}


async def test_a_paid_checkout_that_brought_nothing_is_found(books: Bank) -> None:
    row = await books.collection("checkouts").find_one({"user_id": THIEF})
    assert row is not None
    await books.collection("checkouts").insert_one({**row, "_id": "chk_open", "session_id": "cs_open", "state": "open"})
    assert await found(books) == set()
    await books.collection("checkouts").update_one({"_id": "chk_open"}, {"$set": {"state": "paid"}})
    assert await found(books) == {("paid_without_journal", "topup:cs_open")}


# Sales


async def test_a_sale_that_settles_to_somebody_else_is_found(books: Bank) -> None:
    sale = await books.collection("ledger_sales").find_one({"_id": OPEN})
    assert sale is not None
    amount, key = sale["payable"], f"settle:{OPEN}"
    taken = Forged("pending", -amount, SELLER, OPEN, "purchased")
    await forge(books, key, "settlement", [taken, Forged("earned", amount, THIEF)], sale=OPEN)
    await books.collection("ledger_sales").update_one({"_id": OPEN}, {"$set": {"payable": 0}})
    assert await found(books) == {("not_theirs", key)}


async def test_a_settlement_out_of_a_sale_of_somebody_else_is_found(books: Bank) -> None:
    sale = await books.collection("ledger_sales").find_one({"_id": OPEN})
    assert sale is not None
    amount, key = sale["payable"], f"settle:{OPEN}"
    taken = Forged("pending", -amount, THIEF, OPEN, "purchased")
    await forge(books, key, "settlement", [taken, Forged("earned", amount, THIEF)], sale=OPEN)
    await books.collection("ledger_sales").update_one({"_id": OPEN}, {"$set": {"payable": 0}})
    assert await found(books) == {("not_theirs", key), ("sale", OPEN)}


async def test_credits_that_are_withheld_from_somebody_else_are_found(books: Bank) -> None:
    key = f"withhold:{OPEN}"
    await forge_leg(books, "forged", Forged("earned", 1_000, THIEF), journal_id="")
    before = {("orphan_leg", "forged"), ("total", "transactions")}
    legs = [Forged("earned", -1_000, THIEF), Forged("granted", 1_000, THIEF, "settle")]
    await forge(books, key, "withholding", legs, sale=OPEN)
    assert await found(books) - before == {("not_theirs", key)}


@pytest.mark.parametrize(
    ("legs", "rules"),
    [
        ([Forged("earned", -1_000, REFERRER), Forged("granted", 1_000, REFERRER, "settle")], set()),
        ([Forged("earned", -1_000, SELLER), Forged("granted", 1_000, SELLER, "settle")], {"not_theirs"}),
        ([Forged("earned", -1_000, REFERRER), Forged("platform:fees", 1_000)], {"unearned"}),
    ],
    ids=["the referrer's", "the seller's", "into the fee"],
)
async def test_a_commission_is_withheld_of_its_referrer_and_stays_theirs(
    books: Bank, legs: list[Forged], rules: set[str]
) -> None:
    key = f"withhold:commission:{SETTLED}"
    await forge(books, key, "commission_withholding", legs, sale=SETTLED, partner_id="ptn_1")
    assert await found(books) == {(rule, key) for rule in rules}


@pytest.mark.parametrize(("name", "other"), [("buyer_id", THIEF), ("seller_id", THIEF), ("price", 1)])
async def test_a_purchase_that_says_otherwise_than_was_charged_is_found(books: Bank, name: str, other: object) -> None:
    await books.collection("purchases").update_one({"_id": "pur_open"}, {"$set": {name: other}})
    assert await found(books) == {("purchase_differs", "pur_open")}


@pytest.mark.parametrize(("account", "name"), [("purchased", "buyer"), ("pending", "seller")])
async def test_a_sale_of_which_another_pays_or_gets_the_price_is_found(books: Bank, account: str, name: str) -> None:
    one = {"journal_id": OPEN, "account": account}
    await books.collection("transactions").update_one(one, {"$set": {"user_id": THIEF}})
    assert ("not_theirs", OPEN) in await found(books), name


async def test_a_refund_out_of_somebody_elses_account_is_found(books: Bank) -> None:
    await books.refund("pur_settled")
    assert await found(books) == set()
    key = f"{SETTLED}:refund"
    for collection, wanted, change in (
        ("transactions", {"journal_id": key, "user_id": SELLER}, {"user_id": THIEF}),
        ("ledger_journals", {"_id": key}, {"refs.seller_id": THIEF, "parties": [BUYER, THIEF, REFERRER]}),
    ):
        assert (await books.collection(collection).update_many(wanted, {"$set": change})).modified_count
    assert ("not_theirs", key) in await found(books)


# Payouts, claims, runs, budgets


async def test_a_payout_that_is_reserved_from_somebody_else_is_found(books: Bank) -> None:
    kept, shown = {"user_id": THIEF, "amount": 5_000}, {"money": 5, "reversed_money": 0}
    await books.collection("ledger_payouts").insert_one({"_id": "po_2", **kept, "state": "reserved", "returned": 0})
    await books.collection("payouts").insert_one({"_id": "po_2", **kept, **shown, "state": "requested"})
    legs = [Forged("earned", -5_000, SELLER), Forged("reserved", 5_000, SELLER, source="earned")]
    await forge(books, "payout:po_2:reserve", "payout_reserve", legs, payout_id="po_2", amount="5")
    assert await found(books) == {("payout", "po_2")}


async def test_a_claim_that_takes_from_or_gives_to_others_than_whoever_paid_is_found(books: Bank) -> None:
    topup = f"topup:cs_{THIEF}"
    claim = TakeBackTopup(topup_id=topup, claim_id="re_1", kind=ClaimKind.REFUND, amount=10, captured=100)
    await books.context().ask(claim)
    assert await found(books) == set()
    others = {"user_id": BUYER, "lot": f"topup:cs_{BUYER}"}
    taken = {"journal_id": "refund:re_1", "user_id": THIEF}
    await books.collection("transactions").update_one(taken, {"$set": others})
    await books.collection("ledger_journals").update_one({"_id": "refund:re_1"}, {"$set": {"parties": [BUYER]}})
    assert ("not_theirs", "refund:re_1") in await found(books)
    back = [Forged("stripe:topups", -5_000, lot=topup), Forged("purchased", 5_000, SELLER, topup)]
    await forge(books, "refund:re_1:failed", "topup_refund_failed", back, topup=topup, claim="re_1")
    assert ("not_theirs", "refund:re_1:failed") in await found(books)


async def test_a_claim_on_what_was_never_paid_is_found(books: Bank) -> None:
    taken = [Forged("stripe:topups", 5_000), Forged("purchased", -5_000, BUYER, f"topup:cs_{BUYER}")]
    await forge(books, "refund:re_9", "topup_refund", taken, topup="topup:cs_none", claim="re_9")
    assert ("not_theirs", "refund:re_9") in await found(books)


async def test_a_hold_that_is_released_to_somebody_else_is_found(books: Bank) -> None:
    await books.context().ask(ReserveRun(run_id="run_1", user_id=BUYER, amount_millicredits=5_000))
    await books.collection("model_runs").insert_one({"_id": "run_1"})
    assert await found(books) == set()
    out = Forged("reserved", -5_000, BUYER, source="purchased")
    key, lot = "run:run_1:close", f"topup:cs_{THIEF}"
    legs = [out, Forged("purchased", 5_000, THIEF, lot)]
    await forge(books, key, "run_close", legs, run_id="run_1", charged="0")
    assert await found(books) == {("not_theirs", key)}


async def test_a_hold_that_somebody_else_releases_is_found(books: Bank) -> None:
    await books.context().ask(ReserveRun(run_id="run_1", user_id=BUYER, amount_millicredits=5_000))
    await books.context().ask(ReserveRun(run_id="run_2", user_id=THIEF, amount_millicredits=5_000))
    await books.collection("model_runs").insert_many([{"_id": "run_1"}, {"_id": "run_2"}])
    out = Forged("reserved", -5_000, THIEF, source="purchased")
    key, lot = "run:run_1:close", f"topup:cs_{THIEF}"
    await forge(books, key, "run_close", [out, Forged("purchased", 5_000, THIEF, lot)], run_id="run_1", charged="0")
    assert await found(books) == {("not_theirs", key)}


async def test_a_budget_of_somebody_elses_credits_is_found(books: Bank) -> None:
    message = FundBudget(budget_id="bud_1", user_id=THIEF, listing_id="lst_1", amount_millicredits=5_000)
    await books.context().ask(message)
    assert await found(books) == set()
    await books.collection("trial_budgets").update_one({"_id": "bud_1"}, {"$set": {"user_id": SELLER}})
    assert await found(books) == {("budget", "bud_1")}


# Commissions, gifts, openings


async def test_a_commission_that_somebody_else_collects_is_found(books: Bank) -> None:
    legs = [Forged("partner:ptn_1:earned", -1_000), Forged("earned", 1_000, THIEF)]
    await forge(books, "collect:forged", "commission_collect", legs, partner_id="ptn_1", amount="1")
    await books.collection("ledger_partners").update_one({"_id": "ptn_1"}, {"$inc": {"earned": -1_000}})
    assert await found(books) == {("not_theirs", "collect:forged")}


async def test_a_commission_that_is_released_to_another_partner_is_found(books: Bank) -> None:
    sale = await books.collection("ledger_sales").find_one({"_id": OPEN})
    assert sale is not None
    amount, key = sale["commission"], f"commission:{OPEN}:release"
    legs = [Forged("partner:ptn_1:pending", -amount, lot=OPEN), Forged("partner:ptn_2:earned", amount)]
    await forge(books, key, "commission_release", legs, partner_id="ptn_1", sale=OPEN)
    await books.collection("ledger_sales").update_one({"_id": OPEN}, {"$set": {"commission": 0}})
    await books.collection("ledger_partners").insert_one({"_id": "ptn_2", "earned": amount})
    assert ("not_theirs", key) in await found(books)


async def test_a_gift_that_expires_for_somebody_else_and_an_account_that_others_open_are_found(books: Bank) -> None:
    expired = [Forged("granted", -1_000, THIEF, f"grant:{THIEF}"), Forged("platform:grants", 1_000)]
    await forge(books, f"expire:grant:{BUYER}", "expiry", expired, lot=f"grant:{BUYER}", expired="1")
    key = f"opening:{BUYER}"
    await forge(books, key, "opening", [Forged("platform:opening", -1_000), Forged("granted", 1_000, THIEF, key)])
    assert await found(books) == {("not_theirs", f"expire:grant:{BUYER}"), ("not_theirs", key)}


@pytest.mark.parametrize("kind", [*JournalKind])
async def test_of_every_kind_of_journal_it_is_said_whose_accounts_it_moves(kind: JournalKind) -> None:
    ways = WAYS[kind]
    by_itself = {JournalKind.GRANT, JournalKind.RUN_RESERVE}
    assert bool(ways.about or ways.told_by) != (kind in by_itself)
    assert ways.keys
