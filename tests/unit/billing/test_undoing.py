"""A lost payment undoes all the sales that it paid for, however many: what one transaction leaves, others undo."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.billing.errors import InsufficientCredits, PaymentLost, PayoutOnHold
from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.domain import Platform
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.compensating import compensate
from promptforge.actors.billing.ledger.sales.domain import Deal, SaleState, Terms
from promptforge.actors.billing.ledger.topups import commands as topups
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind, topup_journal
from tests.support.books import MemoryBooks, broken_invariants, run

STOLEN = "topup:cs_stolen"
RUNS = 9


@pytest.fixture
def books() -> MemoryBooks:
    """A stolen card has paid for runs of an accomplice's listing, and one transaction undoes two of them."""
    books = MemoryBooks(most_sales=2)
    books.pages.users |= {"thief": Holdings(), "shop": Holdings()}
    run(books.post(topup_journal("cs_stolen", user_id="thief", amount=RUNS * 5_000, refs={})))
    for number in range(RUNS):
        run(runs.reserve(books, f"r{number}", user_id="thief", amount=5_000))
        run(runs.close(books, f"r{number}", charge=0, earned=runs.Earned("shop", 5_000, 1500)))
        books.clock += timedelta(seconds=1)
    return books


def lose(books: MemoryBooks, money: int = 1000, *, disputed: bool = True) -> topups.TakenBack:
    if disputed:
        run(topups.freeze(books, STOLEN, "dp_1"))
    claim = Claim("dp_1" if disputed else "re_1", ClaimKind.DISPUTE if disputed else ClaimKind.REFUND, money)
    taken = run(topups.take_back(books, STOLEN, claim, captured=1000, undo_sales=True))
    run(topups.thaw(books, STOLEN, "dp_1"))
    return taken


def settle_all(books: MemoryBooks) -> None:
    books.clock += timedelta(days=40)
    for sale in list(books.pages.sales):
        run(sales.settle(books, sale, Terms()))


def reversed_sales(books: MemoryBooks) -> int:
    return sum(sale.state is SaleState.REVERSED for sale in books.pages.sales.values())


@pytest.mark.parametrize("disputed", [True, False], ids=["dispute", "fraud"])
def test_nothing_that_is_to_be_undone_is_paid_out_meanwhile(books: MemoryBooks, *, disputed: bool) -> None:
    assert lose(books, disputed=disputed).more
    assert reversed_sales(books) == 2
    settle_all(books)
    assert books.pages.users["shop"].earned == 0, "what is left is still to be undone"
    steps = 0
    while run(topups.go_on_undoing(books, STOLEN)).more:
        steps += 1
    assert steps == 3
    assert reversed_sales(books) == RUNS
    settle_all(books)
    assert books.pages.users["shop"] == Holdings(), "the accomplice has nothing of it"
    thief = books.pages.users["thief"]
    assert (thief.purchased, thief.owes) == (0, 0), "all that was sold came back, and was taken"
    with pytest.raises(InsufficientCredits):
        run(payouts.reserve(books, "po_1", user_id="shop", amount=1))
    assert broken_invariants(books.pages) == []


def test_no_more_is_undone_than_the_claim_needs(books: MemoryBooks) -> None:
    lose(books, 500)  # half of it: five of the nine runs
    while run(topups.go_on_undoing(books, STOLEN)).more:
        pass
    assert reversed_sales(books) == 5
    settle_all(books)
    assert books.pages.users["shop"].earned == (RUNS - 5) * 4_250
    assert broken_invariants(books.pages) == []


def test_a_dispute_that_is_won_meanwhile_undoes_nothing_more(books: MemoryBooks) -> None:
    run(topups.freeze(books, STOLEN, "dp_1"))
    claim = Claim("dp_1", ClaimKind.DISPUTE, 1000)
    run(topups.take_back(books, STOLEN, claim, captured=1000, undo_sales=True))
    run(topups.give_back(books, STOLEN, claim))
    assert run(topups.thaw(books, STOLEN, "dp_1")).amount == 0, "not before the undoing has ended"
    ended = run(topups.go_on_undoing(books, STOLEN))
    assert (ended.more, ended.thawed.amount) == (False, 10_000)
    assert reversed_sales(books) == 2
    settle_all(books)
    assert books.pages.users["shop"].earned == (RUNS - 2) * 4_250
    assert broken_invariants(books.pages) == []


def test_what_is_left_of_the_payment_is_not_spent_meanwhile(books: MemoryBooks) -> None:
    """Its credits were taken back by a refund before, and one who was paid by others has none to give."""
    run(books.post(topup_journal("cs_2", user_id="thief", amount=RUNS * 5_000, refs={})))
    refund = Claim("re_0", ClaimKind.REFUND, 1000)
    run(topups.take_back(books, STOLEN, refund, captured=1000, undo_sales=False))
    assert lose(books).more
    thief = books.pages.users["thief"]
    assert (thief.purchased, thief.available) == (10_000, 0)
    with pytest.raises(InsufficientCredits):
        run(sales.charge(books, Deal("pur_1", "thief", "shop", 1_000), fee_bp=1500))
    with pytest.raises(PayoutOnHold):
        run(payouts.reserve(books, "po_1", user_id="thief", amount=1))
    while (undone := run(topups.go_on_undoing(books, STOLEN))).more:
        pass
    assert undone.thawed.amount == RUNS * 5_000
    assert broken_invariants(books.pages) == []


def test_a_second_claim_leaves_the_undoing_to_the_jobs_of_the_first(books: MemoryBooks) -> None:
    """So one transaction stays bounded, however many such claims it tells of; and nothing stays frozen at the end."""
    run(books.post(topup_journal("cs_2", user_id="thief", amount=RUNS * 5_000, refs={})))
    refund = Claim("re_0", ClaimKind.REFUND, 1000)
    run(topups.take_back(books, STOLEN, refund, captured=1000, undo_sales=False))
    assert lose(books, 300, disputed=False).more
    second = Claim("re_2", ClaimKind.REFUND, 50)
    taken = run(topups.take_back(books, STOLEN, second, captured=1000, undo_sales=True))
    assert broken_invariants(books.pages) == []
    assert (reversed_sales(books), taken.more) == (2, True)
    while run(topups.go_on_undoing(books, STOLEN)).more:
        pass
    assert reversed_sales(books) == 4, "as many as both need"
    thief = books.pages.users["thief"]
    assert (thief.available, thief.frozen) == (20_000, 0)
    assert broken_invariants(books.pages) == []


def made_good(books: MemoryBooks) -> None:
    """A sale of all that was bought was refunded by mistake, and its seller is made whole."""
    books.pages.users |= {"thief": Holdings(), "shop": Holdings()}
    run(books.post(topup_journal("cs_stolen", user_id="thief", amount=50_000, refs={})))
    run(sales.charge(books, Deal("pur_1", "thief", "shop", 50_000), fee_bp=1500))
    run(sales.refund(books, "pur_1", reason="not as described"))
    run(compensate(books, "pur_1", reason="the refund was a mistake"))


def test_a_compensation_waits_for_a_dispute_and_goes_back_where_it_is_lost() -> None:
    """Before the refund the dispute would have undone the sale."""
    books = MemoryBooks()
    made_good(books)
    run(topups.freeze(books, STOLEN, "dp_1"))
    settle_all(books)
    assert books.pages.users["shop"].earned == 0, "it is not decided"
    claim = Claim("dp_1", ClaimKind.DISPUTE, 1000)
    run(topups.take_back(books, STOLEN, claim, captured=1000, undo_sales=True))
    run(topups.thaw(books, STOLEN, "dp_1"))
    settle_all(books)
    assert books.pages.users["shop"] == Holdings()
    returned = books.pages.journals["compensation:pur_1:return"]
    assert returned.total(Platform.COMPENSATIONS) == 42_500
    assert books.pages.sales["compensation:pur_1"].state is SaleState.REVERSED
    assert broken_invariants(books.pages) == []


def test_a_compensation_settles_once_the_dispute_was_won() -> None:
    books = MemoryBooks()
    made_good(books)
    run(topups.freeze(books, STOLEN, "dp_1"))
    claim = Claim("dp_1", ClaimKind.DISPUTE, 1000)
    run(topups.give_back(books, STOLEN, claim))
    run(topups.thaw(books, STOLEN, "dp_1"))
    settle_all(books)
    assert books.pages.users["shop"].earned == 42_500
    assert broken_invariants(books.pages) == []


def test_a_compensation_is_undone_with_the_sales_of_its_payment() -> None:
    """The newest first: after what nothing has settled of, and as long as the claim is not covered."""
    books = MemoryBooks(most_sales=1)
    made_good(books)
    run(sales.charge(books, Deal("pur_2", "thief", "shop", 20_000), fee_bp=1500))
    books.clock += timedelta(days=31)
    run(sales.settle(books, "purchase:pur_2", Terms()))
    run(sales.charge(books, Deal("pur_3", "thief", "shop", 30_000), fee_bp=1500))
    assert lose(books).more
    assert not run(topups.go_on_undoing(books, STOLEN)).more
    assert books.pages.sales["compensation:pur_1"].state is SaleState.REVERSED
    assert (books.pages.users["shop"].earned, books.pages.users["thief"].owes) == (17_000, 20_000)
    assert broken_invariants(books.pages) == []


def sold(books: MemoryBooks, purchase_id: str, price: int, *, settles: bool = False) -> None:
    run(sales.charge(books, Deal(purchase_id, "thief", "shop", price), fee_bp=1500))
    if settles:
        books.clock += timedelta(days=31)
        run(sales.settle(books, f"purchase:{purchase_id}", Terms()))


def test_what_undoing_one_sale_takes_of_another_is_not_taken_of_that_again() -> None:
    """Of the newest nothing is pending any more: its share is taken out of the oldest, which is undone next."""
    books = MemoryBooks()
    books.pages.users |= {"thief": Holdings(), "shop": Holdings()}
    run(books.post(topup_journal("cs_stolen", user_id="thief", amount=25_000, refs={})))
    sold(books, "pur_0", 5_000, settles=True)
    sold(books, "pur_1", 10_000, settles=True)
    sold(books, "pur_2", 10_000)
    run(sales.refund(books, "pur_1", reason="not as described"))
    assert books.pages.sales["purchase:pur_2"].payable == 0, "the share of the other sale came out of this one"
    run(topups.freeze(books, STOLEN, "dp_1"))
    run(compensate(books, "pur_1", reason="the refund was a mistake"))
    lose(books)
    assert books.pages.sales["compensation:pur_1"].state is SaleState.REVERSED
    assert (books.pages.users["shop"].earned, books.pages.users["shop"].owes) == (4_250, 0)
    assert broken_invariants(books.pages) == []


def test_nor_is_what_undoing_one_run_takes_of_the_reserve_of_another() -> None:
    books = MemoryBooks()
    books.pages.users |= {"thief": Holdings(), "shop": Holdings()}
    run(books.post(topup_journal("cs_stolen", user_id="thief", amount=40_000, refs={})))
    held = [runs.close_key(run_id) for run_id in ("r1", "r2")]
    for run_id in ("r1", "r2"):
        run(runs.reserve(books, run_id, user_id="thief", amount=20_000))
        run(runs.close(books, run_id, charge=0, earned=runs.Earned("shop", 20_000, 1500)))
        books.clock += timedelta(days=1)
    books.clock += timedelta(days=31)
    for sale in held:
        run(sales.settle(books, sale, Terms(reserve_bp=1000)))
    assert [books.pages.sales[sale].payable for sale in held] == [1_700, 1_700]
    lose(books)
    assert [books.pages.sales[sale].state for sale in held] == [SaleState.REVERSED, SaleState.REVERSED]
    assert books.pages.users["shop"] == Holdings()
    assert broken_invariants(books.pages) == []


@pytest.mark.parametrize("undone", [True, False], ids=["by the dispute", "before it"])
def test_nobody_is_made_whole_for_a_lost_payment(*, undone: bool) -> None:
    books = MemoryBooks()
    books.pages.users |= {"thief": Holdings(), "shop": Holdings()}
    run(books.post(topup_journal("cs_stolen", user_id="thief", amount=50_000, refs={})))
    run(sales.charge(books, Deal("pur_1", "thief", "shop", 50_000), fee_bp=1500))
    if not undone:
        run(sales.refund(books, "pur_1", reason="not as described"))
    lose(books)
    assert purchase_refund(books) == ("the payment was disputed" if undone else "not as described")
    with pytest.raises(PaymentLost):
        run(compensate(books, "pur_1", reason="the refund was a mistake"))
    run(topups.give_back(books, STOLEN, Claim("dp_1", ClaimKind.DISPUTE, 1000)))
    if undone:  # the credits came back, and the sale stays undone for good
        with pytest.raises(PaymentLost):
            run(compensate(books, "pur_1", reason="the refund was a mistake"))


def purchase_refund(books: MemoryBooks) -> str:
    return books.pages.journals["purchase:pur_1:refund"].refs["reason"]
