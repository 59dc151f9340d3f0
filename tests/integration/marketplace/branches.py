"""The whole market served by two processes on one database, with a hook between a transaction's work and its commit.

What one process keeps in order by itself (keys, queues) says nothing about two of them: the races in these tests run
between processes, and are decided by MongoDB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from promptforge.actors.billing.verification import verify_ledger
from promptforge.core.context import Context
from promptforge.core.jobs import MongoJobStore
from promptforge.core.messages import Message
from promptforge.core.mongo import Mongo, Session
from promptforge.core.principal import Principal, Role
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.identity import principal_finder
from promptforge.deploy.settings import Settings
from tests.support.market import Market, raised
from tests.support.mongo import with_indexes
from tests.support.processes import MongoTransactions, TestProcess, job_process

T = TypeVar("T")


class Interrupted(Exception):
    """Stands for whatever ends a process between its last write and the commit."""


class WatchedTransactions(MongoTransactions):
    """Counts how often work was begun.

    Each called once: `before_work`, when the next work is to begin, `before_commit`, when the next is done.
    """

    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.attempts = 0
        self.before_work: Callable[[], Awaitable[None]] | None = None
        self.before_commit: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, work: Callable[[Session], Awaitable[T]], *, deadline: float) -> T:
        async def watched(session: Session) -> T:
            self.attempts += 1
            if self.before_work is not None:
                interpose, self.before_work = self.before_work, None
                await interpose()
            result = await work(session)
            if self.before_commit is not None:
                interpose, self.before_commit = self.before_commit, None
                await interpose()
            return result

        return await super().__call__(watched, deadline=deadline)


def write_conflict() -> OperationFailure:
    """What the server says to a transaction that lost against another."""
    return OperationFailure("WriteConflict", 112, {"errorLabels": ["TransientTransactionError"]})


async def interrupt() -> None:
    raise Interrupted


@dataclass(frozen=True, slots=True)
class Branches:
    """`here` and `there` are the two processes; jobs run when a test says so."""

    mongo: Mongo
    here: Market
    there: Market
    transactions: WatchedTransactions
    """Those of `here`."""

    async def person(self, uid: str, *roles: Role) -> tuple[Context, Context]:
        """One person with a request under way in each process."""
        return await self.here.person(uid, *roles), await self.there.person(uid, *roles)

    async def count(self, collection: str, **wanted: object) -> int:
        return await self.mongo.collection(collection).count_documents(wanted)

    async def ledger_is_right(self) -> bool:
        return (await verify_ledger(self.mongo)).ok


async def all_at_once(asks: Sequence[tuple[Context, Message[Any]]]) -> Counter[str]:
    """How the asks ended: error codes, `done` for those that did not fail."""
    outcomes = Counter[str]()

    async def one(context: Context, message: Message[Any]) -> None:
        outcomes[await raised(context, message)] += 1

    async with anyio.create_task_group() as tasks:
        for context, message in asks:
            tasks.start_soon(one, context, message)
    return outcomes


SECRETS = ("a secret of tests",)
SETTINGS = Settings(stripe_secret_key=SecretStr("sk_test_unused"))


@asynccontextmanager
async def open_branches(mongo: Mongo, *, find_principal: bool = False) -> AsyncIterator[Branches]:
    """`find_principal`: jobs of `here` run as whoever enqueued them, with the rights that they have then."""
    await with_indexes(mongo, INDEXES)
    processes: list[TestProcess] = []

    async def find(user_id: str) -> Principal | None:
        return await principal_finder(processes[0].system)(user_id) if find_principal else None

    def actors(store: MongoJobStore) -> list[Actor]:
        return build_actors(mongo, store, SETTINGS, secrets=SECRETS)

    async with (
        job_process(mongo, actors, running=False, find_principal=find) as here,
        job_process(mongo, actors, running=False) as there,
    ):
        processes.append(here)
        transactions = WatchedTransactions(mongo)
        here.system.transactions = transactions
        yield Branches(mongo, Market(here), Market(there), transactions)
