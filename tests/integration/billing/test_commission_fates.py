"""What becomes of a commission whose sale has settled: asked whatever made it late, and when an account closes."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from promptforge.actors.billing.ledger.commissions.messages import GiveUpCommissions
from promptforge.actors.billing.ledger.messages import (
    FreezeTopup,
    GiveBackTopup,
    SettleSeller,
    TakeBackTopup,
    ThawTopup,
)
from promptforge.actors.billing.ledger.topups.domain import ClaimKind
from promptforge.actors.partnerships.referrals.messages import ReferrerStanding
from tests.integration.billing.bank import Bank, amounts
from tests.integration.billing.trade import PARTNER, Trade

pytestmark = pytest.mark.anyio


@pytest.fixture
def bank(stepped_bank: Bank) -> Bank:
    return stepped_bank


@pytest.mark.parametrize("learned", ["card", "circle"])
async def test_what_is_learned_after_a_sale_has_settled_is_asked_when_its_commission_is_released(
    trade: Trade, learned: str
) -> None:
    buyer = await trade.sells("pur_a")
    term = await trade.freeze()
    await trade.a_month_passes()
    if learned == "card":
        await trade.bank.learn(trade.referrer, "card:1")
        await trade.bank.learn(buyer, "card:1")
    else:
        trade.bank.strangers.standing = ReferrerStanding(came_by=True)
    assert await trade.has() == (0, 5, 0)
    await trade.decide(term, release=True)
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 15


@pytest.mark.parametrize("won", [True, False])
async def test_a_released_commission_waits_for_a_dispute_and_goes_the_way_that_it_goes(
    trade: Trade, *, won: bool
) -> None:
    """The sale has settled, so that it is not undone."""
    buyer = await trade.sells("pur_a")
    term = await trade.freeze()
    await trade.a_month_passes()
    topup, dispute = f"topup:cs_{buyer}", "dp_1"
    claim: dict[str, Any] = {"topup_id": topup, "claim_id": dispute, "kind": ClaimKind.DISPUTE, "amount": 1}
    await trade.bank.context().ask(FreezeTopup(topup_id=topup, dispute_id=dispute))
    await trade.bank.context().ask(TakeBackTopup(**claim, captured=1, undo_sales=True))
    await trade.decide(term, release=True)
    await trade.settles()
    assert await trade.has() == (5, 0, 0), "it is not decided yet"
    if won:
        await trade.bank.context().ask(GiveBackTopup(**claim))
    await trade.bank.context().ask(ThawTopup(topup_id=topup, dispute_id=dispute))
    await trade.settles()
    assert await trade.has() == ((0, 0, 5) if won else (0, 0, 0))
    assert await trade.fees() == (10 if won else 15)


async def test_a_disputed_sale_settles_neither_for_its_seller_nor_for_the_partner(trade: Trade) -> None:
    buyer = await trade.sells("pur_a")
    topup = f"topup:cs_{buyer}"
    await trade.bank.context().ask(FreezeTopup(topup_id=topup, dispute_id="dp_1"))
    await trade.a_month_passes()
    assert await trade.has() == (5, 0, 0)
    assert amounts(await trade.bank.credits(trade.seller)) == {"pending": "85"}
    await trade.bank.context().ask(ThawTopup(topup_id=topup, dispute_id="dp_1"))
    await trade.settles()
    assert await trade.has() == (0, 0, 5)


async def test_what_a_suspended_account_earned_settles_once_it_is_open_again(trade: Trade) -> None:
    await trade.sells("pur_a")
    trade.bank.strangers.standing = ReferrerStanding(suspended=True)
    await trade.a_month_passes()
    assert await trade.has() == (5, 0, 0)
    assert amounts(await trade.bank.credits(trade.seller)) == {"earned": "85"}, "the seller does not wait for it"
    trade.bank.strangers.standing = ReferrerStanding()
    await trade.settles()
    assert await trade.has() == (0, 0, 5)


async def test_sellers_of_one_partner_who_settle_at_once_write_nothing_of_the_partners(trade: Trade) -> None:
    """Their settlements share no document: none of them begins again, and none of them asks for the partner."""
    sellers = [await trade.bank.user() for _ in range(8)]
    for number, seller in enumerate(sellers):
        trade.seller = seller
        await trade.sells(f"pur_{number}")
    trade.clock.advance(days=31)
    begun = trade.bank.transactions.attempts
    async with anyio.create_task_group() as tasks:
        for seller in sellers:
            tasks.start_soon(trade.bank.context().ask, SettleSeller(seller_id=seller))
    assert trade.bank.transactions.attempts == begun + 2 * len(sellers), "one that settles and one that folds for each"
    assert await trade.has() == (40, 0, 0)
    await trade.settles()
    assert await trade.has() == (0, 0, 40)


# The account behind it is closed


async def test_what_a_closed_account_has_left_goes_back_into_the_fees_and_nothing_settles_any_more(
    trade: Trade,
) -> None:
    for name in ("settled", "frozen", "pending"):
        await trade.sells(f"pur_{name}")
        await (trade.a_month_passes() if name == "settled" else trade.freeze() if name == "frozen" else trade.stand())
    assert await trade.has() == (5, 5, 5)
    await trade.bank.context().ask(GiveUpCommissions(partner_id=PARTNER))
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 45
    await trade.sells("pur_under_way")
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 60
    for name in ("settled", "frozen", "pending", "under_way"):
        await trade.bank.refund(f"pur_{name}")
    assert await trade.fees() == 0
    assert amounts(await trade.bank.credits(trade.referrer)) == {}, "nobody is there to owe what went into the fees"
    await trade.stand()


async def test_what_a_settlement_beside_the_closing_has_brought_is_given_up_the_next_time(trade: Trade) -> None:
    """It had asked before the closing, and commits after the first job."""
    await trade.sells("pur_a")
    await trade.a_month_passes()
    await trade.bank.context().ask(GiveUpCommissions(partner_id=PARTNER))
    await trade.bank.collection("ledger_partners").update_one({"_id": PARTNER}, {"$set": {"closed": False}})
    await trade.sells("pur_b")
    await trade.a_month_passes()
    assert await trade.has() == (0, 0, 5)
    for _ in range(2):
        await trade.bank.context().ask(GiveUpCommissions(partner_id=PARTNER))
    assert await trade.has() == (0, 0, 0)
    assert await trade.fees() == 30


async def test_what_is_pending_is_summed_and_listed_from_an_index(trade: Trade) -> None:
    """However many sales a partner has had."""
    await trade.sells("pur_a")
    pending = {"partner_id": {"$in": [PARTNER]}, "commission": {"$gt": 0}}
    settled = {
        "state": {"$in": ["held", "settled"]},
        "partner_id": PARTNER,
        "_id": {"$gt": ""},
        "commission": {"$gt": 0},
    }
    summed = await explained(trade, [{"$match": pending}, {"$group": {"_id": None, "sum": {"$sum": "$commission"}}}])
    assert "FETCH" not in summed
    assert "COLLSCAN" not in summed
    listed = await explained(trade, [{"$match": settled}, {"$sort": {"_id": 1}}, {"$limit": 25}])
    assert "COLLSCAN" not in listed
    assert '"SORT"' not in listed, "two sorted scans are merged"
    kept = {"$sum": {"$subtract": ["$promised", "$forgone"]}}
    group = {"_id": None, "pending": {"$sum": "$commission"}, "kept": kept}
    verified = await explained(trade, [{"$match": {"partner_id": PARTNER}}, {"$group": group}])
    assert "FETCH" not in verified
    assert "COLLSCAN" not in verified


async def explained(trade: Trade, pipeline: list[dict[str, Any]]) -> str:
    """The plan in words."""
    command = {"aggregate": "ledger_sales", "pipeline": pipeline, "cursor": {}}
    plan = await trade.bank.process.mongo.raw.command({"explain": command, "verbosity": "queryPlanner"})
    return json.dumps(plan["queryPlanner"]["winningPlan"] if "queryPlanner" in plan else plan, default=str)
