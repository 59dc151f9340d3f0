"""Prompts on a real MongoDB: names among the living, changes that were sent, pages that hold still."""

from __future__ import annotations

import pytest

from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetPromptVersionFor,
    GetVersion,
    ListPrompts,
    ListVersions,
    PromptKind,
    ReadPromptVersion,
    RestorePrompt,
    UpdatePrompt,
)
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from tests.integration.marketplace.branches import Branches, Interrupted, all_at_once, interrupt
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def names(person: Context, **wanted: bool | str) -> list[str]:
    return [prompt.name for prompt in (await person.ask(ListPrompts(**wanted))).items]  # type: ignore[arg-type]  # fields


async def test_only_what_was_sent_changes(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One", description="D", tags=("a",), folder="f"))
    renamed = await carla.ask(UpdatePrompt(prompt_id=prompt.id, name="Two"))
    assert (renamed.name, renamed.description, renamed.tags, renamed.folder) == ("Two", "D", ("a",), "f")
    cleared = await carla.ask(UpdatePrompt(prompt_id=prompt.id, description=None, tags=(), folder=""))
    assert (cleared.name, cleared.description, cleared.tags, cleared.folder) == ("Two", None, (), "")
    assert cleared.kind is PromptKind.TEXT
    assert await carla.ask(UpdatePrompt(prompt_id=prompt.id)) == cleared, "nothing sent, nothing changed"


async def test_archiving_and_restoring_twice_is_doing_it_once(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One"))
    archived = await carla.ask(ArchivePrompt(prompt_id=prompt.id))
    assert archived.archived_at is not None
    assert await carla.ask(ArchivePrompt(prompt_id=prompt.id)) == archived
    assert (await names(carla), await names(carla, archived=True)) == ([], ["One"])
    restored = await carla.ask(RestorePrompt(prompt_id=prompt.id))
    assert restored.archived_at is None
    assert await carla.ask(RestorePrompt(prompt_id=prompt.id)) == restored
    assert (await names(carla), await names(carla, archived=True)) == (["One"], [])


async def test_two_processes_give_a_name_once(branches: Branches) -> None:
    here, there = await branches.person("carla")
    wanted = [CreatePrompt(name="Mine"), CreatePrompt(name="Mine", first_version=FirstVersion(content="a"))]
    asks = [(here if number % 2 else there, wanted[number // 2 % 2]) for number in range(16)]
    assert await all_at_once(asks) == {"done": 1, "name_taken": 15}
    assert await names(here) == ["Mine"]
    assert await branches.count("prompt_versions") == (await here.ask(ListPrompts())).items[0].latest_version


async def test_of_two_that_want_an_archived_name_back_one_gets_it(branches: Branches) -> None:
    here, there = await branches.person("carla")
    prompt = await here.ask(CreatePrompt(name="Mine"))
    await here.ask(ArchivePrompt(prompt_id=prompt.id))
    outcomes = await all_at_once([(here, RestorePrompt(prompt_id=prompt.id)), (there, CreatePrompt(name="Mine"))])
    assert outcomes == {"done": 1, "name_taken": 1}
    assert await names(here) == ["Mine"]


async def test_a_prompt_and_its_first_version_are_made_together_or_not_at_all(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    wanted = CreatePrompt(name="Both", first_version=FirstVersion(content="a"))
    branches.transactions.before_commit = interrupt
    with pytest.raises(Interrupted):
        await carla.ask(wanted)
    assert (await branches.count("prompts"), await branches.count("prompt_versions")) == (0, 0)
    prompt = await carla.ask(wanted)
    again = await carla.ask(CreateVersion(prompt_id=prompt.id, content="a"))
    assert (prompt.latest_version, again.value.version) == (1, 1)
    assert (await carla.ask(CreateVersion(prompt_id=prompt.id, content="b", base_version=1))).value.version == 2


async def test_a_list_shows_each_prompt_once_while_others_come_and_go(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    made = [await carla.ask(CreatePrompt(name=f"Prompt {number}")) for number in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await carla.ask(ListPrompts(limit=2, cursor=cursor))
        seen += [prompt.name for prompt in page.items]
        await carla.ask(CreatePrompt(name=f"Later {len(seen)}"))
        if len(seen) == 2:
            await carla.ask(ArchivePrompt(prompt_id=made[5].id))  # the last one seen: the cursor outlives it
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"Prompt {number}" for number in (6, 5, 4, 3, 2, 1, 0)]


async def test_lists_are_filtered_by_tag(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    for name, tags in (("One", ("a", "b")), ("Two", ("b",)), ("Three", ())):
        await carla.ask(CreatePrompt(name=name, tags=tags))
    assert await names(carla, tag="b") == ["Two", "One"]
    assert await names(carla, tag="$ne") == []


async def test_a_cursor_nobody_gave_out_is_refused(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One", first_version=FirstVersion(content="a")))
    for cursor in ("x", "%%%", "bm8tY29sb24", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA", "\u00e4"):
        for message in (ListPrompts(cursor=cursor), ListVersions(prompt_id=prompt.id, cursor=cursor)):
            with pytest.raises(Invalid) as refused:
                await carla.ask(message)
            assert refused.value.errors[0].parameter == "cursor"


async def test_what_other_features_may_read(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    eve, _ = await branches.person("eve")
    prompt = await carla.ask(CreatePrompt(name="One", first_version=FirstVersion(content="a")))
    service = branches.here.process.context()
    pin = GetPromptVersionFor(prompt_id=prompt.id, version=1, owner_id=carla.user_id)
    pinned = await service.ask(pin)
    read = await service.ask(ReadPromptVersion(prompt_id=prompt.id, version=1))
    assert (pinned.content_hash, read.content) == (read.content_hash, "a")
    for version, owner in ((1, eve.user_id), (2, carla.user_id), (0, carla.user_id)):
        wrong = GetPromptVersionFor(prompt_id=prompt.id, version=version, owner_id=owner)
        assert await raised(service, wrong) == "not_found"
    assert await raised(service, ReadPromptVersion(prompt_id=prompt.id, version=2)) == "not_found"
    for message in (pin, ReadPromptVersion(prompt_id=prompt.id, version=1)):
        assert await raised(carla, message) == "forbidden", "these are the service's own"
    await carla.ask(ArchivePrompt(prompt_id=prompt.id))
    assert await raised(service, pin) == "not_found"
    assert (await service.ask(ReadPromptVersion(prompt_id=prompt.id, version=1))).content == "a", "sold is sold"
    assert (await carla.ask(GetVersion(prompt_id=prompt.id, version=1))).content == "a"
    assert (await carla.ask(GetPrompt(prompt_id=prompt.id))).archived_at is not None
