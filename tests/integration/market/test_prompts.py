"""Prompts, versions and notifications on a real MongoDB."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.notifications.messages import (
    CountUnread,
    ListNotifications,
    MarkAllRead,
    MarkRead,
    NotifyUser,
)
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    ChatMessage,
    ChatRole,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetVersion,
    ListPrompts,
    ListVersions,
    ModelSettings,
    PromptKind,
    RestorePrompt,
    UpdatePrompt,
)
from tests.support.market import Market, raised

pytestmark = pytest.mark.anyio


async def test_versions_are_numbered_from_one_and_the_same_content_is_the_same_version(market: Market) -> None:
    carla = await market.person("carla")
    prompt = await carla.ask(CreatePrompt(name="One"))
    first = await carla.ask(CreateVersion(prompt_id=prompt.id, content="a"))
    second = await carla.ask(CreateVersion(prompt_id=prompt.id, content="b", message="better"))
    again = await carla.ask(CreateVersion(prompt_id=prompt.id, content="a", message="another message"))
    warmer = await carla.ask(CreateVersion(prompt_id=prompt.id, content="a", settings=ModelSettings(temperature=1.0)))
    made = (first, second, again, warmer)
    assert [(one.value.version, one.new) for one in made] == [(1, True), (2, True), (1, False), (3, True)]
    assert await carla.ask(GetVersion(prompt_id=prompt.id, version=2)) == second.value
    listed = await carla.ask(ListVersions(prompt_id=prompt.id, limit=2))
    assert [version.version for version in listed.items] == [3, 2]
    rest = await carla.ask(ListVersions(prompt_id=prompt.id, limit=2, cursor=listed.next))
    assert ([version.version for version in rest.items], rest.next) == ([1], None)
    assert (await carla.ask(GetPrompt(prompt_id=prompt.id))).latest_version == 3


async def test_concurrent_versions_have_no_gap_and_no_duplicate(market: Market) -> None:
    carla = await market.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Busy"))
    numbers: list[int] = []

    async def push(text: str) -> None:
        numbers.append((await carla.ask(CreateVersion(prompt_id=prompt.id, content=text))).value.version)

    async with anyio.create_task_group() as tasks:
        for number in range(24):
            tasks.start_soon(push, f"text {number % 12}")
    assert sorted(numbers) == sorted([*range(1, 13), *range(1, 13)])


async def test_concurrent_versions_from_several_processes_have_no_gap_either(market: Market) -> None:
    """Past the actor's keys, as another process would: the handlers side by side on one database."""
    carla = await market.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Shared"))
    binding = market.process.system.bindings[CreateVersion]
    numbers: list[int] = []

    async def push(text: str) -> None:
        message = CreateVersion(prompt_id=prompt.id, content=text)
        there = carla.derive()
        there.cell, there.trusted = binding.cell, True
        numbers.append((await binding.call(message, there)).value.version)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(push, f"text {number % 6}")
    assert sorted(numbers) == sorted([*range(1, 7), *range(1, 7)])


async def test_a_stale_base_is_refused_and_names_the_latest(market: Market) -> None:
    carla = await market.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Base"))
    assert await raised(carla, CreateVersion(prompt_id=prompt.id, content="a", base_version=0)) == "done"
    assert await raised(carla, CreateVersion(prompt_id=prompt.id, content="b", base_version=0)) == "stale_base"
    assert await raised(carla, CreateVersion(prompt_id=prompt.id, content="b", base_version=1)) == "done"


async def test_content_must_be_of_the_prompts_kind_and_fit(market: Market) -> None:
    carla = await market.person("carla")
    text = await carla.ask(CreatePrompt(name="Text"))
    chat = await carla.ask(CreatePrompt(name="Chat", kind=PromptKind.CHAT))
    messages = (ChatMessage(ChatRole.SYSTEM, "Be brief."), ChatMessage(ChatRole.USER, "{{question}}"))
    assert await raised(carla, CreateVersion(prompt_id=text.id, content=messages)) == "invalid_request"
    assert await raised(carla, CreateVersion(prompt_id=chat.id, content="text")) == "invalid_request"
    assert await raised(carla, CreateVersion(prompt_id=text.id, content="ä" * 200_000)) == "invalid_request"
    version = (await carla.ask(CreateVersion(prompt_id=chat.id, content=messages))).value
    assert (await carla.ask(GetVersion(prompt_id=chat.id, version=version.version))).content == messages


async def test_a_name_is_unique_among_live_prompts_of_one_owner(market: Market) -> None:
    carla, bruno = await market.person("carla"), await market.person("bruno")
    first = await carla.ask(CreatePrompt(name="Name"))
    assert await raised(carla, CreatePrompt(name="Name")) == "name_taken"
    assert await raised(bruno, CreatePrompt(name="Name")) == "done"
    await carla.ask(ArchivePrompt(prompt_id=first.id))
    assert await raised(carla, CreateVersion(prompt_id=first.id, content="a")) == "prompt_archived"
    assert await raised(carla, CreatePrompt(name="Name")) == "done"
    assert await raised(carla, RestorePrompt(prompt_id=first.id)) == "name_taken"
    await carla.ask(UpdatePrompt(prompt_id=first.id, name="Other", tags=("a", "a", "b")))
    restored = await carla.ask(RestorePrompt(prompt_id=first.id))
    assert (restored.name, restored.tags, restored.archived_at) == ("Other", ("a", "b"), None)
    names = [prompt.name for prompt in (await carla.ask(ListPrompts())).items]
    assert sorted(names) == ["Name", "Other"]


async def test_other_peoples_prompts_do_not_exist(market: Market) -> None:
    carla, eve = await market.person("carla"), await market.person("eve")
    prompt = await market.prompt(carla, "Mine")
    for message in (
        GetPrompt(prompt_id=prompt.id),
        UpdatePrompt(prompt_id=prompt.id, name="Stolen"),
        ArchivePrompt(prompt_id=prompt.id),
        RestorePrompt(prompt_id=prompt.id),
        CreateVersion(prompt_id=prompt.id, content="x"),
        GetVersion(prompt_id=prompt.id, version=1),
        ListVersions(prompt_id=prompt.id),
    ):
        assert await raised(eve, message) == "not_found"


def _notice(person: str, number: int) -> NotifyUser:
    return NotifyUser(
        user_id=person, kind="test", title="T", body="B", subject={"n": str(number)}, dedupe_key=f"{person}:{number}"
    )


async def test_notifications_are_told_once_and_read_once(market: Market) -> None:
    carla, eve = await market.person("carla"), await market.person("eve")
    system = market.process.system.context(request_id="r", trusted=True)
    async with anyio.create_task_group() as tasks:
        for number in (1, 1, 1, 2, 3):
            tasks.start_soon(system.ask, _notice(carla.user_id, number))
    listed = (await carla.ask(ListNotifications())).items
    assert sorted(one.subject["n"] for one in listed) == ["1", "2", "3"]
    read = await carla.ask(MarkRead(notification_id=listed[0].id))
    assert read.read_at is not None
    assert (await carla.ask(MarkRead(notification_id=listed[0].id))).read_at == read.read_at
    assert await raised(eve, MarkRead(notification_id=listed[1].id)) == "not_found"
    assert (await carla.ask(CountUnread())).unread == 2
    assert len((await carla.ask(ListNotifications(unread=True))).items) == 2
    assert (await carla.ask(MarkAllRead())).marked == 2
    assert (await carla.ask(CountUnread())).unread == 0


async def test_a_prompt_can_be_made_with_its_first_version_or_not_at_all(market: Market) -> None:
    carla = await market.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Whole", first_version=FirstVersion(content="a", message="first")))
    assert prompt.latest_version == 1
    assert (await carla.ask(GetVersion(prompt_id=prompt.id, version=1))).message == "first"
    wrong = CreatePrompt(name="Half", kind=PromptKind.CHAT, first_version=FirstVersion(content="a text"))
    assert await raised(carla, wrong) == "invalid_request"
    assert await raised(carla, CreatePrompt(name="Whole", first_version=FirstVersion(content="b"))) == "name_taken"
    assert [one.name for one in (await carla.ask(ListPrompts())).items] == ["Whole"]
