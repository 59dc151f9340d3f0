"""Sums of runs by prompt or user and stretch of time, and the stretches that can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from promptforge.actors.ai.messages import RunOutcome, UsageRecord
from promptforge.actors.ai.usage.cells import Cell, latency_step, merged, new_cell
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.core.amounts import to_millicredits
from promptforge.core.errors import FieldError, Invalid

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
LENGTHS = {Bucket.HOUR: HOUR, Bucket.DAY: DAY, Bucket.WEEK: WEEK}
LONGEST = {Bucket.HOUR: 2000 * HOUR, Bucket.DAY: 2000 * DAY, Bucket.WEEK: 2000 * DAY}
DEFAULTS = {Bucket.HOUR: 7 * DAY, Bucket.DAY: 30 * DAY, Bucket.WEEK: 26 * WEEK}
EARLIEST = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday before there were any runs; nothing is asked for before it, and nothing after `LATEST`."""
LATEST = datetime(9999, 1, 4, tzinfo=UTC)


class Rollup(NamedTuple):
    """The runs of a stretch that begins at `start`, or part of them; `version` is None in a user's."""

    start: datetime
    version: int | None
    cell: Cell


@dataclass(frozen=True, slots=True)
class Share:
    """What one run adds to the hour of its prompt or of its user. A prompt's hours are kept, of a user's its days."""

    owner: str
    by_hour: bool
    rollup: Rollup


@dataclass(frozen=True, slots=True)
class Sums:
    """`buckets` by start and version; the version is None where they are not divided. All are in their order."""

    whole: Cell
    versions: Mapping[int, Cell]
    buckets: Mapping[tuple[datetime, int | None], Cell]


def summed(rollups: Iterable[Rollup], bucket: Bucket, *, by_version: bool = False) -> Sums:
    """Add up hours, or days for days and weeks, which come in any order and may come in parts."""
    buckets: dict[tuple[datetime, int | None], list[Cell]] = {}
    versions: dict[int | None, list[Cell]] = {}
    for start, version, cell in rollups:
        begin = start_of(start, bucket) if bucket is Bucket.WEEK else start
        buckets.setdefault((begin, version if by_version else None), []).append(cell)
        versions.setdefault(version, []).append(cell)
    by_number = {number: merged(cells) for number, cells in versions.items()}
    in_order = sorted(buckets.items(), key=lambda item: (item[0][0], item[0][1] or 0))
    return Sums(
        whole=merged(list(by_number.values())),
        versions={number: by_number[number] for number in sorted(filter(None, by_number))},
        buckets={key: merged(cells) for key, cells in in_order},
    )


def shares_of(record: UsageRecord) -> list[Share]:
    """What one run adds to its user's hour, and to the prompt's where it is one's run."""
    usage, outcome = record.usage, record.outcome
    counts = [
        1,
        int(outcome in (RunOutcome.FAILED, RunOutcome.LOST)),
        int(outcome is RunOutcome.CANCELLED),
        usage.input_tokens,
        usage.output_tokens,
        usage.cost_microusd,
        to_millicredits(usage.credits),
    ]
    latency = {latency_step(usage.latency_ms): 1} if outcome is RunOutcome.OK else {}
    hour = start_of(record.timestamp, Bucket.HOUR)
    shares = [Share(record.user_id, False, Rollup(hour, None, counts))]
    # The assistant's runs name the prompt that they are about, and are runs of its own prompts.
    if record.prompt_id is not None and not record.purpose.startswith("ai."):
        shares.append(Share(record.prompt_id, True, Rollup(hour, record.prompt_version, new_cell(counts, latency))))
    return shares


# Chunks: the hours of a day, or the days of a month. What is in one is told apart by its slot.


def chunk_of(moment: datetime, bucket: Bucket) -> tuple[datetime, int]:
    """Where the chunk begins that has the hour or day of this moment, and which of its slots that is."""
    day = start_of(moment, Bucket.DAY)
    return (day, moment.hour) if bucket is Bucket.HOUR else (day.replace(day=1), moment.day)


def slot_start(chunk: datetime, slot: int, bucket: Bucket) -> datetime:
    """When the hour or the day begins that is this slot of the chunk."""
    return chunk + (slot * HOUR if bucket is Bucket.HOUR else (slot - 1) * DAY)


def start_of(moment: datetime, bucket: Bucket) -> datetime:
    """When the bucket begins that the moment lies in."""
    if bucket is Bucket.HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday()) if bucket is Bucket.WEEK else day


def stretch(
    since: datetime | None, until: datetime | None, bucket: Bucket, *, now: datetime, longest: timedelta
) -> tuple[datetime, datetime]:
    """The whole buckets from the one of `since` to the one that `until` is in or ends with. Raises `Invalid`."""
    for name, moment in (("from", since), ("to", until)):
        if moment is not None and not EARLIEST <= moment <= LATEST:
            raise _invalid("Runs are from between the years 2000 and 9998", name, "out_of_range")
    length = LENGTHS[bucket]
    if until is None:
        until = now if since is None or since < now else since + length
    end = start_of(until, bucket)
    if end < until:
        end += length
    start = max(end - DEFAULTS[bucket], EARLIEST) if since is None else since
    start = start_of(start, bucket)
    if start >= end:
        raise _invalid("This is not before `to`", "from", "not_before")
    if end - start > longest + (length if bucket is Bucket.WEEK else timedelta()):
        raise _invalid(f"That is more than {longest // _unit(bucket)} {_unit_name(bucket)}", "from", "too_long")
    return start, end


def _unit(bucket: Bucket) -> timedelta:
    return HOUR if bucket is Bucket.HOUR else DAY


def _unit_name(bucket: Bucket) -> str:
    return "hours" if bucket is Bucket.HOUR else "days"


def _invalid(detail: str, parameter: str, code: str) -> Invalid:
    return Invalid(detail, errors=(FieldError(detail, code, parameter=parameter),))
