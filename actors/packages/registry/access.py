"""Who may have the file of a version: its publisher, and who bought it, whose purchase counts as used once they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptforge.actors.marketplace.messages import FindPurchasedSource, UsePurchasedSource
from promptforge.actors.packages.errors import NotPublished, PackageRevoked
from promptforge.actors.packages.messages import PackageVersionView, VersionState
from promptforge.actors.packages.registry.store import no_package
from promptforge.core.context import Context

if TYPE_CHECKING:
    from promptforge.actors.packages.registry.store import PackageStore


async def version_to_have(
    store: PackageStore, package_id: str, version: str, context: Context, *, used: bool = True
) -> PackageVersionView:
    """A published version that the context's user may have, in this transaction or one of its own.

    Not `used`: somebody looks, and nothing leaves yet. Otherwise the purchase is written, and so is it by a refund at
    the same moment: one of the two comes first and the other sees it. Raises `NotFound`, `NotPublished`, and for who
    bought it `PackageRevoked`.
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
        asked = UsePurchasedSource if used else FindPurchasedSource
        bought = await tx.ask(asked(prompt_id=package_id, version=number, buyer_id=tx.user_id))
        if bought is None:
            raise no_package()
        revoked = await store.find_revocation(found, session=tx.session)
        if revoked is not None:
            raise PackageRevoked(f"{found.name} {found.version} was revoked: {revoked.reason}")
        return found

    return await context.transaction(work)
