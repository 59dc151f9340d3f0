"""Installs packages: verified, then taken into a project in one transaction, all or nothing.

A process that is killed has installed nothing or everything. Trying is the same transaction, given up in the end.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio.to_thread

from promptforge.actors.datasets.messages import AddItems, CreateDataset
from promptforge.actors.packages.errors import InstallConflicts, PackageRevoked, TooManyUploads
from promptforge.actors.packages.format.contents import Contents, DatasetFile
from promptforge.actors.packages.format.package import Package, Record, contents_of, verify, verify_recorded
from promptforge.actors.packages.installing.messages import (
    DiscardUpload,
    GetInstall,
    InstalledDataset,
    InstalledPrompt,
    InstallPackage,
    InstallView,
    ListInstalls,
    ListUploads,
    OnTakenName,
    TryInstall,
    UploadPackage,
    UploadsView,
    UploadView,
)
from promptforge.actors.packages.installing.room import Room
from promptforge.actors.packages.installing.store import UPLOAD, no_upload
from promptforge.actors.packages.registry.access import version_to_have
from promptforge.actors.projects.messages import project_to_write
from promptforge.actors.prompts.exchange.messages import OnConflict
from promptforge.actors.prompts.packing.messages import TakePrompts
from promptforge.core.context import Context
from promptforge.core.errors import FieldError, Invalid, NotFound
from promptforge.core.failpoints import reach
from promptforge.core.ids import new_id
from promptforge.core.mongo import Files
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.packages.format.signing import TrustedKeys
    from promptforge.actors.packages.installing.store import InstallStore
    from promptforge.actors.packages.registry.store import PackageStore

KEPT = timedelta(days=1)
MOST_UPLOADS = 20
"""Of one user, within a day."""
ITEMS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Verified:
    package: Package
    contents: Contents


class _TakenBack(Exception):  # it is no error: it ends the transaction of a trial
    def __init__(self, install: InstallView) -> None:
        self.install = install


class InstallsActor(Actor):
    name = "installs"
    asks = ("packing", "datasets", "projects", "purchases")

    def __init__(self, packages: PackageStore, store: InstallStore, files: Files, trusted: TrustedKeys) -> None:
        self._packages = packages
        self._store = store
        self._files = files
        self._trusted = trusted
        self._room = Room()

    def _entered(self, context: Context) -> AbstractAsyncContextManager[None]:
        return self._room.entered(context.user_id, seconds=context.deadline - context.system.monotonic())

    # Files that are brought

    @handles(UploadPackage)
    async def upload(self, message: UploadPackage, context: Context) -> UploadView:
        async with self._entered(context):
            return await self._upload(message, context)

    async def _upload(self, message: UploadPackage, context: Context) -> UploadView:
        verified = await self._verified(message.data)
        now = context.now()
        made = verified.package.manifest
        upload = UploadView(
            id=new_id(UPLOAD),
            publisher=made.publisher,
            name=made.name,
            version=made.version,
            description=made.description,
            sha256=verified.package.sha256,
            key_id=verified.package.key_id,
            size=len(message.data),
            created_at=now,
            expires_at=now + KEPT,
        )
        if not await self._store.insert_upload(upload, context.user_id, most=MOST_UPLOADS):
            raise TooManyUploads(f"{MOST_UPLOADS} uploads are kept for a day: install or remove what is there, or wait")
        writer = self._files.writer(upload.id, f"{made.name}-{made.version}.zip")
        await writer.write(message.data)
        await writer.close(now=now)
        return await self._still_wanted(upload.id, context)

    async def _still_wanted(self, upload_id: str, context: Context) -> UploadView:
        """Raises `NotFound` where it was removed while its file was written, and leaves no file then.

        Whoever removes it later finds a file that is closed.
        """
        try:
            return await self._store.get_upload(upload_id, context.user_id, now=context.now())
        except NotFound:
            await self._files.delete(upload_id)
            raise

    @handles(ListUploads)
    async def list_uploads(self, message: ListUploads, context: Context) -> UploadsView:
        return UploadsView(await self._store.list_uploads(context.user_id, now=context.now()))

    @handles(DiscardUpload)
    async def discard(self, message: DiscardUpload, context: Context) -> None:
        await self._store.end(message.upload_id, context.user_id, now=context.now())
        await self._files.delete(message.upload_id)
        await self._store.remove(message.upload_id)

    async def _verified(self, data: bytes, record: Record | None = None) -> _Verified:
        """`record`: of a file of this registry."""

        def look() -> _Verified:
            trusted = self._trusted
            package = verify(data, trusted) if record is None else verify_recorded(data, trusted, record)
            return _Verified(package, contents_of(package))

        return await anyio.to_thread.run_sync(look)

    # Installing

    @handles(InstallPackage, transactional=True)
    async def install(self, message: InstallPackage, context: Context) -> InstallView:
        async with self._entered(context):
            return await self._install(message, context)

    async def _install(self, message: InstallPackage, context: Context) -> InstallView:
        verified = await self._source(message, context)

        async def work(tx: Context) -> InstallView:
            install = await self._take(message, verified, tx)
            if install.conflicts and message.on_conflict is OnTakenName.REFUSE:
                told = ", ".join(repr(name) for name in install.conflicts[:10])
                raise InstallConflicts(
                    f"The project has prompts of these names already: {told}",
                    extra={"conflicts": list(install.conflicts)},
                )
            install = replace(install, id=new_id("ins"))
            await self._store.insert(install, tx.user_id, session=tx.session)
            if message.upload_id is not None:
                await self._store.note_installed(message.upload_id, tx.user_id, now=tx.now(), session=tx.session)
            reach("package.installed.before_commit")
            return install

        return await context.transaction(work)

    @handles(TryInstall)
    async def try_install(self, message: TryInstall, context: Context) -> InstallView:
        async with self._entered(context):
            return await self._try(message, context)

    async def _try(self, message: TryInstall, context: Context) -> InstallView:
        verified = await self._source(message, context)

        async def work(tx: Context) -> None:
            raise _TakenBack(await self._take(message, verified, tx))

        try:
            await context.transaction(work)
        except _TakenBack as tried:
            return replace(
                tried.install,
                project_id=message.project_id,
                prompts=tuple(replace(one, prompt_id=None) for one in tried.install.prompts),
                datasets=tuple(replace(one, dataset_id=None) for one in tried.install.datasets),
            )
        raise RuntimeError("a trial always takes back what it did")

    async def _source(self, message: InstallPackage | TryInstall, context: Context) -> _Verified:
        """What is to be installed, read from its file and verified once more."""
        if message.upload_id is not None and message.package_id is None and message.version is None:
            upload = await self._store.get_upload(message.upload_id, context.user_id, now=context.now())
            return await self._verified(await self._read(upload.id))
        if message.upload_id is None and message.package_id is not None and message.version is not None:
            file_id, record = await self._file_of(message.package_id, message.version, context)
            return await self._verified(await self._read(file_id), record)
        detail = "Give an upload_id, or package_id and version"
        raise Invalid(detail, errors=(FieldError(detail, "one_of_two", pointer="/upload_id"),))

    async def _file_of(self, package_id: str, version: str, context: Context) -> tuple[str, Record]:
        published = await version_to_have(self._packages, package_id, version, context)
        file_id = await self._packages.find_file_id(package_id, version)
        if file_id is None or published.sha256 is None or published.key_id is None:
            raise NotFound("The file of this version is not there")
        return file_id, Record(published.sha256, published.key_id)

    async def _read(self, file_id: str) -> bytes:
        file = await self._files.find(file_id)
        if file is None:
            raise no_upload()
        return b"".join([piece async for piece in self._files.read(file, 0, file.size)])

    async def _take(self, message: InstallPackage | TryInstall, verified: _Verified, tx: Context) -> InstallView:
        """Into the project, in this transaction; nothing where names are taken and that is to be refused."""
        package, contents = verified.package, verified.contents
        made = package.manifest
        await self._refuse_revoked(package, tx)
        project_id = await project_to_write(tx, message.project_id)
        on_conflict = OnConflict(message.on_conflict.value)
        taken = await tx.ask(TakePrompts(project_id=project_id, prompts=contents.prompts, on_conflict=on_conflict))
        refused = bool(taken.conflicts) and message.on_conflict is OnTakenName.REFUSE
        datasets = [] if refused else [await _add(dataset, project_id, tx) for dataset in contents.datasets]
        return InstallView(
            id=None,
            project_id=project_id,
            publisher=made.publisher,
            name=made.name,
            version=made.version,
            sha256=package.sha256,
            key_id=package.key_id,
            prompts=tuple(
                InstalledPrompt(one.name, one.stored_as, one.prompt_id, len(one.versions)) for one in taken.taken
            ),
            datasets=tuple(datasets),
            conflicts=taken.conflicts,
            created_at=tx.now(),
        )

    async def _refuse_revoked(self, package: Package, tx: Context) -> None:
        """Also where the file comes from elsewhere: a revocation that was acknowledged before is seen."""
        made = package.manifest
        revoked = await self._packages.find_revoked(package.sha256, session=tx.session)
        if revoked is not None:
            raise PackageRevoked(f"{made.name} {made.version} was revoked: {revoked.reason}")

    # Afterwards

    @handles(GetInstall)
    async def get_install(self, message: GetInstall, context: Context) -> InstallView:
        return await self._store.get_own(message.install_id, context.user_id)

    @handles(ListInstalls)
    async def list_installs(self, message: ListInstalls, context: Context) -> Page[InstallView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_page(context.user_id, cursor=cursor, limit=message.limit)


async def _add(dataset: DatasetFile, project_id: str, tx: Context) -> InstalledDataset:
    made = await tx.ask(
        CreateDataset(
            name=dataset.name,
            description=dataset.description,
            variables_schema=dataset.variables_schema,
            project_id=project_id,
        )
    )
    for start in range(0, len(dataset.items), ITEMS_AT_ONCE):
        await tx.ask(AddItems(dataset_id=made.id, items=dataset.items[start : start + ITEMS_AT_ONCE]))
    return InstalledDataset(dataset.name, made.id, len(dataset.items))
