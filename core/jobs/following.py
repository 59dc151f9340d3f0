"""What the process's change stream tells the runner: work that other processes enqueued, cancellations, pauses.

Of many jobs enqueued at once one carries the bell, and of all that happens to jobs afterwards only the signals are
listened to: the server filters the rest out while it reads its log.
"""

from __future__ import annotations

from promptforge.core.jobs.documents import JOBS, QUEUES, SIGNALS
from promptforge.core.jobs.runner import JobRunner
from promptforge.core.mongo import Change, ChangeFeed

_BELL = {"operationType": "insert", "fullDocument.wake": True}


def follow_jobs(feed: ChangeFeed, runner: JobRunner) -> None:
    """Subscribe the runner to what concerns it."""

    def bell(change: Change) -> None:
        if change.document is not None:
            runner.wake(change.document["queue"])

    def signal(change: Change) -> None:
        if change.document is None:
            return
        cancelled = change.document.get("cancelled")
        if cancelled is None:
            runner.wake_all()
        for job_id in cancelled or ():
            runner.cancel(job_id)

    def queue_changed(change: Change) -> None:
        if not change.updated or "changed_at" in change.updated:  # the tokens of its limits are no news
            runner.refresh_queues()

    feed.subscribe(JOBS, bell, only=_BELL)
    feed.subscribe(SIGNALS, signal, only={"operationType": "insert"})
    feed.subscribe(QUEUES, queue_changed)
    feed.on_gap(runner.wake_all)
    feed.on_gap(runner.refresh_queues)
