"""Keeps packages and their versions: drafts that change, published versions that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import MISSING

from promptforge.actors.datasets.messages import FreezeDataset
from promptforge.actors.marketplace.listings.messages import TakeRevokedOffMarket
from promptforge.actors.notifications.messages import NotifyUser
from promptforge.actors.packages.errors import (
    NotADraft,
    NothingToPackage,
    NotPublished,
    PackageNameTaken,
    PackageRevoked,
    PackageYanked,
)
from promptforge.actors.packages.format.manifest import json_schema
from promptforge.actors.packages.format.signing import ALGORITHM
from promptforge.actors.packages.messages import (
    BuildPackage,
    CreatePackage,
    DiscardPackageVersion,
    DraftPackageVersion,
    EditPackageVersion,
    ExpectUnrevoked,
    GetManifestSchema,
    GetPackage,
    GetPackageVersion,
    ListPackages,
    ListPackageVersions,
    ListSigningKeys,
    Mark,
    MarkRevokedFile,
    PackageVersionView,
    PackageView,
    PinnedPackage,
    PinPackageVersion,
    PublishPackageVersion,
    RemovePackageFiles,
    RevokedFileView,
    RevokeFile,
    RevokePackageVersion,
    SigningKeysView,
    SigningKeyView,
    TellOfRevocation,
    UnyankPackageVersion,
    VersionState,
    YankPackageVersion,
)
from promptforge.actors.packages.registry.domain import check_order, latest_of
from promptforge.actors.projects.messages import ProjectPermission, authorise
from promptforge.actors.prompts.packing.messages import PackPrompts
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.pages import Cursor, Page
from promptforge.core.runtime import Actor, handles

if TYPE_CHECKING:
    from promptforge.actors.packages.format.signing import SigningKeys
    from promptforge.actors.packages.registry.store import PackageStore

TOLD_AGAIN_SECONDS = 120.0
"""When buyers, listings, or versions are looked for once more: what began before a revocation may commit after it."""
_EDITABLE = ("description", "readme", "prompts", "dataset_ids")


class PackagesActor(Actor):
    """`most_bytes`: of published files, of one publisher."""

    name = "packages"
    asks = ("packing", "datasets", "projects")

    def __init__(self, store: PackageStore, keys: SigningKeys, *, most_bytes: int) -> None:
        self._store = store
        self._keys = keys
        self._most_bytes = most_bytes

    # Packages

    @handles(CreatePackage, atomic=True)
    async def create(self, message: CreatePackage, context: Context) -> PackageView:
        (await self._store.take_turn(context.user_id, session=context.session)).check_package()
        now = context.now()
        package = PackageView(
            id=new_id("pkg"),
            publisher_id=context.user_id,
            name=message.name,
            latest=None,
            created_at=now,
            updated_at=now,
        )
        if not await self._store.insert(package, session=context.session):
            raise PackageNameTaken(f"You have a package called {message.name!r}, or one of a name that looks like it")
        return package

    @handles(GetPackage)
    async def get_package(self, message: GetPackage, context: Context) -> PackageView:
        return await self._store.get_own(message.package_id, context.user_id)

    @handles(ListPackages)
    async def list_packages(self, message: ListPackages, context: Context) -> Page[PackageView]:
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_page(context.user_id, cursor=cursor, limit=message.limit)

    # Drafts

    @handles(DraftPackageVersion, atomic=True)
    async def draft(self, message: DraftPackageVersion, context: Context) -> PackageVersionView:
        package = await self._store.get_own(message.package_id, context.user_id, session=context.session)
        (await self._store.take_turn(context.user_id, session=context.session)).check_draft()
        now = context.now()
        version = PackageVersionView(
            package_id=package.id,
            publisher_id=package.publisher_id,
            name=package.name,
            version=message.version,
            state=VersionState.DRAFT,
            description=message.description,
            readme=message.readme,
            prompts=tuple(dict.fromkeys(message.prompts)),
            dataset_ids=tuple(dict.fromkeys(message.dataset_ids)),
            failure=None,
            job_id=None,
            size=None,
            sha256=None,
            key_id=None,
            yanked=None,
            revoked=None,
            created_at=now,
            updated_at=now,
            published_at=None,
        )
        await self._store.insert_draft(version, session=context.session)
        return version

    @handles(GetPackageVersion, transactional=True)
    async def get_version(self, message: GetPackageVersion, context: Context) -> PackageVersionView:
        return await self._own(message.package_id, message.version, context)

    @handles(ListPackageVersions)
    async def list_versions(self, message: ListPackageVersions, context: Context) -> Page[PackageVersionView]:
        package = await self._store.get_own(message.package_id, context.user_id)
        cursor = Cursor.decode_optional(message.cursor)
        return await self._store.list_versions(package.id, cursor=cursor, limit=message.limit)

    @handles(EditPackageVersion, key="package_id", atomic=True)
    async def edit(self, message: EditPackageVersion, context: Context) -> PackageVersionView:
        sent: dict[str, Any] = {  # Any: whatever the fields hold
            name: value for name in _EDITABLE if (value := getattr(message, name)) is not MISSING
        }
        version = await self._changeable(message.package_id, message.version, context)
        return await self._store.edit(
            version.package_id, version.version, sent, now=context.now(), session=context.session
        )

    @handles(DiscardPackageVersion, key="package_id", atomic=True)
    async def discard(self, message: DiscardPackageVersion, context: Context) -> None:
        version = await self._changeable(message.package_id, message.version, context)
        left = await self._store.discard(version.package_id, version.version, session=context.session)
        if left:
            await context.enqueue(RemovePackageFiles(file_ids=left))

    # Publishing

    @handles(PublishPackageVersion, key="package_id", atomic=True)
    async def publish(self, message: PublishPackageVersion, context: Context) -> PackageVersionView:
        """What can be seen now is told now; the rights are looked at again when it is built."""
        version = await self._changeable(message.package_id, message.version, context)
        if not version.prompts and not version.dataset_ids:
            raise NothingToPackage
        (await self._store.take_turn(context.user_id, session=context.session)).check_version(self._most_bytes)
        package = await self._store.get(version.package_id, session=context.session)
        taken = await self._store.list_taken(package.id, session=context.session)
        check_order(version.version, [one for one, _ in taken])
        await self._store.touch(package.id, now=context.now(), latest=package.latest, session=context.session)
        wanted = tuple((one.prompt_id, one.version) for one in version.prompts)
        await context.ask(PackPrompts(wanted=wanted, owner_id=context.user_id))
        revisions = {}
        for dataset_id in version.dataset_ids:
            frozen = await context.ask(FreezeDataset(dataset_id=dataset_id))
            await authorise(context, frozen.project_id, ProjectPermission.SELL)
            revisions[dataset_id] = frozen.revision
        build = BuildPackage(package_id=package.id, version=version.version)
        job_id = await context.enqueue(build, unique=f"package:{package.id}:{version.version}")
        return await self._store.start_building(
            version, job_id=job_id, revisions=revisions, now=context.now(), session=context.session
        )

    async def _own(self, package_id: str, version: str, context: Context) -> PackageVersionView:
        return await self._store.get_own_version(package_id, version, context.user_id, session=context.session)

    async def _changeable(self, package_id: str, version: str, context: Context) -> PackageVersionView:
        """A draft of the user's. Raises `NotFound` or `NotADraft`."""
        found = await self._own(package_id, version, context)
        if found.state is not VersionState.DRAFT:
            raise NotADraft(f"{found.name} {found.version} is {found.state}, and does not change any more")
        return found

    # Afterwards

    @handles(YankPackageVersion, key="package_id", atomic=True)
    async def yank(self, message: YankPackageVersion, context: Context) -> PackageVersionView:
        version = await self._own(message.package_id, message.version, context)
        mark = version.yanked or Mark(context.now(), message.reason)
        return await self._mark(version, "yanked", mark, context)

    @handles(UnyankPackageVersion, key="package_id", atomic=True)
    async def unyank(self, message: UnyankPackageVersion, context: Context) -> PackageVersionView:
        version = await self._own(message.package_id, message.version, context)
        return await self._mark(version, "yanked", None, context)

    @handles(RevokePackageVersion, key="package_id", atomic=True)
    async def revoke(self, message: RevokePackageVersion, context: Context) -> PackageVersionView:
        version = await self._store.get_version(message.package_id, message.version, session=context.session)
        return await self._revoke(version, Mark(context.now(), message.reason), context)

    @handles(RevokeFile, atomic=True)
    async def revoke_file(self, message: RevokeFile, context: Context) -> RevokedFileView:
        """Kept by its hash in any case: its publisher may be gone, or go at this moment."""
        mark = Mark(context.now(), message.reason)
        known = await self._store.find_by_hash(message.sha256, session=context.session)
        if known is not None:
            known = await self._revoke(known, mark, context)
            return RevokedFileView(message.sha256, known.revoked or mark)
        kept = await self._store.revoke_file(message.sha256, mark, session=context.session)
        await context.audit("package.file_revoked", message.sha256)
        await context.enqueue(MarkRevokedFile(sha256=message.sha256), delay_seconds=TOLD_AGAIN_SECONDS)
        return RevokedFileView(message.sha256, kept)

    @handles(MarkRevokedFile, atomic=True)
    async def mark_revoked_file(self, message: MarkRevokedFile, context: Context) -> None:
        """Until then it is refused by its hash wherever somebody would have it (`find_revocation`)."""
        mark = await self._store.find_revoked(message.sha256, session=context.session)
        version = await self._store.find_by_hash(message.sha256, session=context.session)
        if mark is not None and version is not None and version.state is VersionState.PUBLISHED:
            await self._revoke(version, mark, context)

    async def _revoke(self, version: PackageVersionView, mark: Mark, context: Context) -> PackageVersionView:
        if version.revoked is not None:
            return version
        revoked = await self._mark(version, "revoked", mark, context)
        if revoked.sha256 is not None:
            await self._store.revoke_file(revoked.sha256, mark, session=context.session)
        await context.audit("package.revoked", version.package_id, after={"version": version.version})
        await context.enqueue(_revocation(revoked, mark.reason), owner_id=version.publisher_id)
        tell = TellOfRevocation(package_id=version.package_id, version=version.version)
        await context.enqueue(tell)
        await context.enqueue(tell, delay_seconds=TOLD_AGAIN_SECONDS)
        number = await self._store.get_number(version.package_id, version.version, session=context.session)
        off_market = TakeRevokedOffMarket(package_id=version.package_id, number=number, reason=mark.reason)
        await context.enqueue(off_market)
        await context.enqueue(off_market, delay_seconds=TOLD_AGAIN_SECONDS)
        return revoked

    async def _mark(
        self, version: PackageVersionView, name: str, mark: Mark | None, context: Context
    ) -> PackageVersionView:
        session = context.session
        marked = await self._store.mark(version.package_id, version.version, name, mark, session=session)
        taken = await self._store.list_taken(version.package_id, session=session)
        latest = latest_of(one for one, usable in taken if usable)
        await self._store.touch(version.package_id, now=context.now(), latest=latest, session=session)
        return marked

    @handles(PinPackageVersion, transactional=True)
    async def pin(self, message: PinPackageVersion, context: Context) -> PinnedPackage:
        version = await self._store.get_own_version(
            message.package_id, message.version, message.publisher_id, session=context.session
        )
        if version.state is not VersionState.PUBLISHED or version.sha256 is None:
            raise NotPublished(f"{version.name} {version.version} is {version.state}")
        if await self._store.find_revocation(version, session=context.session) is not None:
            raise PackageRevoked
        if version.yanked is not None:
            raise PackageYanked
        number = await self._store.get_number(version.package_id, version.version, session=context.session)
        return PinnedPackage(version.package_id, version.name, version.version, number, version.sha256)

    @handles(ExpectUnrevoked, transactional=True)
    async def expect_unrevoked(self, message: ExpectUnrevoked, context: Context) -> None:
        version = await self._store.get_version(message.package_id, message.version, session=context.session)
        revoked = await self._store.find_revocation(version, session=context.session)
        if revoked is not None:
            raise PackageRevoked(f"{version.name} {version.version} was revoked: {revoked.reason}")

    # For everybody

    @handles(ListSigningKeys)
    async def list_keys(self, message: ListSigningKeys, context: Context) -> SigningKeysView:
        keys = [
            SigningKeyView(key.key_id, ALGORITHM, key.public_key, current=number == 0)
            for number, key in enumerate(self._keys.public)
        ]
        return SigningKeysView(tuple(keys))

    @handles(GetManifestSchema)
    async def get_schema(self, message: GetManifestSchema, context: Context) -> dict[str, Any]:
        return json_schema()


def _revocation(version: PackageVersionView, reason: str) -> NotifyUser:
    return NotifyUser(
        user_id=version.publisher_id,
        kind="package.revoked",
        title=f"Revoked: {version.name} {version.version}",
        body=f"A moderator has revoked {version.name} {version.version}: it cannot be installed any more. {reason}",
        subject={"package_id": version.package_id, "version": version.version},
        dedupe_key=f"package.revoked:{version.package_id}:{version.version}",
    )
