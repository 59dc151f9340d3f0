"""How much one publisher may have, and that two requests at once are no way around it."""

from __future__ import annotations

import pytest

from promptforge.actors.packages.format.archive import MAX_PACKAGE_BYTES
from promptforge.actors.packages.messages import (
    QUEUE,
    ChosenPrompt,
    CreatePackage,
    DraftPackageVersion,
    PublishPackageVersion,
    VersionState,
)
from promptforge.actors.packages.registry.domain import MOST_DRAFTS, MOST_PACKAGES, MOST_VERSIONS
from promptforge.core.mongo import Document
from tests.integration.marketplace.branches import SETTINGS, Branches, all_at_once
from tests.integration.packages.kits import Kit, built

pytestmark = pytest.mark.anyio


async def _fill(branches: Branches, kit: Kit, number: int, **fields: object) -> None:
    """So many versions as they are stored, of other packages of the same publisher."""
    rows: list[Document] = [
        {"_id": f"pkg_other:{one}", "package_id": "pkg_other", "publisher_id": kit.here.user_id, **fields}
        for one in range(number)
    ]
    versions = branches.mongo.collection("package_versions")
    for row in rows:
        await versions.insert_one(row)


async def _second(kit: Kit) -> PublishPackageVersion:
    """A draft in another package of the publisher's."""
    other = await kit.here.ask(CreatePackage(name="farewells"))
    chosen = (ChosenPrompt(kit.prompt_id, 1),)
    await kit.here.ask(DraftPackageVersion(package_id=other.id, version="1.0.0", prompts=chosen))
    return PublishPackageVersion(package_id=other.id, version="1.0.0")


async def test_the_last_room_is_taken_once_also_by_two_packages_at_once(branches: Branches, kit: Kit) -> None:
    other = await _second(kit)
    await _fill(
        branches, kit, 1, state="published", size=SETTINGS.package_storage_mib * 1024**2 - MAX_PACKAGE_BYTES - 1
    )
    outcomes = await all_at_once([(kit.here, kit.publish()), (kit.there, other)])
    assert outcomes == {"done": 1, "package_limit_reached": 1}
    await branches.here.jobs_done()
    await kit.here.ask(CreatePackage(name="another"))


async def test_versions_are_counted_while_they_are_built(branches: Branches, kit: Kit) -> None:
    await _fill(branches, kit, MOST_VERSIONS - 1, state="published", size=10)
    other = await _second(kit)
    assert (await built(branches, kit)).state is VersionState.PUBLISHED
    assert await all_at_once([(kit.here, other)]) == {"package_limit_reached": 1}
    assert await branches.count("jobs", kind="packages.BuildPackage", queue=QUEUE) == 1


async def test_packages_and_drafts_are_limited_too(branches: Branches, kit: Kit) -> None:
    await _fill(branches, kit, MOST_DRAFTS - 2, state="draft", size=None)
    drafts = [DraftPackageVersion(package_id=kit.package_id, version=f"2.{one}.0") for one in range(2)]
    outcomes = await all_at_once([(kit.here, drafts[0]), (kit.there, drafts[1])])
    assert outcomes == {"done": 1, "package_limit_reached": 1}
    packages = branches.mongo.collection("packages")
    for one in range(MOST_PACKAGES - 1):
        await packages.insert_one({"_id": f"pkg_{one}", "publisher_id": kit.here.user_id, "name_key": f"{one}"})
    assert await all_at_once([(kit.here, CreatePackage(name="one-more"))]) == {"package_limit_reached": 1}
