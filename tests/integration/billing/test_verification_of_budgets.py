"""What is kept of budgets for trials is compared with the ledger: each falsehood is found, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from promptforge.actors.billing.ledger.budgets.messages import FundBudget, ReturnBudgets
from promptforge.actors.billing.ledger.messages import CloseRun, ReserveRun
from promptforge.core.mongo import Mongo
from tests.integration.billing.bank import Bank, open_bank

pytestmark = pytest.mark.anyio
LISTING = "lst_1"


@pytest.fixture
async def bank(mongo: Mongo) -> AsyncIterator[Bank]:
    """A budget with a trial that was spent and one under way, and another one that has gone back."""
    async with open_bank(mongo, running=False) as opened:
        seller, buyer = await opened.user(granted=3, purchased=10), await opened.user()
        for budget, subject in (("bud_1", LISTING), ("bud_2", "lst_2")):
            fund = FundBudget(budget_id=budget, user_id=seller, listing_id=subject, amount_millicredits=5000)
            await opened.context().ask(fund)
        for run in ("run_1", "run_2", "run_3"):
            subject = LISTING if run != "run_3" else "lst_2"
            hold = ReserveRun(run_id=run, user_id=buyer, amount_millicredits=700, trial_of=subject)
            await opened.context().ask(hold)
        for run in ("run_1", "run_3"):
            await opened.context().ask(CloseRun(run_id=run, charge_millicredits=450))
        await opened.context().ask(ReturnBudgets(user_id=seller, listing_id="lst_2"))
        await opened.collection("model_runs").insert_one({"_id": "run_2"})
        yield opened


async def found(bank: Bank) -> set[tuple[str, str]]:
    return {(one.rule, one.subject) for one in (await bank.verify()).violations}


async def test_what_was_done_by_the_rules_is_right(bank: Bank) -> None:
    rows = await bank.collection("trial_budgets").find({}).to_list(None)
    assert {row["_id"]: (row["spent"], row["holds"], row["ended"]) for row in rows} == {
        "bud_1": (450, {"run_2": 700}, False),
        "bud_2": (450, {}, True),
    }
    assert await found(bank) == set()


@pytest.mark.parametrize(
    ("budget", "change"),
    [
        ("bud_1", {"$inc": {"spent": 1}}),
        ("bud_1", {"$set": {"holds": {}}}),
        ("bud_1", {"$set": {"holds": {"run_9": 700}}}),
        ("bud_1", {"$set": {"holds": {"run_2": 699}}}),
        ("bud_1", {"$inc": {"parts.0.1": 1}}),
        ("bud_1", {"$set": {"ended": True}}),
        ("bud_2", {"$set": {"ended": False}}),
        ("bud_2", {"$set": {"spent": 0}}),
    ],
    ids=["spent", "hold lost", "other hold", "smaller hold", "funded", "ended", "not ended", "given back"],
)
async def test_a_falsehood_is_found(bank: Bank, budget: str, change: dict[str, Any]) -> None:
    await bank.collection("trial_budgets").update_one({"_id": budget}, change)
    assert await found(bank) == {("budget", budget)}


async def test_a_budget_that_is_gone_and_one_that_nobody_funded_are_found(bank: Bank) -> None:
    budgets = bank.collection("trial_budgets")
    row = await budgets.find_one({"_id": "bud_1"})
    assert row is not None
    await budgets.delete_one({"_id": "bud_1"})
    await budgets.insert_one({**row, "_id": "bud_9"})
    assert await found(bank) == {("budget", "bud_1"), ("budget", "bud_9")}


async def test_the_journals_of_budgets_are_read_in_order_from_their_index(bank: Bank) -> None:
    wanted = {"filter": {"refs.budget_id": {"$gt": ""}}, "sort": {"refs.budget_id": 1, "_id": 1}}
    explained = await bank.process.mongo.raw.command({"explain": {"find": "ledger_journals", **wanted}})
    plan = str(explained["queryPlanner"]["winningPlan"])
    assert "refs.budget_id_1__id_1" in plan
    assert "'SORT'" not in plan


async def test_trials_that_go_on_while_it_looks_are_no_falsehood(bank: Bank) -> None:
    async def trials() -> None:
        for number in range(20):
            run = f"run_x{number}"
            await bank.context().ask(
                ReserveRun(run_id=run, user_id="usr_0002", amount_millicredits=10, trial_of=LISTING)
            )
            await bank.context().ask(CloseRun(run_id=run, charge_millicredits=7))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(trials)
        for _ in range(5):
            assert [one for one in await found(bank) if one[0] == "budget"] == []
