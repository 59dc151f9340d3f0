"""A process that adds runs to the sums of one prompt's hours, and folds them meanwhile, in competition with others."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.models.store import RunStore
from promptforge.actors.ai.usage.store import RollupStore
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.runtime import System
from tests.support.processes import UNHURRIED_SECONDS, MongoTransactions

PROMPT, USER = "prm_1", "usr_1"
START = datetime(2027, 3, 1, tzinfo=UTC)
HOURS, RUNS = 3, 120
ROUND = 10
"""After so many runs it waits to be told to go on, so that whoever looks sees it under way."""


def record(number: int, run_id: str) -> UsageRecord:
    """A run of one of a few hours, all alike: each is late for an hour that may just be folded."""
    return UsageRecord(
        run_id=run_id,
        user_id=USER,
        timestamp=START + timedelta(hours=number % HOURS, minutes=number % 60),
        purpose="test",
        caller=CallerKind.PROGRAM,
        outcome=RunOutcome.OK,
        error_code=None,
        model="scripted-1",
        provider="scripted",
        prompt_id=PROMPT,
        prompt_version=1 + number % 2,
        usage=RunUsage(100, 50, False, 2000, "0.2", 700, None),
    )


def new_context(mongo: Mongo) -> Context:
    system = System([], transactions=MongoTransactions(mongo))
    return system.context(request_id="req_test", principal=None, trusted=True, timeout_seconds=UNHURRIED_SECONDS)


async def add(store: RunStore, context: Context, name: str, numbers: range) -> None:
    for number in numbers:
        await context.transaction(partial(store.insert_usage, record(number, f"run_{name}_{number:04d}")))


async def fold(store: RollupStore, context: Context) -> int:
    """Once through all that there is."""
    folded = 0
    while ids := await store.list_counters(START + timedelta(days=1), 2):

        async def work(tx: Context, ids: list[str] = ids) -> int:
            return await store.fold(ids, session=tx.session)

        folded += await context.transaction(work)
    return folded


async def compete(url: str, database: str, name: str) -> None:
    """Three add, and one folds until they are done; says that it is ready, and begins each round when it is told to."""
    mongo = await Mongo.connect(url, database)
    rollups, context = RollupStore(mongo), new_context(mongo)
    store = RunStore(mongo, rollups)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    async with anyio.create_task_group() as both:

        async def adding() -> None:
            for begin in range(0, RUNS, ROUND):
                await anyio.to_thread.run_sync(sys.stdin.readline)
                async with anyio.create_task_group() as tasks:
                    for first in range(3):
                        tasks.start_soon(add, store, context, name, range(begin + first, begin + ROUND, 3))
            both.cancel_scope.cancel()

        async def folding() -> None:
            while True:
                await fold(rollups, context)
                await anyio.sleep(0.002)

        both.start_soon(adding)
        both.start_soon(folding)
    mongo.close()


if __name__ == "__main__":
    _, *arguments = sys.argv
    anyio.run(compete, arguments[0], arguments[1], arguments[2])
