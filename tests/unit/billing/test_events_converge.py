"""Whatever order Stripe's news come in, and how often, and however old what was read: the end is the same.

The readings of every refund and dispute are turned into orders by the product's own code, and carried out on the
ledger's rules in memory. News of a payment that is not known yet are tried again later, as the job runner does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from promptforge.actors.billing.events.claims import Order, order_for_refund, orders_for_dispute
from promptforge.actors.billing.events.store import is_stale
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.messages import FreezeTopup, GiveBackTopup, TakeBackTopup
from promptforge.actors.billing.ledger.topups import commands
from promptforge.actors.billing.ledger.topups.domain import Claim, topup_journal
from promptforge.actors.billing.stripe.claims import Dispute, Payment, Refund
from promptforge.core.errors import NotFound
from tests.support.books import MemoryBooks, broken_invariants, run

CAPTURED = 1000
CREDITS = 525_000
PAYMENT = Payment("topup:cs_1", CAPTURED)
PAID = "paid"
"""`checkout.session.completed` and `async_payment_succeeded` alike."""

DISPUTES = TypeAdapter(Dispute)

Reading = str | Refund | Dispute


@dataclass(slots=True)
class Till:
    """What the actors do with a reading, without a database."""

    books: MemoryBooks = field(default_factory=MemoryBooks)
    closed: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.books.pages.users["usr_1"] = Holdings()

    def hear(self, readings: Sequence[Reading]) -> None:
        waiting = list(readings)
        while waiting:
            again: list[Reading] = []
            for reading in waiting:
                try:
                    with self.books.transaction():
                        self._apply(reading)
                except NotFound:
                    again.append(reading)
            assert len(again) < len(waiting), "nothing would ever become of these"
            waiting = again

    def undo_the_rest(self) -> None:
        """Run the jobs that a claim with many sales to undo has enqueued."""
        for topup_id in list(self.books.pages.topups):
            while run(commands.go_on_undoing(self.books, topup_id)).more:
                pass

    def _apply(self, reading: Reading) -> None:
        if isinstance(reading, str):
            run(self.books.post(topup_journal("cs_1", user_id="usr_1", amount=CREDITS, refs={})))
        elif isinstance(reading, Refund):
            self._carry_out(order_for_refund(PAYMENT, reading))
        elif self._matters(reading) and not is_stale(reading, closed=reading.id in self.closed):
            self.known.add(reading.id)
            for order in orders_for_dispute(PAYMENT, reading):
                self._carry_out(order)
            if reading.closed:
                self.closed.add(reading.id)

    def _matters(self, reading: Dispute) -> bool:
        return reading.matters(open_here=reading.id in self.known - self.closed)

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, TakeBackTopup):
            claim = Claim(order.claim_id, order.kind, order.amount)
            captured, undo = order.captured, order.undo_sales
            run(commands.take_back(self.books, order.topup_id, claim, captured=captured, undo_sales=undo))
        elif isinstance(order, GiveBackTopup):
            run(commands.give_back(self.books, order.topup_id, Claim(order.claim_id, order.kind, order.amount)))
        elif isinstance(order, FreezeTopup):
            run(commands.freeze(self.books, order.topup_id, order.dispute_id))
        else:
            run(commands.thaw(self.books, order.topup_id, order.dispute_id))

    def end(self) -> tuple[int, int, int, int]:
        """What they have and owe, what is frozen, and what the claims have taken."""
        holdings = self.books.pages.users["usr_1"]
        topup = self.books.pages.topups.get(PAYMENT.topup_id)
        return holdings.purchased, holdings.debt, holdings.frozen, topup.taken if topup else 0


def refund(number: int, amount: int, status: str) -> Refund:
    return Refund(f"re_{number}", amount, status, None, "ch_1")


def dispute(number: int, amount: int, status: str) -> Dispute:
    # As the SDK's answers are read: an open chargeback has taken the money, a won one has given it back.
    moved = {"needs_response": (-amount,), "lost": (-amount,), "won": (-amount, amount)}.get(status, ())
    transactions = [{"amount": one} for one in moved]
    read = {"id": f"du_{number}", "amount": amount, "status": status, "charge": "ch_1"}
    return DISPUTES.validate_python({**read, "balance_transactions": transactions})


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Reading], list[Reading]]:
    """All that was read in the order in which it came about, and the same in another order with duplicates."""
    story: list[Reading] = [PAID]
    for number in range(draw(st.integers(0, 3))):
        amount = draw(st.integers(1, 700))
        steps = draw(
            st.sampled_from([("succeeded",), ("pending", "succeeded"), ("succeeded", "failed"), ("canceled",)])
        )
        story += [refund(number, amount, status) for status in steps]
    for number in range(draw(st.integers(0, 2))):
        amount = draw(st.integers(1, 1200))
        ways = [("needs_response",), ("needs_response", "won"), ("needs_response", "lost"), ("warning_closed",)]
        story += [dispute(number, amount, status) for status in draw(st.sampled_from(ways))]
    heard = draw(st.permutations([*story, *draw(st.lists(st.sampled_from(story), max_size=8))]))
    return story, list(heard)


@given(stories())
@settings(max_examples=400, deadline=None)
def test_every_order_with_duplicates_ends_the_same(told: tuple[list[Reading], list[Reading]]) -> None:
    story, heard = told
    straight, shuffled = Till(), Till()
    straight.hear(story)
    shuffled.hear(heard)
    assert shuffled.end() == straight.end()
    assert broken_invariants(shuffled.books.pages) == []


@given(
    st.integers(1, 1200),
    st.sampled_from(["prevented", "warning_closed"]),
    st.lists(st.booleans(), min_size=1, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_what_was_read_out_of_order_of_a_dispute_that_came_to_nothing_is_put_right_by_the_comparison(
    amount: int, status: str, order: list[bool]
) -> None:
    """Its end may be read while nothing is known of it, and its beginning, read before, be applied after that: so the
    daily comparison with Stripe reads again what is open here and closed there.
    """
    began, ended = dispute(0, amount, "needs_response"), dispute(0, amount, status)
    straight, shuffled = Till(), Till()
    straight.hear([PAID, began, ended])
    shuffled.hear([PAID, *(ended if over else began for over in order)])
    if shuffled.known - shuffled.closed:
        shuffled.hear([ended])
    assert shuffled.end() == straight.end() == (CREDITS, 0, 0, 0)
    assert broken_invariants(shuffled.books.pages) == []
