"""Uploaded packages: what was installed makes room for the next one, and what is not wanted is removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest
from bson import ObjectId

from promptforge.actors.packages.installing import actor
from promptforge.actors.packages.installing.messages import (
    DiscardUpload,
    InstallPackage,
    ListUploads,
    TryInstall,
    UploadPackage,
)
from promptforge.actors.packages.messages import SweepPackages
from promptforge.actors.packages.registry import building
from promptforge.actors.packages.registry.building import NOBODYS_AFTER
from promptforge.actors.projects.messages import CreateProject
from promptforge.core.context import Context
from promptforge.core.ids import least_id
from promptforge.core.mongo import Document, Files
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


async def test_one_that_is_removed_while_its_file_is_written_leaves_nothing(
    branches: Branches, kit: Kit, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal comes when the pieces are there, and the file is not closed yet."""
    here, there = await branches.person("bob")
    insert_file = Files.insert_file

    async def beside_a_removal(files: Files, row: Document) -> None:
        await there.ask(DiscardUpload(upload_id=row["_id"]))
        await insert_file(files, row)

    with monkeypatch.context() as patched:
        patched.setattr(Files, "insert_file", beside_a_removal)
        outcomes = [await raised(here, UploadPackage(data=data)) for _ in range(MOST + 1)]
    assert outcomes == ["not_found"] * (MOST + 1)
    upload = {"$regex": "^upl_"}
    assert await branches.count("package_uploads") == 0
    assert await branches.count("files.files", _id=upload) == 0
    assert await branches.count("files.chunks", files_id=upload) == 0
    await here.ask(UploadPackage(data=data))


async def test_files_whose_upload_is_gone_are_swept_once_they_are_old(
    branches: Branches, kit: Kit, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their processes died between the removal and their own look; others' files stay, whatever they are called."""
    bob = await branches.here.person("bob")
    live = (await bob.ask(UploadPackage(data=data))).id
    now, files = datetime.now(UTC), Files(branches.mongo)
    old = least_id("upl", now - NOBODYS_AFTER - timedelta(hours=1))
    expired = f"{old}live"
    await branches.mongo.collection("package_uploads").insert_one(
        {"_id": expired, "user_id": bob.user_id, "expires_at": now + timedelta(hours=1)}
    )
    left = [f"{old}{number}" for number in range(5)]
    for file_id in (*left, expired, least_id("upl", now) + "young", "fil_other", "upm_other"):
        writer = files.writer(file_id, "kit.zip")
        await writer.write(b"x")
        await writer.close(now=now)
    monkeypatch.setattr(building, "SWEPT_AT_ONCE", 2)
    system = branches.here.process.context()
    assert await system.ask(SweepPackages()) == len(left)
    assert await system.ask(SweepPackages()) == 0
    assert await branches.count("files.chunks", files_id={"$in": left}) == 0
    for file_id in (live, expired, least_id("upl", now) + "young", "fil_other", "upm_other"):
        assert await files.find(file_id) is not None, file_id


async def test_pieces_written_after_the_removal_are_swept_though_the_first_is_missing(
    branches: Branches, kit: Kit, data: bytes
) -> None:
    """The process died before it closed the file, and had written on what was removed."""
    now, files = datetime.now(UTC), Files(branches.mongo)
    pieces = branches.mongo.collection("files.chunks")
    for file_id, at in (("upl_old", now - timedelta(days=3)), ("upl_young", now)):
        began = ObjectId.from_datetime(at)
        await pieces.insert_one({"_id": began, "files_id": file_id, "n": 8, "data": b"x"})
    assert await files.delete_unclosed(now - timedelta(days=2)) == 1
    assert await branches.count("files.chunks", files_id="upl_old") == 0
    assert await branches.count("files.chunks", files_id="upl_young") == 1
