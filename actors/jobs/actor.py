"""Answers questions about jobs; running them is core's matter."""

from __future__ import annotations

from promptforge.actors.jobs.domain import view_of
from promptforge.actors.jobs.messages import GetJob, JobView, ListJobs
from promptforge.core.context import Context
from promptforge.core.jobs import MongoJobStore
from promptforge.core.pages import Cursor, Page
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor, handles


class JobsActor(Actor):
    name = "jobs"
    workers = 1

    def __init__(self, store: MongoJobStore) -> None:
        self._store = store

    @handles(GetJob)
    async def get_job(self, message: GetJob, context: Context) -> JobView:
        job = await self._store.get(message.job_id, owner_id=_only_of(context))
        return view_of(job, self._store.now())

    @handles(ListJobs)
    async def list_jobs(self, message: ListJobs, context: Context) -> Page[JobView]:
        wanted = {
            "owner_id": _only_of(context),
            "state": message.state.value if message.state else None,
            "kind": message.kind,
            "queue": message.queue,
        }
        filters = {field: value for field, value in wanted.items() if value is not None}
        page = await self._store.list_page(filters, Cursor.decode_optional(message.cursor), message.limit)
        now = self._store.now()
        return Page(tuple(view_of(job, now) for job in page.items), page.next)


def _only_of(context: Context) -> str | None:
    """Whose jobs may be seen; None for everyone's."""
    principal = context.principal
    if principal is not None and principal.has_role(Role.OPERATOR, Role.ADMIN):
        return None
    return context.user_id
