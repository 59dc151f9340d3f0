"""Runs that are begun in somebody's transaction and carried out later, with a share for a seller or out of a budget."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.ai.errors import ModelUnavailable, RunClosed
from promptforge.actors.ai.messages import BeginRun, SellersShare, SettleRun, SweepRuns
from promptforge.actors.ai.models.runs import HOLD_SECONDS
from promptforge.actors.billing import BudgetsActor
from promptforge.actors.billing.errors import BudgetSpent, InsufficientCredits
from promptforge.actors.billing.ledger.budgets.messages import FundBudget
from promptforge.actors.billing.store import Ledger
from promptforge.core.mongo import Mongo
from tests.integration.ai.workshop import Workshop, open_workshop, order

pytestmark = pytest.mark.anyio

ADA, SELLER = "usr_ada", "usr_seller"
HELD = 34 + 2 * 100
COST = 100 + 2 * 50
SHARE = SellersShare(SELLER, 1000)


@pytest.fixture
async def workshop(mongo: Mongo) -> AsyncIterator[Workshop]:
    async with open_workshop(mongo, others=(BudgetsActor(Ledger(mongo)),)) as opened:
        await opened.user()
        await opened.user(10, SELLER)
        yield opened


async def begin(workshop: Workshop, *, share: SellersShare | None = SHARE, trial_of: str | None = None) -> None:
    message = BeginRun(**order("Hello"), run_id="run_1", share=share, trial_of=trial_of)
    await workshop.context(ADA).ask(message)


async def settle(workshop: Workshop, *, earned: bool) -> str:
    result = await workshop.run(ADA, run_id="run_1", settle=False)
    closed = await workshop.context(ADA).ask(SettleRun(run_id="run_1", usage=result.usage, earned=earned))
    return closed.credits


@pytest.mark.parametrize(("earned", "charged"), [(True, COST + 1000), (False, COST)])
async def test_the_share_is_held_from_the_beginning_and_taken_only_where_it_is_earned(
    workshop: Workshop, *, earned: bool, charged: int
) -> None:
    await begin(workshop)
    await begin(workshop)
    assert await workshop.money(ADA) == (100_000 - HELD - 1000, HELD + 1000)
    assert await settle(workshop, earned=earned) == ("1.2" if earned else "0.2")
    assert await workshop.money(ADA) == (100_000 - charged, 0)
    (record,) = await workshop.usage()
    assert (record["millicredits"], record["cost_microusd"], record["user_id"]) == (charged, 2000, ADA)
    unfolded = await workshop.ledger.sum_unfolded(SELLER, None)
    assert unfolded.amount == (850 if earned else 0)
    assert await workshop.verified()


async def test_whoever_cannot_pay_the_share_as_well_does_not_begin(workshop: Workshop) -> None:
    await workshop.user(1, "usr_poor")
    with pytest.raises(InsufficientCredits):
        await workshop.context("usr_poor").ask(BeginRun(**order("Hello"), run_id="run_1", share=SHARE))
    assert await workshop.open_runs() == 0
    assert workshop.model.told == []


async def test_a_run_that_fails_earns_nothing_and_costs_nothing(workshop: Workshop) -> None:
    await begin(workshop)
    workshop.model.fails = ModelUnavailable()
    with pytest.raises(ModelUnavailable):
        await workshop.run(ADA, run_id="run_1", settle=False)
    assert await workshop.money(ADA) == (100_000, 0)
    with pytest.raises(RunClosed):
        await workshop.run(ADA, run_id="run_1", settle=False)
    assert await workshop.verified()


async def test_one_whose_process_dies_is_released_with_its_share(workshop: Workshop) -> None:
    await begin(workshop)
    workshop.clock.advance(seconds=HOLD_SECONDS + 1)
    assert await workshop.context().ask(SweepRuns()) == 1
    assert await workshop.money(ADA) == (100_000, 0)
    assert await workshop.verified()


async def fund(workshop: Workshop, millicredits: int) -> None:
    await workshop.context().ask(
        FundBudget(budget_id="bud_1", user_id=SELLER, listing_id="lst_1", amount_millicredits=millicredits)
    )


async def test_a_trial_costs_its_user_nothing_and_the_budget_what_the_model_cost(workshop: Workshop) -> None:
    await fund(workshop, 400)
    await begin(workshop, share=None, trial_of="lst_1")
    assert await settle(workshop, earned=False) == "0"
    assert await workshop.money(ADA) == (100_000, 0)
    assert await workshop.money(SELLER) == (9600, 400 - COST)
    (record,) = await workshop.usage()
    assert (record["user_id"], record["millicredits"], record["cost_microusd"]) == (ADA, 0, 2000)
    with pytest.raises(BudgetSpent):
        await workshop.context(ADA).ask(BeginRun(**order("Hello"), run_id="run_2", trial_of="lst_1", share=None))
    assert await workshop.verified()


async def test_a_lost_trial_gives_the_budget_back_what_it_held(workshop: Workshop) -> None:
    await fund(workshop, HELD)
    await begin(workshop, share=None, trial_of="lst_1")
    workshop.clock.advance(seconds=HOLD_SECONDS + 1)
    assert await workshop.context().ask(SweepRuns()) == 1
    await workshop.context(ADA).ask(BeginRun(**order("Hello"), run_id="run_2", trial_of="lst_1", share=None))
    assert await workshop.verified()
