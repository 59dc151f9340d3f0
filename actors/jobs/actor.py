"""Answers questions about jobs and acts on them; running them is core's matter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import MISSING

from promptforge.actors.jobs.domain import detail_of, queue_view, view_of
from promptforge.actors.jobs.messages import (
    BatchView,
    BulkView,
    CancelJob,
    ChangeJobs,
    ChangeQueue,
    DiscardJob,
    GetBatch,
    GetJob,
    JobDetailView,
    JobView,
    ListJobs,
    ListQueues,
    ListSchedules,
    PauseQueue,
    QueuesView,
    QueueView,
    ResumeQueue,
    RetryJob,
    SchedulesView,
    ScheduleView,
    TriggeredView,
    TriggerSchedule,
)
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid
from promptforge.core.jobs import Job, MongoJobStore, Queue, Rate
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles


class JobsActor(Actor):
    name = "jobs"
    workers = 4

    def __init__(self, store: MongoJobStore) -> None:
        self._store = store
        self._console = store.console

    @handles(GetJob)
    async def get_job(self, message: GetJob, context: Context) -> JobDetailView:
        job = await self._console.get(message.job_id, owner_id=_only_of(context))
        return detail_of(job, self._store.now(), with_arguments=_sees_all(context))

    @handles(ListJobs)
    async def list_jobs(self, message: ListJobs, context: Context) -> Page[JobView]:
        filters = _filters(message)
        if not _sees_all(context):
            filters["owner_id"] = context.user_id
        page = await self._console.list_page(filters, Cursor.decode_optional(message.cursor), message.limit)
        now = self._store.now()
        return Page(tuple(view_of(job, now) for job in page.items), page.next)

    @handles(GetBatch)
    async def get_batch(self, message: GetBatch, context: Context) -> BatchView:
        batch = await self._console.batch(message.batch_id, owner_id=_only_of(context))
        fields: dict[str, Any] = asdict(batch)
        return BatchView(**fields)

    @handles(RetryJob)
    async def retry_job(self, message: RetryJob, context: Context) -> JobView:
        return self._view(await self._console.retry(message.job_id))

    @handles(CancelJob)
    async def cancel_job(self, message: CancelJob, context: Context) -> JobView:
        return self._view(await self._console.cancel(message.job_id))

    @handles(DiscardJob)
    async def discard_job(self, message: DiscardJob, context: Context) -> JobView:
        return self._view(await self._console.discard(message.job_id))

    @handles(ChangeJobs)
    async def change_jobs(self, message: ChangeJobs, context: Context) -> BulkView:
        filters = _filters(message)
        if not filters:
            error = FieldError("Give at least one condition: all jobs at once are never meant", "required", pointer="")
            raise Invalid(errors=(error,))
        outcome = await self._console.bulk(message.action, filters)
        return BulkView(outcome.matched, outcome.changed, outcome.more)

    @handles(ListQueues)
    async def list_queues(self, message: ListQueues, context: Context) -> QueuesView:
        queues = self._store.queues
        return QueuesView(tuple(queue_view(queues[stats.queue], stats) for stats in await self._console.stats()))

    @handles(PauseQueue, key="queue")
    async def pause_queue(self, message: PauseQueue, context: Context) -> QueueView:
        return await self._queue(await self._store.queues.change(message.queue, self._store.now(), paused=True))

    @handles(ResumeQueue, key="queue")
    async def resume_queue(self, message: ResumeQueue, context: Context) -> QueueView:
        return await self._queue(await self._store.queues.change(message.queue, self._store.now(), paused=False))

    @handles(ChangeQueue, key="queue")
    async def change_queue(self, message: ChangeQueue, context: Context) -> QueueView:
        changes: dict[str, Any] = {}
        if message.concurrency is not MISSING:
            changes["concurrency"] = message.concurrency
        if message.global_limit is not MISSING:
            changes["global_limit"] = message.global_limit
        if message.rate is not MISSING:
            changes["rate"] = None if message.rate is None else Rate(message.rate.count, message.rate.seconds)
        return await self._queue(await self._store.queues.change(message.queue, self._store.now(), **changes))

    @handles(ListSchedules)
    async def list_schedules(self, message: ListSchedules, context: Context) -> SchedulesView:
        found = await self._store.schedules.status()
        return SchedulesView(tuple(ScheduleView(**asdict(status)) for status in found))

    @handles(TriggerSchedule, transactional=True)
    async def trigger_schedule(self, message: TriggerSchedule, context: Context) -> TriggeredView:
        return TriggeredView(await self._store.schedules.trigger(message.name, context))

    def _view(self, job: Job) -> JobView:
        return view_of(job, self._store.now())

    async def _queue(self, queue: Queue) -> QueueView:
        return queue_view(queue, await self._console.queue_stats(queue.name))


def _sees_all(context: Context) -> bool:
    principal = context.principal
    return principal is not None and principal.has_role(Role.OPERATOR, Role.ADMIN)


def _only_of(context: Context) -> str | None:
    """Whose jobs may be seen; None for everyone's."""
    return None if _sees_all(context) else context.user_id


def _filters(message: ListJobs | ChangeJobs) -> dict[str, Any]:
    """The conditions as a filter on the documents."""
    wanted: dict[str, Any] = {
        "state": message.state.value if message.state else None,
        "kind": message.kind,
        "queue": message.queue,
        "owner_id": message.owner_id,
        "batch_id": message.batch_id,
    }
    filters = {field: value for field, value in wanted.items() if value is not None}
    created = {"$gte": message.created_after, "$lt": message.created_before}
    if any(created.values()):
        filters["created_at"] = {operator: moment for operator, moment in created.items() if moment is not None}
    return filters
