"""Histograms, percentiles, stretches of time, and what one run adds to which sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from math import ceil
from random import Random

import pytest

from promptforge.actors.ai.messages import CallerKind, RunOutcome, RunUsage, UsageRecord
from promptforge.actors.ai.usage.cells import (
    BOUNDS_MS,
    COUNTED,
    Cell,
    latency_of,
    latency_step,
    merged,
    new_cell,
    percentiles_ms,
    spend_of,
    totals_of,
)
from promptforge.actors.ai.usage.domain import (
    LONGEST,
    Rollup,
    Share,
    chunk_of,
    shares_of,
    slot_start,
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


def histogram(latencies: Iterable[int]) -> Cell:
    return merged([new_cell([1, 0, 0, 0, 0, 0, 0], {latency_step(latency): 1}) for latency in latencies])


def exact(latencies: list[int], percent: int) -> int:
    """What so many of a hundred did not exceed."""
    return sorted(latencies)[ceil(percent * len(latencies) / 100) - 1]


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 3, 99, 1000, 150_000, 262_144, 10**9])
def test_a_latency_is_in_the_first_step_that_is_long_enough(milliseconds: int) -> None:
    step = latency_step(milliseconds)
    assert milliseconds <= BOUNDS_MS[step] or step == len(BOUNDS_MS) - 1
    assert step == 0 or milliseconds > BOUNDS_MS[step - 1]


def spread(seed: int) -> list[int]:
    """Latencies of one of several kinds: around one figure, around two, alike, evenly spread, and few of them."""
    random = Random(seed)
    kinds: list[Callable[[], float]] = [
        lambda: random.lognormvariate(7, 0.6),
        lambda: random.choice((80, 9000)) * random.uniform(0.9, 1.1),
        lambda: 1500,
        lambda: random.uniform(0, 250_000),
        lambda: random.expovariate(1 / 20),
    ]
    return [round(kinds[seed % len(kinds)]()) for _ in range(random.choice((1, 3, 20, 5000)))]


@pytest.mark.parametrize("seed", range(40))
def test_percentiles_are_at_most_19_percent_or_a_millisecond_from_the_exact_ones(seed: int) -> None:
    latencies = spread(seed)
    for percent, told in zip((50, 95), percentiles_ms(histogram(latencies), (50, 95)), strict=True):
        true = exact(latencies, percent)
        assert told is not None
        assert true / 1.19 - 1 <= told <= true * 1.19 + 1


def test_of_nothing_there_are_no_percentiles_and_of_one_run_they_are_in_its_step() -> None:
    assert percentiles_ms(merged([]), (50, 95)) == [None, None]
    assert all(91 <= (told or 0) <= 108 for told in percentiles_ms(histogram([100]), (50, 95)))


def test_a_sum_is_that_of_its_parts_whatever_they_are() -> None:
    latencies = [round(Random(number).lognormvariate(7, 1)) for number in range(300)]
    parts = [histogram(latencies[start : start + 7]) for start in range(0, 300, 7)]
    assert merged(parts) == merged([merged(parts[:20]), merged(parts[20:])]) == histogram(latencies)
    assert merged([]) == [0] * len(COUNTED)
    bad = [1, 1, 0, 5, 6, 7, 8]
    assert merged([bad, bad]) == [2, 2, 0, 10, 12, 14, 16]
    assert merged([bad, [1, 0, 0, 0, 0, 0, 0, 9, 3], bad]) == [3, 2, 0, 10, 12, 14, 16, 9, 3]


@pytest.mark.parametrize("latency", [{}, {0: 1}, {72: 4}, {3: 1, 5: 2}, {0: 1, 72: 1}])
def test_a_histogram_is_kept_as_it_was(latency: dict[int, int]) -> None:
    cell = new_cell([0] * len(COUNTED), latency)
    assert latency_of(cell) == latency
    assert latency_of(merged([cell, cell])) == {step: 2 * number for step, number in latency.items()}


def test_what_is_told_of_a_sum_has_each_figure_in_its_place() -> None:
    cell = [1, 2, 3, 4, 5, 6, 7000, latency_step(100), 1]
    spend, totals = spend_of(cell), totals_of(cell)
    for told in (spend, totals):
        assert (told.runs, told.failed, told.cancelled) == (1, 2, 3)
        assert (told.input_tokens, told.output_tokens, told.cost_microusd, told.credits) == (4, 5, 6, "7")
    assert totals.latency_p50_ms is not None
    assert totals.latency_p95_ms is not None
    assert totals.latency_p50_ms < totals.latency_p95_ms


def test_a_run_counts_for_its_prompts_hour_and_for_its_users() -> None:
    hour = WEDNESDAY.replace(minute=0, second=0, microsecond=0)
    counts = [1, 0, 0, 10, 20, 30, 40]
    assert shares_of(record()) == [
        Share("usr_1", False, Rollup(hour, None, counts)),
        Share("prm_1", True, Rollup(hour, 3, [*counts, latency_step(100), 1])),
    ]


@pytest.mark.parametrize("bucket", [Bucket.HOUR, Bucket.DAY])
@pytest.mark.parametrize(
    "moment", [WEDNESDAY, datetime(2028, 2, 29, 23, tzinfo=UTC), datetime(2027, 12, 31, tzinfo=UTC)]
)
def test_what_is_put_into_a_chunk_comes_out_at_its_time(bucket: Bucket, moment: datetime) -> None:
    chunk, slot = chunk_of(moment, bucket)
    assert slot_start(chunk, slot, bucket) == start_of(moment, bucket)


@pytest.mark.parametrize(
    ("outcome", "failed", "cancelled"),
    [(RunOutcome.FAILED, 1, 0), (RunOutcome.LOST, 1, 0), (RunOutcome.CANCELLED, 0, 1)],
)
def test_what_did_not_end_well_has_no_latency(outcome: RunOutcome, failed: int, cancelled: int) -> None:
    _, share = shares_of(record(outcome))
    cell = share.rollup.cell
    assert (cell[1:3], cell[len(COUNTED) :]) == ([failed, cancelled], [])


def test_runs_of_no_prompt_or_about_one_count_for_the_user_only() -> None:
    assert [share.owner for share in shares_of(record(prompt_id=None))] == ["usr_1"]
    assert [share.owner for share in shares_of(record(purpose="ai.improve.v1"))] == ["usr_1"]


def test_sums_come_in_order_and_leave_out_what_is_empty() -> None:
    day = timedelta(days=1)
    monday = start_of(WEDNESDAY, Bucket.WEEK)
    ones = [1, 0, 0, 1, 1, 1, 1, 3, 1]
    rollups = [Rollup(monday + number * day, version, ones) for number in (0, 1, 8) for version in (10, 9)]
    sums = summed(rollups, Bucket.WEEK, by_version=True)
    assert [(start, version) for start, version in sums.buckets] == [
        (monday, 9),
        (monday, 10),
        (monday + 7 * day, 9),
        (monday + 7 * day, 10),
    ]
    assert sums.whole == [6, 0, 0, 6, 6, 6, 6, 3, 6]
    assert {number: cell[0] for number, cell in sums.versions.items()} == {9: 3, 10: 3}


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
