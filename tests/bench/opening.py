"""How long it takes to take over a database of the service before: `python -m tests.bench.opening --users 100000`.

The upgrade runs in a process of its own, which is killed with -9 (`--kills`) at moments drawn at random and started
again; how much memory it had is told. Then the ledger is verified.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from multiprocessing.queues import Queue
from random import Random
from typing import Any

import anyio

from promptforge.actors.billing.verification import verify_ledger
from promptforge.core.mongo import Mongo, ensure_indexes, prepare_migrations, run_migrations
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS
from tests.support.mongo import shared_mongod
from tests.support.old_database import ROWS_EACH, expected_credits, fill

DATABASE = "opening_bench"
LEASE_SECONDS = 2.0
"""What is killed holds its lease until it ends; 120 s in the service."""


def upgrade_apart(url: str, results: Queue[tuple[float, float]]) -> None:
    """The seconds that it took, and the peak of memory in MB."""

    async def run() -> None:
        mongo = await Mongo.connect(url, DATABASE)
        await prepare_migrations(mongo, MIGRATIONS, lease_seconds=LEASE_SECONDS)
        await ensure_indexes(mongo, INDEXES)
        await run_migrations(mongo, MIGRATIONS, lease_seconds=LEASE_SECONDS)

    began = time.perf_counter()
    anyio.run(run)
    results.put((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


async def check(url: str, users: int) -> None:
    mongo = await Mongo.connect(url, DATABASE)
    began = time.perf_counter()
    report = await verify_ledger(mongo)
    print(f"verified {report.journals} journals of {report.accounts} accounts in {time.perf_counter() - began:.0f} s")
    opened = sum(1 for number in range(users) if expected_credits(number))
    kept = await mongo.collection("transactions").count_documents({"before_ledger": {"$exists": True}})
    if not report.ok or (report.accounts, report.journals, kept) != (users, opened, users * ROWS_EACH):
        raise SystemExit(f"not right: {report}, {kept} rows kept")
    print("every account begins with what it had, and every invariant holds")


async def prepare(url: str, users: int) -> None:
    mongo = await Mongo.connect(url, DATABASE)
    began = time.perf_counter()
    await fill(mongo, users)
    print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)


def upgrade(url: str, kills: int, rng: Random) -> None:
    spawn = multiprocessing.get_context("spawn")
    results: Any = spawn.Queue()  # Any: typeshed has no type for a context's queue
    began = time.perf_counter()
    for number in range(kills + 1):
        process = spawn.Process(target=upgrade_apart, args=(url, results))
        process.start()
        process.join(rng.uniform(10, 70) if number < kills else None)
        if process.is_alive():
            process.kill()
            process.join()
            print(f"killed for the {number + 1}. time", flush=True)
    seconds, megabytes = results.get()
    print(f"upgraded in {time.perf_counter() - began:.0f} s; the last process took {seconds:.0f} s")
    print(f"and at most {megabytes:.0f} MB")


def run(users: int = 100_000, kills: int = 2, seed: int = 1) -> None:
    with shared_mongod() as server:
        anyio.run(prepare, server.url, users)
        upgrade(server.url, kills, Random(seed))
        anyio.run(check, server.url, users)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    run(given.users, given.kills, given.seed)


if __name__ == "__main__":
    main()
