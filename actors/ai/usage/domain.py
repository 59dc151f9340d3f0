"""Roll-ups: sums of runs by prompt or user and stretch of time, with a histogram that percentiles come from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

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
    """Sums of runs. `counts` are in the order of `COUNTED`; `latency` counts runs that ended well by their step."""

    counts: list[int] = field(default_factory=lambda: [0] * len(COUNTED))
    latency: dict[int, int] = field(default_factory=dict)

    def add(self, counts: Iterable[int], latency: Mapping[int, int]) -> None:
        self.counts = [mine + more for mine, more in zip(self.counts, counts, strict=True)]
        for step, number in latency.items():
            self.latency[step] = self.latency.get(step, 0) + number

    @property
    def spend(self) -> SpendTotals:
        runs, failed, cancelled, received, sent, cost, millicredits = self.counts
        return SpendTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits))

    @property
    def totals(self) -> RunTotals:
        runs, failed, cancelled, received, sent, cost, millicredits = self.counts
        return RunTotals(
            runs=runs,
            failed=failed,
            cancelled=cancelled,
            input_tokens=received,
            output_tokens=sent,
            cost_microusd=cost,
            credits=from_millicredits(millicredits),
            latency_p50_ms=percentile_ms(self.latency, 0.5),
            latency_p95_ms=percentile_ms(self.latency, 0.95),
        )


@dataclass(frozen=True, slots=True)
class Rollup:
    """The runs of a stretch, or part of them; `version` is None in a user's."""

    start: datetime
    version: int | None
    counts: list[int]
    latency: dict[int, int]


@dataclass(frozen=True, slots=True)
class Sums:
    """`buckets` by start and version, in their order; the version is None where they are not divided."""

    whole: Tally = field(default_factory=Tally)
    versions: dict[int, Tally] = field(default_factory=dict)
    buckets: dict[tuple[datetime, int | None], Tally] = field(default_factory=dict)


def summed(rollups: Iterable[Rollup], bucket: Bucket, *, version: int | None = None, by_version: bool = False) -> Sums:
    """Add up roll-ups that come by time, those of one version where that is wanted."""
    sums = Sums()
    for rollup in rollups:
        number = rollup.version
        if version is not None and number != version:
            continue
        key = (start_of(rollup.start, bucket), number if by_version else None)
        sums.buckets.setdefault(key, Tally()).add(rollup.counts, rollup.latency)
        if number is not None:
            sums.versions.setdefault(number, Tally()).add(rollup.counts, rollup.latency)
    for tally in sums.buckets.values():
        sums.whole.add(tally.counts, tally.latency)
    ordered = sorted(sums.buckets.items(), key=lambda item: (item[0][0], item[0][1] or 0))
    return Sums(sums.whole, sums.versions, dict(ordered))


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
    latency = {latency_step(usage.latency_ms): 1} if outcome is RunOutcome.OK else {}
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


def percentile_ms(latency: Mapping[int, int], share: float) -> int | None:
    """What `share` of the runs did not exceed: within its bucket as if they were spread evenly."""
    wanted = share * sum(latency.values())
    seen = 0
    for step in sorted(latency):
        number = latency[step]
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
