"""The index beside a real database and its change stream: made at the start, kept up, and made anew after a gap."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from promptforge.actors.prompts.messages import ArchivePrompt, CreatePrompt, UpdatePrompt
from promptforge.actors.search.actor import SearchActor
from promptforge.actors.search.errors import SearchUnavailable
from promptforge.actors.search.local.engine import LocalIndex
from promptforge.actors.search.messages import IndexState, Kind, Mode, Search, SearchDocument, SearchPage
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.errors import DatabaseUnavailable
from promptforge.core.jobs import MongoJobStore
from promptforge.core.mongo import ChangeFeed, Mongo, Pulse
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.following import Memory, memory_of
from promptforge.deploy.settings import Settings
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import job_process

pytestmark = pytest.mark.anyio

SETTINGS = Settings(stripe_secret_key=SecretStr("sk_test_unused"))


class Muffled(ChangeFeed):
    """A feed whose news a test can hold back."""

    held_back = False

    def _deliver(self, raw: Mapping[str, Any]) -> None:  # Any: as the driver has it
        if not self.held_back:
            super()._deliver(raw)


@dataclass(frozen=True, slots=True)
class Searched:
    market: Market
    memory: Memory
    feed: Muffled
    actor: SearchActor


@asynccontextmanager
async def searched(
    mongo: Mongo,
    *,
    fed: bool = True,
    made: Callable[[], LocalIndex] = LocalIndex,
    memories: list[Memory] | None = None,
) -> AsyncIterator[Searched]:
    """`fed`: it hears of changes, and so has an index; `made` makes that. `memories` is told of the process's."""
    await with_indexes(mongo, INDEXES)
    feed = Muffled(mongo)
    memory = memory_of(feed, Pulse(mongo.ping, lambda: feed.healthy))
    if memories is not None:
        memories.append(memory)
    search = SearchActor(memory.found, made=made)

    def actors(store: MongoJobStore) -> list[Actor]:
        built = build_actors(mongo, store, SETTINGS, memory=memory)
        return [search if isinstance(actor, SearchActor) else actor for actor in built]

    async with (
        anyio.create_task_group() as tasks,
        job_process(mongo, actors, running=False) as process,
    ):
        if fed:
            tasks.start_soon(feed.run)
            await feed.started.wait()
        yield Searched(Market(process), memory, feed, search)
        tasks.cancel_scope.cancel()


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(20):
        while not await look():
            await anyio.sleep(0.02)


async def found(person: Context, q: str) -> SearchPage:
    return await person.ask(Search(q=q, mode=Mode.TEXT))


async def finds(person: Context, q: str, total: int) -> bool:
    return (await found(person, q)).total == total


async def test_what_was_there_before_and_what_changes_later_is_found(mongo: Mongo) -> None:
    async with searched(mongo, fed=False) as before:
        owner = await before.market.person("olga", Role.SELLER)
        await owner.ask(CreatePrompt(name="Marimba"))
        await before.market.published(owner, "Xylophone for sale")
    async with searched(mongo) as after:
        await until(lambda: finds(owner_of(after, owner), "marimba", 1))
        person = owner_of(after, owner)
        await until(lambda: finds(person, "xylophone", 2))  # the prompt and its listing
        prompt = await person.ask(CreatePrompt(name="Glockenspiel"))
        await until(lambda: finds(person, "glockenspiel", 1))
        await person.ask(UpdatePrompt(prompt_id=prompt.id, name="Timpani"))
        await until(lambda: finds(person, "timpani", 1))
        assert (await found(person, "glockenspiel")).total == 0
        await person.ask(ArchivePrompt(prompt_id=prompt.id))
        await until(lambda: finds(person, "timpani", 0))
        assert (await found(person, "marimba")).state is IndexState.READY
        assert after.actor.index().generation == 1


def owner_of(here: Searched, person: Context) -> Context:
    return here.market.process.system.context(request_id="req", principal=person.principal, timeout_seconds=60)


async def test_a_sellers_listings_are_found_by_the_handle_that_they_have_now(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        seller = await here.market.person("a-seller", Role.SELLER)
        await here.market.published(seller, "Summaries")
        await seller.ask(UpdateProfile(handle="mallet-player"))
        await until(lambda: finds(seller, "mallet-player", 2))  # herself and her listing
        await seller.ask(UpdateProfile(handle="quill"))
        await until(lambda: finds(seller, "quill", 2))
        assert {hit.kind for hit in (await found(seller, "quill")).items} == {Kind.LISTING, Kind.PERSON}
        assert (await found(seller, "mallet-player")).total == 0


async def test_after_a_gap_the_old_index_answers_as_warming_until_a_new_one_is_made(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        person = await here.market.person("olga")
        kept, hidden = [await person.ask(CreatePrompt(name=f"Marimba {name}")) for name in ("kept", "hidden")]
        await until(lambda: finds(person, "marimba", 2))
        await until(lambda: ready(here))
        missed = {"$set": {"archived": True, "archived_at": kept.created_at}}
        here.feed.held_back = True
        await mongo.collection("prompts").update_one({"_id": hidden.id}, missed)
        here.memory.found.silent_seconds = lambda: 5.0  # no new index is begun
        here.memory.found.gap()
        page = await found(person, "marimba")
        assert (page.total, page.state) == (2, IndexState.WARMING), "the old one, and it says so"
        here.memory.found.silent_seconds = lambda: 0.0
        await until(lambda: finds(person, "marimba", 1))
        await until(lambda: ready(here))
        assert here.actor.index().generation == 2


async def ready(here: Searched) -> bool:
    return here.actor.index().state is IndexState.READY


async def test_while_nothing_is_heard_it_says_that_it_is_behind_and_in_the_end_nothing(mongo: Mongo) -> None:
    async with searched(mongo) as here:
        person = await here.market.person("olga")
        await person.ask(CreatePrompt(name="Marimba"))
        await until(lambda: finds(person, "marimba", 1))
        await until(lambda: ready(here))
        here.memory.found.silent_seconds = lambda: 3.0
        assert (await found(person, "marimba")).state is IndexState.BEHIND
        here.memory.found.silent_seconds = lambda: 31.0
        with pytest.raises(SearchUnavailable):
            await found(person, "marimba")


class SlowIndex(LocalIndex):
    """Lets something happen between the reading of the page with marimbas and its writing."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._meanwhile = [meanwhile]

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        if self._meanwhile and any(document.title == "Marimba" for document in documents):
            await self._meanwhile.pop()()
        await super().put(documents)


async def test_what_changes_while_its_page_is_being_written_is_written_as_it_is_now(mongo: Mongo) -> None:
    async with searched(mongo, fed=False) as before:
        owner = await before.market.person("olga")
        prompt = await owner.ask(CreatePrompt(name="Marimba"))
    memories: list[Memory] = []

    async def rename() -> None:
        renamed = {"$set": {"name": "Timpani"}}
        await mongo.collection("prompts").update_one({"_id": prompt.id}, renamed)
        with anyio.fail_after(20):
            while not memories[0].found.waiting:
                await anyio.sleep(0.01)

    async with searched(mongo, made=lambda: SlowIndex(rename), memories=memories) as here:
        person = owner_of(here, owner)
        await until(lambda: finds(person, "timpani", 1))
        assert (await found(person, "marimba")).total == 0


class FailingIndex(LocalIndex):
    """Fails once, as a database does that is away, when it is told to."""

    to_fail = False

    async def put(self, documents: Sequence[SearchDocument]) -> None:
        if self.to_fail:
            self.to_fail = False
            raise DatabaseUnavailable
        await super().put(documents)


async def test_what_could_not_be_written_is_written_later(mongo: Mongo) -> None:
    index = FailingIndex()
    async with searched(mongo, made=lambda: index) as here:
        person = await here.market.person("olga")
        prompt = await person.ask(CreatePrompt(name="Timpani"))
        await until(lambda: finds(person, "timpani", 1))
        await until(lambda: ready(here))
        index.to_fail = True
        await person.ask(UpdatePrompt(prompt_id=prompt.id, name="Marimba"))
        await until(lambda: finds(person, "marimba", 1))
        assert not index.to_fail
