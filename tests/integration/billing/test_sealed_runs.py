"""What a run of a sealed prompt earns its seller, and budgets out of which sellers pay for trials."""

from __future__ import annotations

import anyio
import pytest

from promptforge.actors.billing.errors import BudgetSpent, DebtOutstanding, InsufficientCredits, JournalMismatch
from promptforge.actors.billing.ledger.budgets.messages import BudgetState, FundBudget, ListBudgets, ReturnBudgets
from promptforge.actors.billing.ledger.messages import (
    CloseRun,
    ReserveRun,
    RunCharge,
    RunHold,
    RunShare,
    SettleSeller,
    TakeBackTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.billing.messages import ListTransactions
from promptforge.core.errors import PromptForgeError
from tests.integration.billing.bank import Bank, amounts
from tests.support.processes import SteppedClock

pytestmark = pytest.mark.anyio

LISTING = "lst_1"


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def sealed_run(
    bank: Bank, user: str, seller: str | None, *, cost: int, share: int, run_id: str = "run_1"
) -> RunCharge:
    """`cost` and `share` in millicredits; a little more than that is held for the model."""
    await bank.context().ask(ReserveRun(run_id=run_id, user_id=user, amount_millicredits=cost + share + 700))
    return await bank.context().ask(
        CloseRun(run_id=run_id, charge_millicredits=cost, share=RunShare(seller, share) if share else None)
    )


async def settle(bank: Bank, clock: SteppedClock, seller: str) -> None:
    clock.advance(days=31)
    await bank.context().ask(SettleSeller(seller_id=seller))


async def legs(bank: Bank, journal_id: str) -> list[tuple[str, int]]:
    rows = await bank.collection("transactions").find({"journal_id": journal_id}).sort([("_id", 1)]).to_list(None)
    return [(row["account"], row["amount"]) for row in rows]


async def test_a_share_is_divided_pending_and_settled_like_the_price_of_a_sale(bank: Bank, clock: SteppedClock) -> None:
    user, seller = await bank.user(purchased=10), await bank.user()
    assert await sealed_run(bank, user, seller, cost=200, share=1000) == RunCharge(
        200, first=True, share_millicredits=1000
    )
    assert await legs(bank, "run:run_1:close") == [
        ("reserved", -1900),
        ("purchased", 700),
        ("platform:llm", 200),
        ("pending", 850),
        ("platform:fees", 150),
    ]
    assert amounts(await bank.credits(user)) == {"purchased": "8.8"}
    assert amounts(await bank.credits(seller)) == {"pending": "0.85"}
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"earned": "0.85"}
    assert (await bank.verify()).violations == ()


async def test_a_share_that_nobody_can_claim_is_the_platforms_and_stays_so(bank: Bank) -> None:
    user = await bank.user()
    topup = await bank.top_up(user, 2)
    charge = await sealed_run(bank, user, None, cost=200, share=1000)
    assert charge == RunCharge(200, first=True, share_millicredits=1000)
    assert (await legs(bank, "run:run_1:close"))[-2:] == [("platform:llm", 200), ("platform:fees", 1000)]
    assert await bank.collection("ledger_sales").count_documents({}) == 0
    dispute = TakeBackTopup(
        topup_id=topup, claim_id="dp_1", kind=ClaimKind.DISPUTE, amount=200, captured=200, undo_sales=True
    )
    await bank.context().ask(dispute)
    assert await bank.collection("ledger_journals").count_documents({"_id": "run:run_1:refund"}) == 0
    assert (await bank.verify()).ok


async def test_gifts_pay_the_model_first_and_what_they_pay_of_the_share_is_never_payable(
    bank: Bank, clock: SteppedClock
) -> None:
    user, seller = await bank.user(granted=1, purchased=10), await bank.user()
    await sealed_run(bank, user, seller, cost=400, share=1000)
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(user)) == {"purchased": "9.6"}
    assert amounts(await bank.credits(seller)) == {"granted": "0.51", "earned": "0.34"}
    assert (await bank.verify()).ok


@pytest.mark.parametrize("learned_late", [False, True])
async def test_linked_accounts_earn_nothing_payable(bank: Bank, clock: SteppedClock, *, learned_late: bool) -> None:
    user, seller = await bank.user(purchased=10), await bank.user()
    await bank.learn(user, "card:a")
    if not learned_late:
        await bank.learn(seller, "card:a")
    await sealed_run(bank, user, seller, cost=200, share=1000)
    await bank.learn(seller, "card:a")
    await settle(bank, clock, seller)
    assert amounts(await bank.credits(seller)) == {"granted": "0.85"}
    assert (await bank.verify()).ok


async def test_the_first_who_closes_decides_whether_there_is_a_share(bank: Bank) -> None:
    user, seller = await bank.user(purchased=10), await bank.user()
    await bank.context().ask(ReserveRun(run_id="run_1", user_id=user, amount_millicredits=2000))
    outcomes: list[RunCharge] = []

    async def close(message: CloseRun) -> None:
        outcomes.append(await bank.context().ask(message))

    async with anyio.create_task_group() as tasks:
        for share in (RunShare(seller, 1000), None) * 3:
            tasks.start_soon(close, CloseRun(run_id="run_1", charge_millicredits=200, share=share))
    assert len({(one.charged_millicredits, one.share_millicredits) for one in outcomes}) == 1
    assert [one.first for one in outcomes].count(True) == 1
    assert (await bank.verify()).ok


async def test_a_share_is_never_more_than_was_held(bank: Bank) -> None:
    user, seller = await bank.user(purchased=10), await bank.user()
    await bank.context().ask(ReserveRun(run_id="run_1", user_id=user, amount_millicredits=500))
    close = CloseRun(run_id="run_1", charge_millicredits=200, share=RunShare(seller, 1000))
    assert await bank.context().ask(close) == RunCharge(0, first=True, share_millicredits=500)
    assert amounts(await bank.credits(user)) == {"purchased": "9.5"}
    assert (await bank.verify()).ok


async def test_a_disputed_payment_takes_back_the_shares_that_it_paid_and_leaves_what_the_models_cost(
    bank: Bank,
) -> None:
    user, seller = await bank.user(), await bank.user()
    topup = await bank.top_up(user, 2)
    await sealed_run(bank, user, seller, cost=200, share=1000)
    claimed = await bank.context().ask(
        TakeBackTopup(
            topup_id=topup, claim_id="dp_1", kind=ClaimKind.DISPUTE, amount=200, captured=200, undo_sales=True
        )
    )
    assert claimed.refunded_purchases == ()
    assert amounts(await bank.credits(seller)) == {}
    assert amounts(await bank.credits(user)) == {"debt": "0.2"}
    assert await legs(bank, "run:run_1:refund") == [("purchased", 1000), ("platform:fees", -150), ("pending", -850)]
    assert (await bank.verify()).ok


async def test_the_seller_does_not_read_in_their_history_who_ran_it(bank: Bank) -> None:
    user, seller = await bank.user(purchased=10), await bank.user()
    await sealed_run(bank, user, seller, cost=200, share=1000)
    (entry,) = (await bank.context(seller).ask(ListTransactions())).items
    assert (entry.kind, entry.amount) == ("run_close", "0.85")
    assert user not in repr(entry)


# Budgets


async def fund(bank: Bank, seller: str, millicredits: int, budget_id: str = "bud_1") -> BudgetState:
    return await bank.context().ask(
        FundBudget(budget_id=budget_id, user_id=seller, listing_id=LISTING, amount_millicredits=millicredits)
    )


async def hold(bank: Bank, run_id: str, millicredits: int) -> RunHold:
    message = ReserveRun(run_id=run_id, user_id="usr_x", amount_millicredits=millicredits, trial_of=LISTING)
    return await bank.context().ask(message)


async def give_back(bank: Bank, seller: str) -> tuple[BudgetState, ...]:
    return await bank.context().ask(ReturnBudgets(user_id=seller, listing_id=LISTING))


async def test_a_budget_is_set_aside_spent_run_by_run_and_given_back_to_where_it_came_from(bank: Bank) -> None:
    seller = await bank.user(granted=1, purchased=10)
    before = (await bank.ledger.get_holdings(seller)).lots
    assert (await fund(bank, seller, 3000)).funded == 3000
    assert amounts(await bank.credits(seller)) == {"purchased": "8", "reserved": "3"}
    for number, cost in enumerate((600, 700)):
        assert await hold(bank, f"run_{number}", 1000) == RunHold(1000)
        assert await bank.context().ask(CloseRun(run_id=f"run_{number}", charge_millicredits=cost)) == RunCharge(
            cost, first=True
        )
    assert await legs(bank, "run:run_0:close") == [("reserved", -600), ("platform:llm", 600)]
    assert (await bank.verify()).ok
    (ended,) = await give_back(bank, seller)
    assert (ended.spent, ended.ended) == (1300, True)
    assert amounts(await bank.credits(seller)) == {"purchased": "9.7"}
    assert (await bank.ledger.get_holdings(seller)).lots[0].id == before[1].id
    assert await bank.context().ask(ListBudgets(listing_id=LISTING)) == ()
    assert await give_back(bank, seller) == ()
    assert (await bank.verify()).ok


async def test_a_budget_is_funded_once_and_only_with_what_one_has(bank: Bank) -> None:
    seller, debtor = await bank.user(purchased=5), await bank.user()
    assert await fund(bank, seller, 3000) == await fund(bank, seller, 3000)
    assert amounts(await bank.credits(seller)) == {"purchased": "2", "reserved": "3"}
    with pytest.raises(JournalMismatch):
        await fund(bank, seller, 1000)
    with pytest.raises(InsufficientCredits):
        await fund(bank, seller, 2001, "bud_2")
    await bank.owe(debtor, 1)
    with pytest.raises(DebtOutstanding):
        await fund(bank, debtor, 1, "bud_3")


async def test_trials_that_begin_at_once_never_hold_more_than_there_is(bank: Bank) -> None:
    """Each writes the budget, so of two that see the same room one starts over."""
    seller = await bank.user(purchased=10)
    await fund(bank, seller, 3000)
    outcomes: list[str] = []

    async def begin(number: int) -> None:
        try:
            await hold(bank, f"run_{number}", 1000)
        except PromptForgeError as error:
            outcomes.append(error.code)
        else:
            outcomes.append("held")

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(begin, number)
    assert sorted(outcomes) == ["held"] * 3 + ["trial_budget_spent"] * 5
    for number in range(8):
        if outcomes and await bank.books.entries.find_journal(f"run:run_{number}:reserve") is not None:
            await bank.context().ask(CloseRun(run_id=f"run_{number}", charge_millicredits=0))
    (budget,) = await bank.context().ask(ListBudgets(listing_id=LISTING))
    assert (budget.held, budget.spent) == (0, 0)
    assert (await bank.verify()).ok


async def test_the_oldest_budget_with_room_is_taken_and_a_closing_one_is_not(bank: Bank) -> None:
    seller = await bank.user(purchased=10)
    await fund(bank, seller, 1000)
    await hold(bank, "run_1", 800)
    (closing,) = await give_back(bank, seller)
    assert (closing.closing, closing.ended) == (True, False)
    with pytest.raises(BudgetSpent):
        await hold(bank, "run_2", 100)
    await fund(bank, seller, 2000, "bud_2")
    await hold(bank, "run_3", 100)
    await bank.context().ask(CloseRun(run_id="run_1", charge_millicredits=500))
    assert amounts(await bank.credits(seller)) == {"purchased": "7.5", "reserved": "2"}
    await bank.context().ask(CloseRun(run_id="run_3", charge_millicredits=900))
    (left,) = await bank.context().ask(ListBudgets(listing_id=LISTING))
    assert (left.budget_id, left.spent, left.held) == ("bud_2", 100, 0)
    assert (await bank.verify()).ok
