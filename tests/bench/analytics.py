"""Analytics over a million runs: from the sums, beside adding up the usage records from a covering index.

A million runs of one prompt, in three versions: in thirty days while they end one after the other, so that an hour
has one counter for each version; in the same time while four end at the same moment all the time, so that it has four;
and in 2,000 days. Before their hours are folded (the job does that every ten minutes) and after it. And a user's own
runs in 366 days. All is in the future, where the job folds nothing by itself.

And the dashboard of somebody whose programs told of 200 kinds of events on each of 366 days, beside adding up the
73,200 sums of these, which mongod does alone. `analytics=kinds` measures this only, and takes a minute.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
from pymongo.collection import Collection
from pymongo.database import Database

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.models.store import USAGE, usage_row
from promptforge.actors.ai.usage.actor import FOLDED_AT_ONCE
from promptforge.actors.ai.usage.cells import COUNTED, Cell, latency_of, merged
from promptforge.actors.ai.usage.domain import HOUR, Share, shares_of
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.ai.usage.store import COUNTERS, RollupStore, counter_key
from promptforge.actors.analytics.rollups.store import ROLLUPS
from promptforge.core.mongo import EmbeddedMongod, Mongo, Session, run_transaction
from promptforge.deploy.upgrade.event_sums import make_coarse_sums
from tests.bench.table import Row, print_rows
from tests.support.running import Person
from tests.support.service import Service, serving

RUNS, DAYS, LONG_DAYS, VERSIONS = 1_000_000, 30, 2000, 3
YEAR, KINDS = 366, 200
WRITERS, BATCH = 4, 20_000
ROUNDS = 15
START = datetime(2030, 10, 1, tzinfo=UTC)
END = START + timedelta(days=DAYS)
COVERING = [
    ("prompt_id", 1),
    ("timestamp", 1),
    ("prompt_version", 1),
    ("outcome", 1),
    ("latency_ms", 1),
    ("input_tokens", 1),
    ("output_tokens", 1),
    ("cost_microusd", 1),
]


def _records(prompt_id: str, random: Random, days: int) -> Iterator[UsageRecord]:
    step = timedelta(days=days) / RUNS
    for number in range(RUNS):
        yield UsageRecord(
            run_id=f"run_{number:026d}",
            user_id=f"usr_{number % 1000:026d}",
            timestamp=START + number * step,
            purpose="test",
            caller=CallerKind.PROGRAM,
            outcome=RunOutcome.FAILED if number % 100 == 0 else RunOutcome.OK,
            error_code=None,
            model="gpt-5-mini",
            provider="openai",
            prompt_id=prompt_id,
            prompt_version=1 + number % VERSIONS,
            usage=RunUsage(400, 180, False, 463, "0.05", round(random.lognormvariate(7.5, 0.5)), 300),
        )


def _fill(database: Database[dict[str, Any]], prompt_id: str, *, writers: int, days: int) -> int:
    """Insert the counters of the prompt's runs; answers how many there are."""
    cells: dict[str, tuple[Share, list[Cell]]] = {}
    for number, record in enumerate(_records(prompt_id, Random(1), days)):
        share = shares_of(record)[1]
        key = counter_key(share, number // VERSIONS % writers)
        cells.setdefault(key, (share, []))[1].append(share.rollup.cell)
    return _insert(database, cells)


def _fill_own(database: Database[dict[str, Any]], user_id: str) -> int:
    """Insert the counters of a user who has one run an hour for 366 days."""
    cells: dict[str, tuple[Share, list[Cell]]] = {}
    for number, record in zip(range(366 * 24), _records("", Random(1), DAYS), strict=False):
        share = shares_of(replace(record, user_id=user_id, timestamp=START + number * HOUR))[0]
        cells[counter_key(share, 0)] = share, [share.rollup.cell]
    return _insert(database, cells)


def _insert(database: Database[dict[str, Any]], cells: dict[str, tuple[Share, list[Cell]]]) -> int:
    rows = []
    for key, (share, parts) in cells.items():
        cell = merged(parts)
        latency = {str(step): number for step, number in latency_of(cell).items()}
        rows.append(
            {
                "_id": key,
                "owner": share.owner,
                "by_hour": share.by_hour,
                "start": share.rollup.start,
                "version": share.rollup.version,
                **dict(zip(COUNTED, cell, strict=False)),
                "latency": latency,
            }
        )
    database[COUNTERS].insert_many(rows, ordered=False)
    return len(rows)


def _insert_records(database: Database[dict[str, Any]], prompt_id: str) -> None:
    waiting: list[dict[str, Any]] = []
    for record in _records(prompt_id, Random(1), DAYS):
        waiting.append({**usage_row(record), "counted": True})
        if len(waiting) == BATCH:
            database[USAGE].insert_many(waiting, ordered=False)
            waiting = []
    database[USAGE].create_index(COVERING)


async def _fold(mongod: Path) -> None:
    """All that the job would have folded by and by."""
    server = EmbeddedMongod.start(mongod)
    mongo = await Mongo.connect(server.url, "promptforge")
    store = RollupStore(mongo)
    while ids := await store.list_counters(START + timedelta(days=2 * LONG_DAYS), FOLDED_AT_ONCE):
        await run_transaction(mongo, partial(_fold_some, store, ids))
    mongo.close()
    server.stop()


async def _fold_some(store: RollupStore, ids: list[str], session: Session) -> int:
    return await store.fold(ids, session=session)


def _from_records(database: Database[dict[str, Any]], prompt_id: str, unit: str) -> None:
    """The sums of the same buckets, without percentiles."""
    sums = {name: {"$sum": f"${name}"} for name in ("input_tokens", "output_tokens", "cost_microusd")}
    key = {"at": {"$dateTrunc": {"date": "$timestamp", "unit": unit}}, "version": "$prompt_version"}
    wanted = {"prompt_id": prompt_id, "timestamp": {"$gte": START, "$lt": END}}
    found = list(database[USAGE].aggregate([{"$match": wanted}, {"$group": {"_id": key, "runs": {"$sum": 1}, **sums}}]))
    assert sum(row["runs"] for row in found) == RUNS


@dataclass(frozen=True, slots=True)
class _Case:
    """A prompt whose analytics are asked for."""

    name: str
    prompt_id: str
    bucket: Bucket
    days: int = DAYS
    by_version: str = "true"

    def ask(self, person: Person) -> None:
        end = (START + timedelta(days=self.days)).isoformat()
        query = {"bucket": self.bucket.value, "by_version": self.by_version, "from": START.isoformat(), "to": end}
        answer = person.client.get(f"/prompts/{self.prompt_id}/analytics", params=query)
        assert answer.json()["totals"]["runs"] == RUNS


def _own(person: Person) -> None:
    query = {"from": START.isoformat(), "to": (START + timedelta(days=366)).isoformat()}
    answer = person.client.get("/users/me/usage", params=query).json()
    assert (answer["totals"]["runs"], len(answer["days"])) == (366 * 24, 366)


def _timed(work: Callable[[], None], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def run(part: str = "") -> None:
    """Print how long a question takes over HTTP, from sums, and how long mongod alone takes over what they are of."""
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), LOG_LEVEL="warning") as service:
        _measure_kinds(service)
        if part != "kinds":
            _measure(service)


def _measure_kinds(service: Service) -> None:
    person = service.person("teller")
    owner, today = person.get("/users/me")["id"], datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = {str(hour): {"events": 5, "value": 2.5} for hour in range(24)}
    sums = [
        {
            "_id": f"{owner}:k:{day:%Y-%m-%d}:kind.{kind:03}",
            "owner": owner,
            "day": day,
            "kind": f"kind.{kind:03}",
            "events": 120,
            "value": 60.0,
            "hours": hours,
        }
        for day in (today - timedelta(days=ago) for ago in range(YEAR))
        for kind in range(KINDS)
    ]
    with service.database() as client:
        rollups = client["promptforge"][ROLLUPS]
        rollups.insert_many(sums, ordered=False)
        anyio.run(_coarse, service.mongo_directory)
        rows = [Row("all sums by mongod", _timed(lambda: _from_fine(rollups, owner), 5), "ms")]
        for days in (30, YEAR):
            ask = partial(_dashboard, person, days)
            rows.append(Row(f"dashboard, {days} days", _timed(ask, ROUNDS), "ms", "all sums by mongod", "≤ 100 ms"))
    print_rows(f"{KINDS} kinds of events on each of {YEAR} days: {len(sums):,} sums", rows)


async def _coarse(mongod: Path) -> None:
    server = EmbeddedMongod.start(mongod)
    mongo = await Mongo.connect(server.url, "promptforge")
    await make_coarse_sums(mongo)
    mongo.close()
    server.stop()


def _from_fine(rollups: Collection[dict[str, Any]], owner: str) -> None:
    both = {"events": {"$sum": "$events"}, "value": {"$sum": "$value"}}
    facets = {name: [{"$group": {"_id": f"${name}", **both}}] for name in ("day", "kind")}
    wanted = {"_id": {"$gt": f"{owner}:k:", "$lt": f"{owner}:k;"}}
    shown = {"_id": 0, "day": 1, "kind": 1, "events": 1, "value": 1}
    (found,) = rollups.aggregate([{"$match": wanted}, {"$project": shown}, {"$facet": facets}])
    assert (len(found["day"]), len(found["kind"])) == (YEAR, KINDS)


def _dashboard(person: Person, days: int) -> None:
    assert person.get(f"/analytics/dashboard?days={days}")["totals"]["events"] == days * KINDS * 120


def _measure(service: Service) -> None:
    person = service.person("bench")
    calm, hot, old = (person.post("/prompts", {"name": name}, expect=201)["id"] for name in ("Calm", "Hot", "Old"))
    cases = [
        *(_Case(f"30 days by {bucket}", calm, bucket) for bucket in (Bucket.HOUR, Bucket.DAY)),
        *(_Case(f"30 days of a hot one by {bucket}", hot, bucket) for bucket in (Bucket.HOUR, Bucket.DAY)),
    ]
    long = _Case("2,000 days by day", old, Bucket.DAY, LONG_DAYS, "false")
    with service.database() as client:
        database = client["promptforge"]
        _insert_records(database, calm)
        records = [
            Row(f"records by {bucket}", _timed(partial(_from_records, database, calm, bucket.value), 3), "ms")
            for bucket in (Bucket.HOUR, Bucket.DAY)
        ]
        counters = _fill(database, calm, writers=1, days=DAYS) + _fill(database, hot, writers=WRITERS, days=DAYS)
        rows = [*records, *_asked("not folded", person, cases)]
        counters += _fill(database, old, writers=1, days=LONG_DAYS)
        counters += _fill_own(database, person.get("/users/me")["id"])
        begun = time.perf_counter()
        anyio.run(_fold, service.mongo_directory)
        each = (time.perf_counter() - begun) / counters * 1e6
        rows += [
            *_asked("folded", person, [*cases, long]),
            Row("own by day", _timed(partial(_own, person), ROUNDS), "ms"),
        ]
    print_rows(f"Analytics of {RUNS:,} runs of a prompt ({VERSIONS} versions)", rows)
    print(f"Folded {counters:,} counters in {each:.0f} µs each")


def _asked(state: str, person: Person, cases: list[_Case]) -> list[Row]:
    return [
        Row(
            f"{state}: {case.name}",
            _timed(partial(case.ask, person), ROUNDS),
            "ms",
            f"records by {case.bucket}",
            "≤ 100 ms" if state == "folded" else "",
        )
        for case in cases
    ]
