"""What a process remembers of the market: its own writes it sees at once, though the change stream says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

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
    elsewhere = {"$set": {"title": "Nobody was told"}, "$inc": {"revision": 1}}
    await mongo.raw["marketplace_listings"].update_one({"_id": first.id}, elsewhere)
    assert await titles(visitor) == ["First"], "it is remembered"
    await market.published(seller, "Second")
    assert await titles(visitor) == ["Second", "Nobody was told"]
    await seller.ask(UnlistListing(listing_id=first.id))
    assert await titles(visitor) == ["Second"]


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"title": "As changed"}, "$inc": {"revision": 1}},
        {"$inc": {"rating.count": 1, "rating.stars": 4}},
    ],
    ids=["a revision", "a review"],
)
async def test_a_listing_that_another_process_changes_is_read_anew(
    market: Market, mongo: Mongo, change: dict[str, Any]
) -> None:
    """Pages that nobody has asked for before have listings that are remembered from others."""
    seller, visitor = await market.person("ada", Role.SELLER), await market.person("bob")
    listing = await market.published(seller, "As published")
    await visitor.ask(ListListings(limit=3))
    listings = mongo.raw["marketplace_listings"]
    await listings.update_one({"_id": listing.id}, {"$set": {"summary": "No write of the product's leaves it so"}})
    (same,) = (await visitor.ask(ListListings(limit=4))).items
    assert (same.id, same.summary) == (listing.id, listing.summary), "it is not read again"
    await listings.update_one({"_id": listing.id}, change)
    (changed,) = (await visitor.ask(ListListings(limit=5))).items
    assert changed.summary.startswith("No write"), "it is read again"
