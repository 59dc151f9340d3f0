"""Whatever people, buyers' banks and Stripe do in whatever order, and however often: the invariants hold.

Any number of accounts sell to each other, have gifts, cards and partners, refund, dispute and cash out. Every command
may come again, which is what a crash between a commit and its acknowledgement looks like, and what is refused leaves
nothing behind. `make fuzz-ledger` takes many more steps than `make test`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from promptforge.actors.billing.ledger import runs
from promptforge.actors.billing.ledger.adjustments.commands import expire, grant, write_off
from promptforge.actors.billing.ledger.adjustments.domain import until
from promptforge.actors.billing.ledger.budgets import commands as budgets
from promptforge.actors.billing.ledger.commissions import appeals
from promptforge.actors.billing.ledger.commissions import commands as commissions
from promptforge.actors.billing.ledger.commissions.messages import AnswerFreeze, AppealFreeze, DecideFreeze
from promptforge.actors.billing.ledger.holdings import Holdings
from promptforge.actors.billing.ledger.opening.domain import opening_journal
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.payouts.domain import PayoutState
from promptforge.actors.billing.ledger.sales import commands as sales
from promptforge.actors.billing.ledger.sales.compensating import compensate
from promptforge.actors.billing.ledger.sales.domain import Commission, Deal, Terms
from promptforge.actors.billing.ledger.topups import commands as topups
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind, invoice_journal, topup_journal
from promptforge.core.errors import PromptForgeError
from tests.support.books import MemoryBooks, broken_invariants, run

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "40"))
STEPS = int(os.environ.get("LEDGER_STEPS", "50"))
AMOUNTS = st.integers(1, 9) | st.integers(1_000, 5_000)
PERCENT = st.integers(1, 105)
TERMS = Terms(reserve_bp=1000)
CAPTURED = 1_000
MOST_SALES = 2
"""So few that undoing takes several steps, and everything else may come in between."""
PARTNER, REFERRER = "ptn_1", "usr_0"

Command = Callable[[], Coroutine[Any, Any, object]]  # Any: what coroutines send and take


class LedgerMachine(RuleBasedStateMachine):
    """The rules are also what `test_ledger_walk.py` walks at random, where the machine's examples are too short."""

    users = Bundle("users")
    payments = Bundle("payments")
    purchases = Bundle("purchases")
    claims = Bundle("claims")
    cashed = Bundle("cashed")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.books = MemoryBooks(most_sales=MOST_SALES)
        self.number = 0
        self.last: Command | None = None
        self.earning = True

    def _new(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}_{self.number}"

    def _do(self, command: Command) -> None:
        """Once; what it refuses leaves nothing behind."""
        self.last = command
        try:
            with self.books.transaction():
                run(command())
        except PromptForgeError as error:
            if error.status >= 500:
                raise

    @initialize(target=users)
    def everybody(self) -> MultipleResults[str]:
        """Three who know each other, with cards and gifts; two of them had an account in the service before. And one
        who has nothing, and is a partner.
        """
        run(self._open(REFERRER))
        people = [self._somebody() for _ in range(3)]
        for user, had in zip(people, (700, -300, 0), strict=True):
            if (opening := opening_journal(user, had)) is not None:
                run(self.books.post(opening))
            run(self.books.post(topup_journal(self._new("pay"), user_id=user, amount=4_000, refs={})))
            run(grant(self.books, self._new("grt"), user_id=user, amount=500, refs={}))
        return multiple(REFERRER, *people)

    @initialize(target=payments)
    def paid(self) -> MultipleResults[str]:
        return multiple(*(key for key in self.books.pages.journals if key.startswith("topup:")))

    def _share(self, amount: int, percent: int) -> int:
        return max(1, amount * percent // 100)

    @rule(target=users)
    def somebody(self) -> str:
        return self._somebody()

    def _somebody(self) -> str:
        user = self._new("usr")
        run(self._open(user))
        return user

    async def _open(self, user: str) -> None:

        self.books.pages.users[user] = Holdings()

    @rule(user=users, amount=AMOUNTS, days=st.none() | st.sampled_from([1, 30]))
    def is_given(self, user: str, amount: int, days: int | None) -> None:
        grant_id = self._new("grt")
        refs = until(self.books.clock + timedelta(days=days)) if days else {}
        self._do(lambda: grant(self.books, grant_id, user_id=user, amount=amount, refs=refs))

    @rule(user=users)
    def gifts_expire(self, user: str) -> None:
        lots = self.books.pages.users[user].lots
        self._do(lambda: expire(self.books, user))
        left = [lot for lot in lots if lot.expires_at is None or lot.expires_at > self.books.clock]
        assert list(self.books.pages.users[user].lots) == left, "what has expired is gone, and nothing else"

    @rule(target=payments, user=users, amount=AMOUNTS, invoiced=st.booleans())
    def pays(self, user: str, amount: int, *, invoiced: bool) -> str:
        make = invoice_journal if invoiced else topup_journal
        journal = make(self._new("pay"), user_id=user, amount=amount, refs={})
        self._do(lambda: self.books.post(journal))
        return journal.id

    @rule(
        target=purchases,
        buyer=users,
        seller=users,
        percent=st.integers(0, 60),
        commission=st.none() | st.integers(0, 5_000),
    )
    def buys(self, buyer: str, seller: str, percent: int, commission: int | None) -> str:
        purchase_id = self._new("pur")
        if buyer == seller:
            seller = next(user for user in self.books.pages.users if user != buyer)
        price = self.books.pages.users[buyer].available * percent // 100
        partner = Commission(PARTNER, commission, REFERRER, "code_1") if commission is not None else None
        if partner is not None and not self.earning:
            partner = None
        deal = Deal(purchase_id, buyer, seller, price, partner)
        self._do(lambda: sales.charge(self.books, deal, fee_bp=1500))
        return purchase_id

    @rule()
    def partner_is_suspended(self) -> None:
        """Only who earns can be suspended; they earn again once it is lifted."""
        if self.earning:
            self._do(lambda: commissions.freeze(self.books, PARTNER))
            self.last = None  # it is asked once for each suspension, in its transaction
            self.earning = False

    @rule()
    def suspension_is_lifted(self) -> None:
        self.earning = True

    @rule(release=st.booleans(), number=st.integers(0, 5))
    def freeze_is_decided(self, number: int, *, release: bool) -> None:
        """Whichever it is; the second decision about one changes nothing."""
        freezes = sorted(self.books.pages.freezes)
        if not freezes:
            return
        freeze = self.books.pages.freezes[freezes[number % len(freezes)]]
        decision = DecideFreeze(
            partner_id=PARTNER,
            term=freeze.term,
            release=release,
            decided_by="usr_2",
            reason="looked at",
            reason_code="other",
            appeal_until=self.books.now + timedelta(days=184),
        )
        self._do(lambda: commissions.decide(self.books, decision))

    @rule(granted=st.booleans(), number=st.integers(0, 5))
    def forfeiture_is_appealed(self, number: int, *, granted: bool) -> None:
        """And answered; neither is possible a second time, or where nothing was forfeited."""
        freezes = sorted(self.books.pages.freezes)
        if not freezes:
            return
        term = self.books.pages.freezes[freezes[number % len(freezes)]].term
        appeal = AppealFreeze(partner_id=PARTNER, term=term, words="People came from a talk.")
        answer = AnswerFreeze(
            partner_id=PARTNER,
            term=term,
            granted=granted,
            decided_by="usr_3",
            reason="looked at again",
            reason_code="other",
        )
        self._do(lambda: appeals.appeal(self.books, appeal))
        self._do(lambda: appeals.answer(self.books, answer))

    @rule()
    def decisions_are_carried_out(self) -> None:
        for sale in list(self.books.pages.sales):
            self._do(partial(commissions.settle, self.books, sale))
            self._do(partial(appeals.restore, self.books, sale))

    @rule(percent=PERCENT)
    def partner_collects(self, percent: int) -> None:
        earned = run(self.books.partner(PARTNER)).earned
        collection, amount = self._new("col"), self._share(earned, percent)
        self._do(
            lambda: commissions.collect(self.books, collection, partner_id=PARTNER, owner_id=REFERRER, amount=amount)
        )

    @rule(one=users, other=users)
    def share_a_card(self, one: str, other: str) -> None:
        """At any moment, be it between a sale's settlement and its commit: the job may miss it, or come late."""
        self.books.link(one, other)

    @rule()
    def what_linked_accounts_have_brought_is_withheld(self) -> None:
        for sale in list(self.books.pages.sales) * 2:
            self._do(partial(sales.withhold, self.books, sale))
            self._do(partial(commissions.withhold_commission, self.books, sale))

    @rule(purchase=purchases)
    def sale_is_refunded(self, purchase: str) -> None:
        self._do(lambda: sales.refund(self.books, purchase, reason="asked for"))

    @rule(purchase=purchases)
    def seller_is_made_whole(self, purchase: str) -> None:
        self._do(lambda: compensate(self.books, purchase, reason="the refund was a mistake"))

    @rule(purchase=purchases)
    def sale_settles(self, purchase: str) -> None:
        self._settles(f"purchase:{purchase}")

    def _settles(self, sale: str) -> None:
        for _ in range(2):  # the second time is for the rolling reserve, if that is due as well
            self._do(lambda: sales.settle(self.books, sale, TERMS))
            self._do(lambda: commissions.settle(self.books, sale))

    @rule(days=st.sampled_from([1, 8, 31, 100]))
    def time_passes(self, days: int) -> None:
        self.books.clock += timedelta(days=days)
        self.last = None  # at another time the same command may find more to do
        for sale in list(self.books.pages.sales):
            self._settles(sale)

    @rule(
        target=claims,
        payment=payments,
        kind=st.sampled_from(ClaimKind),
        amount=st.integers(1, 1_100),
        undo=st.booleans(),
    )
    def money_is_claimed_back(self, payment: str, kind: ClaimKind, amount: int, *, undo: bool) -> tuple[str, Claim]:
        claim = Claim(self._new("clm"), kind, amount)
        self._do(lambda: topups.take_back(self.books, payment, claim, captured=CAPTURED, undo_sales=undo))
        if undo:
            self._expect_undone(payment)
        return payment, claim

    @rule(payment=payments)
    def undoing_goes_on(self, payment: str) -> None:
        """One job, if there is one; after the last nothing is left to undo."""
        before = self.books.pages.topups.get(payment)
        self._do(lambda: topups.go_on_undoing(self.books, payment))
        self.last = None  # again, it goes on with what this one has left
        if before is not None and before.undoing:
            self._expect_undone(payment)

    def _expect_undone(self, payment: str) -> None:
        topup = self.books.pages.topups[payment]
        left = sum(lot.remaining for lot in self.books.pages.users[topup.user_id].lots if lot.id == payment)
        if not topup.undoing and left + topup.taken_from_lot + topup.absorbed < topup.undone_for:
            assert run(self.books.open_sales_paid_with(payment)) == []

    @rule(claimed=claims)
    def claim_comes_to_nothing(self, claimed: tuple[str, Claim]) -> None:
        self._do(lambda: topups.give_back(self.books, *claimed))

    @rule(claimed=claims)
    def claim_is_heard_of_again(self, claimed: tuple[str, Claim]) -> None:
        """Also once it has come to nothing: it takes nothing then."""
        payment, claim = claimed
        before = self.books.pages.copy()
        self._do(lambda: topups.take_back(self.books, payment, claim, captured=CAPTURED, undo_sales=True))
        assert self.books.pages == before

    @rule(target=claims, payment=payments, amount=st.integers(1, 1_100))
    def claim_comes_to_nothing_before_it_is_heard_of(self, payment: str, amount: int) -> tuple[str, Claim]:
        claim = Claim(self._new("clm"), ClaimKind.REFUND, amount)
        self._do(lambda: topups.give_back(self.books, payment, claim))
        self._do(lambda: topups.take_back(self.books, payment, claim, captured=CAPTURED, undo_sales=False))
        return payment, claim

    @rule(payment=payments, dispute=st.sampled_from(["dp_a", "dp_b"]), closed=st.booleans())
    def payment_is_disputed(self, payment: str, dispute: str, *, closed: bool) -> None:
        change = topups.thaw if closed else topups.freeze
        self._do(lambda: change(self.books, payment, dispute))

    @rule(target=cashed, user=users, percent=PERCENT)
    def cashes_out(self, user: str, percent: int) -> str:
        payout_id = self._new("po")
        amount = self._share(self.books.pages.users[user].earned, percent)
        self._do(lambda: payouts.reserve(self.books, payout_id, user_id=user, amount=amount))
        return payout_id

    @rule(
        payout=cashed,
        step=st.sampled_from([payouts.begin_sending, payouts.finish, payouts.cancel, payouts.take_in_again]),
    )
    def payout_goes_on(self, payout: str, step: Callable[..., Coroutine[Any, Any, object]]) -> None:
        before = self.books.pages.payouts.get(payout)
        self._do(lambda: step(self.books, payout))
        after = self.books.pages.payouts.get(payout)
        if after is not None and after != before and after.state is PayoutState.SENDING:
            assert self.books.left_to_withhold(after.user_id) == 0, "what is sent was sold to somebody linked"

    @rule(payout=cashed, total=AMOUNTS)
    def a_part_of_a_payout_comes_back(self, payout: str, total: int) -> None:
        self._do(lambda: payouts.take_part_in_again(self.books, payout, total))

    @rule(target=held, user=users, percent=PERCENT)
    def runs_a_model(self, user: str, percent: int) -> str:
        run_id = self._new("run")
        amount = self._share(self.books.pages.users[user].available, percent)
        self._do(lambda: runs.reserve(self.books, run_id, user_id=user, amount=amount))
        return run_id

    @rule(run_id=consumes(held), charge=st.integers(0, 2_000))
    def run_ends(self, run_id: str, charge: int) -> None:
        self._do(lambda: runs.close(self.books, run_id, charge=charge))

    @rule(run_id=consumes(held), charge=st.integers(0, 2_000), seller=users, gross=AMOUNTS)
    def sealed_run_ends(self, run_id: str, charge: int, seller: str, gross: int) -> None:
        """Nobody earns a share of their own runs: who asks sees to that."""
        reserved = self.books.pages.journals.get(runs.reserve_key(run_id))
        own = reserved is not None and seller in reserved.parties
        earned = None if own else runs.Earned(seller, gross, 1500)
        self._do(lambda: runs.close(self.books, run_id, charge=charge, earned=earned))

    @rule(target=held, payer=users, percent=PERCENT)
    def somebody_tries(self, payer: str, percent: int) -> str:
        run_id = self._new("run")
        room = sum(budget.room for budget in self.books.pages.budgets.values() if budget.subject == payer)
        amount = self._share(room, percent)
        self._do(lambda: runs.reserve_from_budget(self.books, run_id, subject=payer, amount=amount))
        return run_id

    @rule(user=users, percent=PERCENT)
    def pays_for_trials(self, user: str, percent: int) -> None:
        budget_id = self._new("bud")
        amount = self._share(self.books.pages.users[user].available, percent)
        self._do(lambda: budgets.fund(self.books, budget_id, user_id=user, subject=user, amount=amount))

    @rule(user=users)
    def wants_the_budget_back(self, user: str) -> None:
        self._do(lambda: budgets.give_back(self.books, user, user_id=user))

    @rule(user=users)
    def debt_is_written_off(self, user: str) -> None:
        owes = self.books.pages.users[user].owes
        write_off_id = self._new("wro")
        if owes:
            self._do(lambda: write_off(self.books, write_off_id, user_id=user, amount=owes, refs={}))

    @rule(times=st.integers(1, 3))
    def comes_again(self, times: int) -> None:
        """The process died between the commit and its acknowledgement, so the command comes again: nothing changes."""
        if self.last is None:
            return
        before = self.books.pages.copy()
        for _ in range(times):
            self._do(self.last)
        assert self.books.pages == before

    @invariant()
    def every_invariant_holds(self) -> None:
        assert broken_invariants(self.books.pages) == []


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
)
