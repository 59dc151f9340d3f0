"""Trials of a sealed prompt: how many, at whose cost, and what becomes of the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
import pytest

from promptforge.actors.ai.models.domain import Price
from promptforge.actors.billing.verification import verify_ledger
from promptforge.actors.marketplace.messages import Licence
from promptforge.actors.marketplace.sealed.messages import (
    FundTrials,
    GetRunOffer,
    GetTrialBudget,
    RunGround,
    TrialBudgetView,
    WithdrawTrialBudget,
)
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.market import raised
from tests.support.sealed import ANSWER, TERMS, TEXT, Lighthouse, open_lighthouse

pytestmark = pytest.mark.anyio

TRIED = replace(TERMS, trials_per_person=2)


@pytest.fixture
async def lighthouse(mongo: Mongo) -> AsyncIterator[Lighthouse]:
    async with open_lighthouse(mongo) as opened:
        await opened.offer(terms=TRIED)
        await opened.market.fund(opened.seller, 10)
        yield opened


async def fund(lighthouse: Lighthouse, credits: str) -> TrialBudgetView:
    return await lighthouse.seller.ask(FundTrials(listing_id=lighthouse.listing.id, credits=credits))


async def refused(lighthouse: Lighthouse, person: Context) -> str:
    try:
        await lighthouse.run(person)
    except PromptForgeError as error:
        return error.code
    return "done"


async def verified(lighthouse: Lighthouse) -> bool:
    return (await verify_ledger(lighthouse.market.process.mongo)).violations == ()


async def test_a_trial_is_paid_by_the_budget_and_earns_nothing(lighthouse: Lighthouse) -> None:
    anna = await lighthouse.market.person("anna")
    assert await refused(lighthouse, anna) == "trial_budget_spent"
    await fund(lighthouse, "5")
    assert await lighthouse.money(lighthouse.seller) == ("5", "0", "5")
    assert (await anna.ask(GetRunOffer(listing_id=lighthouse.listing.id))).ground is RunGround.TRIAL
    ran = await lighthouse.run(anna)
    assert (ran.output, ran.ground, ran.usage.credits, ran.share) == (ANSWER, RunGround.TRIAL, "0", "0")
    assert ran.trials_left == 1
    budget = await lighthouse.seller.ask(GetTrialBudget(listing_id=lighthouse.listing.id))
    assert (budget.funded, budget.spent, budget.held) == ("5", "0.2", "0")
    assert await lighthouse.money(lighthouse.seller) == ("5", "0", "4.8")
    assert await verified(lighthouse)


async def test_each_person_has_so_many_and_linked_accounts_have_them_together(lighthouse: Lighthouse) -> None:
    await fund(lighthouse, "5")
    anna, alma, berta = [await lighthouse.market.person(uid) for uid in ("anna", "alma", "berta")]
    for one in (anna, alma):
        await lighthouse.collection("account_links").insert_one({"_id": one.user_id, "group": anna.user_id})
    outcomes: Counter[str] = Counter()

    async def tried(person: Context) -> None:
        outcomes[await refused(lighthouse, person)] += 1

    async with anyio.create_task_group() as tasks:
        for one in (anna, alma) * 3:
            tasks.start_soon(tried, one)
    assert outcomes == {"done": 2, "trials_used_up": 4}
    assert await refused(lighthouse, berta) == "done"
    assert await verified(lighthouse)


async def test_so_they_have_where_a_model_costs_nothing_and_no_budget_is_written(mongo: Mongo) -> None:
    """What makes two of a group conflict is the document that counts them."""
    async with open_lighthouse(mongo, price=Price(0, 0)) as lighthouse:
        await lighthouse.offer(terms=replace(TRIED, trials_per_person=1))
        people = [await lighthouse.market.person(f"linked-{number}") for number in range(4)]
        for one in people:
            await lighthouse.collection("account_links").insert_one({"_id": one.user_id, "group": people[0].user_id})
        outcomes: Counter[str] = Counter()

        async def tried(person: Context) -> None:
            outcomes[await refused(lighthouse, person)] += 1

        async with anyio.create_task_group() as tasks:
            for one in people:
                tasks.start_soon(tried, one)
        assert outcomes == {"done": 1, "trials_used_up": 3}


@pytest.mark.parametrize("field", ["suspended", "closed_at"])
async def test_nobody_tries_what_is_a_suspended_or_closed_accounts(lighthouse: Lighthouse, field: str) -> None:
    await fund(lighthouse, "5")
    value = True if field == "suspended" else lighthouse.clock.now()
    await lighthouse.collection("users").update_one({"_id": lighthouse.seller.user_id}, {"$set": {field: value}})
    anna = await lighthouse.market.person("anna")
    offer = await anna.ask(GetRunOffer(listing_id=lighthouse.listing.id))
    assert (offer.ground, offer.trials_left) == (None, 0)
    assert await refused(lighthouse, anna) == "not_for_sale"
    assert lighthouse.model.told == []


async def test_a_trial_that_fails_is_used_and_costs_nobody_anything(lighthouse: Lighthouse) -> None:
    await fund(lighthouse, "5")
    anna = await lighthouse.market.person("anna")
    lighthouse.model.fails = RuntimeError("it broke")
    with pytest.raises(RuntimeError):
        await lighthouse.run(anna)
    lighthouse.model.fails = None
    assert (await lighthouse.run(anna)).trials_left == 0
    assert await lighthouse.money(lighthouse.seller) == ("5", "0", "4.8")


async def test_a_trial_is_checked_like_any_run(lighthouse: Lighthouse) -> None:
    await fund(lighthouse, "5")
    anna = await lighthouse.market.person("anna")
    lighthouse.says(TEXT)
    ran = await lighthouse.run(anna)
    assert (ran.output, ran.withheld is not None) == (None, True)
    assert await lighthouse.money(lighthouse.seller) == ("5", "0", "4.8")


async def test_what_is_left_goes_back_and_a_trial_under_way_is_waited_for(lighthouse: Lighthouse) -> None:
    await fund(lighthouse, "2")
    await fund(lighthouse, "3")
    anna = await lighthouse.market.person("anna")
    lighthouse.model.held = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lighthouse.run, anna)
        while not await lighthouse.collection("model_runs").count_documents({}):
            await anyio.sleep(0.02)
        left = await lighthouse.seller.ask(WithdrawTrialBudget(listing_id=lighthouse.listing.id))
        assert (left.closing, left.funded) == (True, "2")
        assert await refused(lighthouse, await lighthouse.market.person("berta")) == "trial_budget_spent"
        lighthouse.model.held.set()
    assert await lighthouse.money(lighthouse.seller) == ("9.8", "0", "0")
    empty = await lighthouse.seller.ask(GetTrialBudget(listing_id=lighthouse.listing.id))
    assert (empty.funded, empty.closing) == ("0", False)
    assert await verified(lighthouse)


async def test_whoever_has_bought_runs_by_the_purchase_and_not_as_a_trial(lighthouse: Lighthouse) -> None:
    await fund(lighthouse, "5")
    bruno, purchase = await lighthouse.buyer()
    ran = await lighthouse.run(bruno)
    assert (ran.ground, ran.purchase_id, ran.trials_left) == (RunGround.PURCHASE, purchase.id, None)


async def test_the_source_can_be_tried_before_it_is_bought(lighthouse: Lighthouse) -> None:
    await lighthouse.offer(licence=Licence.SOURCE, terms=TRIED)
    await fund(lighthouse, "1")
    ran = await lighthouse.run(await lighthouse.market.person("anna"))
    assert (ran.ground, ran.output) == (RunGround.TRIAL, ANSWER)


async def test_a_budget_is_the_sellers_own_and_for_listings_that_have_trials(lighthouse: Lighthouse) -> None:
    other = await lighthouse.market.person("other", Role.SELLER)
    await lighthouse.market.fund(other, 10)
    for message in (
        FundTrials(listing_id=lighthouse.listing.id, credits="1"),
        GetTrialBudget(listing_id=lighthouse.listing.id),
        WithdrawTrialBudget(listing_id=lighthouse.listing.id),
    ):
        assert await raised(other, message) == "not_found"
    untried = await lighthouse.offer()
    assert await raised(lighthouse.seller, FundTrials(listing_id=untried.id, credits="1")) == "not_runnable"
    too_much = FundTrials(listing_id=lighthouse.listings[0].id, credits="10.001")
    assert await raised(lighthouse.seller, too_much) == "insufficient_credits"
