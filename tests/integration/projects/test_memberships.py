"""Memberships in memory, in two processes that follow one database: asked for once, and right when it matters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest

from promptforge.actors.projects.messages import (
    AddMember,
    AuthoriseInProject,
    CreateProject,
    ProjectPermission,
    ProjectRole,
    ProjectView,
    RemoveMember,
    SetMemberRoles,
)
from promptforge.actors.prompts.messages import CreatePrompt, CreateVersion, FirstVersion, GetVersion
from promptforge.actors.search.changes import ChangedDocuments
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.audit import AuditFilter, AuditLog
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo, Pulse
from promptforge.deploy.features import INDEXES, build_actors
from promptforge.deploy.following import memory_of
from tests.support.market import Market, raised
from tests.support.mongo import with_indexes
from tests.support.processes import job_process
from tests.support.searching import SETTINGS, Muffled, until

pytestmark = pytest.mark.anyio

_P = ProjectPermission


@dataclass(frozen=True, slots=True)
class Following:
    market: Market
    feed: Muffled
    found: ChangedDocuments


@asynccontextmanager
async def following(mongo: Mongo) -> AsyncIterator[Following]:
    feed = Muffled(mongo)
    memory = memory_of(feed, Pulse(mongo.ping, lambda: feed.healthy))
    async with (
        anyio.create_task_group() as tasks,
        job_process(
            mongo,
            lambda store: build_actors(mongo, store, SETTINGS, memory=memory),
            running=False,
        ) as process,
    ):
        tasks.start_soon(feed.run)
        await feed.started.wait()
        yield Following(Market(process), feed, memory.found)
        tasks.cancel_scope.cancel()


@pytest.fixture
async def both(mongo: Mongo) -> AsyncIterator[tuple[Following, Following]]:
    await with_indexes(mongo, INDEXES)
    async with following(mongo) as here, following(mongo) as there:
        yield here, there


async def shared(here: Following) -> tuple[Context, Context, ProjectView, str]:
    """An owner, a viewer, their project, and a prompt of it."""
    owner, viewer = await here.market.person("olga"), await here.market.person("vera")
    await viewer.ask(UpdateProfile(handle="the-vera"))
    project = await owner.ask(CreateProject(name="Shared"))
    await owner.ask(AddMember(project_id=project.id, handle="the-vera", roles=(ProjectRole.VIEWER,)))
    first = FirstVersion(content="a")
    prompt = await owner.ask(CreatePrompt(name="One", project_id=project.id, first_version=first))
    return owner, viewer, project, prompt.id


async def test_reading_versions_asks_for_the_members_once(mongo: Mongo, both: tuple[Following, Following]) -> None:
    async def reads() -> int:
        """How many times the collection was read, as the server counts."""
        indexes = await mongo.collection("projects").aggregate([{"$indexStats": {}}]).to_list(None)
        return sum(index["accesses"]["ops"] for index in indexes)

    owner, viewer, project, prompt_id = await shared(both[0])
    read = GetVersion(prompt_id=prompt_id, version=1)
    for one in both:
        await one.feed.told()
        one.feed.trusted = True
    system = both[0].market.process.context()
    writing = AuthoriseInProject(project_id=project.id, user_id=owner.user_id, permission=_P.WRITE)

    async def nothing_is_read() -> bool:
        """Now and then search reads what has changed, too: so it is tried again."""
        before = await reads()
        for person in (viewer, owner) * 10:
            await person.ask(read)
        return await reads() == before

    async def who_writes_is_looked_up() -> bool:
        before = await reads()
        for _ in range(3):
            await system.ask(writing)
        return await reads() == before + 3

    await viewer.ask(read)
    await until(nothing_is_read)
    await until(who_writes_is_looked_up)  # the server counts as this test thinks it does


async def test_who_is_removed_reads_nothing_any_more_here_at_once_and_elsewhere_soon(
    both: tuple[Following, Following],
) -> None:
    here, there = both
    owner, viewer, project, prompt_id = await shared(here)
    elsewhere = await there.market.person("vera")
    read = GetVersion(prompt_id=prompt_id, version=1)
    for person in (viewer, elsewhere):
        for _ in range(3):
            assert await raised(person, read) == "done"
    here.feed.held_back = True  # here nobody waits for the stream
    await owner.ask(RemoveMember(project_id=project.id, user_id=viewer.user_id))
    assert await raised(viewer, read) == "not_found"
    with anyio.fail_after(60):
        while await raised(elsewhere, read) != "not_found":
            await anyio.sleep(0.005)


async def test_who_is_let_in_is_in_at_once_even_where_the_news_has_not_come(
    both: tuple[Following, Following],
) -> None:
    here, there = both
    owner, viewer, project, prompt_id = await shared(here)
    await owner.ask(RemoveMember(project_id=project.id, user_id=viewer.user_id))
    read = GetVersion(prompt_id=prompt_id, version=1)
    elsewhere = await there.market.person("vera")
    olga = await there.market.person("olga")
    await there.feed.told()
    assert await raised(olga, read) == "done", "the members are in memory there"
    there.feed.held_back = True
    await owner.ask(AddMember(project_id=project.id, handle="the-vera", roles=(ProjectRole.VIEWER,)))
    assert await raised(elsewhere, read) == "done"


async def test_what_writes_looks_itself_whatever_memory_says(both: tuple[Following, Following]) -> None:
    here, there = both
    owner, viewer, project, prompt_id = await shared(here)
    await owner.ask(SetMemberRoles(project_id=project.id, user_id=viewer.user_id, roles=(ProjectRole.EDITOR,)))
    elsewhere = await there.market.person("vera")
    await there.feed.told()
    assert await raised(elsewhere, GetVersion(prompt_id=prompt_id, version=1)) == "done"
    there.feed.held_back = True
    await owner.ask(RemoveMember(project_id=project.id, user_id=viewer.user_id))
    assert await raised(elsewhere, GetVersion(prompt_id=prompt_id, version=1)) == "done", "nobody told this process"
    assert await raised(elsewhere, CreateVersion(prompt_id=prompt_id, content="b")) == "not_found"
    ask = AuthoriseInProject(project_id=project.id, user_id=viewer.user_id, permission=_P.WRITE)
    assert await raised(there.market.process.context(), ask) == "not_found"


async def test_every_change_of_members_is_in_the_audit_log(mongo: Mongo, both: tuple[Following, Following]) -> None:
    owner, viewer, project, _ = await shared(both[0])
    as_owner, as_editor = (ProjectRole.OWNER,), (ProjectRole.EDITOR,)
    await owner.ask(SetMemberRoles(project_id=project.id, user_id=viewer.user_id, roles=as_owner))
    await owner.ask(SetMemberRoles(project_id=project.id, user_id=viewer.user_id, roles=as_owner))  # changes nothing
    await viewer.ask(SetMemberRoles(project_id=project.id, user_id=owner.user_id, roles=as_editor))
    await owner.ask(RemoveMember(project_id=project.id, user_id=owner.user_id))
    refused = RemoveMember(project_id=project.id, user_id=viewer.user_id)
    assert await raised(viewer, refused) == "last_owner"
    page = await AuditLog(mongo).list_page(AuditFilter(target=project.id), None, 20)
    kept = [(entry.action, entry.actor.user_id, entry.before, entry.after) for entry in reversed(page.items)]
    olga, vera = {"user_id": owner.user_id}, {"user_id": viewer.user_id}
    viewing, owning, editing = ({"roles": [role]} for role in ("viewer", "owner", "editor"))
    assert kept == [
        ("member.added", owner.user_id, None, {**vera, **viewing}),
        ("member.roles_changed", owner.user_id, {**vera, **viewing}, {**vera, **owning}),
        ("member.roles_changed", viewer.user_id, {**olga, **owning}, {**olga, **editing}),
        ("member.left", owner.user_id, {**olga, **editing}, None),
    ]
