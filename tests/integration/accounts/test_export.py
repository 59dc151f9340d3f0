"""Everything that is held of somebody, in one file: all of theirs, nothing of others', and no secret."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from promptforge.actors.accounts.exports.messages import (
    DownloadPersonalExport,
    GetPersonalExport,
    PersonalExportState,
    RequestPersonalExport,
    SweepPersonalExports,
    WritePersonalExport,
)
from promptforge.actors.accounts.messages import RequestDeletion
from promptforge.actors.users.messages import CreateApiKey, UpdateProfile
from promptforge.core.context import Context
from promptforge.core.errors import PromptForgeError
from promptforge.deploy.accounts import HELD
from tests.integration.accounts.lives import MARK, erased, live
from tests.integration.marketplace.branches import Branches
from tests.support.market import raised

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
        "webhook_events", "seller_details", "projects",
    }  # fmt: skip
    assert others not in everything
    assert life.bob.user_id not in everything
    assert made.secret is not None
    assert made.secret not in everything
    (row,) = json.loads(files["users.json"])
    assert (row["_id"], row["email"]) == (life.ada.user_id, f"{MARK}@example.com")
    for name in files.keys() - {"README.md"}:
        assert json.loads(files[name]), name
        assert f"| {name} |" in files["README.md"]
        assert HELD.get(name.removesuffix(".json")) or name == "seller_identity.json"


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


async def test_the_file_goes_with_the_account(branches: Branches) -> None:
    ada = await branches.here.person("ada")
    await ada.ask(RequestPersonalExport())
    await write(branches, ada)
    await ada.ask(RequestDeletion())
    await erased(branches, ada.user_id)
    assert await branches.count("files.files") == await branches.count("files.chunks") == 0
    assert await branches.count("personal_exports") == 0
