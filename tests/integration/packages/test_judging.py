"""What a moderator is told of a package that is submitted: of every prompt in it, whatever stands before."""

from __future__ import annotations

import pytest

from promptforge.actors.marketplace.listings.messages import CreatePackageListing
from promptforge.actors.marketplace.messages import Category, SubmitListing, UpdateListing
from promptforge.actors.moderation.checks.messages import Check
from promptforge.actors.moderation.messages import CaseDetailView, GetCase
from promptforge.actors.packages.messages import (
    ChosenPrompt,
    CreatePackage,
    DraftPackageVersion,
    PublishPackageVersion,
)
from promptforge.actors.prompts.messages import CreateVersion, Variable
from promptforge.core.context import Context
from promptforge.core.ids import new_id
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.support.market import judge

pytestmark = pytest.mark.anyio
KEY = "sk-proj-aB3dE5fG7hJ9kL1mN2pQ4rS6tU8v"
SOLD = (
    "Summarise {{article}} in five lines for people in a hurry. Name the one thing that is worth reading in full. "
    "Write plainly, without adjectives, and never invent facts. Where the article has no news, say so."
)
OTHER = "Plan a week of dinners for {{family}}: cheap, quick to cook, and nothing twice. List what has to be bought."
README = "Nothing in here matters to anybody who reads it. " * 1_300


async def case_of_package(branches: Branches, seller: Context, *prompt_ids: str, version: int) -> CaseDetailView:
    mona, _ = await branches.person("mona", Role.MODERATOR)
    name = "kit-" + new_id("x").replace("_", "-")
    package = await seller.ask(CreatePackage(name=name))
    chosen = tuple(ChosenPrompt(one, version) for one in prompt_ids)
    drafted = DraftPackageVersion(package_id=package.id, version="1.0.0", prompts=chosen, readme=README)
    await seller.ask(drafted)
    await seller.ask(PublishPackageVersion(package_id=package.id, version="1.0.0"))
    await branches.here.jobs_done()
    listing = await seller.ask(
        CreatePackageListing(
            package_id=package.id,
            version="1.0.0",
            title=name,
            summary="A summary",
            description="A description",
            category=Category.WRITING,
            price="10",
        )
    )
    await seller.ask(SubmitListing(listing_id=listing.id))
    return await mona.ask(GetCase(case_id=await branches.here.case_of(mona, listing)))


async def test_a_copy_and_a_key_are_found_in_any_prompt_behind_a_long_readme(branches: Branches) -> None:
    carla, _ = await branches.person("carla", Role.SELLER)
    eve, _ = await branches.person("eve", Role.SELLER)
    mona, _ = await branches.person("mona", Role.MODERATOR)
    sold = await branches.here.draft(carla, "Original")
    await carla.ask(CreateVersion(prompt_id=sold.prompt_id, content=SOLD))
    await carla.ask(UpdateListing(listing_id=sold.id, version=2))
    original = await carla.ask(SubmitListing(listing_id=sold.id))
    await judge(mona, await branches.here.case_of(mona, original))
    prompts = [await branches.here.prompt(eve, name, "Say it.") for name in ("First", "Second")]
    for prompt, content in zip(prompts, (OTHER, SOLD), strict=True):
        (name,) = {"article", "family"} & set(content.replace("{", " ").replace("}", " ").split())
        secret = Variable(name, description="What it is about", default=f"key: {KEY}")
        await eve.ask(CreateVersion(prompt_id=prompt.id, content=content, variables=(secret,)))
    detail = await case_of_package(branches, eve, *(one.id for one in prompts), version=2)
    found = {(one.check, one.code, one.listing_id) for one in detail.findings}
    assert found == {(Check.SECRETS, "openai_key", None), (Check.NEAR_DUPLICATE, "same_passages", sold.id)}

    await judge(mona, detail.case.id)
    dan, _ = await branches.person("dan", Role.SELLER)
    copied = await branches.here.draft(dan, "Copied")
    await dan.ask(CreateVersion(prompt_id=copied.prompt_id, content=OTHER))
    await dan.ask(UpdateListing(listing_id=copied.id, version=2))
    again = await dan.ask(SubmitListing(listing_id=copied.id))
    of_copy = await mona.ask(GetCase(case_id=await branches.here.case_of(mona, again)))
    assert detail.listing.id in {one.listing_id for one in of_copy.findings}, "each prompt of a package is known"
