"""Uploaded packages: what was installed makes room for the next one, and what is not wanted is removed."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.packages.installing import actor
from promptforge.actors.packages.installing.messages import (
    DiscardUpload,
    InstallPackage,
    ListUploads,
    TryInstall,
    UploadPackage,
)
from promptforge.actors.projects.messages import CreateProject
from promptforge.core.context import Context
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.integration.packages.kits import Kit, built, file_of
from tests.support.market import raised

pytestmark = pytest.mark.anyio
MOST = 2


@pytest.fixture
async def data(branches: Branches, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(actor, "MOST_UPLOADS", MOST)
    await built(branches, kit)
    return await file_of(kit)


async def full(person: Context, data: bytes) -> list[str]:
    """The ids of as many uploads as are kept."""
    made = [(await person.ask(UploadPackage(data=data))).id for _ in range(MOST)]
    assert await raised(person, UploadPackage(data=data)) == "too_many_uploads"
    return made


async def kept(person: Context) -> set[str]:
    return {one.id for one in (await person.ask(ListUploads())).items}


async def installing(person: Context, upload_id: str, name: str) -> InstallPackage:
    project = await person.ask(CreateProject(name=name))
    return InstallPackage(upload_id=upload_id, project_id=project.id)


async def test_what_was_installed_makes_room_and_can_be_installed_until_then(
    branches: Branches, kit: Kit, data: bytes
) -> None:
    bob = await branches.here.person("bob")
    first, second = await full(bob, data)
    for name in ("One", "Another"):
        await bob.ask(await installing(bob, first, name))
    assert await kept(bob) == {first, second}
    third = (await bob.ask(UploadPackage(data=data))).id
    assert await kept(bob) == {second, third}
    assert await raised(bob, await installing(bob, first, "Too late")) == "not_found"
    assert await raised(bob, UploadPackage(data=data)) == "too_many_uploads"


async def test_what_was_only_tried_or_refused_makes_none(branches: Branches, kit: Kit, data: bytes) -> None:
    bob = await branches.here.person("bob")
    first, second = await full(bob, data)
    project = (await bob.ask(CreateProject(name="One"))).id
    await bob.ask(TryInstall(upload_id=first, project_id=project))
    await bob.ask(InstallPackage(upload_id=second, project_id=project))
    assert await raised(bob, InstallPackage(upload_id=first, project_id=project)) == "install_conflicts"
    await bob.ask(UploadPackage(data=data))
    assert first in await kept(bob)


async def test_one_that_is_removed_is_gone_with_its_file_and_nobody_elses(
    branches: Branches, kit: Kit, data: bytes
) -> None:
    bob, eve = await branches.here.person("bob"), await branches.here.person("eve")
    first, second = await full(bob, data)
    assert await raised(eve, DiscardUpload(upload_id=first)) == "not_found"
    await bob.ask(DiscardUpload(upload_id=first))
    assert await raised(bob, DiscardUpload(upload_id=first)) == "not_found"
    assert await kept(bob) == {second}
    assert await branches.count("files.chunks", files_id=first) == 0
    assert await branches.count("package_uploads") == 1
    await bob.ask(UploadPackage(data=data))


async def test_of_uploads_at_once_no_more_take_the_place_than_there_is(
    branches: Branches, kit: Kit, data: bytes
) -> None:
    here, there = await branches.person("bob")
    first, _ = await full(here, data)
    await here.ask(await installing(here, first, "One"))
    outcomes = await all_at_once([(one, UploadPackage(data=data)) for one in (here, there) * 3])
    assert outcomes == {"done": 1, "too_many_uploads": 5}
    assert len(await kept(here)) == MOST


async def test_a_removal_beside_the_installation_is_one_of_two(branches: Branches, kit: Kit, data: bytes) -> None:
    """Removed when all is in the transaction but the commit: it has been installed, or nothing has."""
    here, there = await branches.person("bob")
    first, _ = await full(here, data)
    message = await installing(here, first, "One")
    ended: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def remove() -> None:
            ended.append(await raised(there, DiscardUpload(upload_id=first)))

        async def meanwhile() -> None:
            tasks.start_soon(remove)

        branches.transactions.before_commit = meanwhile
        outcome = await raised(here, message)
    assert (outcome, ended) == ("done", ["done"])
    assert await branches.count("package_installs") == 1
    assert first not in await kept(here)
