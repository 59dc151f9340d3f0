"""What this process tells Prometheus: its jobs by kind, the queues, and the actors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from promptforge.core.errors import Unavailable
from promptforge.core.jobs import MongoJobStore, QueueStats
from promptforge.core.runtime import System
from promptforge.core.runtime.telemetry import Histogram

COUNTS_KEPT_SECONDS = 10.0
"""Counting a million jobs takes a second or so: not for every scrape."""
_SHOWN_BUCKETS = range(7, 28, 2)  # 128 µs … 134 s


class ProcessMetrics(Collector):
    """Read from the counters that are kept anyway: recording costs a job nothing more."""

    def __init__(self, system: System, store: MongoJobStore) -> None:
        self._system = system
        self._store = store
        self._queues: list[QueueStats] = []
        self._counted_at = float("-inf")
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    async def refresh(self) -> None:
        """Count the queues again, if the last count is old."""
        if time.monotonic() - self._counted_at < COUNTS_KEPT_SECONDS:
            return
        self._counted_at = time.monotonic()
        try:
            self._queues = await self._store.console.stats()
        except Unavailable:
            self._queues = []  # no figure is better than a stale one

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._depths()
        yield from self._actors()

    def _jobs(self) -> Iterable[Metric]:
        attempts = CounterMetricFamily(
            "promptforge_job_attempts", "Attempts that ended in this process", labels=("kind", "outcome")
        )
        wait = HistogramMetricFamily("promptforge_job_wait_seconds", "From due to claimed", labels=("kind",))
        run = HistogramMetricFamily("promptforge_job_run_seconds", "From claimed to answered", labels=("kind",))
        for kind, stats in self._store.telemetry.kinds.items():
            for outcome, number in stats.outcomes.items():
                attempts.add_metric((kind, outcome.value), number)
            wait.add_metric((kind,), _buckets(stats.wait), stats.wait.total_seconds)
            run.add_metric((kind,), _buckets(stats.run), stats.run.total_seconds)
        rescued = CounterMetricFamily("promptforge_jobs_rescued", "Jobs given back by this process for dead ones")
        rescued.add_metric((), self._store.telemetry.rescued)
        unwritten = GaugeMetricFamily("promptforge_job_endings_unwritten", "Ended jobs whose end is not written yet")
        unwritten.add_metric((), self._store.endings.unwritten)
        return (attempts, wait, run, rescued, unwritten)

    def _depths(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily("promptforge_jobs", "Jobs in the database, by state", labels=("queue", "state"))
        oldest = GaugeMetricFamily(
            "promptforge_jobs_oldest_seconds", "How long the first due job has been waiting", labels=("queue",)
        )
        for stats in self._queues:
            for state, number in stats.counts.items():
                depth.add_metric((stats.queue, state.value), number)
            oldest.add_metric((stats.queue,), stats.oldest_seconds)
        return (depth, oldest)

    def _actors(self) -> Iterable[Metric]:
        handled = CounterMetricFamily(
            "promptforge_actor_messages", "Messages by what became of them", labels=("actor", "outcome")
        )
        depth = GaugeMetricFamily("promptforge_actor_mailbox", "Messages waiting", labels=("actor",))
        up = GaugeMetricFamily("promptforge_actor_running", "1 while the actor runs", labels=("actor",))
        for actor in self._system.inspect():
            for outcome in ("handled", "failed", "expired", "rejected", "abandoned"):
                handled.add_metric((actor.name, outcome), getattr(actor, outcome))
            depth.add_metric((actor.name,), actor.depth)
            up.add_metric((actor.name,), actor.state == "running")
        return (handled, depth, up)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    return [
        *((repr((1 << bucket) / 1e6), float(sum(histogram.counts[: bucket + 1]))) for bucket in _SHOWN_BUCKETS),
        ("+Inf", float(histogram.count)),
    ]
