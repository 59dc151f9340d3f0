"""A partner who turns out to be linked with whom they have brought: the job, the payout, and what verification says."""

from __future__ import annotations

import pytest

from promptforge.actors.billing.errors import InsufficientCredits
from promptforge.actors.billing.ledger.messages import ReservePayout
from promptforge.deploy.upgrade.released_commissions import tell_what_is_released
from tests.integration.billing.bank import amounts
from tests.integration.billing.trade import Trade

pytestmark = pytest.mark.anyio
SALE = "purchase:pur_a"


async def linked(trade: Trade, *users: str) -> None:
    for user in (trade.referrer, *users):
        await trade.bank.learn(user, "card:a")
    await trade.bank.process.runner.drain()


async def released(trade: Trade) -> dict[str, int]:
    rows = await trade.bank.collection("ledger_sales").find({}).to_list(None)
    return {row["_id"]: row["released"] for row in rows}


@pytest.mark.parametrize("selling", [False, True], ids=["buyer", "seller"])
async def test_the_job_of_the_link_takes_it_out_of_what_waits_and_out_of_what_was_collected(
    trade: Trade, *, selling: bool
) -> None:
    alias = await trade.sells("pur_a")
    await trade.a_month_passes()
    await trade.collect("col_1", 2)
    assert (await released(trade))[SALE] == 5_000
    await linked(trade, trade.seller if selling else alias)
    assert (await trade.has(), await trade.fees()) == ((0, 0, 0), 13)
    assert amounts(await trade.bank.credits(trade.referrer)) == {"granted": "2"}
    log = await trade.bank.collection("audit_log").find({"action": "commission.withheld"}).to_list(None)
    assert [(one["target"], one["after"]) for one in log] == [(SALE, {"user_id": trade.referrer, "credits": "5"})]


async def test_what_the_job_did_not_find_is_withheld_before_a_payout(trade: Trade) -> None:
    """It was released just as they were linked, so neither has seen the other."""
    alias = await trade.sells("pur_a")
    await trade.sells("pur_b")
    await trade.a_month_passes()
    await trade.collect()
    for user in (trade.referrer, alias):
        await trade.bank.learn(user, "card:a")
    await trade.bank.collection("jobs").delete_many({})
    ask = trade.bank.context().ask
    with pytest.raises(InsufficientCredits):
        await ask(ReservePayout(payout_id="po_1", user_id=trade.referrer, amount_millicredits=5_001))
    await ask(ReservePayout(payout_id="po_1", user_id=trade.referrer, amount_millicredits=5_000))
    assert amounts(await trade.bank.credits(trade.referrer)) == {"granted": "5", "reserved": "5"}
    await trade.bank.told_of_payouts()
    await trade.stand()


async def test_a_commission_of_others_stays(trade: Trade) -> None:
    await trade.sells("pur_a")
    await trade.a_month_passes()
    await linked(trade, await trade.bank.user())
    assert await trade.has() == (0, 0, 5)


async def test_sales_of_before_say_what_of_their_commissions_is_released(trade: Trade) -> None:
    alias = await trade.sells("pur_linked")
    await trade.sells("pur_settled")
    await trade.sells("pur_refunded")
    await trade.a_month_passes()
    await linked(trade, alias)
    await trade.bank.refund("pur_refunded")
    await trade.sells("pur_pending")
    before = await released(trade)
    assert sorted(before.values()) == [0, 0, 0, 5_000]
    sales = trade.bank.collection("ledger_sales")
    await sales.update_many({}, {"$unset": {"released": ""}})
    for _ in range(2):
        await tell_what_is_released(trade.bank.process.mongo)
    rows = await sales.find({}).to_list(None)
    assert {row["_id"]: row.get("released", 0) for row in rows} == before


async def test_what_was_released_to_linked_accounts_is_found_by_indexes(trade: Trade) -> None:
    """A popular partner has millions of sales, of which their own accounts have bought few."""
    rows = [
        {
            "_id": f"purchase:{number:04d}",
            "referrer_id": "usr_1",
            "buyer_id": f"b{number}",
            "seller_id": "s",
            "released": 5,
        }
        for number in range(1000)
    ]
    await trade.bank.collection("ledger_sales").insert_many(rows)
    command = trade.bank.process.mongo.raw.command
    for party, user in (("buyer_id", "b990"), ("seller_id", "nobody")):
        wanted = {"referrer_id": "usr_1", party: {"$in": [user, "usr_1"]}, "_id": {"$gt": ""}, "released": {"$gt": 0}}
        find = {"find": "ledger_sales", "filter": wanted, "sort": {"_id": 1}, "limit": 25}
        looked = (await command({"explain": find, "verbosity": "executionStats"}))["executionStats"]
        assert looked["totalDocsExamined"] == looked["nReturned"]
    frozen = {"find": "ledger_topups", "filter": {"frozen_by.0": {"$exists": True}, "user_id": {"$gt": ""}}}
    plan = await command({"explain": {**frozen, "sort": {"user_id": 1}}})
    assert "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
