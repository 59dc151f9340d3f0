"""What a process remembers to serve: it forgets what it changed itself at once, whatever the change stream does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.projects import Memberships
from promptforge.actors.prompts import CompiledCache
from promptforge.actors.prompts.labels.messages import MoveLabel, RemoveLabel
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion, FirstVersion, UpdatePrompt
from promptforge.actors.prompts.serving.messages import CompiledView, GetCompiledPrompt
from promptforge.core.context import Context
from promptforge.core.errors import NotFound
from promptforge.core.mongo import Mongo
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.following import Memory
from tests.integration.marketplace.branches import SETTINGS
from tests.support.market import Market
from tests.support.mongo import with_indexes
from tests.support.processes import job_process

pytestmark = pytest.mark.anyio


@pytest.fixture
async def carla(mongo: Mongo) -> AsyncIterator[Context]:
    """Of a process that remembers, and whose change stream tells nothing."""
    await with_indexes(mongo, INDEXES)
    memory = Memory(CompiledCache(lambda: True), Memberships(lambda: True))
    async with job_process(
        mongo, lambda store: build_actors(mongo, store, SETTINGS, memory=memory), running=False
    ) as process:
        yield await Market(process).person("carla")


async def served(person: Context, prompt_id: str, label: str = "production") -> CompiledView:
    return await person.ask(GetCompiledPrompt(prompt_id=prompt_id, label=label))


async def test_who_changes_a_prompt_is_served_what_it_is_then(carla: Context) -> None:
    style = (await carla.ask(CreatePrompt(name="Style", first_version=FirstVersion(content="one")))).id
    await carla.ask(MoveLabel(prompt_id=style, label="production", version=1))
    including = FirstVersion(content="Be {{> Style@production}}")
    letter = (await carla.ask(CreatePrompt(name="Letter", first_version=including))).id
    assert (await served(carla, style)).content == "one"
    assert (await served(carla, style, "latest")).version == 1
    assert (await served(carla, letter, "latest")).content == "Be one"
    await carla.ask(CreateVersion(prompt_id=style, content="two"))
    assert ((await served(carla, style)).version, (await served(carla, style, "latest")).version) == (1, 2)
    await carla.ask(MoveLabel(prompt_id=style, label="production", version=2))
    assert (await served(carla, style)).content == "two"
    assert (await served(carla, letter, "latest")).content == "Be two"
    await carla.ask(UpdatePrompt(prompt_id=letter, name="Mail"))
    assert (await served(carla, letter, "latest")).name == "Mail"
    await carla.ask(MoveLabel(prompt_id=letter, label="production", version=1))
    assert (await served(carla, letter)).content == "Be two"
    await carla.ask(RemoveLabel(prompt_id=letter, label="production"))
    with pytest.raises(NotFound):
        await served(carla, letter)
