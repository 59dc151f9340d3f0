"""What runs took: of a prompt, for those who work on it; of oneself, for who pays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from promptforge.actors.prompts.messages import PromptId, VersionNumber
from promptforge.core.clock import Instant
from promptforge.core.jobs.policy import job
from promptforge.core.messages import Command, Query, internal, requires

From = Annotated[Instant | None, Field(alias="from", examples=["2026-11-01T00:00:00Z"])]
To = Annotated[Instant | None, Field(alias="to", examples=["2026-12-01T00:00:00Z"])]


class Bucket(StrEnum):
    """A stretch of time, in UTC; a week begins on its Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class SpendTotals:
    """What runs took together. `failed` counts those that cost nothing, `cancelled` those that were given up."""

    runs: int
    failed: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cost_microusd: int
    credits: str


@dataclass(frozen=True, slots=True)
class RunTotals(SpendTotals):
    """The same with the latency that half of the runs, and 95 of 100, did not exceed.

    Only of runs that ended well; null where there are none. Estimated from a histogram with four steps to a doubling:
    at most 19 %, or 1 ms, from the true one.
    """

    latency_p50_ms: int | None
    latency_p95_ms: int | None


@dataclass(frozen=True, slots=True)
class VersionTotals:
    """What a version's runs took in the whole time asked for."""

    version: int
    totals: RunTotals


@dataclass(frozen=True, slots=True)
class BucketTotals:
    """What the runs took that ended in the bucket that begins at `start`.

    `version` is null where buckets are not divided by versions.
    """

    start: datetime
    version: int | None
    totals: RunTotals


@dataclass(frozen=True, slots=True)
class PromptAnalyticsView:
    """What a prompt's runs took from `start` until before `end`, which are whole buckets.

    `versions` are those with runs, in their order; `buckets` likewise, oldest first: those without runs are left out.
    """

    prompt_id: str
    bucket: Bucket
    start: datetime
    end: datetime
    totals: RunTotals
    versions: tuple[VersionTotals, ...]
    buckets: tuple[BucketTotals, ...]


@dataclass(frozen=True, slots=True)
class DayTotals:
    """What the runs took that ended on the day that begins at `start`, in UTC."""

    start: datetime
    totals: SpendTotals


@dataclass(frozen=True, slots=True)
class UsageView:
    """What your runs took from `start` until before `end`; days without runs are left out."""

    start: datetime
    end: datetime
    totals: SpendTotals
    days: tuple[DayTotals, ...]


@requires(scope="prompts:read")
class GetPromptAnalytics(Query[PromptAnalyticsView]):
    """Add up what a prompt's runs took, whoever had them run: by version and by hour, day or week.

    Runs that are about the prompt instead of it (improving it, say) are left out. `from` and `to` are widened to whole
    buckets; by default the last 7 days by hour, 30 days by day, or 26 weeks. At most 2,000 hours, or 2,000 days,
    and 4,000 buckets. `version` asks for that one only; `by_version` divides each bucket by versions.
    """

    prompt_id: PromptId
    since: From = None
    until: To = None
    bucket: Bucket = Bucket.DAY
    version: VersionNumber | None = None
    by_version: bool = False


@requires(scope="ai:read")
class GetMyUsage(Query[UsageView]):
    """Add up what your own runs of models took, day by day.

    `from` and `to` are widened to whole days; by default the last 30. At most 366 days.
    """

    since: From = None
    until: To = None


@internal
class SumUsage(Query[UsageView]):
    """The same of a user and of whole days, at most 2,000, for other features."""

    user_id: str
    since: datetime
    until: datetime


@internal
@job(timeout_seconds=600)
class FoldUsage(Command[int]):
    """Put the sums of hours that have passed together; answers how many there were. Answers are the same without it."""
