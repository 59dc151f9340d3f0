"""Takes orders for exports, carries them out as jobs, gives out files, and removes them when their time is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from promptforge.actors.analytics.exports.errors import ExportExpired, ExportNotReady, ExportOver, TooManyExports
from promptforge.actors.analytics.exports.formats import MEDIA_TYPES
from promptforge.actors.analytics.exports.messages import (
    KEPT,
    MOST_AT_ONCE,
    CancelExport,
    DownloadExport,
    ExportFailure,
    ExportState,
    ExportView,
    ForgetExports,
    GetExport,
    ListExports,
    RequestExport,
    RunExport,
    SweepExports,
)
from promptforge.actors.analytics.exports.sources import SOURCES
from promptforge.actors.analytics.exports.store import LOOK_AFTER, Due, ExportStore
from promptforge.actors.analytics.exports.writing import MAX_ROWS, Attempt, NotWanted, TooLarge
from promptforge.actors.jobs.messages import FindEndedJobs
from promptforge.core.context import Context
from promptforge.core.downloads import Download
from promptforge.core.errors import FieldError, Forbidden, Invalid, NotFound
from promptforge.core.ids import least_id, new_id
from promptforge.core.jobs import JobState
from promptforge.core.mongo import Files, StoredFile
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

SWEPT_AT_ONCE = 100
EXPORT = "exp"
NOBODYS_AFTER = timedelta(days=2)
"""No job writes a file for as long."""
log = structlog.get_logger(__name__)


class ExportsActor(Actor):
    """A worker is busy for as long as it writes an export: there are more of them than are written at once."""

    name = "exports"
    asks = ("models", "analytics_events", "insights", "figures", "market_figures", "jobs")
    workers = 16

    def __init__(self, store: ExportStore, files: Files) -> None:
        self._store = store
        self._files = files

    # Asking for one

    @handles(RequestExport, transactional=True)
    async def request(self, message: RequestExport, context: Context) -> ExportView:
        now = context.now()
        until = now if message.until is None else min(message.until, now)
        if message.since is not None and message.since >= until:
            told = FieldError("This is not before `to`, nor before now", "not_before", pointer="/from")
            raise Invalid(told.detail, errors=(told,))
        role = SOURCES[message.source].role
        if role is not None and (context.principal is None or not context.principal.has_role(role)):
            raise Forbidden(f"This needs the role {role}")

        async def work(tx: Context) -> ExportView:
            if await self._store.count_under_way(tx.user_id, session=tx.session) >= MOST_AT_ONCE:
                raise TooManyExports(f"{MOST_AT_ONCE} exports of yours wait or are written: wait, or cancel one")
            await self._store.make_room(tx.user_id, now=tx.now(), session=tx.session)
            export_id = new_id(EXPORT)
            export = ExportView(
                id=export_id,
                source=message.source,
                format=message.format,
                since=message.since,
                until=until,
                state=ExportState.QUEUED,
                rows=0,
                rows_expected=None,
                size=0,
                sha256=None,
                failure=None,
                job_id=await tx.enqueue(RunExport(export_id=export_id)),
                created_at=now,
                finished_at=None,
                expires_at=None,
            )
            await self._store.insert(export, tx.user_id, session=tx.session)
            if role is not None:
                await tx.audit("export.requested", export.id, after={"source": export.source.value})
            return export

        return await context.transaction(work)

    @handles(CancelExport, transactional=True)
    async def cancel(self, message: CancelExport, context: Context) -> ExportView:
        async def work(tx: Context) -> ExportView:
            export = await self._store.get_own(message.export_id, tx.user_id, session=tx.session)
            state, now = ExportState.CANCELLED, tx.now()
            if not await self._store.end(export.id, state, now=now, session=tx.session):
                raise ExportOver(f"The export is {export.state}")
            return replace(export, state=state, finished_at=now)

        return await context.transaction(work)

    # Carrying out

    @handles(RunExport, key="export_id")
    async def carry_out(self, message: RunExport, context: Context) -> None:
        file_id = f"{message.export_id}:{new_id('try')}"
        taken = await self._store.begin(message.export_id, file_id, now=context.now())
        if taken is None:
            return
        export, left = taken
        await self._remove(left)
        failure = _refusal(export, context)
        if failure is None:
            failure = await self._write(export, file_id, context)
        if failure is not None:
            await self._store.end(export.id, ExportState.FAILED, now=context.now(), failure=failure)
            await self._remove([file_id])

    async def _write(self, export: ExportView, file_id: str, context: Context) -> ExportFailure | None:
        try:
            async with self._files.writing(file_id, _name(export)) as writer:
                attempt = Attempt(export, writer, file_id, self._store)
                file = await attempt.write(context.user_id, context)
        except TooLarge:
            detail = f"An export has at most {MAX_ROWS:,} rows and 4 GiB: choose a shorter time"
            return ExportFailure("export_too_large", detail)
        except NotWanted:
            return None
        if not await context.transaction(partial(self._finish, attempt, file), completes=True):
            await self._remove([file_id])
        return None

    async def _finish(self, attempt: Attempt, file: StoredFile, tx: Context) -> bool:
        expires_at = file.created_at + KEPT
        return await self._store.finish(
            attempt.export.id, file, rows=attempt.rows, expires_at=expires_at, session=tx.session
        )

    async def _remove(self, file_ids: Iterable[str]) -> None:
        for file_id in file_ids:
            await self._files.delete(file_id)

    # Looking, and the file

    @handles(GetExport)
    async def get_export(self, message: GetExport, context: Context) -> ExportView:
        return await self._store.get_own(message.export_id, context.user_id)

    @handles(ListExports)
    async def list_exports(self, message: ListExports, context: Context) -> Page[ExportView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_page(context.user_id, cursor=cursor, limit=message.limit)

    @handles(DownloadExport)
    async def download(self, message: DownloadExport, context: Context) -> Download:
        export = await self._store.get_own(message.export_id, context.user_id)
        role = SOURCES[export.source].role
        if role is not None and (context.principal is None or not context.principal.has_role(role)):
            raise NotFound("There is no such export, or it is not yours any more")
        expired = export.expires_at is not None and export.expires_at <= context.now()
        if export.state is ExportState.EXPIRED or expired:
            raise ExportExpired
        if export.state is not ExportState.FINISHED:
            raise ExportNotReady(f"The export is {export.state}")
        file_id = await self._store.get_file_id(export.id, context.user_id)
        file = None if file_id is None else await self._files.find(file_id)
        if file is None:
            raise ExportExpired

        def read(start: int, end: int) -> AsyncGenerator[bytes, None]:
            return self._files.read(file, start, end)

        return Download(_name(export), MEDIA_TYPES[export.format], file.size, file.sha256[:32], read)

    # Tidying up

    @handles(SweepExports)
    async def sweep(self, message: SweepExports, context: Context) -> int:
        now, number = context.now(), 0
        while due := await self._store.list_due(now, SWEPT_AT_ONCE):
            for one in due:
                await self._settle(one, context)
            number += len(due)
        return number + await self._remove_nobodys(now)

    async def _remove_nobodys(self, now: datetime) -> int:
        """Files whose export is gone, with its person: the process that wrote one died before it saw that.

        Of the last days they are not looked for, where nearly all files are somebody's.
        """
        first, end, number = f"{EXPORT}_", least_id(EXPORT, now - NOBODYS_AFTER), 0
        while files := await self._files.list_between(first, end, SWEPT_AT_ONCE):
            there = await self._store.which_are_there([file_id.partition(":")[0] for file_id in files])
            for file_id in files:
                if file_id.partition(":")[0] not in there:
                    await self._files.delete(file_id)
                    number += 1
            first = f"{files[-1]}\0"
        return number

    async def _settle(self, due: Due, context: Context) -> None:
        now = context.now()
        if due.state in {ExportState.QUEUED, ExportState.RUNNING}:
            ended = await context.ask(FindEndedJobs(job_ids=(due.job_id,)))
            if not ended:
                await self._store.look_again(due.id, at=now + LOOK_AFTER)
                return
            cancelled = ended[0].state is JobState.CANCELLED
            state = ExportState.CANCELLED if cancelled else ExportState.FAILED
            why = f" ({ended[0].error})" if ended[0].error else ""
            failure = ExportFailure("job_died", f"Its job failed again and again, and was given up{why}")
            await self._store.end(due.id, state, now=now, failure=None if cancelled else failure)
            log.warning("export.orphaned", export_id=due.id, job_state=ended[0].state)
            return
        if due.state is ExportState.FINISHED:
            await self._store.expire(due.id)
        await self._remove(due.file_ids)
        await self._store.forget_files(due.id, due.file_ids)

    @handles(ForgetExports)
    async def forget(self, message: ForgetExports, context: Context) -> int:
        exports = await self._store.list_of(message.user_id)
        for one in exports:
            await self._store.end(one.id, ExportState.CANCELLED, now=context.now())
        for one in await self._store.list_of(message.user_id):
            await self._remove(one.file_ids)
        await self._store.remove_of(message.user_id)
        return len(exports)


def _refusal(export: ExportView, context: Context) -> ExportFailure | None:
    """Why whoever asked for it may not have it any more."""
    principal = context.principal
    if principal is None or principal.suspended:
        return ExportFailure("account_suspended", "Whoever asked for it may not have it written any more")
    role = SOURCES[export.source].role
    if role is not None and not principal.has_role(role):
        return ExportFailure("forbidden", f"This needs the role {role}")
    return None


def _name(export: ExportView) -> str:
    return f"{export.source}-{export.until:%Y-%m-%d}-{export.id[-6:]}.{export.format}"
