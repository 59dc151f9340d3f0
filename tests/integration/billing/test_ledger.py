"""Sales, grants and balances on a real MongoDB, one after the other and all at once."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from promptforge.actors.billing.errors import (
    DebtOutstanding,
    GrantTooLarge,
    InsufficientCredits,
    JournalMismatch,
    SelfPurchase,
)
from promptforge.actors.billing.ledger.adjustments.domain import grant_journal
from promptforge.actors.billing.ledger.audit import LedgerAudit
from promptforge.actors.billing.ledger.domain import Fund, UserAccount
from promptforge.actors.billing.ledger.holdings import Lot
from promptforge.actors.billing.ledger.messages import CheckLedger
from promptforge.actors.billing.ledger.sealing import LedgerSeals
from promptforge.actors.billing.ledger.topups.domain import topup_journal
from promptforge.actors.billing.messages import (
    Charge,
    GetLedgerReport,
    GrantCredits,
    ListTransactions,
    RequestVerification,
    TransactionView,
)
from promptforge.actors.billing.verification import verify
from promptforge.core.clock import SystemClock
from promptforge.core.context import Context
from promptforge.core.errors import Forbidden, Invalid, NotFound, PromptForgeError
from promptforge.core.principal import Role
from tests.integration.billing.bank import Bank, Interrupted, amounts

pytestmark = pytest.mark.anyio


async def test_a_sale_takes_the_price_and_gives_the_shares(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=30), await bank.user()
    charge = await bank.charge(buyer, seller, 25, "pur_a")
    assert charge == Charge(
        "purchase:pur_a", fee_millicredits=3750, seller_millicredits=21250, payable_millicredits=21250
    )
    assert amounts(await bank.credits(buyer)) == {"purchased": "5"}
    assert amounts(await bank.credits(seller)) == {"pending": "21.25"}
    assert (await bank.credits(seller)).available == "0"
    assert (await bank.verify()).ok


async def test_granted_credits_are_spent_first_and_stay_granted_at_the_seller(bank: Bank) -> None:
    buyer, seller = await bank.user(granted=10, purchased=10), await bank.user()
    await bank.charge(buyer, seller, 12, "pur_a")
    assert amounts(await bank.credits(buyer)) == {"purchased": "8"}
    legs = bank.collection("transactions").find({"user_id": seller})
    assert {leg["source"]: leg["amount"] for leg in await legs.to_list(9)} == {"granted": 8500, "purchased": 1700}
    assert (await bank.verify()).ok


async def test_the_same_purchase_is_charged_once_and_answers_the_same(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=30), await bank.user()
    first = await bank.charge(buyer, seller, 25, "pur_a")
    assert await bank.charge(buyer, seller, 25, "pur_a") == first
    assert amounts(await bank.credits(buyer)) == {"purchased": "5"}
    assert (await bank.verify()).ok


async def test_the_same_purchase_with_another_price_is_a_conflict(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=30), await bank.user()
    await bank.charge(buyer, seller, 5, "pur_a")
    with pytest.raises(JournalMismatch):
        await bank.charge(buyer, seller, 6, "pur_a")
    assert (await bank.verify()).ok


async def test_a_free_listing_costs_nothing_and_leaves_a_journal(bank: Bank) -> None:
    buyer, seller = await bank.user(), await bank.user()
    assert await bank.charge(buyer, seller, 0, "pur_a") == Charge("purchase:pur_a", 0, 0)
    assert await bank.charge(buyer, seller, 0, "pur_a") == Charge("purchase:pur_a", 0, 0)
    page = await bank.context(buyer).ask(ListTransactions())
    assert [(entry.id, entry.amount, entry.parts) for entry in page.items] == [("purchase:pur_a", "0", ())]
    report = await bank.verify()
    assert (report.ok, report.journals, report.legs, report.purchases) == (True, 1, 0, 1)


async def test_what_one_does_not_have_cannot_be_spent_and_nothing_is_left_behind(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=3), await bank.user()
    with pytest.raises(InsufficientCredits, match="costs 4 credits, and you have 3"):
        await bank.charge(buyer, seller, 4)
    assert amounts(await bank.credits(buyer)) == {"purchased": "3"}
    report = await bank.verify()
    assert (report.ok, report.journals, report.purchases) == (True, 1, 0)


async def test_nobody_buys_from_themselves_or_with_debt(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=3), await bank.user()
    with pytest.raises(SelfPurchase):
        await bank.charge(buyer, buyer, 1)
    await bank.collection("users").update_one({"_id": buyer}, {"$set": {"credits.debt": -1}})
    with pytest.raises(DebtOutstanding):
        await bank.charge(buyer, seller, 1)


async def test_a_debit_that_would_go_below_zero_matches_nothing_whatever_was_read_before(bank: Bank) -> None:
    buyer = await bank.user(purchased=5)
    stale = await bank.ledger.get_holdings(buyer)
    debit: dict[UserAccount, int] = {Fund.PURCHASED: -4000}
    left = (Lot(stale.lots[0].id, Fund.PURCHASED, 1000),)
    await bank.ledger.fold(buyer, debit, stale.lots, left, session=None)
    with pytest.raises(InsufficientCredits):  # by the balance alone
        await bank.ledger.fold(buyer, debit, left, left, session=None)
    with pytest.raises(InsufficientCredits):  # by the lots alone
        await bank.ledger.fold(buyer, {Fund.PURCHASED: -1}, stale.lots, left, session=None)
    now = await bank.ledger.get_holdings(buyer)
    assert (now.purchased, now.lots) == (1000, left)


async def test_a_sale_that_is_not_committed_leaves_nothing_behind(bank: Bank) -> None:
    buyer, seller = await bank.user(granted=5, purchased=30), await bank.user()
    bank.transactions.interrupt_next = True
    with pytest.raises(Interrupted):
        await bank.charge(buyer, seller, 25, "pur_a")
    assert amounts(await bank.credits(buyer)) == {"granted": "5", "purchased": "30"}
    assert amounts(await bank.credits(seller)) == {}
    report = await bank.verify()
    assert (report.ok, report.journals, report.legs, report.purchases) == (True, 2, 4, 0)


@pytest.mark.parametrize("contenders", [2, 16])
async def test_of_many_charges_of_somebodys_last_credits_exactly_one_wins(bank: Bank, contenders: int) -> None:
    buyer, seller = await bank.user(granted=2, purchased=3), await bank.user()
    outcomes: Counter[str] = Counter()

    async def buy() -> None:
        try:
            await bank.charge(buyer, seller, 5)
        except PromptForgeError as error:
            outcomes[error.code] += 1
        else:
            outcomes["bought"] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(contenders):
            tasks.start_soon(buy)
    assert outcomes == {"bought": 1, "insufficient_credits": contenders - 1}
    assert amounts(await bank.credits(buyer)) == {}
    assert (await bank.verify()).ok


async def test_a_double_click_is_charged_once(bank: Bank) -> None:
    buyer, seller = await bank.user(purchased=30), await bank.user()
    charges: list[Charge] = []

    async def buy() -> None:
        charges.append(await bank.charge(buyer, seller, 5, "pur_a"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(buy)
    assert len(charges) == 8
    assert len(set(charges)) == 1
    assert amounts(await bank.credits(buyer)) == {"purchased": "25"}
    assert (await bank.verify()).ok


async def test_64_sales_of_one_seller_at_once_succeed_without_a_single_conflict(bank: Bank) -> None:
    seller = await bank.user()
    buyers = [await bank.user(purchased=10) for _ in range(64)]
    before = bank.transactions.attempts
    async with anyio.create_task_group() as tasks:
        for buyer in buyers:
            tasks.start_soon(bank.charge, buyer, seller, 10)
    assert bank.transactions.attempts - before == 64, "sales of one seller got in each other's way"
    assert amounts(await bank.credits(seller)) == {"pending": "544"}
    assert "credits" not in (await bank.collection("users").find_one({"_id": seller}) or {})
    assert (await bank.verify()).ok


async def test_a_journal_that_is_there_already_does_not_abort_the_callers_transaction(bank: Bank) -> None:
    user = await bank.user(purchased=5)
    again = topup_journal(f"cs_{user}", user_id=user, amount=5000, refs={})

    async def work(tx: Context) -> bool:
        assert tx.session is not None
        posted = await bank.ledger.post(again, now=tx.now(), session=tx.session)
        await bank.collection("beside").insert_one({"_id": "kept"}, session=tx.session)
        return posted

    assert await bank.context().transaction(work) is False
    assert await bank.collection("beside").count_documents({}) == 1
    assert amounts(await bank.credits(user)) == {"purchased": "5"}


async def test_one_journal_posted_by_many_at_once_is_posted_once(bank: Bank) -> None:
    user = await bank.user()
    journal = grant_journal("one", user_id=user, amount=7000, refs={})
    posted: list[bool] = []

    async def post() -> None:
        posted.append(await bank.post(journal))

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(post)
    assert sorted(posted) == [False] * 15 + [True]
    assert amounts(await bank.credits(user)) == {"granted": "7"}
    assert (await bank.verify()).ok


async def test_credits_for_somebody_who_does_not_exist_are_not_posted(bank: Bank) -> None:
    with pytest.raises(NotFound):
        await bank.post(grant_journal("one", user_id="usr_none", amount=1, refs={}))
    assert await bank.collection("ledger_journals").count_documents({}) == 0


async def test_an_admin_grants_credits_with_a_reason_up_to_the_cap(bank: Bank) -> None:
    user, admin = await bank.user(), bank.context("usr_admin", Role.ADMIN)
    grant = await admin.ask(GrantCredits(user_id=user, amount="12.5", reason="Sorry for the outage"))
    await bank.until_quiet()
    assert (grant.amount, grant.user_id) == ("12.5", user)
    assert amounts(await bank.credits(user)) == {"granted": "12.5"}
    (told,) = bank.notified.told
    assert (told.user_id, told.kind) == (user, "credits.granted")
    (entry,) = (await bank.context(user).ask(ListTransactions())).items
    told_of = {name: value for name, value in entry.refs.items() if name != "expires_at"}
    assert told_of == {"grant_id": grant.id, "reason": "Sorry for the outage"}, "who gave it is not theirs to see"
    with pytest.raises(GrantTooLarge):
        await admin.ask(GrantCredits(user_id=user, amount="10000.001", reason="Too much"))
    with pytest.raises(Invalid):
        await admin.ask(GrantCredits(user_id=user, amount="0.000", reason="Nothing"))
    with pytest.raises(NotFound):
        await admin.ask(GrantCredits(user_id="usr_none", amount="1", reason="Nobody"))
    with pytest.raises(Forbidden):
        await bank.process.system.context(request_id="r", principal=bank.context(user).principal).ask(
            GrantCredits(user_id=user, amount="1", reason="Because")
        )
    assert (await bank.verify()).ok


async def test_ones_transactions_are_listed_newest_first_and_page_by_page(bank: Bank) -> None:
    buyer, seller = await bank.user(granted=1, purchased=30), await bank.user()
    for price in (2, 3, 4):
        await bank.charge(buyer, seller, price)
    seen: list[TransactionView] = []
    cursor: str | None = None
    while True:
        page = await bank.context(buyer).ask(ListTransactions(limit=2, cursor=cursor))
        seen += page.items
        assert len(page.items) <= 2
        if (cursor := page.next) is None:
            break
    assert [(entry.kind, entry.amount) for entry in seen] == [
        ("purchase", "-4"),
        ("purchase", "-3"),
        ("purchase", "-2"),
        ("topup", "30"),
        ("grant", "1"),
    ]
    assert {part.account: part.amount for part in seen[2].parts} == {"granted": "-1", "purchased": "-1"}
    sold = (await bank.context(seller).ask(ListTransactions())).items
    assert [(entry.amount, entry.parts[0].account) for entry in sold] == [
        ("3.4", "pending"),
        ("2.55", "pending"),
        ("1.7", "pending"),
    ]


async def test_operators_verify_the_ledger_and_others_do_not(bank: Bank) -> None:
    user = await bank.user(purchased=5)
    operator = bank.context("usr_operator", Role.OPERATOR)
    with pytest.raises(NotFound):
        await operator.ask(GetLedgerReport())
    asked = {(await operator.ask(RequestVerification())).job_id for _ in range(2)}
    await bank.process.until_done(asked.pop())
    report = await operator.ask(GetLedgerReport())
    assert (report.ok, report.journals, report.legs, report.accounts) == (True, 1, 2, 1)
    for message in (GetLedgerReport(), RequestVerification()):
        with pytest.raises(Forbidden):
            await bank.context(user).ask(message)


async def test_a_verification_says_what_it_looks_at_and_keeps_what_it_found(bank: Bank) -> None:
    user = await bank.user(purchased=5)
    await bank.collection("users").update_one({"_id": user}, {"$inc": {"credits.purchased": 1}})
    percents: list[float] = []
    subjects: list[str] = []

    def progress(percent: float, subject: str) -> None:
        percents.append(percent)
        subjects.append(subject)

    report = await verify(
        LedgerAudit(bank.process.mongo),
        LedgerSeals(bank.process.mongo),
        now=SystemClock().now,
        progress=progress,
    )
    assert (subjects[0], subjects[-1]) == ("journals", "seals")
    assert percents == sorted(percents)
    assert 0 == percents[0] < percents[-1] < 100
    verdict = await bank.context().ask(CheckLedger())
    kept = await bank.context("usr_operator", Role.OPERATOR).ask(GetLedgerReport())
    assert (verdict.ok, verdict.violations_found) == (False, 1)
    assert kept.violations == report.violations
