"""Answers questions about jobs and acts on them; running them is core's matter."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from pydantic import MISSING

from promptforge.actors.jobs.domain import detail_of, ended_of, queue_view, view_of
from promptforge.actors.jobs.messages import (
    BatchView,
    BulkView,
    CancelJob,
    ChangeJobs,
    ChangeQueue,
    DiscardJob,
    EndedJob,
    FindEndedJobs,
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
from promptforge.core.jobs import Job, MongoJobStore, Rate, Record
from promptforge.core.mongo import Session
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles


class Act(Protocol):
    """One of the console's changes to one job."""

    async def __call__(self, job_id: str, *, record: Record) -> Job: ...


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
        return await self._act(self._console.retry, "job.retried", message.job_id, context)

    @handles(CancelJob)
    async def cancel_job(self, message: CancelJob, context: Context) -> JobView:
        return await self._act(self._console.cancel, "job.cancelled", message.job_id, context)

    @handles(DiscardJob)
    async def discard_job(self, message: DiscardJob, context: Context) -> JobView:
        return await self._act(self._console.discard, "job.discarded", message.job_id, context)

    @handles(ChangeJobs)
    async def change_jobs(self, message: ChangeJobs, context: Context) -> BulkView:
        filters = _filters(message)
        if not filters:
            error = FieldError("Give at least one condition: all jobs at once are never meant", "required", pointer="")
            raise Invalid(errors=(error,))

        async def record(session: Session, changed: int) -> None:
            what = {"action": message.action.value, "conditions": filters, "changed": changed}
            await context.audit("jobs.changed", "jobs", after=what, session=session)

        outcome = await self._console.bulk(message.action, filters, record=record)
        return BulkView(outcome.matched, outcome.changed, outcome.more)

    @handles(FindEndedJobs, transactional=True)
    async def find_ended_jobs(self, message: FindEndedJobs, context: Context) -> tuple[EndedJob, ...]:
        found = await self._console.list_some(message.job_ids, session=context.session)
        return ended_of(message.job_ids, found)

    @handles(ListQueues)
    async def list_queues(self, message: ListQueues, context: Context) -> QueuesView:
        queues = self._store.queues
        return QueuesView(tuple(queue_view(queues[stats.queue], stats) for stats in await self._console.stats()))

    @handles(PauseQueue, key="queue")
    async def pause_queue(self, message: PauseQueue, context: Context) -> QueueView:
        return await self._change_queue(message.queue, context, paused=True)

    @handles(ResumeQueue, key="queue")
    async def resume_queue(self, message: ResumeQueue, context: Context) -> QueueView:
        return await self._change_queue(message.queue, context, paused=False)

    @handles(ChangeQueue, key="queue")
    async def change_queue(self, message: ChangeQueue, context: Context) -> QueueView:
        changes: dict[str, Any] = {}
        if message.concurrency is not MISSING:
            changes["concurrency"] = message.concurrency
        if message.global_limit is not MISSING:
            changes["global_limit"] = message.global_limit
        if message.rate is not MISSING:
            changes["rate"] = None if message.rate is None else Rate(message.rate.count, message.rate.seconds)
        return await self._change_queue(message.queue, context, **changes)

    @handles(ListSchedules)
    async def list_schedules(self, message: ListSchedules, context: Context) -> SchedulesView:
        found = await self._store.schedules.status()
        return SchedulesView(tuple(ScheduleView(**asdict(status)) for status in found))

    @handles(TriggerSchedule, transactional=True)
    async def trigger_schedule(self, message: TriggerSchedule, context: Context) -> TriggeredView:
        async def work(tx: Context) -> str:
            job_id = await self._store.schedules.trigger(message.name, tx)
            await tx.audit("schedule.triggered", message.name, after={"job_id": job_id})
            return job_id

        return TriggeredView(await context.transaction(work))

    async def _act(self, act: Act, action: str, job_id: str, context: Context) -> JobView:
        async def record(session: Session, _: int) -> None:
            await context.audit(action, job_id, session=session)

        return view_of(await act(job_id, record=record), self._store.now())

    async def _change_queue(self, name: str, context: Context, **changes: Any) -> QueueView:
        queues = self._store.queues

        async def work(tx: Context) -> None:
            before = await queues.change(name, self._store.now(), session=tx.session, **changes)
            was = {field: getattr(before, field) for field in changes}
            await tx.audit("queue.changed", name, before=_plain(was), after=_plain(changes))

        await context.transaction(work)
        await queues.refresh()
        return queue_view(queues[name], await self._console.queue_stats(name))


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: asdict(value) if isinstance(value, Rate) else value for name, value in settings.items()}


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
