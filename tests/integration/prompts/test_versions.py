"""Versions on a real MongoDB: numbers without gaps from two processes, one version per content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetVersion,
    ListVersions,
    ModelSettings,
    PromptView,
)
from promptforge.actors.prompts.registry.domain import new_version
from promptforge.actors.prompts.store import VersionStore
from promptforge.core.context import Context
from promptforge.core.made import Made
from promptforge.core.mongo import Mongo
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def numbers_of(person: Context, prompt: PromptView, limit: int = 100) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = await person.ask(ListVersions(prompt_id=prompt.id, limit=limit, cursor=cursor))
        found += [version.version for version in page.items]
        cursor = page.next
        if cursor is None:
            return found


async def test_two_processes_number_versions_without_gap_or_duplicate(branches: Branches) -> None:
    here, there = await branches.person("carla")
    prompt = await here.ask(CreatePrompt(name="Busy"))
    answered: dict[int, str] = {}

    async def push(person: Context, text: str) -> None:
        version = (await person.ask(CreateVersion(prompt_id=prompt.id, content=text))).value
        assert answered.setdefault(version.version, text) == text

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(push, here if number % 2 else there, f"text {number // 2}")
    assert sorted(answered) == list(range(1, 21)), "each text was pushed to both"
    assert await numbers_of(here, prompt) == list(range(20, 0, -1))
    assert (await here.ask(GetPrompt(prompt_id=prompt.id))).latest_version == 20
    for number, text in answered.items():
        assert (await there.ask(GetVersion(prompt_id=prompt.id, version=number))).content == text


async def test_of_many_that_build_on_one_version_one_wins(branches: Branches) -> None:
    here, there = await branches.person("carla")
    prompt = await here.ask(CreatePrompt(name="Base", first_version=FirstVersion(content="a")))
    asks = [
        (here if number % 2 else there, CreateVersion(prompt_id=prompt.id, content=f"b{number}", base_version=1))
        for number in range(8)
    ]
    assert await all_at_once(asks) == {"done": 1, "stale_base": 7}
    assert await numbers_of(here, prompt) == [2, 1]


async def test_an_attempt_that_does_not_commit_leaves_no_gap(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Cut", first_version=FirstVersion(content="a")))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await carla.ask(CreateVersion(prompt_id=prompt.id, content="b"))
    assert await numbers_of(carla, prompt) == [1]
    assert (await carla.ask(CreateVersion(prompt_id=prompt.id, content="c"))).value.version == 2


async def test_pushing_the_same_again_is_safe_even_on_an_old_base(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Retried"))
    push = CreateVersion(prompt_id=prompt.id, content="a", settings=ModelSettings(model="m"), base_version=0)
    first = await carla.ask(push)
    assert first.new
    assert await carla.ask(push) == Made(first.value, new=False)
    await carla.ask(CreateVersion(prompt_id=prompt.id, content="b"))
    assert await carla.ask(push) == Made(first.value, new=False)
    assert await raised(carla, CreateVersion(prompt_id=prompt.id, content="c", base_version=1)) == "stale_base"


async def test_a_version_that_meets_an_archiving_comes_before_it_or_not_at_all(branches: Branches) -> None:
    here, there = await branches.person("carla")
    for number in range(6):
        prompt = await here.ask(CreatePrompt(name=f"Going {number}"))
        push, archive = CreateVersion(prompt_id=prompt.id, content="a"), ArchivePrompt(prompt_id=prompt.id)
        asks = [(here, push), (there, archive)] if number % 2 else [(there, archive), (here, push)]
        outcomes = await all_at_once(asks)
        assert set(outcomes) <= {"done", "prompt_archived"}
        assert await branches.count("prompt_versions", prompt_id=prompt.id) == outcomes["done"] - 1
        assert await raised(here, CreateVersion(prompt_id=prompt.id, content="b")) == "prompt_archived"


async def test_versions_are_listed_by_number_whatever_the_clocks_said(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Skewed"))
    other = await carla.ask(CreatePrompt(name="Other", first_version=FirstVersion(content="not listed")))
    store, start = VersionStore(mongo), datetime(2026, 11, 23, tzinfo=UTC)
    for number in range(1, 13):
        wanted = CreateVersion(prompt_id=prompt.id, content=f"text {number}")
        moment = start - timedelta(seconds=number % 5)
        version = new_version(prompt, number, wanted, created_by=carla.user_id, now=moment)
        await store.insert(version, prompt.project_id, session=None)
    assert await numbers_of(carla, prompt, limit=5) == list(range(12, 0, -1))
    foreign = (await carla.ask(ListVersions(prompt_id=prompt.id, limit=1))).next
    assert (await carla.ask(ListVersions(prompt_id=other.id, cursor=foreign))).items == ()


async def test_a_version_is_read_with_two_indexed_look_ups(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Hot", first_version=FirstVersion(content="a")))
    for number in range(50):
        await carla.ask(CreateVersion(prompt_id=prompt.id, content=f"text {number}"))
    await mongo.raw.command("profile", 2)
    try:
        await carla.ask(GetVersion(prompt_id=prompt.id, version=7))
    finally:
        await mongo.raw.command("profile", 0)
    done = await mongo.collection("system.profile").find({"op": {"$ne": "command"}}).to_list(10)
    looked = [(one["op"], one["ns"].partition(".")[2]) for one in done]
    assert looked == [("query", "prompt_versions"), ("query", "projects")]
    assert [(one["keysExamined"], one["docsExamined"]) for one in done] == [(1, 1), (1, 1)]


async def test_ten_thousand_versions_are_numbered_listed_and_served_like_ten(branches: Branches, mongo: Mongo) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Long", first_version=FirstVersion(content="text 1")))
    model = await mongo.collection("prompt_versions").find_one({"prompt_id": prompt.id})
    assert model is not None
    rows = [
        {**model, "_id": f"{prompt.id}:{number:07d}", "version": number, "content_hash": f"hash {number}"}
        for number in range(2, 10_000)
    ]
    await mongo.collection("prompt_versions").insert_many(rows)
    await mongo.collection("prompts").update_one({"_id": prompt.id}, {"$set": {"latest_version": 9_999}})
    made = await carla.ask(CreateVersion(prompt_id=prompt.id, content="the last one"))
    assert (made.new, made.value.version) == (True, 10_000)
    again = await carla.ask(CreateVersion(prompt_id=prompt.id, content="text 1", base_version=3))
    assert (again.new, again.value.version) == (False, 1)
    assert (await numbers_of(carla, prompt))[:3] == [10_000, 9_999, 9_998]
    assert (await carla.ask(GetVersion(prompt_id=prompt.id, version=5_000))).version == 5_000
    await mongo.raw.command("profile", 2)
    try:
        await carla.ask(ListVersions(prompt_id=prompt.id, limit=10))
        await carla.ask(CreateVersion(prompt_id=prompt.id, content="one more"))
    finally:
        await mongo.raw.command("profile", 0)
    wanted = {"op": {"$in": ["query", "update", "insert"]}, "ns": {"$regex": "prompt"}}
    done = await mongo.collection("system.profile").find(wanted).to_list(50)
    assert max(one.get("docsExamined", 0) for one in done) <= 11, "nothing reads the whole history"
