"""What partners get for bringing accounts that turn out to be linked with theirs is never paid out, however late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promptforge.actors.billing.errors import InsufficientCredits, PayoutOnHold
from promptforge.actors.billing.ledger.commissions import commands as commissions
from promptforge.actors.billing.ledger.domain import Platform
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.domain import Commission, Deal, Terms
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from tests.support.books import MemoryBooks, broken_invariants, run

PARTNER = "ptn_1"
EACH = 5_000
"""The commission of each sale of 100 credits."""


@pytest.fixture
def books() -> MemoryBooks:
    """The referrer has brought two who bought of a stranger, and both commissions have settled."""
    books = MemoryBooks(most_sales=2)
    books.pages.users |= {user: Holdings() for user in ("alias", "honest", "shop", "referrer")}
    for number, buyer in enumerate(("alias", "honest")):
        run(books.post(topup_journal(f"cs_{number}", user_id=buyer, amount=100_000, refs={})))
        sell(books, f"p{number}", buyer)
    return books


def sell(books: MemoryBooks, purchase_id: str, buyer: str, *, price: int = 100_000) -> None:
    deal = Deal(purchase_id, buyer, "shop", price, Commission(PARTNER, 500, "referrer", "code"))
    run(sales.charge(books, deal, fee_bp=1500))
    books.clock += timedelta(days=31)
    run(sales.settle(books, f"purchase:{purchase_id}", Terms()))
    run(commissions.settle(books, f"purchase:{purchase_id}"))


def collect(books: MemoryBooks, amount: int | None = None, *, name: str = "col_1") -> None:
    run(commissions.collect(books, name, partner_id=PARTNER, owner_id="referrer", amount=amount))


def fees(books: MemoryBooks) -> int:
    return sum(journal.total(Platform.FEES) for journal in books.pages.journals.values())


def withhold(books: MemoryBooks) -> None:
    """The job."""
    for sale in list(books.pages.sales):
        run(commissions.withhold_commission(books, sale))


def reserve(books: MemoryBooks, amount: int, payout_id: str = "po_1") -> None:
    with books.transaction():
        run(payouts.reserve(books, payout_id, user_id="referrer", amount=amount))


def test_what_is_not_collected_goes_back_into_the_fee(books: MemoryBooks) -> None:
    before = fees(books)
    books.link("alias", "referrer")
    withhold(books)
    assert (books.pages.partners[PARTNER].earned, fees(books) - before) == (EACH, EACH)
    withhold(books)
    assert fees(books) - before == EACH, "once"
    assert books.pages.sales["purchase:p0"].forgone == EACH
    assert broken_invariants(books.pages) == []


def test_what_was_collected_is_never_paid_out(books: MemoryBooks) -> None:
    collect(books)
    books.link("alias", "referrer")
    with pytest.raises(InsufficientCredits):
        reserve(books, EACH + 1)
    reserve(books, EACH)
    referrer = books.pages.users["referrer"]
    assert (referrer.earned, referrer.granted, referrer.reserved) == (0, EACH, EACH)
    assert broken_invariants(books.pages) == []


def test_what_was_spent_before_is_made_up_from_what_comes_next(books: MemoryBooks) -> None:
    collect(books)
    run(sales.charge(books, Deal("spent", "referrer", "shop", 2 * EACH), fee_bp=1500))
    books.link("shop", "referrer")  # the seller of both
    withhold(books)
    assert books.pages.sales["purchase:p0"].released == EACH
    run(books.post(topup_journal("cs_3", user_id="honest", amount=100_000, refs={})))
    books.pages.users["other"] = Holdings()
    run(sales.charge(books, Deal("p3", "honest", "referrer", 100_000), fee_bp=1500))
    books.clock += timedelta(days=31)
    run(sales.settle(books, "purchase:p3", Terms()))
    withhold(books)
    referrer = books.pages.users["referrer"]
    assert (referrer.earned, referrer.granted) == (85_000 - 2 * EACH, 2 * EACH)
    assert books.pages.sales["purchase:p0"].released == 0
    assert broken_invariants(books.pages) == []


def test_a_payout_that_has_it_set_aside_is_not_sent(books: MemoryBooks) -> None:
    collect(books)
    reserve(books, 2 * EACH)
    books.link("alias", "referrer")
    with pytest.raises(PayoutOnHold), books.transaction():
        run(payouts.begin_sending(books, "po_1"))
    run(payouts.cancel(books, "po_1"))
    reserve(books, EACH, "po_2")
    assert books.pages.users["referrer"].granted == EACH
    assert broken_invariants(books.pages) == []


@pytest.mark.parametrize("collected", [0, 2_000, 2 * EACH])
def test_a_refund_takes_it_from_where_it_is_by_then(books: MemoryBooks, collected: int) -> None:
    """Back in the fee, among the referrer's granted credits, or a part here and a part there: nobody pays it twice."""
    if collected:
        collect(books, collected)
    books.link("alias", "referrer")
    withhold(books)
    run(sales.refund(books, "p0", reason="not as described"))
    referrer = books.pages.users["referrer"]
    assert referrer.granted == 0
    assert books.pages.partners[PARTNER].earned + referrer.earned == EACH, "that of the honest sale"
    assert (fees(books), referrer.owes) == (10_000, 0), "that of the honest sale too"
    assert broken_invariants(books.pages) == []


def test_more_than_one_transaction_withholds_keeps_a_payout_back(books: MemoryBooks) -> None:
    run(books.post(topup_journal("cs_2", user_id="alias", amount=300_000, refs={})))
    for number in range(2, 5):
        sell(books, f"p{number}", "alias")
    collect(books)
    books.link("alias", "referrer")
    with pytest.raises(PayoutOnHold):
        reserve(books, EACH)
    withhold(books)
    reserve(books, EACH)
    assert broken_invariants(books.pages) == []
