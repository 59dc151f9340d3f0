"""Publishing and installing between two processes, on a real MongoDB."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest

from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.marketplace.messages import GetPurchase, ListPurchases, PurchaseListing
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.packages.errors import InstallConflicts
from promptforge.actors.packages.format.package import verify
from promptforge.actors.packages.format.signing import SigningKeys, TrustedKeys
from promptforge.actors.packages.installing.messages import InstallPackage, UploadPackage
from promptforge.actors.packages.messages import (
    BuildPackage,
    ChosenPrompt,
    CreatePackage,
    DownloadPackage,
    EditPackageVersion,
    RevokePackageVersion,
    SweepPackages,
    VersionState,
)
from promptforge.actors.projects.messages import CreateProject
from promptforge.actors.prompts.messages import GetVersion, ListPrompts, UpdatePrompt
from promptforge.actors.users.staff.messages import ReinstateAccount, SuspendAccount
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Message
from promptforge.core.mongo import Files
from promptforge.core.principal import Role
from tests.integration.accounts.lives import erased
from tests.integration.marketplace.branches import SECRETS, Branches, Interrupted, all_at_once, interrupt
from tests.integration.packages.kits import Kit, built, file_of, offered
from tests.support.market import raised

pytestmark = pytest.mark.anyio
TRUSTED = TrustedKeys(SigningKeys(SECRETS).public)


async def ended(call: Callable[[], Awaitable[object]]) -> str:
    """The code of the error that a call ends with; `done` where it does not."""
    try:
        await call()
    except PromptForgeError as error:
        return error.code
    return "done"


async def beside(
    branches: Branches, ask: tuple[Context, Message[Any]], other: Callable[[], Awaitable[object]]
) -> list[str]:
    """How an ask and another call ended, which begins when the first has done all but commit."""
    first, message = ask
    outcomes: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def meanwhile() -> None:
            outcomes.append(await ended(other))

        async def begin() -> None:
            tasks.start_soon(meanwhile)
            await anyio.sleep(0.3)

        branches.transactions.before_commit = begin
        done = await raised(first, message)
    return [done, *outcomes]


async def test_of_two_who_publish_a_version_at_once_one_wins_and_the_other_is_told(
    branches: Branches, kit: Kit
) -> None:
    outcomes = await all_at_once([(person, kit.publish()) for person in (kit.here, kit.there) for _ in range(3)])
    assert outcomes == {"done": 1, "not_a_draft": 5}
    await branches.here.jobs_done()
    assert (await kit.get()).state is VersionState.PUBLISHED
    assert await branches.count("jobs", kind="packages.BuildPackage") == 1
    assert await branches.count("files.files") == 1


async def test_two_versions_of_one_line_published_at_once_are_one_after_the_other(branches: Branches, kit: Kit) -> None:
    """The smaller one begins before the greater has committed; without the write to their package it would follow."""
    for version in ("1.0.1", "1.0.2"):
        await kit.draft(version)
    assert await beside(branches, (kit.here, kit.publish("1.0.2")), partial(kit.there.ask, kit.publish("1.0.1"))) == [
        "done",
        "version_not_greater",
    ]
    assert (await kit.get("1.0.1")).state is VersionState.DRAFT


async def test_two_who_take_a_name_at_once(branches: Branches, kit: Kit) -> None:
    outcomes = await all_at_once(
        [(person, CreatePackage(name=name)) for person in (kit.here, kit.there) for name in ("news-kit", "new5kit")]
    )
    assert outcomes == {"done": 1, "package_name_taken": 3}


async def test_a_job_that_runs_twice_publishes_once(branches: Branches, kit: Kit) -> None:
    """The first attempt dies between its last write and the commit."""
    await kit.here.ask(kit.publish())
    job = BuildPackage(package_id=kit.package_id, version="1.0.0")
    trusted = kit.here.derive()
    trusted.trusted = True
    branches.transactions.before_commit = interrupt  # of reading the prompts
    with pytest.raises(Interrupted):
        await trusted.ask(job)
    assert (await kit.get()).state is VersionState.BUILDING
    await trusted.ask(job)
    first = await kit.get()
    assert first.state is VersionState.PUBLISHED
    await trusted.ask(job)
    await branches.here.jobs_done()
    assert await kit.get() == first
    assert await branches.count("files.files") == 1
    assert verify(await file_of(kit), TRUSTED).sha256 == first.sha256


@pytest.mark.parametrize("when", ["before its job begins", "while its file is built"])
async def test_nothing_is_published_of_somebody_who_was_suspended_meanwhile(
    branches: Branches, kit: Kit, when: str
) -> None:
    admin = await branches.here.person("admin", Role.ADMIN)

    async def suspend() -> None:
        await admin.ask(SuspendAccount(user_id=kit.here.user_id, reason="Sells what others wrote"))

    await kit.here.ask(kit.publish())
    if when == "before its job begins":
        await suspend()
    else:
        branches.transactions.before_commit = suspend  # of reading the prompts
    await branches.here.jobs_done()
    version = await kit.get()
    assert version.state is VersionState.DRAFT
    assert version.failure is not None
    assert version.failure.code == "account_suspended"
    assert (await branches.count("files.files"), await branches.count("files.chunks")) == (0, 0)
    await admin.ask(ReinstateAccount(user_id=kit.here.user_id, reason="It was a mistake"))
    assert (await built(branches, kit)).state is VersionState.PUBLISHED


async def test_what_an_attempt_left_behind_is_removed_by_the_next(branches: Branches, kit: Kit) -> None:
    await kit.here.ask(kit.publish())
    files = Files(branches.mongo)
    left = f"{kit.package_id}:1.0.0:try_dead"
    versions = branches.mongo.collection("package_versions")
    await versions.update_one({"_id": f"{kit.package_id}:1.0.0"}, {"$push": {"file_ids": left}})
    writer = files.writer(left, "left.zip")
    await writer.write(b"x" * 300_000)
    await branches.here.jobs_done()
    assert (await kit.get()).state is VersionState.PUBLISHED
    assert await branches.count("files.chunks", files_id=left) == 0


async def test_an_attempt_that_was_overtaken_publishes_nothing(branches: Branches, kit: Kit) -> None:
    """Another process has taken the job up since: its file is the one, and the first one's is removed."""
    await kit.here.ask(kit.publish())
    trusted = kit.here.derive()
    trusted.trusted = True
    versions = branches.mongo.collection("package_versions")

    async def overtaken() -> None:
        await versions.update_one({"_id": f"{kit.package_id}:1.0.0"}, {"$set": {"writer": "another"}})

    branches.transactions.before_commit = overtaken  # the prompts are read by then, and the file is not written
    await trusted.ask(BuildPackage(package_id=kit.package_id, version="1.0.0"))
    assert (await kit.get()).state is VersionState.BUILDING
    assert await branches.count("files.files") == 0


async def test_a_build_that_cannot_be_is_a_draft_again_and_says_why(branches: Branches, kit: Kit) -> None:
    other = await branches.here.prompt(kit.here, "Another", "Bye.")
    package = (ChosenPrompt(kit.prompt_id, 1), ChosenPrompt(other.id, 1))
    await kit.here.ask(EditPackageVersion(package_id=kit.package_id, version="1.0.0", prompts=package))
    await kit.here.ask(kit.publish())
    prompts = branches.mongo.collection("prompts")
    await prompts.update_one({"_id": other.id}, {"$set": {"archived_at": other.created_at}})
    await branches.here.jobs_done()
    failed = await kit.get()
    assert (failed.state, failed.failure and failed.failure.code) == (VersionState.DRAFT, "not_found")
    assert await branches.count("notifications", kind="package.failed") == 1
    assert await branches.count("files.files") == 0
    await kit.here.ask(
        EditPackageVersion(package_id=kit.package_id, version="1.0.0", prompts=(ChosenPrompt(kit.prompt_id, 1),))
    )
    assert (await built(branches, kit)).failure is None


async def test_a_version_whose_job_is_gone_is_a_draft_again(branches: Branches, kit: Kit) -> None:
    publishing = await kit.here.ask(kit.publish())
    await branches.mongo.collection("jobs").delete_one({"_id": publishing.job_id})
    trusted = kit.here.derive()
    trusted.trusted = True
    assert await trusted.ask(SweepPackages()) == 0
    versions = branches.mongo.collection("package_versions")
    long_ago = publishing.created_at.replace(year=2020)
    await versions.update_one({"_id": f"{kit.package_id}:1.0.0"}, {"$set": {"updated_at": long_ago}})
    assert await trusted.ask(SweepPackages()) == 1
    assert (await kit.get()).failure is not None
    assert (await built(branches, kit)).state is VersionState.PUBLISHED


async def test_the_same_prompts_are_the_same_bytes_whichever_process_builds_them(branches: Branches, kit: Kit) -> None:
    await built(branches, kit)
    data = await file_of(kit)
    versions = branches.mongo.collection("package_versions")
    building = {"state": "building", "file_id": None}
    await versions.update_one({"_id": f"{kit.package_id}:1.0.0"}, {"$set": building})
    trusted = kit.there.derive()
    trusted.trusted = True
    await trusted.ask(BuildPackage(package_id=kit.package_id, version="1.0.0"))
    assert await file_of(kit) == data


async def test_an_installation_that_dies_before_its_commit_leaves_nothing(branches: Branches, kit: Kit) -> None:
    await built(branches, kit)
    project = await kit.here.ask(CreateProject(name="Home"))
    message = InstallPackage(package_id=kit.package_id, version="1.0.0", project_id=project.id)

    async def next_one() -> None:
        branches.transactions.before_commit = interrupt

    branches.transactions.before_commit = next_one  # of looking up the version; then comes the installation's own
    with pytest.raises(Interrupted):
        await kit.here.ask(message)
    assert (await kit.here.ask(ListPrompts(project_id=project.id))).items == ()
    assert await branches.count("package_installs") == 0
    done = await kit.here.ask(message)
    assert [one.stored_as for one in done.prompts] == ["Greeting"]


async def test_of_two_who_install_into_one_project_one_is_told_of_the_conflict(branches: Branches, kit: Kit) -> None:
    await built(branches, kit)
    project = await kit.here.ask(CreateProject(name="Home"))
    message = InstallPackage(package_id=kit.package_id, version="1.0.0", project_id=project.id)
    outcomes = await all_at_once([(kit.here, message), (kit.there, message)])
    assert outcomes["done"] == 1
    assert outcomes[InstallConflicts.code] + outcomes["name_taken"] == 1
    assert len((await kit.here.ask(ListPrompts(project_id=project.id))).items) == 1


async def test_a_revocation_while_somebody_installs_is_before_or_after_it(branches: Branches, kit: Kit) -> None:
    await built(branches, kit)
    moderator = await branches.there.person("mia", Role.MODERATOR)
    project = await kit.here.ask(CreateProject(name="Home"))
    revoke = RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason="It does harm")
    await moderator.ask(revoke)
    message = InstallPackage(package_id=kit.package_id, version="1.0.0", project_id=project.id)
    assert await raised(kit.there, message) == "package_revoked"
    assert await branches.count("audit_log", action="package.revoked") == 1


async def test_what_was_revoked_stays_so_when_its_publisher_is_erased(branches: Branches, kit: Kit) -> None:
    """The file is with others, and its signature is still good."""
    await built(branches, kit)
    data = await file_of(kit)
    moderator, bob = await branches.here.person("mia", Role.MODERATOR), await branches.here.person("bob")
    await moderator.ask(RevokePackageVersion(package_id=kit.package_id, version="1.0.0", reason="It does harm"))
    await kit.here.ask(RequestDeletion())
    await erased(branches, kit.here.user_id)
    assert await branches.count("package_versions") == 0
    upload = await bob.ask(UploadPackage(data=data))
    assert await raised(bob, InstallPackage(upload_id=upload.id)) == "package_revoked"


async def test_includes_go_by_the_names_that_prompts_have_now(branches: Branches, kit: Kit) -> None:
    """A prompt was renamed since it was included: in the package, and where it is installed, it is found."""
    outer = await branches.here.prompt(kit.here, "Outer", "{{> Greeting@1}} And so on.")
    await kit.here.ask(UpdatePrompt(prompt_id=kit.prompt_id, name="Salutation"))
    await kit.here.ask(
        EditPackageVersion(package_id=kit.package_id, version="1.0.0", prompts=(ChosenPrompt(outer.id, 1),))
    )
    await built(branches, kit)
    project = await kit.here.ask(CreateProject(name="Home"))
    done = await kit.here.ask(InstallPackage(package_id=kit.package_id, version="1.0.0", project_id=project.id))
    assert [one.name for one in done.prompts] == ["Outer", "Salutation"]
    installed = await kit.here.ask(GetVersion(prompt_id=done.prompts[0].prompt_id or "", version=1))
    assert installed.content == "{{> Salutation@1}} And so on."


async def test_a_refund_beside_the_first_download_is_seen_by_it(branches: Branches, kit: Kit) -> None:
    """The download begins before the refund has committed: the file does not leave."""
    await built(branches, kit)
    listing = await offered(branches, kit)
    here, there = await branches.person("bob")
    await branches.here.fund(here, 30)
    bought = await here.ask(PurchaseListing(listing_id=listing.id, expected_price="10"))

    refund = RequestRefund(purchase_id=bought.id, words="It is not what I need.")
    download = DownloadPackage(package_id=kit.package_id, version="1.0.0")
    looked = await there.ask(download)
    assert looked.begin is not None
    assert (await there.ask(ListPurchases())).items[0].used_at is None, "who only looks has not used it"
    outcomes = await beside(branches, (here, refund), looked.begin)
    assert outcomes == ["done", "not_found"]
    again = await here.ask(PurchaseListing(listing_id=listing.id, expected_price="10"))
    begin = (await here.ask(download)).begin
    assert begin is not None
    await begin()
    assert (await there.ask(GetPurchase(purchase_id=again.id))).used_at is not None
    assert await branches.ledger_is_right()
