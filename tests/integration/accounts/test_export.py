"""Everything that is held of somebody, in one file: all of theirs, nothing of others', and no secret."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from promptforge.actors.accounts.exports import actor as exporting
from promptforge.actors.accounts.exports.archive import archive
from promptforge.actors.accounts.exports.messages import (
    DownloadPersonalExport,
    GetPersonalExport,
    PersonalExportState,
    RequestPersonalExport,
    SweepPersonalExports,
    WritePersonalExport,
)
from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.accounts.records import PersonalRecords
from promptforge.actors.marketplace.listings.messages import AppealListing
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReason
from promptforge.actors.moderation.messages import ClaimCase, Verdict
from promptforge.actors.users.messages import CreateApiKey, UpdateProfile
from promptforge.actors.users.staff.messages import SuspendAccount
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.core.mongo import Files, Mongo
from promptforge.core.mongo.files import CHUNK_BYTES, WRITTEN_TOGETHER
from promptforge.core.principal import Role
from promptforge.deploy.accounts import HELD
from tests.integration.accounts.lives import MARK, erased, live, time_has_come
from tests.integration.marketplace.branches import Branches, Interrupted, open_branches
from tests.support.market import decision, raised

pytestmark = pytest.mark.anyio


async def write(branches: Branches, person: Context) -> None:
    """The job, as the runner does it; without a principal finder the tests' runner would not."""
    await branches.here.process.context(person.principal).ask(WritePersonalExport(user_id=person.user_id))


async def fetched(person: Context) -> dict[str, str]:
    file = await person.ask(DownloadPersonalExport())
    data = b"".join([piece async for piece in file.read(0, file.size)])
    assert len(data) == file.size
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def test_all_that_is_held_is_in_it_and_nothing_of_others(branches: Branches) -> None:
    life = await live(branches)
    others = "canaryheron"
    await life.bob.ask(UpdateProfile(display_name=f"Bob {others}", bio=others))
    made = await life.ada.ask(CreateApiKey(name="a second key", scopes=("prompts:read",)))
    assert (await life.ada.ask(RequestPersonalExport())).state is PersonalExportState.QUEUED
    await write(branches, life.ada)
    files = await fetched(life.ada)
    told = (await life.ada.ask(GetPersonalExport())).state
    assert told is PersonalExportState.FINISHED
    everything = "".join(files.values())
    marked = {name.removesuffix(".json") for name, text in files.items() if MARK in text}
    assert marked >= {
        "users", "api_keys", "prompts", "prompt_versions", "prompt_drafts", "prompt_labels", "datasets",
        "dataset_items", "events", "marketplace_listings", "marketplace_reports", "reviews", "purchases",
        "webhook_events", "seller_details", "projects", "ledger_freezes",
    }  # fmt: skip
    (brought,) = [sale for sale in json.loads(files["ledger_sales.json"]) if sale["referrer_id"] == life.ada.user_id]
    assert (brought["promised"], "paid_with" in brought, "payable" in brought) == (3000, False, False)
    assert [(row["earned"], row["term"]) for row in json.loads(files["ledger_partners.json"])] == [(0, 1)]
    assert others not in everything
    assert life.bob.user_id not in everything
    assert made.secret is not None
    assert made.secret not in everything
    done_to_her = {
        entry["action"] for entry in json.loads(files["audit_log.json"]) if entry["target"] == life.ada.user_id
    }
    assert done_to_her >= {"user.roles_changed"}, sorted(done_to_her)
    (row,) = json.loads(files["users.json"])
    assert (row["_id"], row["email"]) == (life.ada.user_id, f"{MARK}@example.com")
    for name in files.keys() - {"README.md"}:
        assert json.loads(files[name]), name
        assert f"| {name} |" in files["README.md"]
        assert HELD.get(name.removesuffix(".json")) or name == "seller_identity.json"


async def test_cases_of_moderators_are_in_it_with_the_words_that_are_ones_own(branches: Branches) -> None:
    """Bob reports Ada's listing, then Eve does; Ada appeals. Each finds what they said, and what was said to them."""
    market = branches.here
    ada, bob, eve = [await market.person(name, Role.SELLER) for name in ("ada", "bob", "eve")]
    moderators = [await market.person(name, Role.MODERATOR) for name in ("mia", "moe")]
    listing = await market.published(ada, "Offered")
    for reporter, words in ((bob, "words of Bob"), (eve, "words of Eve")):
        await reporter.ask(ReportListing(listing_id=listing.id, reason=ReportReason.COPIED, words=words))
        await market.jobs_done()
    suspending = replace(
        decision(await market.case_of(moderators[0], listing), Verdict.SUSPEND), public_note="So it is"
    )
    await moderators[0].ask(ClaimCase(case_id=suspending.case_id))
    await moderators[0].ask(replace(suspending, internal_note="between us"))
    await ada.ask(AppealListing(listing_id=listing.id, words="words of Ada"))
    await market.jobs_done()
    files = {}
    for person in (ada, bob, eve):
        await person.ask(RequestPersonalExport())
        await write(branches, person)
        files[person.user_id] = await fetched(person)
    cases = {who: json.loads(found["moderation_cases.json"]) for who, found in files.items()}
    of_ada = {case["kind"]: case for case in cases[ada.user_id]}
    assert of_ada["appeal"]["reason"] == "words of Ada"
    assert of_ada["report"]["public_note"] == "So it is"
    assert "reason" not in of_ada["report"]
    (of_bob,), (of_eve,) = cases[bob.user_id], cases[eve.user_id]
    assert "words of Bob" in of_bob["reason"]
    assert "reason" not in of_eve
    assert of_eve["public_note"] == "So it is"
    for who, hidden in (
        (ada, ("words of Bob", "words of Eve", "between us")),
        (bob, ("words of Eve", "words of Ada", "between us")),
        (eve, ("words of Bob", "words of Ada", "between us")),
    ):
        everything = "".join(files[who.user_id].values())
        assert [text for text in hidden if text in everything] == []
    assert "words of Eve" in files[eve.user_id]["marketplace_reports.json"]


async def test_cards_and_bank_accounts_are_in_it_and_not_who_else_uses_them(branches: Branches) -> None:
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    shared = {"_id": "card:shared", "user_ids": [bob.user_id, ada.user_id]}
    await branches.mongo.collection("payment_instruments").insert_one(shared)
    for person in (ada, bob):
        await branches.mongo.collection("account_links").insert_one({"_id": person.user_id, "group": bob.user_id})
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    files = await fetched(ada)
    assert json.loads(files["payment_instruments.json"]) == [{**shared, "user_ids": ["somebody else", ada.user_id]}]
    assert json.loads(files["account_links.json"]) == [{"_id": ada.user_id, "group": "somebody else"}]
    assert bob.user_id not in "".join(files.values())


async def test_one_is_written_at_a_time_and_the_next_takes_its_place(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    assert await raised(ada, GetPersonalExport()) == await raised(ada, DownloadPersonalExport()) == "not_found"
    asked = await ada.ask(RequestPersonalExport())
    assert await ada.ask(RequestPersonalExport()) == asked
    assert await raised(ada, DownloadPersonalExport()) == "export_not_ready"
    await write(branches, ada)
    with pytest.raises(PromptForgeError, match="Nobody waits"):
        await write(branches, ada)
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    assert await branches.count("files.files") == 1, "the file before is removed"


async def test_what_an_attempt_before_left_is_removed(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    left = {"files_id": "fil_left", "n": 0, "data": b"half a file"}
    await branches.mongo.collection("files.chunks").insert_one(left)
    await branches.mongo.collection("personal_exports").update_one(
        {"_id": ada.user_id}, {"$set": {"state": "running", "file_ids": ["fil_left"]}}
    )
    await write(branches, ada)
    assert await branches.count("files.chunks", files_id="fil_left") == 0
    assert (await fetched(ada)).keys() >= {"users.json", "README.md"}


async def test_a_week_later_the_file_is_gone(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    past = datetime.now(UTC) - timedelta(minutes=1)
    await branches.mongo.collection("personal_exports").update_one({}, {"$set": {"expires_at": past}})
    assert await raised(ada, DownloadPersonalExport()) == "export_expired"
    assert await branches.here.process.context().ask(SweepPersonalExports()) == 1
    assert await branches.count("files.files") == await branches.count("files.chunks") == 0
    assert (await ada.ask(GetPersonalExport())).state is PersonalExportState.EXPIRED


async def test_a_file_whose_removal_is_cut_short_is_removed_by_the_next_sweep(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    past = datetime.now(UTC) - timedelta(minutes=1)
    await branches.mongo.collection("personal_exports").update_one({}, {"$set": {"expires_at": past}})

    async def killed(self: object, file_id: str) -> None:
        raise Interrupted

    sweeping = branches.here.process.context
    with monkeypatch.context() as patched:
        patched.setattr(Files, "delete", killed)
        with pytest.raises(Interrupted):
            await sweeping().ask(SweepPersonalExports())
    await sweeping().ask(SweepPersonalExports())
    assert await branches.count("files.files") == await branches.count("files.chunks") == 0
    assert (await ada.ask(GetPersonalExport())).state is PersonalExportState.EXPIRED


async def test_what_its_job_has_given_up_fails_and_leaves_nothing(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    exports, jobs = branches.mongo.collection("personal_exports"), branches.mongo.collection("jobs")
    await exports.update_one({}, {"$set": {"state": "running", "file_ids": ["fil_left"], "writer": "fil_left"}})
    left = {"files_id": "fil_left", "n": 0, "data": b"half a file"}
    await branches.mongo.collection("files.chunks").insert_one(left)
    assert await branches.here.process.context().ask(SweepPersonalExports()) == 0, "its job waits to be tried again"
    assert (await ada.ask(GetPersonalExport())).state is PersonalExportState.RUNNING
    await jobs.update_many({"owner_id": ada.user_id}, {"$set": {"state": "dead"}})
    assert await branches.here.process.context().ask(SweepPersonalExports()) == 1
    assert (await ada.ask(GetPersonalExport())).state is PersonalExportState.FAILED
    assert await branches.count("files.chunks") == 0
    assert await raised(ada, DownloadPersonalExport()) == "export_not_ready"
    assert (await ada.ask(RequestPersonalExport())).state is PersonalExportState.QUEUED
    await write(branches, ada)
    assert (await ada.ask(GetPersonalExport())).state is PersonalExportState.FINISHED


async def test_what_was_written_while_its_person_was_erased_goes_by_itself(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a process that died before it saw that nobody waits for it: a whole file, and pieces of one."""
    ada, bob = await branches.here.person("ada"), await branches.here.person("bob")
    for person in (ada, bob):
        await person.ask(RequestPersonalExport())
        await write(branches, person)
    await branches.mongo.collection("personal_exports").delete_one({"_id": ada.user_id})
    for file_id in ("fil_begun", "fil_also"):
        piece = {"files_id": file_id, "n": 0, "data": b"half a file"}
        await branches.mongo.collection("files.chunks").insert_one(piece)
    sweeping = branches.here.process.context
    assert await sweeping().ask(SweepPersonalExports()) == 0, "it may be being written"
    monkeypatch.setattr(exporting, "NOBODYS_AFTER", timedelta(seconds=-2))
    assert await sweeping().ask(SweepPersonalExports()) == 3
    (file,) = [row async for row in branches.mongo.collection("files.files").find({})]
    pieces = await branches.mongo.collection("files.chunks").find({}).to_list(None)
    assert {row["files_id"] for row in pieces} == {file["_id"]}
    assert (await fetched(bob)).keys() >= {"users.json"}


async def test_a_writer_that_is_interrupted_while_its_person_is_erased_leaves_nothing(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the runner does it to the jobs of closed accounts; the next attempt finds that nobody waits any more."""
    pieces, writes = archive, anyio.Event()

    async def waits_in_the_end(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        yield b"x" * CHUNK_BYTES * WRITTEN_TOGETHER
        async for piece in pieces(*args, **kwargs):
            yield piece
        writes.set()
        await anyio.sleep_forever()

    async with open_branches(mongo, find_principal=True) as branches:
        ada, admin = await branches.here.person("ada"), await branches.here.person("admin", Role.ADMIN)
        await ada.ask(RequestPersonalExport())
        runner = branches.here.process.runner
        monkeypatch.setattr(exporting, "archive", waits_in_the_end)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(runner.drain)
                await writes.wait()
                assert await branches.count("files.chunks") == WRITTEN_TOGETHER
                await branches.mongo.collection("personal_exports").delete_one({"_id": ada.user_id})
                await admin.ask(SuspendAccount(user_id=ada.user_id, reason="A test"))
                assert await runner.standing.look() == 1
        assert await branches.count("files.files") == await branches.count("files.chunks") == 0


async def test_an_export_that_is_finished_while_its_person_is_being_erased_is_not_kept(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the step that removes files and the one that removes what names them."""
    ada = await branches.here.person("ada")
    pieces, erase = archive, PersonalRecords.erase
    files_are_gone, written = anyio.Event(), anyio.Event()

    async def waits_in_the_end(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        async for piece in pieces(*args, **kwargs):
            yield piece
        await files_are_gone.wait()

    async def erased_step_by_step(self: PersonalRecords, name: str, *args: Any, **kwargs: Any) -> int:
        looked = await erase(self, name, *args, **kwargs)
        if name == "files.chunks":
            files_are_gone.set()
            await written.wait()
        return looked

    async def write_it() -> None:
        await write(branches, ada)
        written.set()

    await ada.ask(RequestPersonalExport())
    await branches.mongo.collection("jobs").delete_many({"kind": WritePersonalExport.message_kind})
    await ada.ask(RequestDeletion())
    await time_has_come(branches, ada.user_id)
    monkeypatch.setattr(exporting, "archive", waits_in_the_end)
    monkeypatch.setattr(PersonalRecords, "erase", erased_step_by_step)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_it)
            while not await branches.count("personal_exports", state="running"):
                await anyio.sleep(0.01)
            await time_has_come(branches, ada.user_id)
    assert await branches.count("files.files") == await branches.count("files.chunks") == 0
    assert await branches.count("personal_exports") == 0


async def test_the_file_goes_with_the_account(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    assert await branches.count("files.files") == await branches.count("files.chunks") == 0
    assert await branches.count("personal_exports") == 0
