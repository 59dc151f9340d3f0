"""Ten thousand steps at random over the rules of the machine, and the proof that they have been everywhere.

Those steps are the same on every machine. Some more are other ones each time, and their seed is told where they fail.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random, SystemRandom
from typing import TypeVar

import pytest

from promptforge.actors.billing.ledger.domain import Fund, JournalKind, Owed
from promptforge.actors.billing.ledger.payouts import commands as payouts
from promptforge.actors.billing.ledger.sales.domain import purchase_key, refund_key, settlements_of
from promptforge.actors.billing.ledger.topups.domain import Claim, ClaimKind
from tests.support.books import Pages, broken_invariants
from tests.unit.billing.test_ledger_machine import LedgerMachine

T = TypeVar("T")
STEPS = int(os.environ.get("LEDGER_WALK_STEPS", "10000"))
SEED = int(os.environ.get("LEDGER_WALK_SEED", "20261125"))
OTHER_STEPS = int(os.environ.get("LEDGER_WALK_OTHER_STEPS", "1500"))
ONE_WALK = 250
LOOK_EVERY = 10


def made(result: object, kind: type[T]) -> T:
    """What a rule of the machine answered; its declaration allows for several results."""
    assert isinstance(result, kind)
    return result


class Walk:
    """One world, and what has been made in it so far."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._machine = LedgerMachine()
        self._machine.everybody()
        self._payments = [key for key in self.pages.journals if key.startswith("topup:")]
        self._purchases: list[str] = []
        self._claims: list[tuple[str, Claim]] = []
        self._payouts: list[str] = []
        self._runs: list[str] = []
        self.undone_later = 0

    @property
    def pages(self) -> Pages:
        return self._machine.books.pages

    def _somebody(self) -> str:
        return self._rng.choice(list(self.pages.users))

    def step(self) -> None:
        ways = {
            self._buy: 8,
            self._pay: 2,
            self._give: 2,
            self._expire: 2,
            self._pass_time: 3,
            self._refund_sale: 3,
            self._compensate: 1,
            self._claim: 3,
            self._give_up_claim: 2,
            self._claim_again: 2,
            self._dispute: 1,
            self._undo: 2,
            self._cash_out: 2,
            self._go_on_with_payout: 4,
            self._run: 2,
            self._try: 2,
            self._end_run: 3,
            self._fund: 1,
            self._withdraw: 1,
            self._write_off: 1,
            self._share_a_card: 1,
            self._withhold: 1,
            self._suspend_or_lift: 1,
            self._decide_freeze: 1,
            self._appeal_forfeiture: 2,
            self._carry_out: 2,
            self._collect: 1,
            self._again: 2,
        }
        (way,) = self._rng.choices(list(ways), weights=list(ways.values()))
        way()

    def _buy(self) -> None:
        commission = self._rng.choice([None, 500, 5_000])
        bought = self._machine.buys(
            buyer=self._somebody(),
            seller=self._somebody(),
            percent=self._rng.randint(0, 60),
            commission=commission,
        )
        self._purchases.append(made(bought, str))

    def _pay(self) -> None:
        paid = self._machine.pays(
            user=self._somebody(), amount=self._rng.randint(1, 4_000), invoiced=self._rng.random() < 0.5
        )
        self._payments.append(made(paid, str))

    def _give(self) -> None:
        days = self._rng.choice([None, 1, 30])
        self._machine.is_given(user=self._somebody(), amount=self._rng.randint(1, 1_000), days=days)

    def _expire(self) -> None:
        self._machine.gifts_expire(user=self._somebody())

    def _pass_time(self) -> None:
        self._machine.time_passes(days=self._rng.choice([1, 8, 31, 100]))

    def _refund_sale(self) -> None:
        if self._purchases:
            self._machine.sale_is_refunded(purchase=self._rng.choice(self._purchases))

    def _compensate(self) -> None:
        """Mostly of what was refunded lately: most sales never are."""
        refunded = [one for one in self._purchases if refund_key(one) in self.pages.journals]
        if refunded:
            self._machine.seller_is_made_whole(purchase=self._rng.choice(refunded[-5:]))

    def _claim(self) -> None:
        claimed = self._machine.money_is_claimed_back(
            payment=self._rng.choice(self._payments),
            kind=self._rng.choice(list(ClaimKind)),
            amount=self._rng.choice([1, 333, 1_000, 1_050]),
            undo=self._rng.random() < 0.5,
        )
        payment, claim = made(claimed, tuple)
        self._claims.append((payment, claim))

    def _give_up_claim(self) -> None:
        if self._claims:
            self._machine.claim_comes_to_nothing(claimed=self._rng.choice(self._claims))

    def _claim_again(self) -> None:
        if self._claims:
            self._machine.claim_is_heard_of_again(claimed=self._rng.choice(self._claims))

    def _dispute(self) -> None:
        self._machine.payment_is_disputed(
            payment=self._rng.choice(self._payments), dispute="dp_a", closed=self._rng.random() < 0.6
        )

    def _undo(self) -> None:
        undoing = [topup.id for topup in self.pages.topups.values() if topup.undoing]
        if undoing:
            before = len(self.pages.journals)
            self._machine.undoing_goes_on(payment=self._rng.choice(undoing))
            self.undone_later += len(self.pages.journals) - before

    def _cash_out(self) -> None:
        cashed = self._machine.cashes_out(user=self._somebody(), percent=self._rng.randint(1, 105))
        self._payouts.append(made(cashed, str))

    def _go_on_with_payout(self) -> None:
        if self._payouts:
            steps = [payouts.begin_sending, payouts.finish, payouts.cancel, payouts.take_in_again]
            (step,) = self._rng.choices(steps, weights=[3, 4, 1, 1])
            self._machine.payout_goes_on(payout=self._rng.choice(self._payouts[-3:]), step=step)

    def _run(self) -> None:
        started = self._machine.runs_a_model(user=self._somebody(), percent=self._rng.randint(1, 60))
        self._runs.append(made(started, str))

    def _try(self) -> None:
        tried = self._machine.somebody_tries(payer=self._somebody(), percent=self._rng.randint(1, 105))
        self._runs.append(made(tried, str))

    def _fund(self) -> None:
        self._machine.pays_for_trials(user=self._somebody(), percent=self._rng.randint(1, 40))

    def _withdraw(self) -> None:
        self._machine.wants_the_budget_back(user=self._somebody())

    def _end_run(self) -> None:
        if not self._runs:
            return
        run_id = self._runs.pop(self._rng.randrange(len(self._runs)))
        if self._rng.random() < 0.4:
            self._machine.run_ends(run_id=run_id, charge=self._rng.randint(0, 2_000))
        else:
            charge, gross = self._rng.randint(0, 200), self._rng.randint(1, 2_000)
            self._machine.sealed_run_ends(run_id=run_id, charge=charge, seller=self._somebody(), gross=gross)

    def _write_off(self) -> None:
        self._machine.debt_is_written_off(user=self._somebody())

    def _share_a_card(self) -> None:
        """Two pairs at most: where everybody belongs together nothing is payable."""
        if len(self.pages.groups) < 2:
            self._machine.share_a_card(one=self._somebody(), other=self._somebody())

    def _withhold(self) -> None:
        self._machine.what_linked_accounts_have_brought_is_withheld()

    def _suspend_or_lift(self) -> None:
        if self._machine.earning:
            self._machine.partner_is_suspended()
        else:
            self._machine.suspension_is_lifted()

    def _decide_freeze(self) -> None:
        self._machine.freeze_is_decided(number=self._rng.randint(0, 5), release=self._rng.random() < 0.5)

    def _appeal_forfeiture(self) -> None:
        """Mostly once it was carried out: what is not in the fee yet does not come back out of it."""
        self._machine.decisions_are_carried_out()
        self._machine.forfeiture_is_appealed(number=self._rng.randint(0, 5), granted=self._rng.random() < 0.7)

    def _carry_out(self) -> None:
        self._machine.decisions_are_carried_out()

    def _collect(self) -> None:
        self._machine.partner_collects(percent=self._rng.randint(1, 105))

    def _again(self) -> None:
        self._machine.comes_again(times=1)


def walk(rng: Random, reached: Counter[str]) -> None:
    """One world's steps; what was posted in it is counted in `reached`."""
    world = Walk(rng)
    for number in range(ONE_WALK):
        world.step()
        if number % LOOK_EVERY == 0:
            assert broken_invariants(world.pages) == []
    assert broken_invariants(world.pages) == []
    reached["undone later"] += world.undone_later
    for journal in world.pages.journals.values():
        reached[journal.kind] += 1
        reached["linked settlement"] += "linked" in journal.refs
        if journal.kind is JournalKind.COMPENSATION:
            key = purchase_key(journal.refs["purchase_id"])
            reached["compensation granted"] += journal.total(Owed.PENDING, source=Fund.GRANTED) > 0
            reached["compensation after settlement"] += settlements_of(key)[0] in world.pages.journals
        reached.update(f"{journal.kind} {leg.account}{'-' if leg.amount < 0 else '+'}" for leg in journal.legs)


@pytest.mark.timeout(3600)
def test_every_invariant_holds_on_every_way_and_every_way_is_gone() -> None:
    rng = Random(SEED)  # the same steps on every machine
    reached: Counter[str] = Counter()
    for _ in range(STEPS // ONE_WALK):
        walk(rng, reached)
    legs = {f"topup_refund {account}-" for account in ("pending", "earned", "purchased", "debt", "platform:losses")}
    legs |= {f"purchase_refund {account}-" for account in ("pending", "earned", "purchased", "granted", "debt")}
    legs |= {"settlement debt+", "topup debt+", "dispute_reinstated debt+", "purchase_refund partner:ptn_1:earned-"}
    legs |= {f"run_close {account}" for account in ("pending+", "granted+", "platform:fees+", "platform:llm+")}
    legs |= {f"run_refund {account}" for account in ("pending-", "purchased+", "platform:fees-")}
    legs |= {"linked settlement", "commission_forfeit platform:fees+", "settlement granted+"}
    legs |= {"undone later"}
    legs |= {"compensation pending+", "compensation granted", "compensation after settlement"}
    legs |= {
        "purchase_refund partner:ptn_1:pending-",
        "commission_release partner:ptn_1:earned+",
        "commission_restore partner:ptn_1:pending+",
        "commission_collect debt+",
    }
    assert {*JournalKind, *legs} - reached.keys() == set(), "the walk did not get there, so it proves nothing of it"


@pytest.mark.timeout(3600)
def test_every_invariant_holds_on_ways_that_nobody_has_gone_before() -> None:
    seed = int(os.environ.get("LEDGER_WALK_SEED") or SystemRandom().randrange(2**32))
    rng = Random(seed)
    try:
        for _ in range(OTHER_STEPS // ONE_WALK):
            walk(rng, Counter())
    except AssertionError as error:
        raise AssertionError(f"LEDGER_WALK_SEED={seed}: {error}") from error
