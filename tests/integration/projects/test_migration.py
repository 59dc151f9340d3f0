"""A database from before there were projects: its prompts find their owners' personal ones, however often it runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from promptforge.actors.projects.messages import ListProjects
from promptforge.actors.prompts.messages import CreatePrompt, GetVersion, ListPrompts
from promptforge.core.mongo import Index, Mongo, compare_indexes, ensure_indexes, run_migrations
from promptforge.deploy.features import INDEXES
from promptforge.deploy.migrations import MIGRATIONS
from tests.integration.marketplace.branches import open_branches
from tests.support.market import raised

pytestmark = [pytest.mark.anyio, pytest.mark.unused_database]

OLD: dict[str, tuple[Index, ...]] = {
    "prompts": (
        Index((("owner_id", 1), ("name", 1)), unique=True, partial={"archived": False}),
        Index((("owner_id", 1), ("archived", 1), ("created_at", -1), ("_id", -1))),
    )
}


async def old_prompt(mongo: Mongo, owner_id: str, number: int, name: str) -> str:
    now, prompt_id = datetime(2026, 11, 1, tzinfo=UTC), f"prm_{number:04d}"
    prompt: dict[str, Any] = {  # Any: a document
        "_id": prompt_id,
        "owner_id": owner_id,
        "name": name,
        "kind": "text",
        "description": None,
        "tags": [],
        "folder": "",
        "latest_version": 1,
        "archived": False,
        "archived_at": None,
        "created_at": now,
        "updated_at": now,
    }
    version: dict[str, Any] = {  # Any: a document
        "_id": f"{prompt_id}:0000001",
        "prompt_id": prompt_id,
        "owner_id": owner_id,
        "version": 1,
        "kind": "text",
        "content": f"text {number}",
        "settings": {},
        "message": None,
        "content_hash": f"hash {number}",
        "created_at": now,
    }
    await mongo.collection("prompts").insert_one(prompt)
    await mongo.collection("prompt_versions").insert_one(version)
    return prompt_id


async def test_prompts_of_people_become_prompts_of_their_personal_projects(mongo: Mongo) -> None:
    await ensure_indexes(mongo, OLD)
    async with open_branches(mongo) as branches:  # with the new indexes beside the old ones
        carla, _ = await branches.person("carla")
        bruno, _ = await branches.person("bruno")
        for number in range(600):
            await old_prompt(mongo, carla.user_id, number, f"Prompt {number}")
        shared = await old_prompt(mongo, bruno.user_id, 9000, "Prompt 1")
        assert await run_migrations(mongo, MIGRATIONS) == [one.number for one in MIGRATIONS]
        assert await run_migrations(mongo, MIGRATIONS) == []
        (project,) = (await carla.ask(ListProjects())).items
        assert project.personal
        assert len((await carla.ask(ListPrompts(limit=100))).items) == 100
        assert await branches.count("prompts", project_id=project.id, created_by=carla.user_id) == 600
        assert await branches.count("prompt_versions", project_id=project.id, created_by=carla.user_id) == 600
        assert await branches.count("prompts", owner_id={"$exists": True}) == 0
        assert [one.id for one in (await bruno.ask(ListPrompts())).items] == [shared]
        version = await bruno.ask(GetVersion(prompt_id=shared, version=1))
        assert (version.content, version.content_hash, version.created_by) == ("text 9000", "hash 9000", bruno.user_id)
        assert await raised(carla, GetVersion(prompt_id=shared, version=1)) == "not_found"
        assert await raised(bruno, CreatePrompt(name="Prompt 1")) == "name_taken"
    assert await compare_indexes(mongo, {"prompts": INDEXES["prompts"]}) == []


async def test_a_migration_that_was_cut_short_goes_on_where_it_was(mongo: Mongo) -> None:
    async with open_branches(mongo) as branches:
        carla, _ = await branches.person("carla")
        for number in range(5):
            await old_prompt(mongo, carla.user_id, number, f"Prompt {number}")
        await MIGRATIONS[0].apply(mongo)
        done = [row async for row in mongo.collection("prompts").find({}).sort([("_id", 1)])]
        # As if it had stopped between a version and its prompt, and before a third one.
        back = {"$unset": {"project_id": "", "created_by": ""}, "$set": {"owner_id": carla.user_id}}
        await mongo.collection("prompts").update_one({"_id": "prm_0002"}, back)
        await mongo.collection("prompts").update_one({"_id": "prm_0003"}, back)
        await mongo.collection("prompt_versions").update_one({"prompt_id": "prm_0003"}, back)
        await MIGRATIONS[0].apply(mongo)
        assert [row async for row in mongo.collection("prompts").find({}).sort([("_id", 1)])] == done
        assert await branches.count("prompt_versions", project_id=done[0]["project_id"]) == 5
