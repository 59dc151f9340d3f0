"""Who may have the file of a version: its publisher, and who bought it, whose purchase then counts as used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.marketplace.messages import UsePurchasedSource
from promptforge.actors.packages.errors import NotPublished, PackageRevoked
from promptforge.actors.packages.messages import PackageVersionView, VersionState
from promptforge.actors.packages.registry.store import no_package
from promptforge.core.context import Context

if TYPE_CHECKING:
    from promptforge.actors.packages.registry.store import PackageStore


async def version_to_have(store: PackageStore, package_id: str, version: str, context: Context) -> PackageVersionView:
    """A published version that the context's user may have, in this transaction or one of its own.

    A refund at the same moment writes the same purchase, so one of the two comes first and the other sees it. Raises
    `NotFound`, `NotPublished`, and for who bought it `PackageRevoked`.
    """

    async def work(tx: Context) -> PackageVersionView:
        found = await store.get_version(package_id, version, session=tx.session)
        if found.publisher_id == tx.user_id:
            if found.state is not VersionState.PUBLISHED:
                raise NotPublished(f"{found.name} {found.version} is {found.state}")
            return found
        if found.state is not VersionState.PUBLISHED:
            raise no_package()
        number = await store.get_number(package_id, version, session=tx.session)
        bought = await tx.ask(UsePurchasedSource(prompt_id=package_id, version=number, buyer_id=tx.user_id))
        if bought is None:
            raise no_package()
        if found.revoked is not None:
            raise PackageRevoked(f"{found.name} {found.version} was revoked: {found.revoked.reason}")
        return found

    return await context.transaction(work)
