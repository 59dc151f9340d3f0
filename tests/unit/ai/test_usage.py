"""Histograms, percentiles, stretches of time, and what one run adds to which sum."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from statistics import quantiles

import pytest

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.usage.domain import (
    BOUNDS_MS,
    LONGEST,
    Rollup,
    latency_step,
    percentiles_ms,
    rollups_of,
    start_of,
    stretch,
    summed,
)
from promptforge.actors.ai.usage.messages import Bucket
from promptforge.core.errors import Invalid

WEDNESDAY = datetime(2027, 3, 3, 10, 30, 5, 123000, tzinfo=UTC)


def record(
    outcome: RunOutcome = RunOutcome.OK, *, purpose: str = "test", prompt_id: str | None = "prm_1"
) -> UsageRecord:
    usage = RunUsage(10, 20, estimated=False, cost_microusd=30, credits="0.04", latency_ms=100, first_token_ms=5)
    person = CallerKind.PERSON
    return UsageRecord(
        "run_1", "usr_1", WEDNESDAY, purpose, person, outcome, None, "large", "openai", prompt_id, 3, usage
    )


def histogram(latencies: list[float]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for latency in latencies:
        step = str(latency_step(round(latency)))
        counted[step] = counted.get(step, 0) + 1
    return counted


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 99, 1000, 150_000, 262_144, 10**9])
def test_a_latency_is_in_the_first_step_that_is_long_enough(milliseconds: int) -> None:
    step = latency_step(milliseconds)
    assert milliseconds <= BOUNDS_MS[step] or step == len(BOUNDS_MS) - 1
    assert step == 0 or milliseconds > BOUNDS_MS[step - 1]


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_within_a_step_of_the_true_ones(seed: int) -> None:
    latencies = [Random(seed + number).lognormvariate(7, 0.6) for number in range(5000)]
    true = quantiles(latencies, n=100)
    for share in (0.5, 0.95):
        (told,) = percentiles_ms(histogram(latencies), (share,))
        assert told is not None
        assert true[round(share * 100) - 1] / 1.42 < told < true[round(share * 100) - 1] * 1.42


def test_of_nothing_there_are_no_percentiles_and_of_one_run_they_are_in_its_step() -> None:
    assert percentiles_ms({}, (0.5, 0.95)) == [None, None]
    assert all(91 <= (told or 0) <= 128 for told in percentiles_ms(histogram([100]), (0.5, 0.95)))


def test_a_run_counts_for_its_prompts_hour_and_day_and_for_its_users_day() -> None:
    hour, day = WEDNESDAY.replace(minute=0, second=0, microsecond=0), datetime(2027, 3, 3, tzinfo=UTC)
    counts, latency = [1, 0, 0, 10, 20, 30, 40], {str(latency_step(100)): 1}
    assert rollups_of(record()) == [
        ("usr_1", Bucket.DAY, Rollup(day, None, counts, {})),
        ("prm_1", Bucket.HOUR, Rollup(hour, 3, counts, latency)),
        ("prm_1", Bucket.DAY, Rollup(day, 3, counts, latency)),
    ]


@pytest.mark.parametrize(
    ("outcome", "failed", "cancelled"),
    [(RunOutcome.FAILED, 1, 0), (RunOutcome.LOST, 1, 0), (RunOutcome.CANCELLED, 0, 1)],
)
def test_what_did_not_end_well_has_no_latency(outcome: RunOutcome, failed: int, cancelled: int) -> None:
    _, (_, _, hour), _ = rollups_of(record(outcome))
    assert (hour.counts[1:3], hour.latency) == ([failed, cancelled], {})


def test_runs_of_no_prompt_or_about_one_count_for_the_user_only() -> None:
    assert [owner for owner, _, _ in rollups_of(record(prompt_id=None))] == ["usr_1"]
    assert [owner for owner, _, _ in rollups_of(record(purpose="ai.improve.v1"))] == ["usr_1"]


def test_sums_come_in_order_and_leave_out_what_is_empty() -> None:
    day = timedelta(days=1)
    monday = start_of(WEDNESDAY, Bucket.WEEK)
    ones = [1, 0, 0, 1, 1, 1, 1]
    rollups = [Rollup(monday + number * day, version, ones, {"3": 1}) for number in (0, 1, 8) for version in (10, 9)]
    sums = summed(rollups, Bucket.WEEK, by_version=True)
    assert [(start, version) for start, version in sums.buckets] == [
        (monday, 9),
        (monday, 10),
        (monday + 7 * day, 9),
        (monday + 7 * day, 10),
    ]
    assert (sums.whole.counts, sums.whole.latency) == ([6, 0, 0, 6, 6, 6, 6], {"3": 6})
    assert {number: tally.counts[0] for number, tally in sums.versions.items()} == {9: 3, 10: 3}


@pytest.mark.parametrize(
    ("bucket", "start"),
    [
        (Bucket.HOUR, datetime(2027, 3, 3, 10, tzinfo=UTC)),
        (Bucket.DAY, datetime(2027, 3, 3, tzinfo=UTC)),
        (Bucket.WEEK, datetime(2027, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_bucket_begins_on_the_hour_the_day_or_its_monday(bucket: Bucket, start: datetime) -> None:
    assert start_of(WEDNESDAY, bucket) == start
    asked = stretch(WEDNESDAY, WEDNESDAY + timedelta(seconds=1), bucket, now=WEDNESDAY, longest=LONGEST[bucket])
    assert asked == (start, start + (asked[1] - asked[0]))
    assert stretch(*asked, bucket, now=WEDNESDAY, longest=LONGEST[bucket]) == asked  # whole buckets stay as they are


@pytest.mark.parametrize("bucket", list(Bucket))
def test_without_a_time_it_is_the_last_ones_with_the_present_bucket(bucket: Bucket) -> None:
    start, end = stretch(None, None, bucket, now=WEDNESDAY, longest=LONGEST[bucket])
    assert start < WEDNESDAY < end
    ahead = WEDNESDAY + timedelta(days=400)
    start, end = stretch(ahead, None, bucket, now=WEDNESDAY, longest=LONGEST[bucket])
    assert start <= ahead < end


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
@pytest.mark.parametrize("bucket", list(Bucket))
def test_moments_without_neighbours_are_refused(bucket: Bucket, moment: datetime) -> None:
    for since, until in ((moment, None), (None, moment)):
        with pytest.raises(Invalid):
            stretch(since, until, bucket, now=WEDNESDAY, longest=LONGEST[bucket])
