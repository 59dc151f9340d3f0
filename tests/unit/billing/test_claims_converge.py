"""Whatever order the claims on a payment are heard of in, also once its credits were spent: the end is the same.

Some of the credits were spent beside a gift, on sales of two sellers that are not settled. Refunds may fail; disputes
are open or lost. A dispute that is won gives the credits back and undoes no refund of a sale, so whether it was heard
of before it was won shows: `test_what_a_dispute_has_undone_stays_undone`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptforge.actors.billing.ledger.adjustments.commands import grant
from promptforge.actors.billing.ledger.books import MOST_SALES
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.domain import Deal
from promptforge.actors.billing.stripe.claims import Refund
from tests.support.books import MemoryBooks, broken_invariants, run
from tests.unit.billing.test_events_converge import CREDITS, PAID, Reading, Till, dispute, refund

SELLERS = ("usr_2", "usr_3")
Spent = list[tuple[int, int]]
"""Which seller, and for how many millicredits."""
Story = tuple[Spent, int, list[Reading], list[Reading]]


def fraud(number: int, amount: int) -> Refund:
    return Refund(f"re_{number}", amount, "succeeded", "fraudulent", "ch_1")


def spent(prices: Spent, gift: int, *, most_sales: int = MOST_SALES) -> Till:
    till = Till(MemoryBooks(most_sales=most_sales))
    till.hear([PAID])
    books = till.books
    books.pages.users |= {seller: Holdings() for seller in SELLERS}
    if gift:
        run(grant(books, "grt_1", user_id="usr_1", amount=gift, refs={}))
    for number, (seller, price) in enumerate(prices):
        books.clock += timedelta(minutes=1)
        affordable = min(price, books.pages.users["usr_1"].available)
        run(sales.charge(books, Deal(f"pur_{number}", "usr_1", SELLERS[seller], affordable, None), fee_bp=1500))
    return till


def end(till: Till) -> object:
    """What everybody has and owes, which sales stand, and what the claims have taken."""
    pages = till.books.pages
    people = {user: (has.granted, has.purchased, has.earned, has.debt, has.frozen) for user, has in pages.users.items()}
    stand = {sale.id: (sale.state, sale.payable, sale.granted) for sale in pages.sales.values()}
    return people, stand, till.end()


@st.composite
def stories(draw: st.DrawFn) -> Story:
    prices = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1_000, CREDITS)), max_size=5))
    story: list[Reading] = []
    for number in range(draw(st.integers(0, 3))):
        amount, steps = draw(st.integers(1, 700)), draw(st.sampled_from(["stands", "pending", "failed", "fraud"]))
        if steps == "fraud":
            story.append(fraud(number, amount))
        else:
            ways = {"stands": ("succeeded",), "pending": ("pending", "succeeded"), "failed": ("succeeded", "failed")}
            story += [refund(number, amount, status) for status in ways[steps]]
    for number in range(draw(st.integers(0, 2))):
        amount = draw(st.integers(1, 1200))
        ways_of_disputes = [("needs_response",), ("needs_response", "lost"), ("warning_closed",)]
        story += [dispute(number, amount, status) for status in draw(st.sampled_from(ways_of_disputes))]
    again = draw(st.lists(st.sampled_from(story), max_size=6)) if story else []
    return prices, draw(st.sampled_from([0, 5_000])), story, list(draw(st.permutations([*story, *again])))


AUDITED: Spent = [(0, CREDITS * 8 // 10), (1, CREDITS // 10)]
REFUNDED, DISPUTED = refund(0, 150, "succeeded"), dispute(0, 100, "needs_response")


@given(stories())
@settings(max_examples=300, deadline=None)
@example((AUDITED, 0, [REFUNDED, DISPUTED], [DISPUTED, REFUNDED]))
@example(
    (
        AUDITED,
        0,
        [refund(0, 1000, "succeeded"), dispute(0, 500, "lost")],
        [dispute(0, 500, "lost"), refund(0, 1000, "succeeded")],
    )
)
@example(
    (
        AUDITED,
        5_000,
        [refund(0, 150, "succeeded"), dispute(0, 200, "lost")],
        [dispute(0, 200, "lost"), refund(0, 150, "succeeded")],
    )
)
def test_every_order_ends_the_same_once_credits_were_spent(told: Story) -> None:
    prices, gift, story, heard = told
    straight, shuffled = spent(prices, gift), spent(prices, gift)
    straight.hear(story)
    shuffled.hear(heard)
    assert end(shuffled) == end(straight)
    assert broken_invariants(shuffled.books.pages) == []


@given(stories(), st.integers(1, 2), st.sampled_from(["after each", "late"]))
@settings(max_examples=300, deadline=None)
@example((AUDITED, 0, [dispute(0, 1000, "lost")], [dispute(0, 1000, "lost")]), 1, "after each")
@example((AUDITED, 5_000, [DISPUTED, fraud(1, 700)], [fraud(1, 700), DISPUTED]), 1, "late")
def test_it_ends_the_same_however_many_sales_one_transaction_undoes(told: Story, at_once: int, when: str) -> None:
    """`when` the jobs that undo the rest run: after each claim, or once everything was heard."""
    prices, gift, story, heard = told
    straight, stepwise = spent(prices, gift), spent(prices, gift, most_sales=at_once)
    straight.hear(story)
    for readings in [heard] if when == "late" else [[reading] for reading in heard]:
        stepwise.hear(readings)
        stepwise.undo_the_rest()
    assert end(stepwise) == end(straight)
    assert broken_invariants(stepwise.books.pages) == []


@pytest.mark.parametrize("first", [REFUNDED, DISPUTED])
def test_sales_are_undone_for_what_is_disputed_and_not_for_an_honest_refund(first: Reading) -> None:
    """A tenth is disputed, and a tenth was never spent: that covers it, and no seller loses a sale."""
    till = spent(AUDITED, 0)
    till.hear([first, REFUNDED, DISPUTED])
    assert all(sale.open for sale in till.books.pages.sales.values())
    assert till.books.pages.users["usr_1"].owes == CREDITS * 150 // 1000


def test_what_a_dispute_has_undone_stays_undone() -> None:
    """The buyer has given the listing back by then; they have all their credits instead."""
    till = spent(AUDITED, 0)
    till.hear([dispute(0, 1000, "needs_response"), dispute(0, 1000, "won")])
    assert not any(sale.open for sale in till.books.pages.sales.values())
    assert till.books.pages.users["usr_1"].purchased == CREDITS
