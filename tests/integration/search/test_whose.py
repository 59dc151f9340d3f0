"""What somebody may find, remembered in two processes that follow one database: right here at once, elsewhere soon."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from promptforge.actors.marketplace.documents.messages import ListBought
from promptforge.actors.marketplace.purchases.messages import RequestRefund
from promptforge.actors.projects.messages import (
    AddMember,
    ArchiveProject,
    CreateProject,
    ListProjectsOf,
    ProjectRole,
    RemoveMember,
    RestoreProject,
    UpdateProject,
)
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from tests.support.searching import Searched, searched, until

pytestmark = pytest.mark.anyio

VIEWER = (ProjectRole.VIEWER,)


@pytest.fixture
async def both(mongo: Mongo) -> AsyncIterator[tuple[Searched, Searched]]:
    async with searched(mongo) as here, searched(mongo) as there:
        for one in (here, there):
            await one.feed.told()
            one.feed.trusted = True
        yield here, there


async def listed(one: Searched, person: Context, *, remembered: bool = True) -> set[str]:
    ask = ListProjectsOf(user_id=person.user_id, remembered=remembered)
    return set(await one.market.process.context().ask(ask))


async def owned(one: Searched, person: Context) -> list[str]:
    bought = await one.market.process.context().ask(ListBought(user_id=person.user_id, limit=10))
    return [each.purchase_id for each in bought]


async def test_who_is_in_which_project_is_right_here_at_once_and_elsewhere_soon(
    both: tuple[Searched, Searched],
) -> None:
    here, there = both
    owner, viewer = await here.market.person("olga"), await here.market.person("vera")
    await viewer.ask(UpdateProfile(handle="the-vera"))
    personal = {name: await listed(here, person) for name, person in (("olga", owner), ("vera", viewer))}
    here.feed.held_back = True  # here nobody waits for the stream

    async def everywhere(person: Context, *projects: str) -> None:
        expected = personal["olga" if person is owner else "vera"] | set(projects)
        assert await listed(here, person) == expected

        async def elsewhere() -> bool:
            return await listed(there, person) == expected

        await until(elsewhere)

    for person in (owner, viewer):
        await everywhere(person)
    project = (await owner.ask(CreateProject(name="Shared"))).id
    await everywhere(owner, project)
    await owner.ask(AddMember(project_id=project, handle="the-vera", roles=VIEWER))
    await everywhere(viewer, project)
    await owner.ask(ArchiveProject(project_id=project))
    for person in (owner, viewer):
        await everywhere(person)
    await owner.ask(RestoreProject(project_id=project))
    for person in (owner, viewer):
        await everywhere(person, project)
    await owner.ask(RemoveMember(project_id=project, user_id=viewer.user_id))
    await everywhere(viewer)
    await everywhere(owner, project)


async def test_it_is_remembered_where_that_will_do_and_while_changes_are_heard_of(
    both: tuple[Searched, Searched],
) -> None:
    here, there = both
    owner = await here.market.person("olga")
    await listed(there, owner)
    await there.feed.told()
    before = await listed(there, owner)
    there.feed.held_back = True
    project = (await owner.ask(CreateProject(name="Unheard of"))).id
    assert await listed(there, owner) == before, "it is remembered"
    assert await listed(there, owner, remembered=False) == before | {project}


async def test_a_change_of_a_name_forgets_nobodys_projects(both: tuple[Searched, Searched]) -> None:
    here, there = both
    owner, other = await here.market.person("olga"), await here.market.person("vera")
    project = (await owner.ask(CreateProject(name="Shared"))).id
    await there.feed.told()
    await listed(there, other)
    size = there.memory.memberships.lists.size
    assert size > 0
    await owner.ask(UpdateProject(project_id=project, name="Renamed"))
    await there.feed.told()
    assert there.memory.memberships.lists.size == size
    await owner.ask(ArchiveProject(project_id=project))
    await there.feed.told()
    assert there.memory.memberships.lists.size == 0, "whose it was the change does not say"


async def test_what_somebody_owns_is_right_here_at_once_and_elsewhere_soon(both: tuple[Searched, Searched]) -> None:
    here, there = both
    seller, buyer = await here.market.person("ada", Role.SELLER), await here.market.person("bob")
    listing = await here.market.published(seller, "Accordion letters", price="0")
    assert (await owned(here, buyer), await owned(there, buyer)) == ([], [])
    here.feed.held_back = True
    bought = await here.market.buy(buyer, listing, price="0")
    assert await owned(here, buyer) == [bought.id]

    async def elsewhere() -> list[str]:
        return await owned(there, buyer)

    async def has_it() -> bool:
        return await elsewhere() == [bought.id]

    async def has_nothing() -> bool:
        return await elsewhere() == []

    await until(has_it)
    refunded = await buyer.ask(RequestRefund(purchase_id=bought.id, words="I have changed my mind"))
    assert refunded.refunded_at is not None
    assert await owned(here, buyer) == []
    await until(has_nothing)
