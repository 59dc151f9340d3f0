"""What a process remembers of the market: its own writes it sees at once, though the change stream says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.marketplace.listings.messages import ListListings
from promptforge.actors.marketplace.listings.pages import MarketPages
from promptforge.actors.marketplace.messages import UnlistListing
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.following import Memory
from tests.integration.marketplace.branches import SETTINGS
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import job_process

pytestmark = pytest.mark.anyio


@pytest.fixture
async def market(mongo: Mongo) -> AsyncIterator[Market]:
    await with_indexes(mongo, INDEXES)
    memory = Memory(pages=MarketPages(lambda: True))
    async with job_process(
        mongo, lambda store: build_actors(mongo, store, SETTINGS, memory=memory), running=False
    ) as process:
        yield Market(process)


async def titles(visitor: Context) -> list[str]:
    return [one.title for one in (await visitor.ask(ListListings())).items]


async def test_who_writes_a_listing_sees_it_at_once(market: Market, mongo: Mongo) -> None:
    seller, visitor = await market.person("ada", Role.SELLER), await market.person("bob")
    first = await market.published(seller, "First")
    assert await titles(visitor) == ["First"]
    await mongo.raw["marketplace_listings"].update_one({"_id": first.id}, {"$set": {"title": "Nobody was told"}})
    assert await titles(visitor) == ["First"], "it is remembered"
    await market.published(seller, "Second")
    assert await titles(visitor) == ["Second", "Nobody was told"]
    await seller.ask(UnlistListing(listing_id=first.id))
    assert await titles(visitor) == ["Second"]
