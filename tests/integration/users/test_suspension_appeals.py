"""Whoever is suspended is told why, appeals once, and another administrator decides: none of it is silent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from promptforge.actors.users.staff.messages import (
    AccountReason,
    AppealMySuspension,
    GetAccount,
    GetMySuspension,
    ListAccountEvents,
    ListAccounts,
    ReinstateAccount,
    SuspendAccount,
    UpholdSuspension,
)
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from promptforge.core.jobs import MongoJobStore
from promptforge.core.mongo import Mongo
from promptforge.core.principal import Role
from promptforge.core.runtime import Actor
from promptforge.deploy.features import INDEXES, build_actors
from tests.support.market import Market, raised
from tests.support.mongo import with_indexes
from tests.support.processes import SteppedClock, job_process
from tests.support.sealed import SETTINGS

pytestmark = pytest.mark.anyio
WORDS = "The prompts are mine: here is where I published them."


@pytest.fixture
async def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def market(mongo: Mongo, clock: SteppedClock) -> AsyncIterator[Market]:
    await with_indexes(mongo, INDEXES)

    def actors(store: MongoJobStore) -> Sequence[Actor]:
        return build_actors(mongo, store, SETTINGS)

    async with job_process(mongo, actors, running=False, clock=clock) as process:
        process.system.clock = clock
        yield Market(process)


async def suspended(market: Market, *, code: AccountReason = AccountReason.INFRINGEMENT) -> tuple[Context, Context]:
    """Eve, whom an administrator has suspended."""
    eve, admin = await market.person("eve"), await market.person("admin", Role.ADMIN)
    await admin.ask(SuspendAccount(user_id=eve.user_id, reason="Sells what others wrote", reason_code=code))
    return eve, admin


def upholding(whom: Context) -> UpholdSuspension:
    return UpholdSuspension(user_id=whom.user_id, reason="They are older elsewhere.")


async def told(market: Market, person: Context) -> list[tuple[str, str | None]]:
    return [(one.kind, one.subject.get("reason_code")) for one in await market.notices(person)]


async def test_a_suspension_tells_its_reason_what_can_be_done_and_how_it_is_appealed(market: Market) -> None:
    eve, _ = await suspended(market)
    (notice,) = await market.notices(eve)
    assert (notice.kind, notice.subject["reason_code"]) == ("account.suspended", "infringement")
    why = await eve.ask(GetMySuspension())
    assert (why.reason_code, why.note, why.final) == ("infringement", "Sells what others wrote", False)
    assert why.appeal_until is not None
    for words in (why.words, why.note, why.next_step, f"You can appeal until {why.appeal_until:%Y-%m-%d}."):
        assert words in notice.body
    assert await raised(await market.person("ada"), GetMySuspension()) == "not_found"


async def test_a_reason_is_one_for_what_is_decided(market: Market) -> None:
    eve, admin = await suspended(market)
    wrong = (
        SuspendAccount(user_id=eve.user_id, reason="No reason", reason_code=AccountReason.RESOLVED),
        ReinstateAccount(user_id=eve.user_id, reason="No reason", reason_code=AccountReason.FRAUD),
        replace(upholding(eve), reason_code=AccountReason.MISTAKEN),
    )
    for message in wrong:
        with pytest.raises(Invalid) as refused:
            await admin.ask(message)
        assert [one.code for one in refused.value.errors] == ["wrong_reason"]


async def test_another_administrator_hears_the_appeal_and_it_is_upheld_for_good(market: Market) -> None:
    eve, admin = await suspended(market)
    second = await market.person("second", Role.ADMIN)
    waits = await eve.ask(AppealMySuspension(words=WORDS))
    assert (waits.appealed_at is not None, waits.final) == (True, False)
    assert await raised(eve, AppealMySuspension(words=WORDS)) == "already_appealed"
    for one in (admin, second):
        assert ("account.appealed", None) in await told(market, one)
    (found,) = (await second.ask(ListAccounts(appealed=True))).items
    assert found.suspension is not None
    assert (found.id, found.suspension.appeal) == (eve.user_id, WORDS)
    assert await raised(admin, upholding(eve)) == "own_suspension"
    assert await raised(admin, SuspendAccount(user_id=eve.user_id, reason="Another reason")) == "appeal_waits"
    await second.ask(upholding(eve))
    assert (await told(market, eve))[0] == ("account.upheld", "unchanged")
    assert await raised(second, upholding(eve)) == "nothing_to_appeal"
    assert await raised(eve, AppealMySuspension(words=WORDS)) == "nothing_to_appeal"
    assert (await eve.ask(GetMySuspension())).final
    assert (await second.ask(ListAccounts(appealed=True))).items == ()
    events = (await second.ask(ListAccountEvents(user_id=eve.user_id))).items
    assert [(one.event, one.by == eve.user_id) for one in events] == [
        ("upheld", False),
        ("appealed", True),
        ("suspended", False),
    ]
    assert (await second.ask(GetAccount(user_id=eve.user_id))).suspended


async def test_what_can_be_done_follows_the_appeal(market: Market, clock: SteppedClock) -> None:
    """Nobody is told to do what would be refused."""
    eve, admin = await suspended(market)
    assert "POST /users/me/suspension/appeal" in (await eve.ask(GetMySuspension())).next_step
    clock.advance(days=400)
    late = await eve.ask(GetMySuspension())
    assert await raised(eve, AppealMySuspension(words=WORDS)) == "appeal_too_late"
    assert "until" in late.next_step
    assert "/appeal" not in late.next_step
    await admin.ask(SuspendAccount(user_id=eve.user_id, reason="It is another matter"))
    await eve.ask(AppealMySuspension(words=WORDS))
    waits = (await eve.ask(GetMySuspension())).next_step
    assert "You have appealed" in waits
    await admin.ask(upholding(eve))
    upheld = (await eve.ask(GetMySuspension())).next_step
    assert "There is no other appeal" in upheld
    assert all("/appeal" not in told for told in (waits, upheld))


async def test_a_second_click_is_not_another_suspension(market: Market, clock: SteppedClock) -> None:
    eve, admin = await suspended(market)
    first = await admin.ask(GetAccount(user_id=eve.user_id))
    clock.advance(minutes=1)
    again = SuspendAccount(
        user_id=eve.user_id, reason="Sells what others wrote", reason_code=AccountReason.INFRINGEMENT
    )
    assert await admin.ask(again) == first
    assert len(await told(market, eve)) == 1
    await admin.ask(replace(again, reason="And what others drew"))
    second = await market.person("second", Role.ADMIN)
    clock.advance(minutes=1)
    await second.ask(replace(again, reason="And what others drew"))
    assert len(await told(market, eve)) == 3, "other words, or another administrator: another decision"
    await eve.ask(AppealMySuspension(words=WORDS))
    await admin.ask(upholding(eve))
    await second.ask(replace(again, reason="And what others drew"))
    assert not (await eve.ask(GetMySuspension())).final, "after the appeal it is another one"


async def test_whoever_is_the_only_administrator_decides(market: Market) -> None:
    eve, admin = await suspended(market)
    await eve.ask(AppealMySuspension(words=WORDS))
    await admin.ask(upholding(eve))
    assert (await eve.ask(GetMySuspension())).final


async def test_an_appeal_that_is_granted_is_an_end_and_the_next_suspension_has_an_appeal_of_its_own(
    market: Market,
) -> None:
    eve, admin = await suspended(market)
    await market.person("second", Role.ADMIN)
    await eve.ask(AppealMySuspension(words=WORDS))
    undone = ReinstateAccount(user_id=eve.user_id, reason="We were wrong", reason_code=AccountReason.MISTAKEN)
    assert (await admin.ask(undone)).suspension is None
    assert (await told(market, eve))[0] == ("account.reinstated", "mistaken")
    assert await raised(eve, AppealMySuspension(words=WORDS)) == "not_found"
    await admin.ask(SuspendAccount(user_id=eve.user_id, reason="Once more"))
    assert (await eve.ask(AppealMySuspension(words=WORDS))).reason_code is AccountReason.OTHER


async def test_an_appeal_has_its_time(market: Market, clock: SteppedClock) -> None:
    eve, _ = await suspended(market)
    clock.advance(days=SETTINGS.appeal_days, seconds=1)
    assert await raised(eve, AppealMySuspension(words=WORDS)) == "appeal_too_late"


async def test_one_from_before_there_were_codes_and_appeals_is_appealed_too(
    market: Market, clock: SteppedClock
) -> None:
    eve, admin = await suspended(market)
    users = market.process.mongo.collection("users")
    before = {"reason": "Of old", "by": admin.user_id, "at": clock.now() - timedelta(days=1000)}
    for stored in (before, None):
        await users.update_one({"_id": eve.user_id}, {"$set": {"suspension": stored}})
        assert (await eve.ask(GetMySuspension())).reason_code is AccountReason.OTHER
        assert (await eve.ask(AppealMySuspension(words=WORDS))).appealed_at is not None


async def test_an_appeal_beside_an_end_is_either_heard_or_not_needed(market: Market) -> None:
    for number in range(4):
        eve, admin = await market.person(f"eve-{number}"), await market.person("admin", Role.ADMIN)
        await admin.ask(SuspendAccount(user_id=eve.user_id, reason="Sells what others wrote"))
        outcomes: list[str] = []

        async def end(by: Context = admin, whom: Context = eve, heard: list[str] = outcomes) -> None:
            heard.append(await raised(by, ReinstateAccount(user_id=whom.user_id, reason="It was a mistake")))

        async def appeal(by: Context = eve, heard: list[str] = outcomes) -> None:
            heard.append(await raised(by, AppealMySuspension(words=WORDS)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            tasks.start_soon(appeal)
        assert sorted(outcomes) in (["done", "done"], ["done", "not_found"])
        after = await admin.ask(GetAccount(user_id=eve.user_id))
        assert (after.suspended, after.suspension) == (False, None)
