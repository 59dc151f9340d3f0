"""What earlier versions of this service left behind is removed, once, and nothing happens where it is done again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.core.ids import new_id
from promptforge.core.mongo import Document, Index, Mongo, compare_indexes, ensure_indexes
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS
from promptforge.deploy.upgrade.leftovers import drop_old_index_of_views, drop_old_indexes_of_sales, empty_late_events
from tests.integration.accounts.lives import erased, time_has_come
from tests.integration.marketplace.branches import Branches, open_branches

pytestmark = pytest.mark.anyio
SALES = "ledger_sales"
SUPERSEDED = (
    Index((("partner_id", 1), ("sold_at", 1)), partial={"partner_id": {"$gt": ""}}),
    Index((("partner_id", 1), ("term", 1), ("_id", 1)), partial={"commission": {"$gt": 0}}),
)


@pytest.fixture
async def branches(mongo: Mongo) -> AsyncIterator[Branches]:
    async with open_branches(mongo) as opened:
        yield opened


def test_they_are_among_the_migrations() -> None:
    done = {migration.apply for migration in MIGRATIONS}
    assert {drop_old_index_of_views, drop_old_indexes_of_sales, empty_late_events} <= done


@pytest.mark.unused_database
async def test_indexes_of_sales_that_longer_ones_have_replaced_are_dropped(mongo: Mongo) -> None:
    declared = {SALES: INDEXES[SALES]}
    await ensure_indexes(mongo, {SALES: SUPERSEDED})
    await ensure_indexes(mongo, declared)
    assert {one.index for one in await compare_indexes(mongo, declared)} == {index.name for index in SUPERSEDED}
    for _ in range(2):
        await drop_old_indexes_of_sales(mongo)
        assert await compare_indexes(mongo, declared) == []


@pytest.mark.unused_database
async def test_an_index_of_views_that_a_longer_one_has_replaced_is_dropped(mongo: Mongo) -> None:
    declared = {"listing_days": INDEXES["listing_days"]}
    await ensure_indexes(mongo, {"listing_days": (Index((("seller_id", 1), ("day", 1))),)})
    await ensure_indexes(mongo, declared)
    assert [one.index for one in await compare_indexes(mongo, declared)] == ["seller_id_1_day_1"]
    for _ in range(2):
        await drop_old_index_of_views(mongo)
        assert await compare_indexes(mongo, declared) == []


async def told_of(branches: Branches, customer: str, state: str = "processed") -> str:
    """An event of Stripe's, as it was stored before the end of one looked whose it is; answers its key."""
    row: Document = {"_id": new_id("whe"), "event_id": new_id("evt"), "type": "invoice.paid", "state": state}
    about = {"id": new_id("in"), "customer": customer, "customer_email": "ada@example.com"}
    await branches.mongo.collection("webhook_events").insert_one({**row, "payload": {"data": {"object": about}}})
    key: str = row["_id"]
    return key


async def payload_of(branches: Branches, key: str) -> Document:
    row = await branches.mongo.collection("webhook_events").find_one({"_id": key})
    assert row is not None
    payload: Document = row["payload"]
    return payload


@pytest.mark.parametrize("looks", [1, 2], ids=["erased", "done"])
async def test_what_stripe_told_late_of_who_had_gone_is_reduced_and_of_others_not(
    branches: Branches, looks: int
) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    customers = branches.mongo.collection("stripe_customers")
    for person, customer in ((ada, "cus_ada"), (bob, "cus_bob")):
        await customers.insert_one({"_id": person.user_id, "customer_id": customer})
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    for _ in range(looks - 1):
        await time_has_come(branches, ada.user_id)
    late, others = await told_of(branches, "cus_ada"), await told_of(branches, "cus_bob")
    for _ in range(2):
        await empty_late_events(branches.mongo)
        assert set((await payload_of(branches, late))["data"]["object"]) == {"id"}
        assert "customer_email" in (await payload_of(branches, others))["data"]["object"]
