"""Gifts expire: what is left of them goes back, once, and nothing that was spent."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.ledger.messages import (
    CloseRun,
    CreditLotView,
    ExpireCredits,
    ExpireLots,
    ListCreditLots,
    ReserveRun,
    WarnOfExpiry,
)
from promptforge.actors.billing.messages import CreditsView, GrantCredits, ListTransactions
from promptforge.core.errors import PromptForgeError
from promptforge.core.principal import Role
from tests.integration.billing.bank import GIFTS_LAST, Bank, Interrupted, amounts
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def give(bank: Bank, user: str, credits: int) -> None:
    admin = bank.context("usr_admin", Role.ADMIN)
    await admin.ask(GrantCredits(user_id=user, amount=str(credits), reason="A welcome"))


async def expire(bank: Bank) -> int:
    """What the schedule does; answers of how many users something had expired."""
    found = await bank.context().ask(ExpireLots())
    await bank.process.runner.drain()
    return found


async def gifts_of(bank: Bank, user: str) -> tuple[CreditLotView, ...]:
    return (await bank.context(user).ask(ListCreditLots())).lots


async def test_what_is_left_of_a_gift_goes_back_when_it_expires(bank: Bank, clock: SteppedClock) -> None:
    user = await bank.user(granted=5, purchased=10)
    await give(bank, user, 20)
    told: CreditsView = await bank.credits(user)
    assert told.next_expiry is not None
    assert (told.next_expiry.amount, told.next_expiry.at) == ("20", clock.now() + GIFTS_LAST)
    await bank.charge(user, await bank.user(), 8)
    clock.advance(days=29)
    assert await expire(bank) == 0
    clock.advance(days=1)
    assert await expire(bank) == 1
    after = await bank.credits(user)
    assert (amounts(after), after.next_expiry) == ({"granted": "5", "purchased": "10"}, None)
    assert await bank.balance_of("platform:grants") == -13_000
    (entry,) = [one for one in (await bank.context(user).ask(ListTransactions())).items if one.kind == "expiry"]
    assert (entry.amount, entry.id, entry.refs["expired"]) == ("-12", f"expire:{entry.refs['lot']}", "12")
    assert await expire(bank) == 0
    assert (await bank.verify()).violations == ()


async def test_of_gifts_those_that_expire_first_are_spent_first(bank: Bank, clock: SteppedClock) -> None:
    user = await bank.user(granted=5)
    await give(bank, user, 5)
    await bank.charge(user, await bank.user(), 5)
    (left,) = await gifts_of(bank, user)
    assert (left.expires_at, left.remaining) == (None, "5")


async def test_what_comes_back_to_a_gift_that_has_expired_expires_too(bank: Bank, clock: SteppedClock) -> None:
    """The rest of a run, and a refund: the key of the first time is taken, so these have one of their own."""
    user = await bank.user()
    await give(bank, user, 20)
    await bank.context().ask(ReserveRun(run_id="run_1", user_id=user, amount_millicredits=4_000))
    await bank.charge(user, await bank.user(), 6, "pur_1")
    clock.advance(days=31)
    await expire(bank)
    assert amounts(await bank.credits(user)) == {"reserved": "4"}
    await bank.context().ask(CloseRun(run_id="run_1", charge_millicredits=1_000))
    (lot,) = await gifts_of(bank, user)
    assert (lot.remaining, lot.expires_at is not None) == ("3", True)
    await expire(bank)
    await bank.refund("pur_1")
    await expire(bank)
    assert amounts(await bank.credits(user)) == {}
    kinds = {"kind": "expiry"}
    keys = [row["_id"] async for row in bank.collection("ledger_journals").find(kinds).sort([("_id", 1)])]
    assert keys == [f"expire:{lot.id}", f"expire:{lot.id}:2", f"expire:{lot.id}:3"]
    assert [one for one in (await bank.verify()).violations if one.rule != "run_close_without_reserve"] == []


async def test_a_gift_that_is_spent_while_it_expires_is_one_or_the_other(bank: Bank, clock: SteppedClock) -> None:
    seller = await bank.user()
    for number in range(12):
        user = await bank.user()
        await give(bank, user, 10)
        clock.advance(days=31)
        refused: list[str] = []

        async def spend(user: str = user, number: int = number, refused: list[str] = refused) -> None:
            try:
                await bank.charge(user, seller, 10, f"pur_{number}")
            except PromptForgeError as error:
                refused.append(error.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spend)
            for _ in range(2):
                tasks.start_soon(bank.context().ask, ExpireCredits(user_id=user))
        assert amounts(await bank.credits(user)) == {}
        expired = await bank.collection("ledger_journals").count_documents({"kind": "expiry", "parties": user})
        assert (expired, refused) in [(1, ["insufficient_credits"]), (0, [])]
    assert (await bank.verify()).violations == ()


async def test_an_expiry_that_is_not_committed_has_not_happened(bank: Bank, clock: SteppedClock) -> None:
    user = await bank.user()
    await give(bank, user, 10)
    clock.advance(days=31)
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await bank.context().ask(ExpireCredits(user_id=user))
    assert amounts(await bank.credits(user)) == {"granted": "10"}
    assert await bank.context().ask(ExpireCredits(user_id=user)) == 1
    assert await bank.context().ask(ExpireCredits(user_id=user)) == 0


async def test_its_owner_is_told_two_weeks_before_and_when_it_has_happened(bank: Bank, clock: SteppedClock) -> None:
    spender, saver = await bank.user(), await bank.user()
    for user in (spender, saver):
        await give(bank, user, 10)
    await bank.charge(spender, await bank.user(), 10)
    await bank.process.runner.drain()
    bank.notified.told.clear()
    clock.advance(days=15)
    await bank.process.runner.drain()
    assert bank.notified.told == []
    clock.advance(days=2)
    await bank.process.runner.drain()
    assert [(one.user_id, one.kind) for one in bank.notified.told] == [(saver, "credits.expiring")]
    clock.advance(days=14)
    await expire(bank)
    assert [(one.user_id, one.kind) for one in bank.notified.told][1:] == [(saver, "credits.expired")]
    await bank.context().ask(WarnOfExpiry(user_id=saver, lot="grant:of nobody"))


async def test_only_gifts_of_whoever_has_some_are_looked_for(bank: Bank) -> None:
    """By an index that holds nobody else."""
    wanted = {"credits.lots.expires_at": {"$lte": bank.context().now()}, "_id": {"$gt": "usr_0001"}}
    find = {"find": "users", "filter": wanted, "sort": {"_id": 1}, "limit": 500}
    for _ in range(30):
        await bank.user()
    answer = await bank.process.mongo.raw.command({"explain": find, "verbosity": "executionStats"})
    assert answer["executionStats"]["totalDocsExamined"] == 0
