"""Builds the files of versions, by jobs, and hands them out.

A version's file is written under an id that its document knows before the first byte, so what an attempt leaves behind
that came to nothing is found and removed by the next. The version is published in the commit that completes the job:
whatever is killed when, it is published once, with one file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from promptforge.actors.datasets.messages import ItemView, NewItem, ReadDataset, ReadItems
from promptforge.actors.jobs.messages import FindEndedJobs
from promptforge.actors.marketplace.purchases.messages import ListPackageBuyers
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.packages.errors import PackageRevoked
from promptforge.actors.packages.format.contents import MAX_ITEMS, DatasetFile
from promptforge.actors.packages.format.manifest import encode
from promptforge.actors.packages.installing.store import UPLOAD
from promptforge.actors.packages.messages import (
    BuildFailure,
    BuildPackage,
    DownloadPackage,
    PackagePart,
    PackageVersionView,
    ReadPackageParts,
    ReadPackageText,
    RemovePackageFiles,
    SweepPackages,
    TellOfRevocation,
)
from promptforge.actors.packages.registry.access import version_to_have
from promptforge.actors.packages.registry.domain import PackedDataset, Title, build_file, latest_of
from promptforge.actors.packages.registry.reading import cut, parts_of, text_of
from promptforge.actors.packages.registry.store import Built
from promptforge.actors.prompts.messages import ModelSettings, PromptKind, PromptVersionView
from promptforge.actors.prompts.packing.messages import PackPrompts
from promptforge.actors.users.messages import ExpectOpenAccounts
from promptforge.core.context import Context
from promptforge.core.downloads import Download
from promptforge.core.errors import DATABASE_AWAY, NotFound, PromptForgeError
from promptforge.core.failpoints import reach
from promptforge.core.ids import least_id, new_id
from promptforge.core.mongo import Files, StoredFile
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.packages.format.signing import SigningKeys
    from promptforge.actors.packages.installing.store import InstallStore
    from promptforge.actors.packages.registry.store import PackageStore

MEDIA_TYPE = "application/zip"
LOOK_AFTER = timedelta(minutes=10)
NOBODYS_AFTER = timedelta(days=2)
"""Uploads are kept for a day."""
SWEPT_AT_ONCE = 100


class PackageFilesActor(Actor):
    name = "package_files"
    asks = ("packing", "datasets", "jobs", "purchases", "users")

    def __init__(self, store: PackageStore, uploads: InstallStore, files: Files, keys: SigningKeys) -> None:
        self._store = store
        self._uploads = uploads
        self._files = files
        self._keys = keys

    # Building

    @handles(BuildPackage, key="package_id")
    async def build(self, message: BuildPackage, context: Context) -> None:
        file_id = f"{message.package_id}:{message.version}:{new_id('try')}"
        begun = await self._store.begin_file(message.package_id, message.version, file_id)
        if begun is None:
            return
        version, revisions, left = begun
        await self._remove(version, left)
        try:
            await context.ask(ExpectOpenAccounts(user_ids=(version.publisher_id,)))
            built = await self._write(version, revisions, file_id, context)
            reach("package.file_written")
            published = await context.transaction(partial(self._publish, version, built), completes=True)
        except PromptForgeError as error:
            if error.status >= 500 or isinstance(error, DATABASE_AWAY):
                raise
            await self._give_up(version, BuildFailure(error.code, error.detail), context)
            return
        if not published:
            await self._files.delete(file_id)

    async def _write(
        self, version: PackageVersionView, revisions: Mapping[str, int], file_id: str, context: Context
    ) -> Built:
        wanted = tuple((one.prompt_id, one.version) for one in version.prompts)
        prompts = await context.transaction(
            lambda tx: tx.ask(PackPrompts(wanted=wanted, owner_id=version.publisher_id))
        )
        datasets = [await _read(dataset_id, revision, context) for dataset_id, revision in sorted(revisions.items())]
        title = Title(version.publisher_id, version.name, version.version, version.description or "", version.readme)
        manifest, data = await anyio.to_thread.run_sync(build_file, title, prompts, datasets, self._keys)
        async with self._files.writing(file_id, file_name(version)) as writer:
            await writer.write(data)
            file = await writer.close(now=context.now())
        return Built(file, encode(manifest), self._keys.public[0].key_id)

    async def _publish(self, version: PackageVersionView, built: Built, tx: Context) -> bool:
        """Nothing is published of somebody who is suspended, or has left, by then, and no file that was revoked."""
        now, session = tx.now(), tx.session
        revoked = await self._store.find_revoked(built.file.sha256, session=session)
        if revoked is not None:
            raise PackageRevoked(f"A file like this was revoked: {revoked.reason}")
        await tx.ask(ExpectOpenAccounts(user_ids=(version.publisher_id,)))
        published = await self._store.publish(version.package_id, version.version, built, now=now, session=session)
        if published:
            taken = await self._store.list_taken(version.package_id, session=session)
            latest = latest_of(one for one, usable in taken if usable)
            await self._store.touch(version.package_id, now=now, latest=latest, session=session)
            await tx.audit("package.published", version.package_id, after={"version": version.version})
            notice = _notice(version, "published", "It can be downloaded, installed and listed.")
            await tx.enqueue(notice, owner_id=version.publisher_id)
        return published

    async def _give_up(self, version: PackageVersionView, failure: BuildFailure, context: Context) -> None:
        async def work(tx: Context) -> tuple[str, ...]:
            begun = await self._store.back_to_draft(version.package_id, version.version, failure, session=tx.session)
            notice = _notice(version, "failed", f"It could not be built, and is a draft again: {failure.detail}")
            await tx.enqueue(notice, owner_id=version.publisher_id)
            return begun

        await self._remove(version, await context.transaction(work))

    async def _remove(self, version: PackageVersionView, file_ids: Sequence[str]) -> None:
        for file_id in file_ids:
            await self._files.delete(file_id)
        if file_ids:
            await self._store.forget_files(version.package_id, version.version, file_ids)

    @handles(SweepPackages)
    async def sweep(self, message: SweepPackages, context: Context) -> int:
        number = 0
        for version in await self._store.list_building(before=context.now() - LOOK_AFTER, limit=SWEPT_AT_ONCE):
            ended = await context.ask(FindEndedJobs(job_ids=(version.job_id or "",)))
            if ended:
                failure = BuildFailure("job_died", "Its job failed again and again, and was given up")
                await self._give_up(version, failure, context)
                number += 1
        for version, left in await self._store.list_left(limit=SWEPT_AT_ONCE):
            await self._remove(version, left)
            number += 1
        return number + await self._remove_uploads(context)

    @handles(RemovePackageFiles)
    async def remove_files(self, message: RemovePackageFiles, context: Context) -> None:
        for file_id in message.file_ids:
            await self._files.delete(file_id)

    async def _remove_uploads(self, context: Context) -> int:
        number = 0
        for upload_id in await self._uploads.list_expired(context.now(), limit=SWEPT_AT_ONCE):
            await self._files.delete(upload_id)
            await self._uploads.remove(upload_id)
            number += 1
        return number + await self._remove_nobodys_uploads(context)

    async def _remove_nobodys_uploads(self, context: Context) -> int:
        """Files whose upload is gone: a process died after the removal, before it looked for it.

        Of the last days they are not looked for, where nearly all files are somebody's. An upload's document is there
        before its file, and no id is used twice, so a file without one has none for good.
        """
        first, end, number = f"{UPLOAD}_", least_id(UPLOAD, context.now() - NOBODYS_AFTER), 0
        while files := await self._files.list_between(first, end, SWEPT_AT_ONCE):
            there = await self._uploads.which_are_there(files)
            for file_id in files:
                if file_id not in there:
                    await self._files.delete(file_id)
                    number += 1
            first = f"{files[-1]}\0"
        return number

    # Handing out

    @handles(DownloadPackage)
    async def download(self, message: DownloadPackage, context: Context) -> Download:
        take = partial(version_to_have, self._store, message.package_id, message.version, context)
        version = await take(used=False)
        file_id = await self._store.find_file_id(version.package_id, version.version)
        file = None if file_id is None else await self._files.find(file_id)
        if file is None:
            raise NotFound("The file of this version is not there")

        def read(start: int, end: int) -> AsyncGenerator[bytes, None]:
            return self._files.read(file, start, end)

        return Download(file_name(version), MEDIA_TYPE, file.size, file.sha256[:32], read, begin=take)

    @handles(ReadPackageText, transactional=True)
    async def read_text(self, message: ReadPackageText, context: Context) -> PromptVersionView:
        version, file, parts = await self._read_parts(message, context)
        text = await anyio.to_thread.run_sync(text_of, parts)
        return PromptVersionView(
            prompt_id=version.package_id,
            version=message.number,
            kind=PromptKind.TEXT,
            content=text,
            settings=ModelSettings(),
            message=None,
            content_hash=file.sha256,
            created_at=version.created_at,
            created_by=version.publisher_id,
        )

    @handles(ReadPackageParts, transactional=True)
    async def read_parts(self, message: ReadPackageParts, context: Context) -> tuple[PackagePart, ...]:
        _, _, parts = await self._read_parts(message, context)
        return cut(parts)

    async def _read_parts(
        self, message: ReadPackageText | ReadPackageParts, context: Context
    ) -> tuple[PackageVersionView, StoredFile, list[PackagePart]]:
        version = await self._store.get_numbered(message.package_id, message.number, session=context.session)
        file_id = await self._store.find_file_id(version.package_id, version.version)
        file = None if file_id is None else await self._files.find(file_id)
        if file is None:
            raise NotFound("The file of this version is not there")
        data = b"".join([piece async for piece in self._files.read(file, 0, file.size)])
        return version, file, await anyio.to_thread.run_sync(parts_of, data)

    @handles(TellOfRevocation)
    async def tell_of_revocation(self, message: TellOfRevocation, context: Context) -> None:
        """Sent again it tells nobody twice; the last of a hundred is where the next hundred begins."""
        version = await self._store.get_version(message.package_id, message.version)
        number = await self._store.get_number(message.package_id, message.version, session=None)
        buyers = await context.ask(ListPackageBuyers(package_id=message.package_id, number=number, after=message.after))
        reason = version.revoked.reason if version.revoked is not None else ""
        for purchase_id, buyer_id in buyers:
            notice = replace(
                _notice(version, "revoked", f"It was revoked and cannot be installed any more: {reason}"),
                user_id=buyer_id,
                subject={"package_id": version.package_id, "purchase_id": purchase_id},
                dedupe_key=f"package.revoked:{purchase_id}",
            )
            await context.enqueue(notice, owner_id=buyer_id)
        if buyers:
            await context.enqueue(replace(message, after=buyers[-1][0]))


def file_name(version: PackageVersionView) -> str:
    return f"{version.name}-{version.version}.zip"


async def _read(dataset_id: str, revision: int, context: Context) -> PackedDataset:
    """A revision whole; of one that is too large a little more than fits, which is then refused as that."""
    dataset = await context.ask(ReadDataset(dataset_id=dataset_id))
    items: list[ItemView] = []
    after = ""
    while len(items) <= MAX_ITEMS:
        more = await context.ask(ReadItems(dataset_id=dataset_id, revision=revision, after=after))
        if not more:
            break
        items += more
        after = more[-1].id
    file = DatasetFile(
        name=dataset.name,
        description=dataset.description,
        variables_schema=dataset.variables_schema,
        items=tuple(NewItem(item.variables, item.expected, item.metadata) for item in items),
    )
    return PackedDataset(dataset_id, revision, file)


def _notice(version: PackageVersionView, what: str, words: str) -> NotifyUser:
    return NotifyUser(
        user_id=version.publisher_id,
        kind=f"package.{what}",
        title=f"{what.capitalize()}: {version.name} {version.version}",
        body=f"{version.name} {version.version}: {words}"[:4000],
        subject={"package_id": version.package_id, "version": version.version},
        dedupe_key=f"package.{what}:{version.package_id}:{version.version}:{version.job_id}",
    )
