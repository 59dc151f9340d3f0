"""Writes everything that is held of a person into one file, and hands it to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import asdict
from datetime import timedelta

from promptforge.actors.accounts.errors import PersonalExportExpired, PersonalExportNotReady
from promptforge.actors.accounts.exports.archive import File, archive
from promptforge.actors.accounts.exports.messages import (
    DownloadPersonalExport,
    ForgetPersonalExport,
    GetPersonalExport,
    PersonalExportState,
    PersonalExportView,
    RequestPersonalExport,
    SweepPersonalExports,
    WritePersonalExport,
)
from promptforge.actors.accounts.exports.store import PersonalExport, PersonalExportStore
from promptforge.actors.accounts.records import PersonalRecords
from promptforge.actors.billing.sellers.messages import ReadSellerDetails
from promptforge.actors.jobs.messages import FindEndedJobs
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.core.context import Context
from promptforge.core.downloads import Download
from promptforge.core.errors import NotFound
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.jobs import Discard
from promptforge.core.mongo import Document, Files, StoredFile
from promptforge.core.runtime import Actor, handles

KEPT = timedelta(days=7)
GIVEN_UP = timedelta(days=1)
"""After which an export that never was finished may be asked for again."""
NOBODYS_AFTER = timedelta(days=2)
"""No job writes a file for as long."""
SWEPT_AT_ONCE = 100
FILE_NAME = "personal-export.zip"
IDENTITY = "seller_identity"


class PersonalExportsActor(Actor):
    name = "personal_exports"
    asks = ("jobs", "sellers")

    def __init__(self, store: PersonalExportStore, records: PersonalRecords, files: Files) -> None:
        self._store = store
        self._records = records
        self._files = files

    @handles(RequestPersonalExport, atomic=True)
    async def request(self, message: RequestPersonalExport, context: Context) -> PersonalExportView:
        user_id, now = context.user_id, context.now()
        there = await self._store.find(user_id, session=context.session)
        if there is not None and there.under_way and there.view.requested_at > now - GIVEN_UP:
            return there.view
        job_id = await context.enqueue(WritePersonalExport(user_id=user_id), owner_id=user_id)
        asked = await self._store.ask(user_id, job_id, now=now, session=context.session)
        await context.audit("account.export_requested", user_id)
        return asked.view

    @handles(GetPersonalExport)
    async def get(self, message: GetPersonalExport, context: Context) -> PersonalExportView:
        export = await self._store.find(context.user_id)
        if export is None:
            raise NotFound("You have not asked for an export")
        return export.view

    @handles(DownloadPersonalExport)
    async def download(self, message: DownloadPersonalExport, context: Context) -> Download:
        export = await self._store.find(context.user_id)
        if export is None:
            raise NotFound("You have not asked for an export")
        if export.under_way or export.view.state is PersonalExportState.FAILED:
            raise PersonalExportNotReady(f"Your export is {export.view.state}")
        over = export.view.expires_at is None or export.view.expires_at <= context.now()
        file = None if over or export.file_id is None else await self._files.find(export.file_id)
        if file is None:
            raise PersonalExportExpired
        found = file

        def read(start: int, end: int) -> AsyncGenerator[bytes, None]:
            return self._files.read(found, start, end)

        name = f"promptforge-{file.created_at:%Y-%m-%d}.zip"
        return Download(name, "application/zip", file.size, file.sha256[:32], read)

    @handles(WritePersonalExport, key="user_id")
    async def write(self, message: WritePersonalExport, context: Context) -> None:
        user_id, file_id = message.user_id, new_id("fil")
        export = await self._store.begin(user_id, file_id)
        if export is None:
            raise Discard("Nobody waits for it any more")
        before = [one for one in export.file_ids if one != file_id]
        await self._remove(user_id, before)
        file = await self._write(user_id, file_id, context)
        if not await context.transaction(lambda tx: self._finish(user_id, file, tx)):
            await self._remove(user_id, [file_id])

    async def _write(self, user_id: str, file_id: str, context: Context) -> StoredFile:
        async with self._files.writing(file_id, FILE_NAME) as writer:
            async with aclosing(archive(self._contents(user_id, context), now=context.now())) as pieces:
                async for piece in pieces:
                    await writer.write(piece)
            reach("personal_export.written")
            return await writer.close(now=context.now())

    def _contents(self, user_id: str, context: Context) -> Iterator[File]:
        for name in sorted(self._records.collections):
            yield name, self._records.what(name), self._records.read(name, user_id)
        yield IDENTITY, "Who you are to the tax office, as you told us", self._identity(user_id, context)

    async def _identity(self, user_id: str, context: Context) -> AsyncIterator[Document]:
        """What is stored sealed."""
        details = (await context.ask(ReadSellerDetails(user_id=user_id))).details
        if details is not None:
            yield asdict(details)

    async def _finish(self, user_id: str, file: StoredFile, tx: Context) -> bool:
        expires_at = file.created_at + KEPT
        if not await self._store.finish(user_id, file, expires_at=expires_at, session=tx.session):
            return False
        notice = NotifyUser(
            user_id=user_id,
            kind="account.export",
            title="Your data are ready",
            body=f"Everything that is held of you can be downloaded until {expires_at:%Y-%m-%d}.",
            subject={},
            dedupe_key=f"account.export:{file.id}",
        )
        await tx.enqueue(notice, owner_id=user_id)
        return True

    @handles(ForgetPersonalExport)
    async def forget(self, message: ForgetPersonalExport, context: Context) -> None:
        """Whoever still writes finds that nobody waits for it, and removes what they wrote."""
        await self._remove(message.user_id, await self._store.end(message.user_id))

    @handles(SweepPersonalExports)
    async def sweep(self, message: SweepPersonalExports, context: Context) -> int:
        """What says that files are left to remove goes last: a process may die anywhere between."""
        number = 0
        while expired := await self._store.list_expired(context.now(), SWEPT_AT_ONCE):
            for export in expired:
                await self._remove(export.user_id, export.file_ids)
                await self._store.expire(export)
            number += len(expired)
        await self._give_up(context)
        while given_up := await self._store.list_given_up(SWEPT_AT_ONCE):
            for export in given_up:
                await self._remove(export.user_id, export.file_ids)
            number += len(given_up)
        return number + await self._sweep_nobodys(context)

    async def _give_up(self, context: Context) -> None:
        """Those whose job has ended without them."""
        after = ""
        while some := await self._store.list_under_way(after, SWEPT_AT_ONCE):
            jobs = tuple(export.job_id for export in some if export.job_id is not None)
            ended = {one.job_id for one in await context.ask(FindEndedJobs(job_ids=jobs))} if jobs else set[str]()
            for export in some:
                if export.job_id in ended or _is_old(export, context):
                    await self._store.give_up(export)
            after = some[-1].user_id

    async def _sweep_nobodys(self, context: Context) -> int:
        """Files that were written while their person was erased, by a process that died of it; and such pieces."""
        before, number = context.now() - NOBODYS_AFTER, 0
        async for some in self._files.list_named(FILE_NAME, before, SWEPT_AT_ONCE):
            nobodys = set(some) - await self._store.are_named(some)
            for file_id in nobodys:
                await self._files.delete(file_id)
            number += len(nobodys)
        return number + await self._files.delete_unclosed(before)

    async def _remove(self, user_id: str, file_ids: list[str] | tuple[str, ...]) -> None:
        for file_id in file_ids:
            await self._files.delete(file_id)
        await self._store.forget_files(user_id, file_ids)


def _is_old(export: PersonalExport, context: Context) -> bool:
    """One of before the jobs were known by their ids."""
    return export.job_id is None and export.view.requested_at <= context.now() - GIVEN_UP
