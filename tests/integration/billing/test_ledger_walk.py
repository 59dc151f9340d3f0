"""A walk at random on the real database: what commands do there, interrupted before the commit and sent again.

The rules are the ones that `tests/unit/billing/test_ledger_walk.py` takes ten thousand steps over in memory; what is
tried here is that MongoDB's books keep them too.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from promptforge.actors.billing.ledger.messages import (
    BeginPayoutTransfer,
    CancelPayout,
    CloseRun,
    CompensateSale,
    FinalisePayout,
    FreezeTopup,
    GiveBackTopup,
    ReservePayout,
    ReserveRun,
    ReturnPayout,
    SettleSeller,
    TakeBackTopup,
    ThawTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Command
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, Interrupted, open_bank
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio
STEPS = int(os.environ.get("LEDGER_STORE_STEPS", "150"))
SEED = int(os.environ.get("LEDGER_WALK_SEED", "20261125"))
LOOK_EVERY = 50

Step = Callable[[], Awaitable[object]]


class StoreWalk:
    def __init__(self, bank: Bank, clock: SteppedClock, rng: Random) -> None:
        self._bank = bank
        self._clock = clock
        self._rng = rng
        self._number = 0
        self._users: list[str] = []
        self._payments: list[str] = []
        self._purchases: list[str] = []
        self._refunded: list[str] = []
        self._claims: list[TakeBackTopup] = []
        self._payouts: list[str] = []
        self._runs: list[str] = []

    async def begin(self) -> None:
        for _ in range(4):
            user = await self._bank.user(granted=5)
            self._users.append(user)
            self._payments.append(await self._bank.top_up(user, 50))

    def _new(self, prefix: str) -> str:
        self._number += 1
        return f"{prefix}_{self._number}"

    async def step(self) -> None:
        """One command: perhaps interrupted before its commit, and then sent again; perhaps sent once too often."""
        command = self._rng.choice(self._ways())()
        if self._rng.random() < 0.2:
            self._bank.transactions.interrupt_next = True
        for _ in range(self._rng.choice([1, 1, 2])):
            await self._send(command)
        if self._rng.random() < 0.3:
            self._clock.advance(days=self._rng.choice([1, 8, 31]))

    async def _send(self, command: Step) -> None:
        try:
            await command()
        except Interrupted:
            await self._send(command)
        except PromptForgeError as error:
            if error.status >= 500:
                raise
        finally:
            self._bank.transactions.interrupt_next = False

    def _ways(self) -> list[Callable[[], Step]]:
        ways: list[Callable[[], Step]] = [self._buy, self._buy, self._settle, self._claim, self._freeze]
        ways += [self._refund] if self._purchases else []
        ways += [self._compensate] if self._refunded else []
        ways += [self._give_back] if self._claims else []
        ways += [self._run] if not self._runs else [self._end_run]
        ways += [self._cash_out, self._pay_out, self._pay_out] if self._payouts else [self._cash_out]
        return ways

    def _ask(self, message: Command[object]) -> Step:
        return lambda: self._bank.context().ask(message)

    def _buy(self) -> Step:
        buyer, seller = self._rng.sample(self._users, 2)
        purchase_id, price = self._new("pur"), self._rng.randint(0, 12)
        self._purchases.append(purchase_id)
        return lambda: self._bank.charge(buyer, seller, price, purchase_id)

    def _refund(self) -> Step:
        purchase_id = self._rng.choice(self._purchases)
        self._refunded.append(purchase_id)
        return lambda: self._bank.refund(purchase_id)

    def _compensate(self) -> Step:
        purchase_id = self._rng.choice(self._refunded)
        return self._ask(CompensateSale(purchase_id=purchase_id, reason="the refund was a mistake"))

    def _settle(self) -> Step:
        return self._ask(SettleSeller(seller_id=self._rng.choice(self._users)))

    def _claim(self) -> Step:
        claim = TakeBackTopup(
            topup_id=self._rng.choice(self._payments),
            claim_id=self._new("clm"),
            kind=self._rng.choice(list(ClaimKind)),
            amount=self._rng.choice([100, 333, 1000]),
            captured=1000,
            undo_sales=self._rng.random() < 0.5,
        )
        self._claims.append(claim)
        return self._ask(claim)

    def _give_back(self) -> Step:
        claim = self._rng.choice(self._claims)
        return self._ask(
            GiveBackTopup(topup_id=claim.topup_id, claim_id=claim.claim_id, kind=claim.kind, amount=claim.amount)
        )

    def _freeze(self) -> Step:
        kind = FreezeTopup if self._rng.random() < 0.4 else ThawTopup
        return self._ask(kind(topup_id=self._rng.choice(self._payments), dispute_id="dp_1"))

    def _cash_out(self) -> Step:
        self._payouts.append(self._new("po"))
        amount = self._rng.randint(1, 9_000)
        return self._ask(
            ReservePayout(
                payout_id=self._payouts[-1], user_id=self._rng.choice(self._users), amount_millicredits=amount
            )
        )

    def _pay_out(self) -> Step:
        kinds = [BeginPayoutTransfer, FinalisePayout, CancelPayout, ReturnPayout]
        return self._ask(self._rng.choice(kinds)(payout_id=self._rng.choice(self._payouts[-2:])))

    def _run(self) -> Step:
        self._runs.append(self._new("run"))
        return self._ask(
            ReserveRun(
                run_id=self._runs[-1], user_id=self._rng.choice(self._users), amount_millicredits=self._number * 10
            )
        )

    def _end_run(self) -> Step:
        return self._ask(CloseRun(run_id=self._runs.pop(), charge_millicredits=self._rng.randint(0, 500)))


@pytest.mark.timeout(3600)
async def test_every_invariant_holds_on_the_real_database_whatever_is_interrupted_and_sent_again(mongo: Mongo) -> None:
    clock = SteppedClock()
    async with open_bank(mongo, clock=clock, running=False) as bank:
        walk = StoreWalk(bank, clock, Random(SEED))
        await walk.begin()
        for number in range(1, STEPS + 1):
            await walk.step()
            if number % LOOK_EVERY == 0:
                await bank.process.runner.drain()
                await bank.told_of_payouts()
                found = (await bank.verify()).violations
                assert [one for one in found if one.rule != "hold_without_run"] == [], f"seed {SEED}, step {number}"
        kinds = await bank.collection("ledger_journals").aggregate([{"$group": {"_id": "$kind"}}]).to_list(None)
    expected = {
        "purchase",
        "purchase_refund",
        "compensation",
        "settlement",
        "topup_refund",
        "dispute_withdrawn",
        "run_close",
    }
    assert {row["_id"] for row in kinds} >= expected, "the walk did not get there, so it proves nothing of it"
