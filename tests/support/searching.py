"""A market whose search index follows the changes of a real database, as a process has it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import SecretStr

from promptforge.actors.search.actor import SearchActor
from promptforge.actors.search.local.index import LocalIndex
from promptforge.actors.search.messages import IndexState, Mode, Search, SearchPage
from promptforge.core.context import Context
from promptforge.core.jobs import MongoJobStore
from promptforge.core.mongo import ChangeFeed, Mongo, Pulse
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.following import Memory, memory_of
from promptforge.deploy.settings import Settings
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import job_process

SETTINGS = Settings(stripe_secret_key=SecretStr("sk_test_unused"))


class Muffled(ChangeFeed):
    """A feed whose news a test can hold back."""

    held_back = False
    trusted = False
    """However long the machine stands still."""
    _last: object = None

    async def told(self) -> None:
        """Wait until everything is told that has been committed so far."""
        last = secrets.token_hex(8)
        labels = self._mongo.collection("prompt_labels")
        await labels.insert_one({"_id": last})
        with anyio.fail_after(60):
            while self._last != last:
                await anyio.sleep(0.005)
        await labels.delete_one({"_id": last})

    @property
    def healthy(self) -> bool:
        return self.trusted or super().healthy

    def _deliver(self, raw: Mapping[str, Any]) -> None:  # Any: as the driver has it
        if raw["operationType"] == "insert":
            self._last = raw["documentKey"]["_id"]
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
    with anyio.fail_after(60):
        while not await look():
            await anyio.sleep(0.02)


async def found(person: Context, q: str) -> SearchPage:
    return await person.ask(Search(q=q, mode=Mode.TEXT))


async def finds(person: Context, q: str, total: int) -> bool:
    return (await found(person, q)).total == total


async def ready(here: Searched) -> bool:
    return here.actor.index().state is IndexState.READY


async def answers_ready(person: Context) -> bool:
    """What is found is said to be all that there is; it is not, for a moment, where the machine has stood still."""
    return (await found(person, "marimba")).state is IndexState.READY
