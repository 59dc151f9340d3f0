"""Appeals against forfeited commissions: what is granted comes back once, out of the fee that it had gone into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from promptforge.actors.billing.errors import FreezeDecided, NothingForfeited
from promptforge.actors.billing.ledger.commissions.messages import (
    AnswerFreeze,
    AppealFreeze,
    CarryOutFreeze,
    DecideFreeze,
    GiveUpCommissions,
    RestoreForfeited,
    SumCommissions,
)
from promptforge.actors.billing.ledger.commissions.settling import CommissionSettlementActor
from promptforge.core.errors import PromptForgeError
from tests.integration.billing.bank import Bank
from tests.integration.billing.forging import Forged, forge
from tests.integration.billing.test_linked_commissions import linked
from tests.integration.billing.trade import PARTNER, Trade

pytestmark = pytest.mark.anyio
WORDS = "The clicks are from a talk: 300 people, one network."


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


async def forfeits(trade: Trade, term: int, *, carried_out: bool = True) -> None:
    forfeit = DecideFreeze(
        partner_id=PARTNER,
        term=term,
        release=False,
        decided_by="usr_admin",
        reason="looked at",
        reason_code="fraud",
        appeal_until=trade.clock.now() + timedelta(days=184),
    )
    await trade.bank.context().ask(forfeit)
    if carried_out:
        await trade.bank.process.runner.drain()


async def appeals(trade: Trade, term: int) -> None:
    await trade.bank.context().ask(AppealFreeze(partner_id=PARTNER, term=term, words=WORDS))


def answer(term: int, *, granted: bool = True, by: str = "usr_other") -> AnswerFreeze:
    return AnswerFreeze(
        partner_id=PARTNER, term=term, granted=granted, decided_by=by, reason="looked at again", reason_code="other"
    )


async def answers(trade: Trade, term: int, *, granted: bool = True) -> None:
    await trade.bank.context().ask(answer(term, granted=granted))
    await trade.bank.process.runner.drain()


async def forfeited(trade: Trade, *sales: str, settled: bool = False) -> int:
    """Frozen, settled where that is said, forfeited, and appealed."""
    for one in sales or ("pur_a",):
        await trade.sells(one)
    term = await trade.freeze()
    if settled:
        await trade.a_month_passes()
    await forfeits(trade, term)
    await appeals(trade, term)
    return term


async def dashboard(trade: Trade) -> dict[str, int]:
    """Of all days, in whole credits; what was promised is in one of the others."""
    ages = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    rows = await trade.bank.context().ask(SumCommissions(partner_id=PARTNER, since=ages[0], until=ages[1]))
    names = ("promised", "pending", "earned", "forgone", "reversed")
    sums = {name: sum(getattr(row, name) for row in rows) // 1000 for name in names}
    assert sums["promised"] == sum(sums[name] for name in names[1:])
    return sums


@pytest.mark.parametrize("settled", [True, False])
async def test_what_is_granted_comes_back_out_of_the_fee(trade: Trade, *, settled: bool) -> None:
    term = await forfeited(trade, settled=settled)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    assert (await dashboard(trade))["forgone"] == 5
    await answers(trade, term)
    assert await trade.has() == ((0, 0, 5) if settled else (5, 0, 0))
    assert await trade.fees() == 10
    assert await dashboard(trade) == {
        "promised": 5,
        "pending": 0 if settled else 5,
        "earned": 5 if settled else 0,
        "forgone": 0,
        "reversed": 0,
    }
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 5)
    assert await trade.collect() == 5
    assert await trade.fees() == 10


async def test_what_is_upheld_stays_in_the_fee_for_good(trade: Trade) -> None:
    term = await forfeited(trade, settled=True)
    await answers(trade, term, granted=False)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    await trade.bank.context().ask(RestoreForfeited(partner_id=PARTNER, term=term))
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    for late in (appeals(trade, term), answers(trade, term)):
        with pytest.raises((NothingForfeited, FreezeDecided)):
            await late


async def test_it_comes_back_once_however_often_its_job_runs(trade: Trade) -> None:
    term = await forfeited(trade, "pur_a", "pur_b", settled=True)
    await answers(trade, term)
    again = RestoreForfeited(partner_id=PARTNER, term=term)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(trade.bank.context().ask, again)
    assert await trade.has() == (0, 0, 10)
    assert await trade.fees() == 20
    assert await trade.bank.collection("ledger_journals").count_documents({"kind": "commission_restore"}) == 2


async def test_a_job_that_dies_between_two_batches_is_gone_on_with(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptforge.actors.billing.ledger.commissions.settling.AT_ONCE", 1)
    term = await forfeited(trade, "pur_a", "pur_b", settled=True)
    await trade.bank.context().ask(answer(term))
    store = trade.bank.books.commissions
    listing = store.list_forfeited

    async def dies(partner_id: str, of: int, after: str, *, limit: int) -> object:
        if after:
            raise RuntimeError("killed")
        return await listing(partner_id, of, after, limit=limit)

    store.list_forfeited = dies  # type: ignore[method-assign,assignment]  # as a process that dies
    with pytest.raises(RuntimeError):
        await trade.bank.context().ask(RestoreForfeited(partner_id=PARTNER, term=term))
    store.list_forfeited = listing  # type: ignore[method-assign]  # as it was
    assert await trade.has() == (0, 0, 5)
    await trade.bank.process.runner.drain()
    assert await trade.has() == (0, 0, 10)


@pytest.mark.parametrize("settled", [True, False])
async def test_of_a_sale_that_was_refunded_since_nothing_comes_back(trade: Trade, *, settled: bool) -> None:
    term = await forfeited(trade, settled=settled)
    await trade.bank.refund("pur_a")
    assert await trade.fees() == 0
    await answers(trade, term)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0


@pytest.mark.parametrize("settled", [True, False])
async def test_a_refund_after_it_has_come_back_takes_it_from_the_partner(trade: Trade, *, settled: bool) -> None:
    term = await forfeited(trade, settled=settled)
    await answers(trade, term)
    await trade.bank.refund("pur_a")
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 0
    assert (await dashboard(trade))["reversed"] == 5


async def test_what_nobody_is_to_get_by_now_stays_in_the_fee(trade: Trade) -> None:
    """The buyer turns out to be the partner's second account while the appeal waits."""
    buyer = await trade.sells("pur_a")
    await trade.sells("pur_b")
    term = await trade.freeze()
    await trade.a_month_passes()
    await forfeits(trade, term)
    await appeals(trade, term)
    await linked(trade, buyer)
    await answers(trade, term)
    assert await trade.has() == (0, 0, 5)
    assert await trade.fees() == 25
    assert (await trade.stand()).freezes[0].forfeited == 0


async def test_what_has_come_back_and_turns_out_to_be_nobodys_goes_into_the_fee_once_more(trade: Trade) -> None:
    buyer = await trade.sells("pur_a")
    term = await trade.freeze()
    await forfeits(trade, term)
    await appeals(trade, term)
    await answers(trade, term)
    assert await trade.has() == (5, 0, 0)
    await linked(trade, buyer)
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15
    assert (await dashboard(trade))["forgone"] == 5


async def test_of_an_account_that_is_closed_nothing_comes_back(trade: Trade) -> None:
    term = await forfeited(trade, settled=True)
    await trade.bank.context().ask(GiveUpCommissions(partner_id=PARTNER))
    with pytest.raises(NothingForfeited):
        await trade.bank.context().ask(answer(term))
    assert await trade.fees() == 15


async def test_of_two_answers_at_once_one_wins_and_the_other_is_told(trade: Trade) -> None:
    term = await forfeited(trade, settled=True)
    outcomes: list[str] = []

    async def one(number: int) -> None:
        try:
            await trade.bank.context().ask(answer(term, granted=number % 2 == 0, by=f"usr_{number}"))
        except FreezeDecided:
            outcomes.append("late")
        else:
            outcomes.append("granted" if number % 2 == 0 else "upheld")

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)
    assert outcomes.count("late") == 9
    await trade.bank.process.runner.drain()
    granted = "granted" in outcomes
    assert await trade.has() == ((0, 0, 5) if granted else (0, 0, 0))
    assert await trade.fees() == (10 if granted else 15)


async def test_what_the_forfeiture_is_still_putting_into_the_fee_comes_back_too(trade: Trade) -> None:
    """The job has read that it is forfeited, the appeal is granted and carried out, and only then the job would commit:
    of a sale that has not settled nobody else has written anything.
    """
    await trade.sells("pur_a")
    term = await trade.freeze()
    await forfeits(trade, term, carried_out=False)
    await appeals(trade, term)
    begun, restored = anyio.Event(), anyio.Event()
    finding = trade.bank.books.commissions.find_freeze

    async def slow(partner_id: str, of: int, **options: object) -> object:
        seen = await finding(partner_id, of, **options)  # type: ignore[arg-type]  # passed on as it came
        begun.set()
        await restored.wait()
        return seen

    async def carry_out() -> None:
        trade.bank.books.commissions.find_freeze = slow  # type: ignore[method-assign,assignment]  # the way in between
        await trade.bank.context().ask(CarryOutFreeze(partner_id=PARTNER, term=term))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out)
        await begun.wait()
        trade.bank.books.commissions.find_freeze = finding  # type: ignore[method-assign]  # as it was
        await trade.bank.context().ask(answer(term))
        another = CommissionSettlementActor(trade.bank.books)  # in one process its key would make them take turns
        await another.restore(RestoreForfeited(partner_id=PARTNER, term=term), trade.bank.context())
        restored.set()
    assert await trade.has() == (5, 0, 0)
    assert await trade.fees() == 10
    assert (await trade.stand()).freezes[0].forfeited == 0


async def test_a_term_that_was_forfeited_before_there_were_appeals_has_none(trade: Trade) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    await trade.decide(term, release=False)
    later = {"appeal_until": "", "appeal": "", "appealed_at": "", "appeal_waits": "", "answer": "", "moves": ""}
    await trade.bank.collection("ledger_freezes").update_one({}, {"$unset": later})
    await trade.bank.collection("ledger_sales").update_one({}, {"$unset": {"forfeited": ""}})
    assert await refusal(lambda: appeals(trade, term)) == "nothing_to_appeal"
    assert await refusal(lambda: answers(trade, term)) == "nothing_to_appeal"
    assert await trade.has() == (0, 0, 0)


async def test_what_is_not_forfeited_is_not_appealed(trade: Trade) -> None:
    await trade.sells("pur_a")
    assert await refusal(lambda: appeals(trade, 0)) == "not_found"
    assert await refusal(lambda: answers(trade, 0)) == "not_found"
    term = await trade.freeze()
    assert await refusal(lambda: appeals(trade, term)) == "nothing_to_appeal"
    await trade.decide(term, release=True)
    assert await refusal(lambda: appeals(trade, term)) == "nothing_to_appeal"
    assert await refusal(lambda: answers(trade, term)) == "nothing_to_appeal"


@pytest.mark.parametrize(
    ("forfeit", "amount", "rules"),
    [(True, 5_000, set()), (True, 6_000, {"unearned"}), (False, 5_000, {"unearned", "not_theirs"})],
    ids=["as it went", "more of it", "what was never forfeited"],
)
async def test_verification_finds_what_was_not_forfeited_and_comes_back_all_the_same(
    trade: Trade, *, forfeit: bool, amount: int, rules: set[str]
) -> None:
    await trade.sells("pur_a")
    term = await trade.freeze()
    if forfeit:
        await forfeits(trade, term)
    key = "commission:purchase:pur_a:restore"
    legs = [Forged("platform:fees", -amount), Forged(f"partner:{PARTNER}:pending", amount, lot="purchase:pur_a")]
    await forge(trade.bank, key, "commission_restore", legs, sale="purchase:pur_a", partner_id=PARTNER)
    found = await trade.bank.verify()
    assert {one.rule for one in found.violations if one.subject == key} == rules
    assert {"sale", "balance"} <= {one.rule for one in found.violations}, "and the sums do not fit"


async def refusal(call: Callable[[], Awaitable[None]]) -> str:
    try:
        await call()
    except PromptForgeError as error:
        return error.code
    return "done"
