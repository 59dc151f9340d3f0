"""A prompt's analytics over a million runs: from roll-ups, beside adding up the usage records from a covering index.

The million runs are those of one prompt in thirty days, in three versions. Once they end one after the other, so that
each hour has one document for each version; and once four end at the same moment all the time, so that it has four.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from pymongo.database import Database

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.models.store import USAGE, usage_row
from promptforge.actors.ai.usage.domain import COUNTED, Tally, rollups_of
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.actors.ai.usage.store import ROLLUPS, between
from tests.bench.table import Row, print_rows
from tests.support.running import Person
from tests.support.service import Service, serving

RUNS, DAYS, VERSIONS = 1_000_000, 30, 3
WRITERS, BATCH = 4, 20_000
ROUNDS = 15
START = datetime(2026, 10, 1, tzinfo=UTC)
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

Rollups = dict[str, tuple[datetime, int | None, Tally]]


def _records(prompt_id: str, random: Random) -> Iterator[UsageRecord]:
    step = timedelta(days=DAYS) / RUNS
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


def _fill(database: Database[dict[str, Any]], prompt_id: str, *, writers: int, records: bool) -> int:
    """Insert the prompt's roll-ups, and the `records` that they are of; answers how many roll-ups there are."""
    rollups: Rollups = {}
    waiting: list[dict[str, Any]] = []
    for number, record in enumerate(_records(prompt_id, Random(1))):
        if records:
            waiting.append(usage_row(record))
        if len(waiting) == BATCH or (waiting and number == RUNS - 1):
            database[USAGE].insert_many(waiting, ordered=False)
            waiting = []
        for owner, bucket, part in rollups_of(record)[1:]:
            key = between(owner, bucket, part.start, part.start)["_id"]["$gte"]
            key = f"{key}:{part.version}:{number // VERSIONS % writers}"
            rollups.setdefault(key, (part.start, part.version, Tally()))[2].add(part)
    rows = [
        {
            "_id": key,
            "start": start,
            "version": version,
            **dict(zip(COUNTED, tally.counts, strict=True)),
            "latency": tally.latency,
        }
        for key, (start, version, tally) in rollups.items()
    ]
    database[ROLLUPS].insert_many(rows, ordered=False)
    return len(rows)


def _from_records(database: Database[dict[str, Any]], prompt_id: str, unit: str) -> None:
    """The sums of the same buckets, without percentiles."""
    sums = {name: {"$sum": f"${name}"} for name in ("input_tokens", "output_tokens", "cost_microusd")}
    key = {"at": {"$dateTrunc": {"date": "$timestamp", "unit": unit}}, "version": "$prompt_version"}
    wanted = {"prompt_id": prompt_id, "timestamp": {"$gte": START, "$lt": END}}
    found = list(database[USAGE].aggregate([{"$match": wanted}, {"$group": {"_id": key, "runs": {"$sum": 1}, **sums}}]))
    assert sum(row["runs"] for row in found) == RUNS


def _from_rollups(person: Person, prompt_id: str, bucket: Bucket) -> None:
    query = {"bucket": bucket.value, "by_version": "true", "from": START.isoformat(), "to": END.isoformat()}
    answer = person.client.get(f"/prompts/{prompt_id}/analytics", params=query)
    assert answer.json()["totals"]["runs"] == RUNS


def _timed(work: Callable[[], None], rounds: int) -> list[float]:
    """Milliseconds of each round."""
    work()
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def run() -> None:
    """Print how long a question takes over HTTP, from roll-ups, and how long mongod alone takes over the records."""
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), LOG_LEVEL="warning") as service:
        _measure(service)


def _measure(service: Service) -> None:
    person = service.person("bench")
    calm, hot = (person.post("/prompts", {"name": name}, expect=201)["id"] for name in ("Calm", "Hot"))
    with service.database() as client:
        database = client["promptforge"]
        fewer = _fill(database, calm, writers=1, records=True)
        more = _fill(database, hot, writers=WRITERS, records=False)
        database[USAGE].create_index(COVERING)
        rows = []
        for bucket in (Bucket.HOUR, Bucket.DAY):
            records = f"records, by {bucket}"
            rows += [
                Row(records, _timed(partial(_from_records, database, calm, bucket.value), 3), "ms"),
                _asked(f"{fewer:,} roll-ups over HTTP, by {bucket}", person, calm, bucket, records),
                _asked(f"{more:,} roll-ups over HTTP, by {bucket}", person, hot, bucket, records),
            ]
    print_rows(f"Analytics of {RUNS:,} runs of a prompt ({DAYS} days, {VERSIONS} versions)", rows)


def _asked(name: str, person: Person, prompt_id: str, bucket: Bucket, baseline: str) -> Row:
    taken = _timed(partial(_from_rollups, person, prompt_id, bucket), ROUNDS)
    return Row(name, taken, "ms", baseline, "≤ 100 ms")
