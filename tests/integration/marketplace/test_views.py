"""Views of listings: counted without a write for each, and written every few seconds, at a stop too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from promptforge.actors.marketplace.insights import views
from promptforge.actors.marketplace.insights.views import DAYS, ViewCounter
from promptforge.actors.marketplace.listings.store import LISTINGS
from promptforge.actors.marketplace.messages import GetListing, UnlistListing
from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable, OutcomeUnknown
from promptforge.core.mongo import Mongo, tallies
from promptforge.core.mongo.tallies import FLUSH_SECONDS
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches, open_branches
from tests.support.market import raised

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 25, 13, tzinfo=UTC)


def anonymous(branches: Branches) -> Context:
    return branches.here.process.system.context(request_id="anonymous")


def see(counter: ViewCounter, listing: str, viewer: str | None = None, now: datetime = NOW) -> None:
    counter.add(listing, seller_id="usr_s", viewer_id=viewer, now=now)


async def written(mongo: Mongo) -> dict[str, int]:
    return {row["_id"]: row["views"] async for row in mongo.collection(DAYS).find({})}


async def test_what_is_looked_at_is_counted_when_the_process_stops(mongo: Mongo) -> None:
    async with open_branches(mongo) as branches:
        carla, _ = await branches.person("carla", Role.SELLER)
        bruno, there = await branches.person("bruno")
        listing = await branches.here.published(carla, "Looked at")
        look = GetListing(listing_id=listing.id)
        for person in [anonymous(branches)] * 3 + [bruno] * 3 + [carla] * 3 + [there]:
            await person.ask(look)
        await carla.ask(UnlistListing(listing_id=listing.id))
        assert await raised(bruno, look) == "not_found"
    (row,) = await mongo.collection(DAYS).find({}).to_list(10)
    assert (row["listing_id"], row["seller_id"]) == (listing.id, carla.user_id)
    assert row["views"] == 5, "three by nobody known, one by Bruno in each process, none by the seller"


async def test_a_view_writes_nothing_until_the_next_turn_of_the_loop(mongo: Mongo) -> None:
    counter = ViewCounter(mongo)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counter.run)
        for _ in range(1000):
            see(counter, "lst_1")
        assert (counter.waiting, await written(mongo)) == (1000, {})
        with anyio.fail_after(60):
            while not await written(mongo):
                await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert await written(mongo) == {"lst_1:2026-11-25": 1000}
    assert FLUSH_SECONDS < 5, "no more than five seconds may be lost"


async def test_signed_in_people_count_once_a_day(mongo: Mongo) -> None:
    counter = ViewCounter(mongo)
    for now in (NOW, NOW + timedelta(hours=1), NOW + timedelta(days=1)):
        for viewer in ("usr_a", "usr_a", "usr_b"):
            see(counter, "lst_1", viewer, now)
    await counter.flush()
    see(counter, "lst_1", "usr_a", NOW + timedelta(days=1))
    await counter.flush()
    assert await written(mongo) == {"lst_1:2026-11-25": 2, "lst_1:2026-11-26": 2}


async def test_two_processes_add_up(mongo: Mongo) -> None:
    counters = [ViewCounter(mongo), ViewCounter(mongo)]
    for _ in range(5):
        for counter in counters:
            see(counter, "lst_1")
            await counter.flush()
    assert await written(mongo) == {"lst_1:2026-11-25": 10}


async def test_memory_is_bounded_and_a_full_counter_writes_at_once(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_COUNTERS", 3)
    monkeypatch.setattr(tallies, "FLUSH_SECONDS", 3600.0)
    counter = ViewCounter(mongo)
    for number in range(5):
        see(counter, f"lst_{number}")
    assert counter.waiting == 3
    see(counter, "lst_0")
    assert counter.waiting == 4, "what has a counter goes on counting"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counter.run)
        with anyio.fail_after(60):
            while not await written(mongo):
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("error", "kept"), [(DatabaseUnavailable, 2), (OutcomeUnknown, 0)])
async def test_what_the_database_could_not_take_waits_and_what_it_may_have_taken_does_not(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, error: type[Exception], kept: int
) -> None:
    counter = ViewCounter(mongo)
    see(counter, "lst_1")
    see(counter, "lst_1")

    async def fails(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("promptforge.core.mongo.collections.Collection.bulk_write", fails)
        await counter.flush()
    assert counter.waiting == kept
    await counter.flush()
    assert sum((await written(mongo)).values()) == kept


async def test_looking_changes_nothing_of_the_listing(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    listing = await branches.here.published(carla, "Looked at")
    rows = branches.mongo.collection(LISTINGS)
    before = await rows.find_one({"_id": listing.id})
    await anonymous(branches).ask(GetListing(listing_id=listing.id))
    assert await rows.find_one({"_id": listing.id}) == before
