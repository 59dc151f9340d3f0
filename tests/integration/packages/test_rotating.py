"""A secret leaves SECRET_KEY: what was published with it is installed all the same, and only as it was published."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from promptforge.actors.packages.installing.messages import InstallPackage, TryInstall, UploadPackage
from promptforge.actors.projects.messages import CreateProject
from promptforge.core.context import Context
from promptforge.deploy.features import build_actors
from tests.integration.marketplace.branches import SECRETS, SETTINGS, Branches
from tests.integration.packages.kits import Kit, built, file_of, offered
from tests.support.market import Market, raised
from tests.support.processes import job_process

pytestmark = pytest.mark.anyio
OLD, NEW = SECRETS[0], "another secret of tests"


@asynccontextmanager
async def process_with(branches: Branches, secrets: Sequence[str]) -> AsyncIterator[Market]:
    """One more process on the same database, with these secrets."""
    mongo = branches.mongo
    async with job_process(
        mongo, lambda store: build_actors(mongo, store, SETTINGS, secrets=secrets), running=False
    ) as opened:
        yield Market(opened)


@pytest.fixture
async def data(branches: Branches, kit: Kit) -> bytes:
    """The file, which Bruno has bought."""
    await built(branches, kit)
    listing = await offered(branches, kit)
    bruno, _ = await branches.person("bruno")
    await branches.here.fund(bruno, 20)
    await branches.here.buy(bruno, listing)
    return await file_of(kit)


async def installing(kit: Kit, person: Context, name: str) -> tuple[InstallPackage, TryInstall]:
    project = await person.ask(CreateProject(name=name))
    wanted: dict[str, Any] = {"package_id": kit.package_id, "version": "1.0.0", "project_id": project.id}
    return InstallPackage(**wanted), TryInstall(**wanted)


async def test_what_was_bought_is_installed_whatever_has_left_the_keys(
    branches: Branches, kit: Kit, data: bytes
) -> None:
    for number, secrets in enumerate(([NEW, OLD], [NEW])):
        async with process_with(branches, secrets) as later:
            bruno = await later.person("bruno")
            install, trial = await installing(kit, bruno, f"Project {number}")
            assert [one.name for one in (await bruno.ask(trial)).prompts] == ["Greeting"]
            assert (await bruno.ask(install)).key_id == (await kit.get()).key_id


async def test_it_is_sold_and_its_publisher_installs_it_too(branches: Branches, kit: Kit, data: bytes) -> None:
    async with process_with(branches, [NEW]) as later:
        ada = await later.person("ada")
        install, _ = await installing(kit, ada, "Again")
        assert await raised(ada, install) == "done"


async def test_the_same_file_from_elsewhere_is_nobodys_any_more(branches: Branches, kit: Kit, data: bytes) -> None:
    async with process_with(branches, [NEW]) as later:
        assert await raised(await later.person("bruno"), UploadPackage(data=data)) == "package_refused"


@pytest.mark.parametrize("secrets", [[OLD], [NEW]])
@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("files.chunks", {"data": b"something else"}),
        ("package_versions", {"sha256": "0" * 64}),
        ("package_versions", {"key_id": "pfk_" + "0" * 32}),
    ],
)
async def test_a_file_that_is_not_what_was_published_is_refused(
    branches: Branches, kit: Kit, data: bytes, secrets: Sequence[str], collection: str, change: dict[str, object]
) -> None:
    async with process_with(branches, secrets) as later:
        bruno = await later.person("bruno")
        await branches.mongo.collection(collection).update_many({}, {"$set": change})
        for message in await installing(kit, bruno, "Project"):
            assert await raised(bruno, message) != "done"
        assert await branches.count("package_installs") == 0
