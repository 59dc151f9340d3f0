"""Events: taking them beside the bare driver, adding them up, and dashboards from the sums.

Everything is of one owner, which is the worst case: ten million events of 90 days, of ten kinds, three prompts and four
variants, told of as they happen, one in ten up to two days late. Another number may be given: `python -m
tests.bench.run events=1000000`. The driver puts the events there, in batches that wait to be added up, as the service
leaves them: those there when events are taken with ids in no order, for that makes writing more dear; the rest,
which only the adding up reads, in the order of their ids. It says every million how far it is.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import anyio
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

from promptforge.actors.analytics.events.intake import Intake
from promptforge.actors.analytics.events.store import BATCHES, EVENTS, EventStore
from promptforge.actors.analytics.rollups.actor import AT_ONCE
from promptforge.actors.analytics.rollups.store import EventRollups
from promptforge.core.mongo import EmbeddedMongod, Mongo, Session, run_transaction
from tests.bench.table import Row, print_rows
from tests.support.running import Person
from tests.support.service import DATABASE, Service, serving

MOST, STORED_FOR_INGEST = 10_000_000, 3_000_000
BATCH, FILLED, ROUND_EVENTS, ROUNDS = 500, 2_000, 20_000, 5
TOLD_EVERY = 1_000_000
DAYS = 90
Documents = Collection[dict[str, Any]]
"""Any: BSON values."""


def _at(one: int, random: Random, most: int) -> datetime:
    """When it was: they come in their order, but for those that are late."""
    late = random.randrange(2 * 24 * 60) if random.random() < 0.1 else 0
    minutes = max(0, DAYS * 24 * 60 * (most - one) // most) + late
    return datetime.now(UTC) - timedelta(minutes=min(minutes, DAYS * 24 * 60))


def _rows(
    owner: str, first: int, number: int, *, batch: str, most: int = 0, mixed: bool = True
) -> list[dict[str, Any]]:
    """`mixed`: with ids in no order."""
    now = datetime.now(UTC)
    random = Random(first)
    return [
        {
            "_id": f"{owner}:{random.randbytes(8).hex() if mixed else f'{one:016}'}-{one}",
            "owner": owner,
            "kind": f"kind.{one % 10}",
            "at": _at(one, random, most) if most else now,
            "received_at": now,
            "expire_at": now + timedelta(days=400),
            "value": 1.5,
            "prompt_id": f"prm_{one % 3}",
            "prompt_version": 1 + one % 2,
            "variant": f"variant-{one % 4}",
            "properties": {"rating": one % 5, "channel": "mail"},
            "batch": batch,
        }
        for one in range(first, first + number)
    ]


def _fill(places: Sequence[Documents], owner: str, *, start: int, until: int, most: int, mixed: bool = True) -> None:
    """As the service leaves them: batches of two thousand, closed."""
    events, batches = places
    begun = time.perf_counter()
    for first in range(start, until, FILLED):
        batch = f"bch_bench_{first:09}"
        rows = _rows(owner, first, min(FILLED, until - first), batch=batch, most=most, mixed=mixed)
        events.insert_many(rows, ordered=False)
        batches.insert_one({"_id": batch, "open": False, "due_at": datetime.now(UTC), "looks": 0})
        if first > start and first % TOLD_EVERY == 0:
            print(
                f"{first:,} events are there, {(first - start) / (time.perf_counter() - begun):,.0f} a second",
                flush=True,
            )


def _bare(events: Documents, owner: str, numbers: Iterator[int]) -> float:
    """Events a second by insert_many of 500, two at a time."""
    rows = [_rows(owner, 10**9 + next(numbers) * BATCH, BATCH, batch="bare") for _ in range(ROUND_EVENTS // BATCH)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(events.insert_many, ordered=False), rows))
    return ROUND_EVENTS / (time.perf_counter() - begun)


async def _intake(url: str, owner: str, numbers: Iterator[int]) -> float:
    """The same through the service's own intake."""
    mongo = await Mongo.connect(url, DATABASE)
    intake, now = Intake(EventStore(mongo)), datetime.now(UTC)
    rows = [_rows(owner, 2 * 10**9 + next(numbers) * BATCH, BATCH, batch="") for _ in range(ROUND_EVENTS // BATCH)]
    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for some in rows:
            tasks.start_soon(partial(intake.add, some, now=now))
    taken = time.perf_counter() - begun
    mongo.close()
    return ROUND_EVENTS / taken


def _over_http(service: Service, person: Person, numbers: Iterator[int]) -> tuple[float, float]:
    """And over HTTP, from four connections; by time, in which the client's work is, and by the service's own work."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    facts = {"kind": "kind.1", "at": now, "value": 1}
    bodies = [
        {"events": [{"external_id": f"h{number}-{one}", **facts} for one in range(BATCH)]}
        for number in (next(numbers) for _ in range(ROUND_EVENTS // BATCH))
    ]
    begun, worked = time.perf_counter(), _worked(service)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: person.post("/analytics/events", body), bodies))
    assert sum(answer["inserted"] for answer in answers) == ROUND_EVENTS
    return ROUND_EVENTS / (time.perf_counter() - begun), ROUND_EVENTS / (_worked(service) - worked)


async def _fold(url: str) -> tuple[int, float]:
    """All that waits; answers how many events, and how long it took."""
    mongo = await Mongo.connect(url, DATABASE)
    rollups, now, folded = EventRollups(mongo), datetime.now(UTC) + timedelta(hours=1), 0
    begun = time.perf_counter()
    while ids := await rollups.list_due(now, AT_ONCE):

        async def work(session: Session, ids: list[str] = ids) -> int:
            return await rollups.fold(ids, now=now, session=session)

        folded += await run_transaction(mongo, work)
    taken = time.perf_counter() - begun
    mongo.close()
    return folded, taken


def _milliseconds(ask: Callable[[], object]) -> list[float]:
    ask()
    rounds = []
    for _ in range(15):
        begun = time.perf_counter()
        ask()
        rounds.append((time.perf_counter() - begun) * 1000)
    return rounds


def _worked(service: Service) -> float:
    """Seconds of processors that the service's process has had."""
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _questions(person: Person) -> list[Row]:
    by_kind = {"view": "events", "measures": ["events", "value"], "dimensions": ["kind"], "bucket": "day"}
    fine = {**by_kind, "dimensions": ["prompt_id", "variant"], "filters": [{"dimension": "kind", "values": ["kind.1"]}]}
    month = (datetime.now(UTC) - timedelta(days=30)).isoformat(timespec="seconds")
    asked: dict[str, Callable[[], object]] = {
        "dashboard, 30 days": lambda: person.get("/analytics/dashboard?days=30"),
        "dashboard, 90 days": lambda: person.get("/analytics/dashboard?days=90"),
        "by kind and day, 30 days": lambda: person.post("/analytics/query", {**by_kind, "from": month}),
        "by prompt, variant, day": lambda: person.post("/analytics/query", {**fine, "from": month}),
    }
    return [Row(name, _milliseconds(ask), "ms", budget="≤ 100 ms") for name, ask in asked.items()]


def run(most: int = MOST) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), RATE_LIMITS="default=100000/minute,ingest=100000/minute") as service,
    ):
        person, other = service.person("ada"), service.person("bob")
        owner, teller = (one.get("/users/me")["id"] for one in (person, other))
        server = EmbeddedMongod.start(service.mongo_directory)
        client: MongoClient[dict[str, Any]] = MongoClient(server.url, tz_aware=True)
        database = client[DATABASE]
        majority = WriteConcern("majority", j=True)
        events = database.get_collection(EVENTS, write_concern=majority)
        quick = WriteConcern(1)
        loaded = tuple(database.get_collection(name, write_concern=quick) for name in (EVENTS, BATCHES))
        numbers = count()
        stored = min(STORED_FOR_INGEST, most)
        _fill(loaded, owner, start=0, until=stored, most=most)
        bare, taken, http, work = list[float](), list[float](), list[float](), list[float]()
        for _ in range(ROUNDS):
            bare.append(_bare(events, teller, numbers))
            taken.append(anyio.run(_intake, server.url, teller, numbers))
            for place, rate in zip((http, work), _over_http(service, other, numbers), strict=True):
                place.append(rate)
        print_rows(
            f"Events a second, with {stored:,} stored",
            [
                Row("driver, insert_many of 500", bare, "/s"),
                Row("intake", taken, "/s", baseline="driver, insert_many of 500", budget="≥ 5,000/s"),
                Row("over HTTP, client included", http, "/s", baseline="driver, insert_many of 500"),
                Row("over HTTP, a second of the service's processor", work, "/s", budget="≥ 5,000/s"),
            ],
        )
        _fill(loaded, owner, start=stored, until=most, most=most, mixed=False)
        folded, seconds = anyio.run(_fold, server.url)
        rows = [Row("adding up", [folded / seconds], "events/s"), *_questions(person)]
        print_rows(f"From sums of {most:,} events", rows)
        client.close()
        server.stop()
