"""What linked accounts sell each other is never paid out, wherever it was when they were found to be linked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.billing.errors import InsufficientCredits, PayoutOnHold
from promptforge.actors.billing.ledger.adjustments.commands import grant
from promptforge.actors.billing.ledger.budgets import commands as budgets
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.domain import Deal, Terms
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from tests.support.books import MemoryBooks, broken_invariants, run


@pytest.fixture
def books() -> MemoryBooks:
    """The buyer has paid 100 credits for something of the shop's, somebody honest 20, and both have settled."""
    books = MemoryBooks(most_sales=2)
    books.pages.users |= {user: Holdings() for user in ("buyer", "shop", "honest")}
    run(books.post(topup_journal("cs_1", user_id="buyer", amount=100_000, refs={})))
    run(books.post(topup_journal("cs_2", user_id="honest", amount=40_000, refs={})))
    run(sales.charge(books, Deal("p1", "buyer", "shop", 100_000), fee_bp=1500))
    run(sales.charge(books, Deal("p2", "honest", "shop", 20_000), fee_bp=1500))
    settle(books, days=31)
    return books


def settle(books: MemoryBooks, *, days: int) -> None:
    books.clock += timedelta(days=days)
    for sale in list(books.pages.sales):
        run(sales.settle(books, sale, Terms()))


def cash_out(books: MemoryBooks, amount: int, payout_id: str = "po_1") -> None:
    run(payouts.reserve(books, payout_id, user_id="shop", amount=amount))
    run(payouts.begin_sending(books, payout_id))
    run(payouts.finish(books, payout_id))


def test_what_was_parked_in_a_budget_is_withheld_once_it_is_back(books: MemoryBooks) -> None:
    run(budgets.fund(books, "bud", user_id="shop", subject="lst", amount=90_000))
    books.link("buyer", "shop")
    withheld = run(sales.withhold(books, "purchase:p1"))
    assert withheld is not None
    assert books.pages.users["shop"].granted == 12_000
    run(budgets.give_back(books, "lst", user_id="shop"))
    with books.transaction(), pytest.raises(InsufficientCredits):
        run(payouts.reserve(books, "po_1", user_id="shop", amount=17_001))
    cash_out(books, 17_000)
    assert books.pages.users["shop"] == Holdings(granted=85_000, lots=books.pages.users["shop"].lots)
    assert broken_invariants(books.pages) == []


def test_what_had_settled_just_as_they_were_linked_is_not_paid_out(books: MemoryBooks) -> None:
    """The job of the link saw no settlement, and the settlement no link."""
    books.link("buyer", "shop")
    cash_out(books, 17_000)
    with pytest.raises(InsufficientCredits):
        run(payouts.reserve(books, "po_2", user_id="shop", amount=1))
    assert books.pages.users["shop"].granted == 85_000
    assert broken_invariants(books.pages) == []


def test_a_payout_that_has_it_set_aside_is_not_sent_and_can_be_cancelled(books: MemoryBooks) -> None:
    run(payouts.reserve(books, "po_1", user_id="shop", amount=100_000))
    books.link("buyer", "shop")
    with pytest.raises(PayoutOnHold), books.transaction():
        run(payouts.begin_sending(books, "po_1"))
    run(payouts.cancel(books, "po_1"))
    cash_out(books, 17_000, "po_2")
    assert broken_invariants(books.pages) == []


def test_more_sales_than_one_transaction_withholds_keep_a_payout_back(books: MemoryBooks) -> None:
    run(books.post(topup_journal("cs_3", user_id="buyer", amount=40_000, refs={})))
    for number in range(3, 7):
        run(sales.charge(books, Deal(f"p{number}", "buyer", "shop", 10_000), fee_bp=1500))
    settle(books, days=31)
    books.link("buyer", "shop")
    with pytest.raises(PayoutOnHold), books.transaction():
        run(payouts.reserve(books, "po_1", user_id="shop", amount=17_000))
    for sale in list(books.pages.sales):  # the job
        run(sales.withhold(books, sale))
    cash_out(books, 17_000)
    assert broken_invariants(books.pages) == []


def test_a_gift_that_was_spent_with_a_seller_does_not_establish_them() -> None:
    books = MemoryBooks()
    books.pages.users |= {user: Holdings() for user in ("buyer", "linked", "shop")}
    run(grant(books, "grt_1", user_id="buyer", amount=1_000, refs={}))
    run(books.post(topup_journal("cs_1", user_id="buyer", amount=200_000, refs={})))
    run(books.post(topup_journal("cs_2", user_id="linked", amount=10_000, refs={})))
    books.link("linked", "shop")
    run(sales.charge(books, Deal("of_a_gift", "buyer", "shop", 1_000), fee_bp=1500))
    run(sales.charge(books, Deal("of_a_friend", "linked", "shop", 10_000), fee_bp=1500))
    settle(books, days=91)
    run(sales.charge(books, Deal("p1", "buyer", "shop", 100_000), fee_bp=1500))
    settle(books, days=8)
    assert books.pages.users["shop"].earned == 0
    settle(books, days=23)
    assert books.pages.users["shop"].earned == 85_000
    settle(books, days=60)
    run(sales.charge(books, Deal("p2", "buyer", "shop", 100_000), fee_bp=1500))
    settle(books, days=8)
    assert books.pages.users["shop"].earned == 170_000, "somebody has paid them, and that is 90 days old"
