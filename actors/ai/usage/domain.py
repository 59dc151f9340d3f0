"""Roll-ups: sums of runs by prompt or user and stretch of time, with a histogram that percentiles come from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from promptforge.actors.ai.messages import RunOutcome, UsageRecord
from promptforge.actors.ai.usage.messages import Bucket, RunTotals, SpendTotals
from promptforge.core.amounts import from_millicredits, to_millicredits
from promptforge.core.errors import FieldError, Invalid

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
LENGTHS = {Bucket.HOUR: HOUR, Bucket.DAY: DAY, Bucket.WEEK: WEEK}
LONGEST = {Bucket.HOUR: 2000 * HOUR, Bucket.DAY: 2000 * DAY, Bucket.WEEK: 2000 * DAY}
DEFAULTS = {Bucket.HOUR: 7 * DAY, Bucket.DAY: 30 * DAY, Bucket.WEEK: 26 * WEEK}
EARLIEST = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday before there were any runs; nothing is asked for before it, and nothing after `LATEST`."""
LATEST = datetime(9999, 1, 4, tzinfo=UTC)

BOUNDS_MS = tuple(round(2 ** (step / 2)) for step in range(37))
"""Upper bounds of the histogram's buckets, up to 262 s, which is longer than a run may take; the last has no bound."""
COUNTED = ("runs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_microusd", "millicredits")


@dataclass(slots=True)
class Tally:
    """Sums of runs. `counts` are in the order of `COUNTED`; `latency` counts runs that ended well by their step.

    Steps are digits, as the documents have them: there are many to read.
    """

    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTED))
    latency: dict[str, int] = field(default_factory=dict)

    def add(self, more: Tally | Rollup) -> None:
        self.counts = [mine + number for mine, number in zip(self.counts, more.counts, strict=True)]
        for step, number in more.latency.items():
            self.latency[step] = self.latency.get(step, 0) + number

    @property
    def spend(self) -> SpendTotals:
        runs, failed, cancelled, received, sent, cost, millicredits = self.counts
        return SpendTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits))

    @property
    def totals(self) -> RunTotals:
        runs, failed, cancelled, received, sent, cost, millicredits = self.counts
        half, most = percentiles_ms(self.latency, (0.5, 0.95))
        return RunTotals(
            runs=runs,
            failed=failed,
            cancelled=cancelled,
            input_tokens=received,
            output_tokens=sent,
            cost_microusd=cost,
            credits=from_millicredits(millicredits),
            latency_p50_ms=half,
            latency_p95_ms=most,
        )


@dataclass(frozen=True, slots=True)
class Rollup:
    """The runs of a stretch, or part of them; `version` is None in a user's."""

    start: datetime
    version: int | None
    counts: list[int]
    latency: dict[str, int]


@dataclass(frozen=True, slots=True)
class Sums:
    """`buckets` by start and version; the version is None where they are not divided. All are in their order."""

    whole: Tally
    versions: dict[int, Tally]
    buckets: dict[tuple[datetime, int | None], Tally]


def summed(rollups: Iterable[Rollup], bucket: Bucket, *, version: int | None = None, by_version: bool = False) -> Sums:
    """Add up roll-ups that come by time, those of one version where that is wanted."""
    parts: dict[tuple[datetime, int | None], Tally] = {}
    for rollup in rollups:
        if version is None or rollup.version == version:
            _add(parts, (start_of(rollup.start, bucket), rollup.version), rollup)
    buckets, versions, whole = parts, dict[int | None, Tally](), Tally()
    if not by_version:
        buckets = {}
        for (start, _), tally in parts.items():
            _add(buckets, (start, None), tally)
    for (_, number), tally in parts.items():
        _add(versions, number, tally)
    for tally in versions.values():
        whole.add(tally)
    return Sums(
        whole=whole,
        versions={number: versions[number] for number in sorted(filter(None, versions))},
        buckets=dict(sorted(buckets.items(), key=lambda item: (item[0][0], item[0][1] or 0))),
    )


K = TypeVar("K")


def _add(tallies: dict[K, Tally], key: K, more: Tally | Rollup) -> None:
    """Most keys come once, and a copy costs less than adding."""
    tally = tallies.get(key)
    if tally is None:
        tallies[key] = Tally(list(more.counts), dict(more.latency))
    else:
        tally.add(more)


def rollups_of(record: UsageRecord) -> list[tuple[str, Bucket, Rollup]]:
    """What one run adds, and to whose stretch: the prompt's hour and day where it is one's run, and the user's day."""
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
    latency = {str(latency_step(usage.latency_ms)): 1} if outcome is RunOutcome.OK else {}
    hour, day = (start_of(record.timestamp, bucket) for bucket in (Bucket.HOUR, Bucket.DAY))
    parts = [(record.user_id, Bucket.DAY, Rollup(day, None, counts, {}))]
    # The assistant's runs name the prompt that they are about, and are runs of its own prompts.
    if record.prompt_id is not None and not record.purpose.startswith("ai."):
        parts.append((record.prompt_id, Bucket.HOUR, Rollup(hour, record.prompt_version, counts, latency)))
        parts.append((record.prompt_id, Bucket.DAY, Rollup(day, record.prompt_version, counts, latency)))
    return parts


def latency_step(milliseconds: int) -> int:
    """Which bucket of the histogram it falls in."""
    return min(bisect_left(BOUNDS_MS, milliseconds), len(BOUNDS_MS) - 1)


def percentiles_ms(latency: Mapping[str, int], shares: Sequence[float]) -> list[int | None]:
    """What each of the `shares` of the runs did not exceed: within a step as if they were spread evenly."""
    steps = sorted((int(step), number) for step, number in latency.items())
    whole = sum(latency.values())
    return [_percentile_ms(steps, share * whole) for share in shares]


def _percentile_ms(steps: list[tuple[int, int]], wanted: float) -> int | None:
    seen = 0
    for step, number in steps:
        if seen + number >= wanted:
            low, high = (BOUNDS_MS[step - 1] if step else 0), BOUNDS_MS[step]
            return round(low + (high - low) * (wanted - seen) / number)
        seen += number
    return None


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
