"""The ledger of real money: every balance transaction of Stripe's once, and sums that are Stripe's balance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from promptforge.actors.billing import CompareMoney, MoneyActor, PostMoney
from promptforge.actors.billing.errors import MoneyMismatch, StripeUnavailable, UnreadableMoney
from promptforge.actors.billing.money.domain import MoneyPage, Movement
from promptforge.actors.billing.money.store import MoneyStore
from promptforge.actors.billing.store import INDEXES
from promptforge.actors.billing.stripe.api import StripeApi
from promptforge.actors.billing.stripe.movements import StripeMoney
from promptforge.actors.billing.verification import verify_ledger
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from tests.support.mongo import with_indexes
from tests.support.processes import job_process
from tests.support.stripe_sandbox import API_KEY, Till, open_till

pytestmark = pytest.mark.anyio


class Lost(Exception):
    """Stands for whatever ends a process between two pages."""


class Stripe(StripeMoney):
    """The product's client; it can list fewer at once, be lost after some pages, or see money move meanwhile."""

    def __init__(self, till: Till) -> None:
        self.api = StripeApi(API_KEY, api_base=till.sandbox.url)
        super().__init__(self.api)
        self.till = till
        self.pages_until_lost: int | None = None
        self.pages: list[int] = []
        self.moves_before_balance = 0

    async def list_movements(self, *, since: int, after: str | None) -> MoneyPage:
        if self.pages_until_lost is not None:
            if self.pages_until_lost == 0:
                self.pages_until_lost = None
                raise Lost
            self.pages_until_lost -= 1
        page = await super().list_movements(since=since, after=after)
        self.pages.append(len(page.movements))
        return page

    async def balance(self) -> Mapping[str, int]:
        """What moved just before is in the balance, and has not been posted."""
        if self.moves_before_balance:
            self.moves_before_balance -= 1
            await self.till.charge(700)
        return await super().balance()


@dataclass(slots=True)
class Desk:
    mongo: Mongo
    till: Till
    stripe: Stripe
    context: Context

    @property
    def store(self) -> MoneyStore:
        return MoneyStore(self.mongo)

    async def posted(self) -> list[str]:
        return [row["_id"] async for row in self.mongo.collection("money_journals").find({})]

    async def stripes(self) -> list[str]:
        listed = await self.till.client.v1.balance_transactions.list_async({"limit": 100})
        return [one.id async for one in listed.auto_paging_iter()]


@pytest.fixture
async def desk(mongo: Mongo) -> AsyncIterator[Desk]:
    await with_indexes(mongo, {**INDEXES, "purchases": (), "model_runs": ()})
    async with open_till() as till:
        stripe = Stripe(till)
        async with job_process(mongo, [MoneyActor(MoneyStore(mongo), stripe)], running=False) as process:
            yield Desk(mongo, till, stripe, process.context())
        await stripe.api.close()


async def test_what_comes_goes_back_and_costs_is_posted_once_and_equals_the_balance(desk: Desk) -> None:
    charge = await desk.till.charge(2000)
    await desk.till.client.v1.refunds.create_async({"charge": charge.id, "amount": 500})
    await desk.till.charge(1500, currency="eur")
    await desk.till.charge(900, method="pm_card_visa")  # on its way
    assert await desk.context.ask(PostMoney()) == len(await desk.stripes())
    assert await desk.context.ask(PostMoney()) == 0
    assert sorted(await desk.posted()) == sorted(await desk.stripes())
    assert await desk.context.ask(CompareMoney())
    last = await desk.store.find_last_comparison(livemode=False)
    assert last is not None
    assert {one.currency: one.ledger for one in last.currencies} == dict(await desk.stripe.balance())
    assert {one.currency for one in last.currencies if one.stripe > 0} == {"eur", "usd"}
    report = await verify_ledger(desk.mongo)
    assert (report.ok, report.violations, report.movements) == (True, (), len(await desk.stripes()))
    assert {one.currency: one.stripe for one in report.money} == dict(await desk.stripe.balance())


async def test_the_legs_of_a_movement_say_what_came_and_what_stripe_kept(desk: Desk) -> None:
    charge = await desk.till.charge(2000)
    await desk.context.ask(PostMoney())
    assert isinstance(charge.balance_transaction, str)
    row = await desk.mongo.collection("money_journals").find_one({"_id": charge.balance_transaction})
    assert row is not None
    fee = row["fee"]
    assert fee > 0
    assert row["legs"] == [
        {"account": "stripe:balance", "amount": 2000 - fee},
        {"account": "stripe:fees", "amount": fee},
        {"account": "stripe:charge", "amount": -2000},
    ]
    assert (row["source"], row["livemode"], row["currency"]) == (charge.id, False, "usd")


async def test_pages_are_walked_to_the_end_and_a_walk_that_was_cut_short_goes_on_where_it_was(desk: Desk) -> None:
    for _ in range(230):
        await desk.till.client.v1.topups.create_async({"amount": 100, "currency": "usd"})
    desk.stripe.pages_until_lost = 1
    with pytest.raises(Lost):
        await desk.context.ask(PostMoney())
    assert len(await desk.posted()) == 100
    await desk.till.charge(1000)  # newer than where the walk began
    desk.stripe.pages.clear()
    await desk.context.ask(PostMoney())
    assert desk.stripe.pages[:2] == [100, 30]
    assert sorted(await desk.posted()) == sorted(await desk.stripes())
    assert len(await desk.posted()) == 231
    assert await desk.context.ask(CompareMoney())


async def test_money_that_moves_while_it_is_compared_is_no_difference(desk: Desk) -> None:
    await desk.till.charge(2000)
    desk.stripe.moves_before_balance = 2
    assert await desk.context.ask(CompareMoney())
    assert len(await desk.posted()) == 3


async def test_a_movement_that_is_missing_or_made_up_is_reported(desk: Desk) -> None:
    charge = await desk.till.charge(2000)
    await desk.context.ask(PostMoney())
    made_up = Movement("txn_made_up", "usd", 10, 0, 10, "charge", None, 1)
    await desk.store.post([made_up], livemode=False, now=desk.context.now())
    assert not await desk.context.ask(CompareMoney())
    (found,) = (await verify_ledger(desk.mongo)).violations
    assert (found.rule, found.subject) == ("money_differs", "usd")
    await desk.mongo.collection("money_journals").delete_one({"_id": "txn_made_up"})
    assert await desk.context.ask(CompareMoney())
    assert (await verify_ledger(desk.mongo)).ok
    await desk.mongo.collection("money_journals").update_one(
        {"_id": charge.balance_transaction}, {"$inc": {"legs.0.amount": 1}}
    )
    (found,) = (await verify_ledger(desk.mongo)).violations
    assert (found.rule, found.subject) == ("money_unbalanced", charge.balance_transaction)


async def test_a_movement_that_comes_again_with_other_amounts_is_refused(desk: Desk) -> None:
    one = Movement("txn_1", "usd", 10, 0, 10, "charge", None, 1)
    assert await desk.store.post([one, one], livemode=False, now=desk.context.now()) == 1
    assert await desk.store.post([one], livemode=False, now=desk.context.now()) == 0
    for other in (replace(one, amount=11, net=11), replace(one, currency="eur"), replace(one, kind="refund")):
        with pytest.raises(MoneyMismatch):
            await desk.store.post([other], livemode=False, now=desk.context.now())


async def test_play_money_and_money_are_two_ledgers(desk: Desk) -> None:
    one = Movement("txn_live", "usd", 10, 0, 10, "charge", None, 1)
    await desk.store.post([one], livemode=True, now=desk.context.now())
    await desk.till.charge(2000)
    assert await desk.context.ask(CompareMoney())
    assert await desk.store.sums(livemode=True) == {"usd": 10}


async def test_a_stripe_that_fails_or_speaks_in_tongues_posts_nothing(desk: Desk) -> None:
    await desk.till.charge(2000)
    api = StripeApi("sk_test_of_somebody_else", api_base=desk.till.sandbox.url)
    with pytest.raises(StripeUnavailable):
        await StripeMoney(api).list_movements(since=0, after=None)
    await api.close()
    for movement in desk.till.sandbox.world.newest_first("balance_transaction", account=None):
        movement["net"] += 1
    with pytest.raises(UnreadableMoney):
        await desk.context.ask(PostMoney())
    assert await desk.posted() == []


async def test_beside_a_sandbox_of_the_process_nothing_is_posted(mongo: Mongo) -> None:
    async with job_process(mongo, [MoneyActor(MoneyStore(mongo), None)], running=False) as process:
        answers: list[Any] = [await process.context().ask(message) for message in (PostMoney(), CompareMoney())]
    assert answers == [0, True]
