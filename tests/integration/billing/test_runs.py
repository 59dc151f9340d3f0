"""Credits for runs of language models: reserved, closed once, and given back to where they came from."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from promptforge.actors.billing.errors import InsufficientCredits, JournalMismatch
from promptforge.actors.billing.ledger.adjustments.domain import grant_journal
from promptforge.actors.billing.ledger.messages import CloseRun, ReserveRun, RunCharge, RunHold
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.messages import ListTransactions
from promptforge.core.context import Context
from promptforge.core.errors import NotFound, PromptForgeError
from tests.integration.billing.bank import Bank, Interrupted, amounts

pytestmark = pytest.mark.anyio


async def reserve(bank: Bank, user_id: str, run_id: str, millicredits: int) -> RunHold:
    message = ReserveRun(run_id=run_id, user_id=user_id, amount_millicredits=millicredits)
    return await bank.context().ask(message)


async def close(bank: Bank, run_id: str, millicredits: int) -> RunCharge:
    return await bank.context().ask(CloseRun(run_id=run_id, charge_millicredits=millicredits))


async def lots(bank: Bank, user_id: str) -> list[tuple[str, int]]:
    return [(lot.id, lot.remaining) for lot in (await bank.ledger.get_holdings(user_id)).lots]


async def test_a_run_is_reserved_and_then_costs_what_it_cost(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    assert await reserve(bank, user, "run_1", 4000) == RunHold(4000)
    assert amounts(await bank.credits(user)) == {"purchased": "6", "reserved": "4"}
    assert await close(bank, "run_1", 1500) == RunCharge(1500, first=True)
    assert amounts(await bank.credits(user)) == {"purchased": "8.5"}
    assert (await bank.verify()).ok


async def test_a_run_that_failed_gives_everything_back(bank: Bank) -> None:
    user = await bank.user(granted=2, purchased=10)
    await reserve(bank, user, "run_1", 4000)
    assert await close(bank, "run_1", 0) == RunCharge(0, first=True)
    assert amounts(await bank.credits(user)) == {"granted": "2", "purchased": "10"}
    assert (await bank.verify()).ok


async def test_more_than_was_held_is_the_platforms(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)
    assert await close(bank, "run_1", 9000) == RunCharge(4000, first=True)
    assert amounts(await bank.credits(user)) == {"purchased": "6"}
    assert (await bank.verify()).ok


async def test_granted_credits_are_spent_first_and_each_part_returns_to_its_lot(bank: Bank) -> None:
    user = await bank.user(granted=2, purchased=3)
    before = await lots(bank, user)
    await reserve(bank, user, "run_1", 4000)
    await close(bank, "run_1", 2500)
    assert amounts(await bank.credits(user)) == {"purchased": "2.5"}
    assert await lots(bank, user) == [(before[1][0], 2500)]
    assert (await bank.verify()).ok


async def test_lots_that_come_back_stand_where_they_stood_whichever_run_ends_first(bank: Bank) -> None:
    user = await bank.user()
    for number in range(3):
        await bank.post(topup_journal(f"cs_{number}", user_id=user, amount=1000, refs={}))
        await bank.post(grant_journal(f"g{number}", user_id=user, amount=1000, refs={}))
        await anyio.sleep(0.002)  # made in another millisecond
    before = await lots(bank, user)
    for number in range(5):
        await reserve(bank, user, f"run_{number}", 1000)
    assert [lot for lot, _ in await lots(bank, user)] == ["topup:cs_2"]
    for number in (3, 0, 4, 2, 1):
        await close(bank, f"run_{number}", 0)
    assert await lots(bank, user) == before
    assert (await bank.verify()).ok


async def test_the_same_run_is_reserved_once(bank: Bank) -> None:
    user, other = await bank.user(purchased=10), await bank.user(purchased=10)
    assert await reserve(bank, user, "run_1", 4000) == await reserve(bank, user, "run_1", 4000)
    assert amounts(await bank.credits(user)) == {"purchased": "6", "reserved": "4"}
    with pytest.raises(JournalMismatch):
        await reserve(bank, other, "run_1", 4000)


async def test_the_first_who_closes_decides_and_the_others_hear_of_it(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)
    await close(bank, "run_1", 1500)
    for charge in (1500, 4000, 0):
        assert await close(bank, "run_1", charge) == RunCharge(1500, first=False)
    assert amounts(await bank.credits(user)) == {"purchased": "8.5"}
    assert (await bank.verify()).ok


@pytest.mark.parametrize("charges", [[1500] * 8, [0, 1500] * 4])
async def test_of_many_who_close_at_once_one_does(bank: Bank, charges: list[int]) -> None:
    user = await bank.user(granted=2, purchased=8)
    await reserve(bank, user, "run_1", 4000)
    told: list[RunCharge] = []

    async def end(charge: int) -> None:
        told.append(await close(bank, "run_1", charge))

    async with anyio.create_task_group() as tasks:
        for charge in charges:
            tasks.start_soon(end, charge)
    assert len({charge.charged_millicredits for charge in told}) == 1
    assert [charge.first for charge in told].count(True) == 1
    left = 10_000 - told[0].charged_millicredits
    assert (await bank.ledger.get_holdings(user)).available == left
    assert bank.transactions.attempts > len(charges)  # they did get into each other's way
    assert (await bank.verify()).ok


@pytest.mark.parametrize("contenders", [2, 16])
async def test_of_many_runs_on_somebodys_last_credits_exactly_one_starts(bank: Bank, contenders: int) -> None:
    user = await bank.user(granted=2, purchased=3)
    outcomes: Counter[str] = Counter()

    async def start(number: int) -> None:
        try:
            await reserve(bank, user, f"run_{number:02d}", 5000)
        except PromptForgeError as error:
            outcomes[error.code] += 1
        else:
            outcomes["started"] += 1

    async with anyio.create_task_group() as tasks:
        for number in range(contenders):
            tasks.start_soon(start, number)
    assert outcomes == {"started": 1, InsufficientCredits.code: contenders - 1}
    assert amounts(await bank.credits(user)) == {"reserved": "5"}
    assert await bank.rules_broken() == {"hold_without_run"}  # for here nobody keeps runs, and that is all


async def test_runs_that_start_and_end_all_at_once_leave_every_credit_where_it_belongs(bank: Bank) -> None:
    user = await bank.user(granted=5, purchased=20)

    async def run(number: int) -> None:
        await reserve(bank, user, f"run_{number:02d}", 1000)
        await close(bank, f"run_{number:02d}", number * 10)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(run, number)
    spent = sum(number * 10 for number in range(20))
    assert (await bank.ledger.get_holdings(user)).available == 25_000 - spent
    assert (await bank.ledger.get_holdings(user)).reserved == 0
    assert (await bank.verify()).ok


async def test_what_is_not_committed_has_not_happened(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await reserve(bank, user, "run_1", 4000)
    assert amounts(await bank.credits(user)) == {"purchased": "10"}
    await reserve(bank, user, "run_1", 4000)
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await close(bank, "run_1", 1000)
    assert amounts(await bank.credits(user)) == {"purchased": "6", "reserved": "4"}
    assert await close(bank, "run_1", 1000) == RunCharge(1000, first=True)
    assert (await bank.verify()).ok


async def test_what_was_never_reserved_cannot_be_closed(bank: Bank) -> None:
    with pytest.raises(NotFound):
        await close(bank, "run_1", 0)


async def test_a_run_is_closed_with_its_cause_in_one_transaction(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)

    async def work(tx: Context) -> RunCharge:
        charge = await tx.ask(CloseRun(run_id="run_1", charge_millicredits=100))
        await bank.collection("users").update_one({"_id": user}, {"$set": {"seen": True}}, session=tx.session)
        return charge

    assert await bank.context().transaction(work) == RunCharge(100, first=True)


async def test_both_halves_show_in_ones_history(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)
    await close(bank, "run_1", 1500)
    page = await bank.context(user).ask(ListTransactions())
    shown = {entry.kind: (entry.amount, {part.account: part.amount for part in entry.parts}) for entry in page.items}
    assert shown["run_reserve"] == ("0", {"purchased": "-4", "reserved": "4"})
    assert shown["run_close"] == ("-1.5", {"reserved": "-4", "purchased": "2.5"})


async def test_what_is_held_for_no_run_is_found(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)
    assert await bank.rules_broken() == {"hold_without_run"}
    await bank.collection("model_runs").insert_one({"_id": "run_1"})
    assert await bank.rules_broken() == set()
    await close(bank, "run_1", 0)
    await bank.collection("model_runs").delete_many({})
    assert (await bank.verify()).ok


async def test_a_run_that_was_closed_without_a_reservation_is_found(bank: Bank) -> None:
    user = await bank.user(purchased=10)
    await reserve(bank, user, "run_1", 4000)
    await close(bank, "run_1", 4000)
    for name in ("ledger_journals", "transactions"):
        key = "_id" if name == "ledger_journals" else "journal_id"
        await bank.collection(name).delete_many({key: "run:run_1:reserve"})
    assert "run_close_without_reserve" in await bank.rules_broken()
