"""When the index may be trusted: what was hidden is gone soon, or until it is nothing is ready, or answered."""

from __future__ import annotations

import time
from collections.abc import Sequence

import anyio
import pytest

from promptforge.actors.prompts.messages import CreatePrompt
from promptforge.actors.search.changes import ChangedDocuments
from promptforge.actors.search.errors import SearchUnavailable
from promptforge.actors.search.indexing import AT_ONCE
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import IndexState, SearchDocument
from promptforge.actors.search.sources import SOURCES
from promptforge.core.mongo import ChangeFeed, Mongo
from promptforge.core.principal import Role
from promptforge.deploy.following import Memory
from tests.support.searching import Searched, answers_ready, finds, found, ready, searched, until

pytestmark = pytest.mark.anyio

MANY = 5000
RANKED = {"$set": {"ranks": {"trending": 7, "sales": 1, "rated": 0, "average": 0}}}


class GatedIndex(LocalIndex):
    """Writes nothing down while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.shut = False

    async def commit(self) -> None:
        while self.shut:
            await anyio.sleep(0.01)
        await super().commit()


async def listings(mongo: Mongo, like: str, number: int) -> list[str]:
    """Others like it, to be found before long."""
    collection = mongo.collection("marketplace_listings")
    one = await collection.find_one({"_id": like})
    assert one is not None
    ids = [f"lst_{at:026}" for at in range(number)]
    await collection.insert_many([{**one, "_id": identifier} for identifier in ids])
    return ids


async def test_what_is_hidden_is_not_found_any_more_though_thousands_of_ranks_change_before(mongo: Mongo) -> None:
    index = GatedIndex()
    async with searched(mongo, fed=False) as before:
        seller = await before.market.person("sela", Role.SELLER)
        listing = await before.market.published(seller, "Marimba")
        ids = await listings(mongo, listing.id, MANY)
    async with searched(mongo, made=lambda: index) as here:
        person = await here.market.person("olga")
        await until(lambda: ready(here))
        assert (await found(person, "marimba")).total == MANY + 1
        index.shut = True
        collection = mongo.collection("marketplace_listings")
        await collection.update_many({}, RANKED)
        hidden = ids[:: MANY // 5]
        await collection.update_many({"_id": {"$in": hidden}}, {"$set": {"state": "suspended"}})
        await until(lambda: all_heard(here, MANY))
        begun = index.moment
        index.shut = False
        await until(lambda: finds(person, "marimba", MANY + 1 - len(hidden)))
        assert index.moment - begun <= 3
        await until(lambda: all_written(here))
        assert (await collection.count_documents({"ranks": RANKED["$set"]["ranks"]})) == MANY + 1
        assert (await found(person, "marimba")).total == MANY + 1 - len(hidden)


async def all_heard(here: Searched, number: int) -> bool:
    waiting = here.memory.found.waiting
    await anyio.sleep(0.3)
    return number - 1000 < waiting == here.memory.found.waiting


async def all_written(here: Searched) -> bool:
    index = here.actor.index()
    return index.waiting == 0 and index.state is IndexState.READY


class CountingIndex(LocalIndex):
    """Knows how many documents it was given at once at most."""

    most = 0

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        self.most = max(self.most, len(documents))
        await super().put(documents)


async def test_a_seller_of_many_listings_who_is_renamed_holds_nothing_up(mongo: Mongo) -> None:
    index = CountingIndex()
    async with searched(mongo, fed=False) as before:
        seller = await before.market.person("sela", Role.SELLER)
        listing = await before.market.published(seller, "Marimba")
        await listings(mongo, listing.id, 1700)
    async with searched(mongo, made=lambda: index) as here:
        person = await here.market.person("olga")
        await until(lambda: ready(here))
        await mongo.collection("users").update_one({"_id": seller.user_id}, {"$set": {"handle": "mallet-player"}})
        await until(lambda: finds(person, "mallet-player", 1702))  # she herself, and each listing
        assert index.most <= 2 * AT_ONCE


async def test_while_a_change_is_not_taken_in_it_is_behind_and_in_the_end_nothing(mongo: Mongo) -> None:
    index = GatedIndex()
    async with searched(mongo, made=lambda: index) as here:
        seller = await here.market.person("sela", Role.SELLER)
        listing = await here.market.published(seller, "Marimba")
        await until(lambda: finds(seller, "marimba", 2))  # the prompt and its listing
        await until(lambda: all_written(here))
        index.shut = True
        change = {"$set": {"state": "suspended"}}
        await mongo.collection("marketplace_listings").update_one({"_id": listing.id}, change)
        await until(lambda: taken(here))
        here.memory.found.clock = lambda: time.monotonic() + 3
        page = await found(seller, "marimba")
        assert (page.total, page.state) == (2, IndexState.BEHIND)
        assert here.actor.index().oldest_seconds >= 3
        here.memory.found.clock = lambda: time.monotonic() + 31
        with pytest.raises(SearchUnavailable):
            await found(seller, "marimba")
        here.memory.found.clock = time.monotonic
        index.shut = False
        await until(lambda: finds(seller, "marimba", 1))
        await until(lambda: all_written(here))


async def taken(here: Searched) -> bool:
    index = here.actor.index()
    return index.waiting == 0 and index.oldest_seconds > 0


async def test_ranks_that_wait_make_nothing_behind(mongo: Mongo) -> None:
    index = GatedIndex()
    async with searched(mongo, made=lambda: index) as here:
        seller = await here.market.person("sela", Role.SELLER)
        listing = await here.market.published(seller, "Marimba")
        await until(lambda: finds(seller, "marimba", 2))
        await until(lambda: all_written(here))
        index.shut = True
        await mongo.collection("marketplace_listings").update_one({"_id": listing.id}, RANKED)
        await anyio.sleep(0.5)
        here.memory.found.clock = lambda: time.monotonic() + 31
        await until(lambda: answers_ready(seller))
        index.shut = False


async def test_after_a_silence_it_is_ready_once_all_that_happened_meanwhile_is_told(mongo: Mongo) -> None:
    """A feed that is heard of again has not told yet what it missed."""
    changed = ChangedDocuments()
    states: list[bool] = []
    feed = ChangeFeed(mongo)
    changed.follow(feed)
    feed.subscribe("prompts", lambda change: states.append(changed.heard))

    async def follow(number: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.run)
            await feed.started.wait()
            await mongo.collection("prompts").insert_one({"_id": f"last of {number}"})
            with anyio.fail_after(60):
                while len(states) < number or not changed.heard:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    await follow(1)
    feed.started = anyio.Event()
    await mongo.collection("prompts").insert_many([{"_id": number} for number in range(300)])
    feed._last_batch -= 600
    feed._told_at -= 600
    assert changed.untold_seconds() >= 600
    await follow(302)
    assert states[1:301] == [False] * 300
    await mongo.collection("prompts").delete_many({})  # they were none


async def test_while_the_stream_is_far_behind_it_is_not_healthy_though_news_keep_coming(mongo: Mongo) -> None:
    """Whoever changed something meanwhile would be answered from what is remembered."""
    feed, healthy = ChangeFeed(mongo), list[bool]()

    def tell(_: object) -> None:
        healthy.append(feed.healthy)
        time.sleep(0.03)  # what telling takes on a machine with much to do

    feed.subscribe("prompts", tell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed.run)
        await feed.started.wait()
        await mongo.collection("prompts").insert_many([{"_id": number} for number in range(200)])
        with anyio.fail_after(60):
            while len(healthy) < 200 or not feed.healthy:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert healthy[-50:] == [False] * 50
    await mongo.collection("prompts").delete_many({})  # they were none


async def test_after_a_gap_that_ended_a_long_silence_nothing_is_answered_until_all_is_read_anew(mongo: Mongo) -> None:
    made: list[GatedIndex] = []

    def make() -> LocalIndex:
        made.append(GatedIndex())
        made[-1].shut = len(made) > 1
        return made[-1]

    async with searched(mongo, made=make) as here:
        person = await here.market.person("olga")
        await person.ask(CreatePrompt(name="Marimba"))
        await until(lambda: finds(person, "marimba", 1))
        await until(lambda: all_written(here))
        here.memory.found.untold_seconds = lambda: 600.0
        here.memory.found.gap()
        here.memory.found.untold_seconds = lambda: 0.0  # the stream is open again, and knows nothing of before
        await until(lambda: made_again(made))
        with pytest.raises(SearchUnavailable):
            await found(person, "marimba")
        made[-1].shut = False
        await until(lambda: all_written(here))
        assert (await found(person, "marimba")).total == 1


async def made_again(made: Sequence[LocalIndex]) -> bool:
    return len(made) > 1


class InterruptedIndex(LocalIndex):
    """Another gap comes while its first page is written."""

    def __init__(self, changed: ChangedDocuments | None) -> None:
        super().__init__()
        self.puts = 0
        self._feed = changed

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        self.puts += 1
        await super().put(documents)
        if self._feed is not None:
            self._feed.gap()


async def test_another_gap_ends_the_reading_at_once(mongo: Mongo) -> None:
    made: list[InterruptedIndex] = []
    memories: list[Memory] = []

    def make() -> LocalIndex:
        made.append(InterruptedIndex(memories[0].found if not made else None))
        return made[-1]

    async with searched(mongo, made=make, memories=memories) as here:
        await until(lambda: ready(here))
        assert made[0].puts == 1
        assert made[1].puts >= len(SOURCES)
