"""A package with one prompt, published and on offer."""

from __future__ import annotations

from dataclasses import dataclass

from promptforge.actors.marketplace.listings.messages import CreatePackageListing
from promptforge.actors.marketplace.messages import Category, ListingView, SubmitListing
from promptforge.actors.packages.messages import (
    ChosenPrompt,
    CreatePackage,
    DownloadPackage,
    DraftPackageVersion,
    GetPackageVersion,
    PackageVersionView,
    PublishPackageVersion,
)
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.support.market import judge


@dataclass(frozen=True, slots=True)
class Kit:
    """A draft of a package with one prompt, and its publisher in each process."""

    here: Context
    there: Context
    package_id: str
    prompt_id: str

    def publish(self, version: str = "1.0.0") -> PublishPackageVersion:
        return PublishPackageVersion(package_id=self.package_id, version=version)

    async def draft(self, version: str) -> None:
        chosen = (ChosenPrompt(self.prompt_id, 1),)
        await self.here.ask(DraftPackageVersion(package_id=self.package_id, version=version, prompts=chosen))

    async def get(self, version: str = "1.0.0") -> PackageVersionView:
        return await self.here.ask(GetPackageVersion(package_id=self.package_id, version=version))


async def built(branches: Branches, kit: Kit, version: str = "1.0.0") -> PackageVersionView:
    await kit.here.ask(kit.publish(version))
    await branches.here.jobs_done()
    return await kit.get(version)


async def file_of(kit: Kit, version: str = "1.0.0") -> bytes:
    file = await kit.here.ask(DownloadPackage(package_id=kit.package_id, version=version))
    return b"".join([piece async for piece in file.read(0, file.size)])


async def drafted(branches: Branches) -> Kit:
    here, there = await branches.person("ada")
    prompt = await branches.here.prompt(here, "Greeting", "Hello {{name}}.")
    package = await here.ask(CreatePackage(name="greetings"))
    made = Kit(here, there, package.id, prompt.id)
    await made.draft("1.0.0")
    return made


async def offered(branches: Branches, kit: Kit, version: str = "1.0.0") -> ListingView:
    """A version of it, on the market for 10 credits."""
    seller, _ = await branches.person("ada", Role.SELLER)
    moderator = await branches.here.person("mia", Role.MODERATOR)
    listing = await listed(branches, kit, version)
    await seller.ask(SubmitListing(listing_id=listing.id))
    await judge(moderator, await branches.here.case_of(moderator, listing))
    return listing


async def listed(branches: Branches, kit: Kit, version: str) -> ListingView:
    """As a draft."""
    seller, _ = await branches.person("ada", Role.SELLER)
    return await seller.ask(
        CreatePackageListing(
            package_id=kit.package_id,
            version=version,
            title="Greetings",
            summary="A summary",
            description="A description",
            category=Category.WRITING,
            price="10",
        )
    )
