"""A job that runs when the account it runs for is suspended or closed: it is ended and judged anew, once."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from promptforge.core.context import Context
from promptforge.core.errors import Unavailable
from promptforge.core.jobs import job
from promptforge.core.messages import Command, internal
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Principal
from promptforge.core.runtime import Actor, handles
from tests.support.processes import TestProcess, job_process

pytestmark = pytest.mark.anyio
ADA = Principal("usr_ada", "uid-ada")


@internal
class Last(Command[str]):
    """Goes on for as long as its asker may have it."""


@internal
@job(looks_itself=True)
class LookMyself(Command[str]):
    """Ends by itself."""


class Enduring(Actor):
    name = "enduring"

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.let_go = anyio.Event()

    @handles(Last)
    async def last(self, message: Last, context: Context) -> str:
        """As handlers do, it judges its principal where it begins."""
        principal = context.principal
        standing = "nobody" if principal is None else "suspended" if principal.suspended else "open"
        self.begun.append(standing)
        if standing != "open":
            return standing
        await self.let_go.wait()
        return "whole"

    @handles(LookMyself)
    async def look_myself(self, message: LookMyself, context: Context) -> str:
        self.begun.append("open")
        await self.let_go.wait()
        return "by myself"


class People:
    """How the accounts stand, as the runner reads them."""

    def __init__(self) -> None:
        self.ada: Principal | None = ADA
        self.asked = 0

    async def find(self, user_id: str) -> Principal | None:
        self.asked += 1
        return self.ada if user_id == ADA.user_id else Principal(user_id, f"uid-{user_id}")


async def begun(
    process: TestProcess, actor: Enduring, principal: Principal, message: Command[str] | None = None
) -> str:
    number = len(actor.begun)
    job_id = await process.context(principal).enqueue(message or Last())
    with anyio.fail_after(60):
        while len(actor.begun) == number:
            await anyio.sleep(0.01)
    return job_id


@pytest.mark.parametrize("now", [replace(ADA, suspended=True), None], ids=["suspended", "closed"])
async def test_it_ends_and_begins_again_with_the_rights_as_they_are_now(mongo: Mongo, now: Principal | None) -> None:
    actor, people = Enduring(), People()
    async with job_process(mongo, [actor], find_principal=people.find) as process:
        job_id = await begun(process, actor, ADA)
        assert await process.runner.standing.look() == 0, "nothing has happened"
        people.ada = now
        assert await process.runner.standing.look() == 1
        await process.until_done(job_id)
        job = await process.store.get(job_id)
        assert (job.result, job.attempt, actor.begun[0]) == (actor.begun[1], 1, "open")
        assert actor.begun[1] == ("nobody" if now is None else "suspended")


async def test_what_others_have_running_goes_on_and_what_began_with_a_suspension_is_left_alone(mongo: Mongo) -> None:
    """Some of it a suspended account may have: its data, its deletion."""
    actor, people = Enduring(), People()
    async with job_process(mongo, [actor], find_principal=people.find) as process:
        other = await begun(process, actor, Principal("usr_bob", "uid-bob"))
        mine = await begun(process, actor, ADA)
        people.ada = replace(ADA, suspended=True)
        assert await process.runner.standing.look() == 1
        await process.until_done(mine)
        assert await process.runner.standing.look() == 0
        actor.let_go.set()
        await process.until_done(other)
        assert (await process.store.get(other)).result == "whole"


async def test_jobs_of_one_person_are_looked_at_together_and_those_of_nobody_never(mongo: Mongo) -> None:
    actor, people = Enduring(), People()
    async with job_process(mongo, [actor], find_principal=people.find) as process:
        for _ in range(3):
            await begun(process, actor, ADA)
        asked = people.asked
        await process.runner.standing.look()
        assert people.asked == asked + 1
        actor.let_go.set()


async def test_what_looks_itself_is_left_to_end_well(mongo: Mongo) -> None:
    actor, people = Enduring(), People()
    async with job_process(mongo, [actor], find_principal=people.find) as process:
        job_id = await begun(process, actor, ADA, LookMyself())
        people.ada = replace(ADA, suspended=True)
        assert await process.runner.standing.look() == 0
        actor.let_go.set()
        await process.until_done(job_id)
        assert (await process.store.get(job_id)).result == "by myself"


@pytest.mark.parametrize("error", [Unavailable("no database"), KeyError("uid")], ids=["unavailable", "unexpected"])
async def test_one_whose_rights_cannot_be_read_keeps_nobody_else_from_being_looked_at(
    mongo: Mongo, error: Exception
) -> None:
    actor, people = Enduring(), People()

    async def find(user_id: str) -> Principal | None:
        if user_id == "usr_broken" and people.ada != ADA:
            raise error
        return await people.find(user_id)

    async with job_process(mongo, [actor], find_principal=find) as process:
        broken = await begun(process, actor, Principal("usr_broken", "uid-broken"))
        mine = await begun(process, actor, ADA)
        people.ada = replace(ADA, suspended=True)
        assert await process.runner.standing.look() == 1
        await process.until_done(mine)
        actor.let_go.set()
        await process.until_done(broken)
        assert (await process.store.get(broken)).result == "whole"
